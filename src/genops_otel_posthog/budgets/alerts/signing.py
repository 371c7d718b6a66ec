"""The headers by which a receiver knows an alert again, and knows that it is genuine.

They follow Standard Webhooks 1.0.0
(https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md), so that a receiver can
check them with a library that exists for its language.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from urllib.parse import quote

from genops_otel_posthog.errors import GenOpsConfigurationError

_PREFIX = "whsec_"
_SHORTEST, _LONGEST = 24, 64  # bytes, by the specification


def keys_from(secret: str | None) -> tuple[bytes, ...]:
    """Reads a signing secret, or several separated by blanks: while a secret is replaced, both sign.

    Raises:
        GenOpsConfigurationError: one is not ``whsec_`` and 24 to 64 bytes in base64. The secret is not in the message.
    """
    return tuple(_key(one) for one in (secret or "").split())


def _key(secret: str) -> bytes:
    encoded = secret.removeprefix(_PREFIX)
    try:
        if encoded == secret:
            raise ValueError(f"it does not begin with {_PREFIX}")
        key = base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
        if not _SHORTEST <= len(key) <= _LONGEST:
            raise ValueError(f"it holds {len(key)} bytes, not {_SHORTEST} to {_LONGEST}")
    except (ValueError, binascii.Error) as error:
        # Not chained: nothing that was made of the secret may end in a traceback.
        raise GenOpsConfigurationError(
            f"The secret that signs alerts cannot be used: {error}. Standard Webhooks wants {_PREFIX} and base64; make "
            "one with: python3 -c \"import base64, secrets; print('whsec_' + "
            'base64.b64encode(secrets.token_bytes(32)).decode())"'
        ) from None
    return key


def webhook_headers(alert_id: str, body: bytes, keys: tuple[bytes, ...], sent_at: int) -> dict[str, str]:
    """The headers of one attempt to deliver ``body``.

    Args:
        alert_id: The alert's id. In the header, what is not a letter, a digit or one of ``:-_`` is percent-encoded: a
            full stop, above all, is what separates the parts that are signed.
        body: What is sent, byte for byte.
        keys: Each adds a signature.
        sent_at: Seconds since the epoch. The specification wants the time of the attempt, not that of the event.
    """
    message_id = quote(alert_id, safe=":-_").replace(".", "%2E").replace("~", "%7E")
    headers = {"webhook-id": message_id, "webhook-timestamp": str(sent_at)}
    if keys:
        signed = f"{message_id}.{sent_at}.".encode("ascii") + body
        digests = (hmac.digest(key, signed, hashlib.sha256) for key in keys)
        headers["webhook-signature"] = " ".join(f"v1,{base64.b64encode(digest).decode('ascii')}" for digest in digests)
    return headers

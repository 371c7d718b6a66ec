"""RudderStack as a destination: its HTTP API, without its SDK.

The SDK would put a second queue in memory behind the one on disk, and lose from it; it repeats a 413 and forgets what a
fork takes away. What it sends is one request, so the request is made here.

Sources: https://www.rudderstack.com/docs/api/http-api/; rudderlabs/rudder-server, ``gateway`` (``handle.go``,
``handle_http_auth.go``, ``response/response.go``): one message without ids refuses the whole batch with 400, 401 is a
wrong key, 404 a source that is switched off, 413 more than 4,000 KiB once decompressed, 429 without ``Retry-After``.
"""

from __future__ import annotations

import base64
import hashlib
import json
import zlib
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timezone
from typing import Any, Final
from urllib.parse import urlsplit

from genops_otel_posthog.acceptance import MAX_AI_EVENT_BYTES
from genops_otel_posthog.errors import GenOpsConfigurationError
from genops_otel_posthog.export.destinations.http import Http, Response, is_loopback
from genops_otel_posthog.export.destinations.protocol import Answer, Verdict
from genops_otel_posthog.export.destinations.rudderstack_mapping import serialised, to_message
from genops_otel_posthog.settings.destination_variables import DEFAULT_DATA_PLANE_URL, write_key
from genops_otel_posthog.version import __version__

MAX_BODY_BYTES: Final = 4000 * 1024
"""Largest body that the gateway takes, once decompressed (``Gateway.maxReqSizeInKB``)."""

MAX_MESSAGE_BYTES: Final = 32 * 1024
"""Largest message by RudderStack's documentation. The gateway takes larger ones; not every service behind it does."""

COMPRESSIONS: Final = ("auto", "gzip", "none")

_PATH = "/v1/batch"
_AGENT = f"genops-otel-posthog/{__version__}"
_WORTH_COMPRESSING = 1024
_GZIP_LEVEL = 1  # 6 takes twice the time for a tenth less
_MOST_SHOWN = 200

_RETRIED = frozenset({408, 425, 429})
_REJECTED = frozenset({400, 422})
_ADVICE: Final[Mapping[int, str]] = {
    401: "the write key is not valid: check RUDDERSTACK_WRITE_KEY",
    402: "the event volume of the RudderStack workspace is used up",
    403: "access is denied: check the write key and what stands between here and RudderStack",
    404: "the source is switched off in RudderStack, or there is no data plane here: check RUDDERSTACK_DATA_PLANE_URL",
}


def _utc_now() -> datetime:
    return datetime.now(timezone.utc)


class RudderStackDestination:
    """RudderStack. See :class:`~.protocol.Destination`.

    Args:
        key: The write key of the source.
        data_plane_url: Scheme, host and, behind a proxy of your own, path of the data plane.
        beside_posthog: Whether the same events go to PostHog directly. Then RudderStack is asked not to send them
            there too: its PostHog destination passes no event uuid on, so PostHog would count each event twice.
        integrations: Which of the source's destinations get the events, by the names that RudderStack shows, in place
            of what ``beside_posthog`` says.
        max_message_bytes: Longer messages are shortened; ``None`` for never.
        compression: ``gzip`` and ``none``, for bodies beyond a kibibyte; ``auto`` is gzip unless the data plane is on
            this machine.
        max_batch_events: Most events of a request.
        max_batch_bytes: Most bytes of the events of a request. A message is longer than its event by up to a kibibyte,
            and all together may have :data:`MAX_BODY_BYTES`.
        clock: The time, aware.
        name: Of the destination.

    Raises:
        GenOpsConfigurationError: The key or another argument cannot be right. The key is not repeated.
    """

    max_event_bytes = MAX_AI_EVENT_BYTES

    def __init__(
        self,
        key: str,
        data_plane_url: str = DEFAULT_DATA_PLANE_URL,
        *,
        beside_posthog: bool = True,
        integrations: Mapping[str, object] | None = None,
        max_message_bytes: int | None = MAX_MESSAGE_BYTES,
        compression: str = "auto",
        max_batch_events: int = 500,
        max_batch_bytes: int = 3 * 1024 * 1024,
        clock: Callable[[], datetime] = _utc_now,
        name: str = "rudderstack",
    ) -> None:
        try:
            key = write_key(key.strip())
        except ValueError as problem:
            raise GenOpsConfigurationError(f"the write key of RudderStack cannot be used: {problem}") from None
        if not key:
            raise GenOpsConfigurationError(
                "the write key of RudderStack is empty; copy it from the source's page in RudderStack, Setup"
            )
        parts = urlsplit(data_plane_url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise GenOpsConfigurationError(
                f"the data plane {data_plane_url!r} is no address; use for instance {DEFAULT_DATA_PLANE_URL}"
            )
        if compression not in COMPRESSIONS:
            raise GenOpsConfigurationError(f"compression is {', '.join(COMPRESSIONS)}; not {compression!r}")
        if max_message_bytes is not None and max_message_bytes < 4096:
            raise GenOpsConfigurationError(
                f"max_message_bytes={max_message_bytes} leaves no room for an event; use 4096 or more, or None"
            )
        self.name = name
        self.account = hashlib.blake2b(key.encode(), digest_size=5).hexdigest()
        self.max_batch_events = max_batch_events
        self.max_batch_bytes = min(max_batch_bytes, MAX_BODY_BYTES)
        self._http = Http(data_plane_url.rstrip("/"))
        self._compresses = compression == "gzip" or (compression == "auto" and not is_loopback(data_plane_url))
        self._max_message_bytes = max_message_bytes
        self._clock = clock
        self._integrations = (
            dict(integrations)
            if integrations is not None
            else {"All": True} | ({"PostHog": False} if beside_posthog else {})
        )
        self._authorization = "Basic " + base64.b64encode(f"{key}:".encode()).decode()

    def send(self, bodies: Sequence[bytes], timeout: float) -> Answer:
        """See :meth:`~.protocol.Destination.send`."""
        sent_at = self._clock().isoformat()
        messages: list[bytes] = []
        rejected: dict[int, str] = {}
        for position, body in enumerate(bodies):
            event = _event(body)
            if event is None:
                rejected[position] = "unreadable_event"
            else:
                messages.append(self._message(event, sent_at))
        if not messages:
            return Answer(Verdict.ACCEPTED, rejected=rejected)
        content = b'{"batch":[' + b",".join(messages) + b'],"sentAt":' + json.dumps(sent_at).encode() + b"}"
        if len(content) > MAX_BODY_BYTES:
            return Answer(Verdict.TOO_LARGE, "too_large", detail=f"more than {MAX_BODY_BYTES} bytes")
        answer = self._post(content, timeout)
        return answer._replace(rejected=rejected) if answer.verdict is Verdict.ACCEPTED else answer

    def close(self) -> None:
        """See :meth:`~.protocol.Destination.close`."""
        self._http.close()

    def _message(self, event: Mapping[str, Any], sent_at: str) -> bytes:
        message = to_message(event)
        # Beside the one of the envelope, because the gateway takes the envelope off.
        message["sentAt"] = sent_at
        message["integrations"] = self._integrations
        return serialised(message, self._max_message_bytes)

    def _post(self, content: bytes, timeout: float) -> Answer:
        headers = {"Content-Type": "application/json", "User-Agent": _AGENT, "Authorization": self._authorization}
        if self._compresses and len(content) > _WORTH_COMPRESSING:
            compressor = zlib.compressobj(_GZIP_LEVEL, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
            content = compressor.compress(content) + compressor.flush()
            headers["Content-Encoding"] = "gzip"
        response = self._http.post(_PATH, content, headers, timeout)
        if isinstance(response, Answer):
            return response
        if not 200 <= response.status < 300:
            return _refusal(response)
        if _is_success(response.body):
            return Answer(Verdict.ACCEPTED)
        detail = "200, but not in RudderStack's words; does something stand between here and the data plane?"
        return Answer(Verdict.RETRY, "unreadable_answer", response.retry_after, detail)


def _event(body: bytes) -> dict[str, Any] | None:
    try:
        event = json.loads(body)
    except ValueError:
        return None
    return event if isinstance(event, dict) and event.get("event") else None


def _is_success(body: bytes) -> bool:
    """``OK`` is what the gateway says; a proxy of somebody's own may say it in JSON, or nothing at all."""
    said = body.strip()
    return not said or said.strip(b'"').lower() == b"ok" or said.startswith(b"{")


def _refusal(response: Response) -> Answer:
    status, reason = response.status, f"http_{response.status}"
    if status in _RETRIED or status >= 500:
        return Answer(Verdict.RETRY, reason, response.retry_after)
    if status == 413:
        return Answer(Verdict.TOO_LARGE, reason, detail="RudderStack says that it is too large")
    if status in _REJECTED:
        return Answer(Verdict.REJECTED, reason, detail=_shown(response.body))
    if 300 <= status < 400:
        detail = "the data plane redirects: set RUDDERSTACK_DATA_PLANE_URL to where it redirects to"
        return Answer(Verdict.HELD, reason, detail=detail)
    return Answer(Verdict.HELD, reason, response.retry_after, _ADVICE.get(status, "RudderStack refuses requests"))


def _shown(body: bytes) -> str:
    """What the gateway said, for people. Its refusals are fixed sentences."""
    return " ".join(body[:_MOST_SHOWN].decode("utf-8", "replace").split())

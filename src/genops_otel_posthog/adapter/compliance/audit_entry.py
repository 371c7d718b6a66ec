"""The form of an entry of the audit trail: one line of JSON that ends with a hash of itself and of the one before it.

``{"n":7,"at":"…","action":"capture","outcome":"sent",…,"prev":"<hash of entry 6>","sig":"<HMAC>","hash":"<SHA-256>"}``

``hash`` is the SHA-256 of all bytes of the line before it; ``prev`` is among them, so that no entry can be changed,
removed or put in without every later one changing too. ``sig``, where there is a key, is the HMAC-SHA256 of all bytes
before it: who has no key can write no trail that verifies with one.

Nothing here knows of files.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import math
import re
from collections.abc import Mapping
from datetime import date, datetime, timezone
from decimal import Decimal
from typing import Any, Final, NamedTuple

from genops_otel_posthog.errors import GenOpsValidationError

NOTHING_BEFORE: Final = "0" * 64
"""``prev`` of the first entry."""

LONGEST_TEXT: Final = 200
"""Characters of a fact that are kept."""

MOST_FACTS: Final = 24

_NAME = re.compile(r"[a-z][a-z0-9_.]{0,47}")
_LINE = re.compile(
    rb'(?P<content>\{"n":(?P<number>[1-9][0-9]*),.*"prev":"(?P<previous>[0-9a-f]{64})")'
    rb'(?P<signed>,"sig":"(?P<signature>[0-9a-f]{64})")?,"hash":"(?P<digest>[0-9a-f]{64})"\}'
)


class DamagedEntry(Exception):
    """A line is no entry, or not the one that was written. The message is the reason."""


class Entry(NamedTuple):
    """One entry of the trail.

    Attributes:
        number: 1 for the first, and one more for each.
        content: What it says: ``n``, ``at``, ``action``, ``outcome``, ``subject``, ``retention_until``, ``facts``,
            ``prev``.
        previous: Hash of the entry before it.
        digest: Its own hash.
        signature: HMAC of its content; empty when it was written without a key.
    """

    number: int
    content: Mapping[str, Any]
    previous: str
    digest: str
    signature: str


def checked(action: str, outcome: str, facts: Mapping[str, Any]) -> dict[str, Any]:
    """The facts in the form in which they are written.

    Raises:
        GenOpsValidationError: The action, the outcome or a fact cannot be written.
    """
    for what, name in (("action", action), ("outcome", outcome)):
        if not _NAME.fullmatch(name):
            raise GenOpsValidationError(
                f"an {what} of the audit trail is a name like budget_updated, in lower case, not {name[:40]!r}"
            )
    kept = {name: _fact(name, value) for name, value in facts.items() if value is not None}
    if len(kept) > MOST_FACTS:
        raise GenOpsValidationError(f"an entry of the audit trail has {MOST_FACTS} facts at most, not {len(kept)}")
    return kept


def make_content(
    number: int, at: float, action: str, outcome: str, subject: str | None, retention_until: date, facts: dict[str, Any]
) -> dict[str, Any]:
    """What an entry says, but for its hashes.

    Args:
        at: Seconds since 1970.
        subject: The pseudonym of the person it is about.
        facts: From :func:`checked`.
    """
    content: dict[str, Any] = {"n": number, "at": _moment(at), "action": action, "outcome": outcome}
    if subject is not None:
        content["subject"] = subject
    return {**content, "retention_until": retention_until.isoformat(), "facts": facts}


def make_line(content: Mapping[str, Any], previous: str, key: bytes | None) -> tuple[bytes, str]:
    """The line of an entry, with its line end, and its hash."""
    text = json.dumps({**content, "prev": previous}, separators=(",", ":"), allow_nan=False)[:-1]
    if key is not None:
        text += f',"sig":"{hmac.new(key, text.encode("ascii"), hashlib.sha256).hexdigest()}"'
    digest = hashlib.sha256(text.encode("ascii")).hexdigest()
    return f'{text},"hash":"{digest}"}}\n'.encode("ascii"), digest


def read_line(line: bytes) -> Entry:
    """The entry that a line, without its end, holds.

    Raises:
        DamagedEntry: Its hash is not that of what it says.
    """
    match = _LINE.fullmatch(line)
    if match is None:
        raise DamagedEntry("it does not have the form of an entry")
    hashed = match["content"] + (match["signed"] or b"")
    digest = match["digest"].decode()
    if hashlib.sha256(hashed).hexdigest() != digest:
        raise DamagedEntry("its hash is not that of what it says: it was changed after it was written")
    try:
        content = json.loads(match["content"] + b"}")
    except ValueError as error:
        raise DamagedEntry(f"it is no JSON: {error}") from None
    signature = (match["signature"] or b"").decode()
    return Entry(int(match["number"]), content, match["previous"].decode(), digest, signature)


def is_signed_with(line: bytes, key: bytes) -> bool:
    """Whether the line of an intact entry has the signature that this key makes."""
    match = _LINE.fullmatch(line)
    if match is None or match["signature"] is None:
        return False
    return hmac.compare_digest(hmac.new(key, match["content"], hashlib.sha256).hexdigest().encode(), match["signature"])


def _fact(name: str, value: object) -> str | int | float | bool:
    if not _NAME.fullmatch(name):
        raise GenOpsValidationError(f"a fact of the audit trail has a name like event_name, not {name[:40]!r}")
    if isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, str):
        return value[:LONGEST_TEXT]
    raise GenOpsValidationError(
        f"the fact {name} is a {type(value).__name__}; the audit trail takes texts, numbers, dates and truth values"
    )


def _moment(at: float) -> str:
    return datetime.fromtimestamp(at, timezone.utc).isoformat(timespec="microseconds")

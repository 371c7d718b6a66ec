"""RudderStack's gateway: ``POST /v1/batch``, with its acceptance rules.

Source: rudderlabs/rudder-server, ``gateway`` (``handle.go``, ``handle_http_auth.go``, ``response/response.go``,
``middleware/uncompress.go``) and, for the time of a message, ``processor/processor.go``.
"""

from __future__ import annotations

import base64
import uuid
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from genops_otel_posthog.receiver.content import BodyTooLarge, BodyUndecodable, decompress, parse_json
from genops_otel_posthog.receiver.exchange import Call, Reply, text_reply
from genops_otel_posthog.receiver.judgement import RequestRefused, parse_rfc3339
from genops_otel_posthog.receiver.store import Transaction, clean_text, iso, to_json

MAX_BODY_BYTES = 4000 * 1024
"""Largest body once decompressed (``Gateway.maxReqSizeInKB``)."""

MAX_READ_BYTES = 64 * 1024 * 1024
"""Largest body that is read at all, so that what is too large is judged in the gateway's order."""

COLUMNS = (
    "request", "at", "write_key", "type", "event", "user_id", "anonymous_id", "message_id", "timestamp", "sent_at",
    "message",
)  # fmt: skip

_WITHOUT_IDS = frozenset({"extract", "rETL"})
"""Types of messages that need name nobody."""


def batch(call: Call, transaction: Transaction) -> Reply:
    """``POST /v1/batch``: all messages or none."""
    try:
        write_key = _write_key(call)
        rows = _rows(call, write_key)
    except RequestRefused as refused:
        return text_reply(refused.message, refused.status, note=refused.message)
    transaction.add("rudder_messages", COLUMNS, rows)
    return text_reply("OK", 200)


def _write_key(call: Call) -> str:
    """The user name of Basic authentication. Every key is known here; outages rehearse the others."""
    scheme, _, credentials = call.headers.get("authorization", "").partition(" ")
    try:
        name, colon, _ = base64.b64decode(credentials.strip(), validate=True).decode().partition(":")
    except ValueError:
        name, colon = "", ""
    if scheme.lower() != "basic" or not name or not colon:
        raise RequestRefused(401, "no_write_key", "Failed to read writeKey from header")
    return name


def _rows(call: Call, write_key: str) -> list[tuple[object, ...]]:
    body = _plain_body(call)
    try:
        content = parse_json(body.decode())
    except (BodyUndecodable, UnicodeDecodeError):
        raise RequestRefused(400, "invalid_json", "Invalid JSON") from None
    messages = content.get("batch") if isinstance(content, dict) else None
    rows = [_row(call, write_key, message) for message in messages or ()]
    if len(body) > MAX_BODY_BYTES:
        raise RequestRefused(413, "too_large", "Request size exceeds max limit")
    if not rows:
        raise RequestRefused(400, "empty_batch", "Empty batch payload")
    return rows


def _plain_body(call: Call) -> bytes:
    encoding = call.headers.get("content-encoding", "").lower()
    try:
        # Any other encoding is not decoded, and what it encodes is not JSON then.
        return decompress(call.body, encoding if encoding == "gzip" else "", limit=MAX_READ_BYTES)
    except BodyTooLarge:
        raise RequestRefused(413, "too_large", "Request size exceeds max limit") from None
    except BodyUndecodable:
        raise RequestRefused(400, "undecodable", "Invalid JSON") from None


def _row(call: Call, write_key: str, message: Any) -> tuple[object, ...]:
    if not isinstance(message, dict):
        raise RequestRefused(400, "no_message", "Event is not a valid rudder event")
    user_id, anonymous_id, kind = _id(message.get("userId")), _id(message.get("anonymousId")), message.get("type")
    if not user_id and not anonymous_id and kind not in _WITHOUT_IDS:
        raise RequestRefused(400, "no_ids", "Request neither has anonymousId nor userId")
    given = message.get("messageId")
    message_id = (given.strip() if isinstance(given, str) else "") or str(uuid.uuid4())
    event = message.get("event")
    return (
        call.id, iso(call.at), clean_text(write_key), _text(kind), _text(event), user_id or None, anonymous_id or None,
        clean_text(message_id), iso(_time(message, call.at)), _text(message.get("sentAt")), to_json(message),
    )  # fmt: skip


def _time(message: Mapping[str, Any], received_at: datetime) -> datetime:
    """When it happened: ``timestamp``, or else the original one corrected by the sender's clock."""
    given, original, sent = (_moment(message.get(name)) for name in ("timestamp", "originalTimestamp", "sentAt"))
    if given is not None:
        return given
    return received_at if original is None or sent is None else received_at - (sent - original)


def _moment(value: object) -> datetime | None:
    return parse_rfc3339(value) if isinstance(value, str) else None


def _id(value: object) -> str:
    return "" if value is None else clean_text(str(value)).strip()


def _text(value: object) -> str | None:
    return clean_text(value) if isinstance(value, str) else None

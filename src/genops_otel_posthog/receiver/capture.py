"""The v0 ingestion endpoints: ``/batch/``, ``/e/``, ``/capture/``, ``/track/``, ``/engage/``, ``/i/v0/…``.

A request is judged as a unit: one bad event refuses all of it. Refusals are plain text, success is ``{"status":1}``
even when a billing limit made PostHog drop everything.

Sources: PostHog/posthog on GitHub, ``rust/capture/src/{api,utils,v0_request}.rs``.
"""

from __future__ import annotations

import base64
import binascii
from datetime import datetime, timedelta, timezone
from typing import Any
from urllib.parse import parse_qs

from genops_otel_posthog.acceptance import PERFORMANCE_EVENT, token_refusal
from genops_otel_posthog.receiver.content import GZIP_MAGIC, BodyTooLarge, BodyUndecodable, decompress, parse_json
from genops_otel_posthog.receiver.exchange import Call, Endpoint, Reply, json_reply, text_reply
from genops_otel_posthog.receiver.judgement import RequestRefused, judge_v0_event, parse_loose_timestamp
from genops_otel_posthog.receiver.keeping import Lane, drop_note, encode_events, keep_events, oversized
from genops_otel_posthog.receiver.quotas import drop_over_quota_v0
from genops_otel_posthog.receiver.store import Transaction


def capture_endpoint(*, limit: int, lane: Lane = "analytics") -> Endpoint:
    """An endpoint for one v0 path.

    Args:
        limit: most bytes of a body, as sent and once decompressed.
        lane: ``ai`` for the path that has room for prompts.
    """

    def capture(call: Call, transaction: Transaction) -> Reply:
        try:
            return _capture(call, transaction, limit, lane)
        except RequestRefused as refused:
            return text_reply(refused.message, refused.status, note=f"{refused.code}: {refused.message}")

    return capture


def _capture(call: Call, transaction: Transaction, limit: int, lane: Lane) -> Reply:
    payload = _decode(call, limit)
    batch = payload if isinstance(payload, dict) and "batch" in payload else None
    raw_events = _raw_events(payload, is_engage=call.path == "/engage")
    token = _token(batch, raw_events)
    skew = _clock_skew(call, batch)
    events = [
        judge_v0_event(raw, received_at=call.at, skew=skew) for raw in raw_events if raw["event"] != PERFORMANCE_EVENT
    ]
    if not events:
        raise RequestRefused(400, "empty_filtered_payload", "payload empty after filtering invalid event types")
    drop_over_quota_v0(events, call.over_quota)
    encoded = encode_events(events)
    for event, properties in zip(events, encoded, strict=True):
        size = oversized(event, properties, lane)
        if size is not None:
            raise RequestRefused(413, "oversize_event", f"maximum event size exceeded: {size} bytes")
    historical = batch is not None and batch.get("historical_migration") is True
    keep_events(transaction, call, events, encoded, token=token, lane=lane, protocol="v0", historical=historical)
    note = drop_note(events)
    if call.query.get("beacon") == "1":
        return Reply(204, note=note)
    return json_reply({"status": 1}, note=note)


def _decode(call: Call, limit: int) -> Any:
    if not call.body:
        raise RequestRefused(400, "empty_payload", "request missing data payload")
    encoding = (call.query.get("compression") or call.headers.get("content-encoding") or "").lower()
    try:
        if call.body.startswith(GZIP_MAGIC) or encoding in ("gzip", "gzip-js"):
            body = decompress(call.body, "gzip", limit=limit)
        else:
            body = decompress(call.body, "", limit=limit)
    except BodyTooLarge as problem:
        raise RequestRefused(413, "oversize_event", f"maximum event size exceeded: {problem}") from problem
    except BodyUndecodable as problem:
        raise _undecodable("invalid gzip data") from problem
    text = _text(body)
    if text.startswith(("data=", "compression=", "ip=", "_=")):
        text = parse_qs(text, keep_blank_values=True).get("data", [""])[0]
        if not text:
            raise _undecodable("invalid urlencoded form data")
    if encoding in ("base64", "b64") or (text[:1] not in "{[" and len(text) % 4 == 0 and text[:4].isalnum()):
        text = _from_base64(text)
    try:
        return parse_json(text)
    except BodyUndecodable as problem:
        raise RequestRefused(400, "req_parsing", f"failed to parse request: {problem}") from problem


def _text(body: bytes) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError as problem:
        raise _undecodable("invalid body encoding") from problem


def _from_base64(text: str) -> str:
    try:
        return _text(base64.b64decode(text.replace(" ", "+"), validate=True))
    except (binascii.Error, ValueError) as problem:
        raise _undecodable("attempting to decode base64") from problem


def _undecodable(problem: str) -> RequestRefused:
    return RequestRefused(400, "req_decoding", f"failed to decode request: {problem}")


def _raw_events(payload: Any, *, is_engage: bool) -> list[dict[str, Any]]:
    if isinstance(payload, list):
        raw_events = payload
    elif isinstance(payload, dict):
        raw_events = payload.get("batch", [payload])
    else:
        raise RequestRefused(400, "req_parsing", "failed to parse request: neither an event nor a list of events")
    if not isinstance(raw_events, list):
        raise RequestRefused(400, "req_parsing", "failed to parse request: `batch` is not an array")
    if not raw_events:
        raise RequestRefused(400, "empty_batch", "request holds no event")
    for raw in raw_events:
        if isinstance(raw, dict) and is_engage:
            raw.setdefault("event", "$identify")
        if not isinstance(raw, dict) or not isinstance(raw.get("event"), str):
            raise RequestRefused(400, "req_parsing", "failed to parse request: missing field `event`")
    return raw_events


def _token(batch: dict[str, Any] | None, raw_events: list[dict[str, Any]]) -> str:
    given = _given_token(batch) if batch is not None else None
    if given is None:
        tokens = {token for token in map(_event_token, raw_events) if token is not None}
        if len(tokens) > 1:
            raise RequestRefused(401, "multiple_tokens", "batch submitted with inconsistent api_key values")
        if not tokens:
            raise RequestRefused(401, "no_token", "event submitted without an api_key")
        given = tokens.pop()
    reason = token_refusal(given)
    if reason is not None:
        raise RequestRefused(401, "invalid_token", f"API key is not valid: {reason}")
    return given.strip()


def _given_token(holder: dict[str, Any]) -> str | None:
    for name in ("api_key", "token", "$token"):
        token = holder.get(name)
        if token is not None:
            if not isinstance(token, str):
                raise RequestRefused(400, "req_parsing", f"failed to parse request: `{name}` is not a string")
            return token
    return None


def _event_token(raw: dict[str, Any]) -> str | None:
    token = _given_token(raw)
    if token is None and isinstance(raw.get("properties"), dict) and isinstance(raw["properties"].get("token"), str):
        return str(raw["properties"]["token"])
    return token


def _clock_skew(call: Call, batch: dict[str, Any] | None) -> timedelta:
    """How far the sender's clock is ahead of ours, from ``sent_at`` or the ``_`` parameter of posthog-js."""
    sent_at = None
    if batch is not None and isinstance(batch.get("sent_at"), str):
        sent_at = parse_loose_timestamp(batch["sent_at"])
    elif call.query.get("_", "").isdigit():
        try:
            sent_at = datetime.fromtimestamp(int(call.query["_"]) / 1000, timezone.utc)
        except (OverflowError, ValueError, OSError):
            sent_at = None
        if sent_at is not None and sent_at.year <= 2020:  # seconds, from an old library: not used
            sent_at = None
    return timedelta(0) if sent_at is None else sent_at - call.at

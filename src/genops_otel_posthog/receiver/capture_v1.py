"""The v1 ingestion endpoints: ``/i/v1/analytics/events`` and ``/i/v1/ai/events``.

Headers carry the key and the identity of the request; the answer has one result for each event, and only those marked
``retry`` are to be sent again. Nothing is repaired: what v0 would cut, v1 drops.

Sources: PostHog/posthog on GitHub, ``rust/capture/src/v1`` (``context.rs``, ``constants.rs``, ``error.rs``,
``analytics/process.rs``, ``analytics/response.rs``).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Any

from genops_otel_posthog.acceptance import MAX_V1_DECOMPRESSED_BYTES, token_refusal
from genops_otel_posthog.receiver.content import (
    BodyTooLarge,
    BodyUndecodable,
    EncodingUnsupported,
    decompress,
    parse_json,
)
from genops_otel_posthog.receiver.exchange import Call, Endpoint, Reply, json_reply
from genops_otel_posthog.receiver.faults import FaultRule
from genops_otel_posthog.receiver.judgement import (
    JudgedEvent,
    RequestRefused,
    canonical_uuid,
    check_v1_event_shape,
    judge_v1_event,
    parse_rfc3339,
)
from genops_otel_posthog.receiver.keeping import Lane, drop_note, encode_events, keep_events, oversized
from genops_otel_posthog.receiver.quotas import drop_over_quota_v1
from genops_otel_posthog.receiver.store import Transaction

REQUIRED_HEADERS = (
    "PostHog-Sdk-Info",
    "PostHog-Attempt",
    "PostHog-Request-Id",
    "PostHog-Request-Timestamp",
    "Content-Type",
    "User-Agent",
)
_MAX_SDK_INFO = 200


def capture_v1_endpoint(*, lane: Lane = "analytics") -> Endpoint:
    """An endpoint for one v1 path; the ``ai`` lane takes ``$ai_*`` events only."""

    def capture_v1(call: Call, transaction: Transaction) -> Reply:
        try:
            return _capture(call, transaction, lane)
        except RequestRefused as refused:
            return _refusal(refused)

    return capture_v1


def _capture(call: Call, transaction: Transaction, lane: Lane) -> Reply:
    token, client_clock = _read_headers(call.headers)
    payload = _read_payload(call)
    raw_events = payload["batch"]
    seen: set[str] = set()
    for raw in raw_events:
        uuid = check_v1_event_shape(raw)
        if uuid in seen:
            raise RequestRefused(400, "duplicate_event_uuid", f"duplicate event uuid: {uuid}")
        seen.add(uuid)
    skew = client_clock - call.at
    events = [judge_v1_event(raw, received_at=call.at, skew=skew) for raw in raw_events]
    for event in events:
        if lane == "ai" and event.drop is None and not event.event.startswith("$ai_"):
            event.drop, event.drop_is_answered = "misrouted_event", True
    if any(event.drop is None or not event.drop_is_answered for event in events):
        drop_over_quota_v1(events, call.over_quota)
    library = _library(call.headers["posthog-sdk-info"])
    for event in events:
        event.properties = event.properties | library
    encoded = encode_events(events)
    for event, properties in zip(events, encoded, strict=True):
        if event.drop is None and oversized(event, properties, lane) is not None:
            event.drop, event.drop_is_answered = "ai_event_too_big" if lane == "ai" else "event_too_big", True
    results = {event.uuid: _result(event, call.event_faults) for event in events}
    kept = [index for index, event in enumerate(events) if results[event.uuid]["result"] != "retry"]
    keep_events(
        transaction, call, [events[index] for index in kept], [encoded[index] for index in kept], token=token,
        lane=lane, protocol="v1", historical=payload.get("historical_migration") is True,
    )  # fmt: skip
    headers = {} if len(kept) == len(events) else {"Retry-After": "1"}
    return json_reply({"results": results}, headers=headers, note=drop_note(events))


def _read_headers(headers: Mapping[str, str]) -> tuple[str, datetime]:
    """The project key and the sender's clock, once every header has passed."""
    authorization = headers.get("authorization")
    if authorization is None:
        raise RequestRefused(401, "missing_authorization", "request is missing the Authorization header")
    missing = [name for name in REQUIRED_HEADERS if name.lower() not in headers]
    if missing:
        raise RequestRefused(
            400, "missing_required_headers", f"request is missing required headers: {', '.join(missing)}"
        )
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise _invalid_header("Authorization must use Bearer scheme")
    if token_refusal(token) is not None:
        raise RequestRefused(401, "invalid_api_token", "The provided API token is not valid.")
    content_type = headers["content-type"]
    if content_type.partition(";")[0].strip().lower() != "application/json":
        raise RequestRefused(415, "unsupported_content_type", f"unsupported content type: {content_type}")
    if canonical_uuid(headers["posthog-request-id"]) is None:
        raise _invalid_header("PostHog-Request-Id is not a valid UUID")
    attempt = headers["posthog-attempt"]
    if not re.fullmatch(r"[1-9][0-9]{0,8}", attempt):
        raise _invalid_header("PostHog-Attempt must be a positive integer")
    client_clock = parse_rfc3339(headers["posthog-request-timestamp"])
    if client_clock is None:
        raise _invalid_header("PostHog-Request-Timestamp is not valid RFC 3339")
    return token.strip(), client_clock


def _read_payload(call: Call) -> dict[str, Any]:
    if not call.body:
        raise RequestRefused(400, "empty_body", "request body is empty")
    encoding = call.headers.get("content-encoding", "").lower()
    try:
        body = decompress(call.body, encoding, limit=MAX_V1_DECOMPRESSED_BYTES)
        payload = parse_json(body.decode())
    except BodyTooLarge as problem:
        raise RequestRefused(413, "payload_too_large", f"payload too large: {problem}") from problem
    except EncodingUnsupported as problem:
        raise RequestRefused(415, "unsupported_encoding", f"unsupported content encoding: {encoding}") from problem
    except (BodyUndecodable, UnicodeDecodeError) as problem:
        code = "request_decoding_error" if encoding else "request_parsing_error"
        raise RequestRefused(400, code, "Failed to read the request body.") from problem
    if not isinstance(payload, dict) or not isinstance(payload.get("batch"), list):
        raise RequestRefused(400, "request_parsing_error", "Failed to parse request body: no array `batch`.")
    created_at = payload.get("created_at")
    if not isinstance(created_at, str) or not isinstance(payload.get("historical_migration", False), bool):
        raise RequestRefused(400, "request_parsing_error", "Failed to parse request body: no string `created_at`.")
    if not payload["batch"]:
        raise RequestRefused(400, "empty_batch", "request batch is empty")
    if parse_rfc3339(created_at) is None:
        raise RequestRefused(400, "invalid_batch", f"invalid batch: created_at is not valid RFC 3339: {created_at}")
    return payload


def _invalid_header(problem: str) -> RequestRefused:
    return RequestRefused(400, "invalid_header_value", f"invalid header value: {problem}")


def _refusal(refused: RequestRefused) -> Reply:
    content = {
        "error": refused.code,
        "error_description": refused.message,
        "error_uri": "https://posthog.com/docs/api",
    }
    return json_reply(content, refused.status, note=f"{refused.code}: {refused.message}")


def _library(sdk_info: str) -> dict[str, str]:
    """``$lib`` and ``$lib_version``, which v1 takes from a header rather than from each event."""
    name, _, version = sdk_info.rpartition("/")
    if len(sdk_info) > _MAX_SDK_INFO or not name.strip() or not version.strip():
        return {}
    return {"$lib": name.strip(), "$lib_version": version.strip()}


def _result(event: JudgedEvent, faults: tuple[FaultRule, ...]) -> dict[str, str]:
    """The answer for one event. What ingestion drops later is answered ``ok``."""
    if event.drop is not None and event.drop_is_answered:
        return {"result": "drop", "details": event.drop}
    for rule in faults:
        if rule.result is not None and fnmatchcase(event.event, rule.event):
            details = rule.details or {"retry": "not_persisted", "drop": "rejected"}.get(rule.result)
            if rule.result == "drop":
                event.drop, event.drop_is_answered = details or "rejected", True
            return {"result": rule.result, **({"details": details} if details else {})}
    return {"result": "ok", **({"details": event.detail} if event.detail else {})}

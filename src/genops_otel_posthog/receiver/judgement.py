"""One event under PostHog's eyes: refused with its whole request, dropped, or kept with what was changed in it.

:mod:`genops_otel_posthog.acceptance` has the rules for single values; here they meet the shape of an event, its uuid,
its clock and the options of the two protocols.

Sources: PostHog/posthog on GitHub, ``rust/common/types/src/{event,timestamp}.rs``,
``rust/capture/src/events/analytics.rs`` and ``rust/capture/src/v1/analytics/{types,process}.rs``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any
from uuid import UUID, uuid4

from genops_otel_posthog.acceptance import (
    FUTURE_LIMIT,
    MAX_EVENT_NAME,
    PERSON_EVENTS,
    person_processing_allowed,
    v0_distinct_id,
    v1_boolean_option,
    v1_drop,
    without_nul,
)


class RequestRefused(Exception):
    """PostHog refuses the whole request.

    Attributes:
        status: the HTTP status of the answer, 400…415.
        code: PostHog's own name of the reason.
        message: PostHog's own sentence, or close to it.
    """

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message


@dataclass(slots=True)
class JudgedEvent:
    """One event as PostHog would keep it.

    Attributes:
        timestamp: aware, UTC, corrected by the sender's clock skew: the one PostHog bills by.
        sent_timestamp: the timestamp as the sender wrote it.
        wants_person: whether person processing is on, before a person that exists already is considered.
        drop: why the event is dropped, or ``None`` when it is kept.
        drop_is_answered: whether the sender learns of the drop. v1 answers for each event; what is dropped in
            ingestion, after the answer, is never told.
        detail: the v1 ``details`` of an event that is kept.
        changes: what was changed in the event, each by PostHog's name or close to it.
    """

    event: str
    distinct_id: str
    uuid: str
    timestamp: datetime
    properties: dict[str, Any]
    sent_timestamp: str | None = None
    person_set: dict[str, Any] | None = None
    person_set_once: dict[str, Any] | None = None
    wants_person: bool = True
    drop: str | None = None
    drop_is_answered: bool = False
    detail: str | None = None
    changes: list[str] = field(default_factory=list)


def judge_v0_event(raw: object, *, received_at: datetime, skew: timedelta) -> JudgedEvent:
    """One event of a v0 request.

    Args:
        raw: the event as decoded from JSON.
        received_at: when the request arrived, aware.
        skew: the sender's clock minus ours, from ``sent_at``; zero when the request does not say.

    Raises:
        RequestRefused: PostHog answers 400 to the whole request because of this event.
    """
    event = _v0_object("an event", raw)
    name = event.get("event")
    if not isinstance(name, str):
        raise _v0_parsing("missing field `event`" if name is None else "`event` is not a string")
    properties = _v0_object("`properties`", event["properties"]) if "properties" in event else {}
    person_set = _v0_optional_object(event, "$set")
    person_set_once = _v0_optional_object(event, "$set_once")
    timestamp, offset = event.get("timestamp"), event.get("offset")
    if timestamp is not None and not isinstance(timestamp, str):
        raise _v0_parsing("`timestamp` is not a string")
    if offset is not None and (not isinstance(offset, int) or isinstance(offset, bool)):
        raise _v0_parsing("`offset` is not an integer")
    uuid = _v0_uuid(event.get("uuid"))
    if not name:
        raise RequestRefused(400, "no_event_name", "event submitted with an empty event name")
    changes: list[str] = []
    distinct_id, id_changes = v0_distinct_id(_v0_given_distinct_id(event, properties))
    if distinct_id is None:
        raise RequestRefused(400, "no_distinct_id", "event submitted without a distinct_id")
    changes.extend(id_changes)
    if not isinstance(properties.get("$cookieless_mode", False), bool):
        raise RequestRefused(400, "invalid_cookieless", "event submitted with invalid cookieless mode")
    if len(name) > MAX_EVENT_NAME:
        name = name[:MAX_EVENT_NAME]
        changes.append("event_name_truncated")
    profile = properties.get("$process_person_profile")
    if profile is not None and not isinstance(profile, bool):
        changes.append("invalid_process_person_profile")
    if properties.get("$ignore_sent_at") is True:
        skew = timedelta(0)
    judged = JudgedEvent(
        event=without_nul(name),
        distinct_id=distinct_id,
        uuid=uuid,
        timestamp=_v0_timestamp(timestamp, offset, received_at, skew, changes),
        properties=properties,
        sent_timestamp=timestamp,
        person_set=person_set,
        person_set_once=person_set_once,
        wants_person=profile is not False,
        changes=changes,
    )
    judged.drop = _dropped_in_ingestion(judged)
    return judged


def judge_v1_event(raw: Mapping[str, Any], *, received_at: datetime, skew: timedelta) -> JudgedEvent:
    """One event of a v1 batch; its verdict is in ``drop`` and ``detail``.

    Args:
        raw: the event, which :func:`check_v1_event_shape` has passed.
        received_at: when the request arrived, aware.
        skew: the sender's clock minus ours, from the request timestamp header.
    """
    distinct_id: str = raw["distinct_id"].strip()
    properties = raw.get("properties", {})
    timestamp = parse_rfc3339(raw["timestamp"])
    options = _v1_options(raw.get("options"))
    judged = JudgedEvent(
        event=raw["event"],
        distinct_id=distinct_id,
        uuid=canonical_uuid(raw["uuid"].strip()) or "",
        timestamp=received_at if timestamp is None else timestamp,
        properties=properties if isinstance(properties, dict) else {},
        sent_timestamp=raw["timestamp"],
    )
    judged.drop = v1_drop(judged.event, distinct_id)
    if judged.drop is None and timestamp is None:
        judged.drop = "invalid_event_timestamp"
    if judged.drop is None and not isinstance(properties, dict):
        judged.drop = "malformed_event_properties"
    if judged.drop is None and options is None:
        judged.drop = "invalid_options"
    if judged.drop is not None or options is None:
        judged.drop_is_answered = True
        return judged
    if not options.get("disable_skew_correction"):
        judged.timestamp -= skew
        if judged.timestamp - received_at > FUTURE_LIMIT:
            judged.timestamp = received_at
            judged.changes.append("future_timestamp_clamp")
    judged.wants_person = options.get("process_person_profile") is not False
    judged.properties = _v1_properties(raw, judged.properties, options)
    judged.drop = _dropped_in_ingestion(judged)
    if not person_processing_allowed(distinct_id):
        judged.wants_person = False
        judged.detail = "person_processing_disabled"
        judged.changes.append("person_processing_disabled")
    return judged


def check_v1_event_shape(raw: object) -> str:
    """Refuse the whole v1 request when an event cannot be read at all; return its uuid in canonical form.

    Raises:
        RequestRefused: 400 with ``request_parsing_error``, ``missing_event_uuid`` or ``invalid_event_uuid``.
    """
    if not isinstance(raw, dict):
        raise _v1_parsing("an event is not an object")
    for name in ("event", "uuid", "distinct_id", "timestamp"):
        if not isinstance(raw.get(name), str):
            raise _v1_parsing(f"an event has no string `{name}`")
    for name in ("session_id", "window_id"):
        if raw.get(name) is not None and not isinstance(raw[name], str):
            raise _v1_parsing(f"`{name}` of an event is not a string")
    uuid = raw["uuid"].strip()
    if not uuid:
        raise RequestRefused(400, "missing_event_uuid", "event submitted without a uuid")
    canonical = canonical_uuid(uuid)
    if canonical is None:
        raise RequestRefused(400, "invalid_event_uuid", "event submitted with an invalid uuid")
    return canonical


_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


def canonical_uuid(text: str) -> str | None:
    """The UUID in lower case with hyphens, or ``None`` when ``text`` is not one."""
    if _UUID.fullmatch(text):
        return text
    try:
        return str(UUID(text))
    except ValueError:
        return None


_RFC3339 = re.compile(r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:\.(\d+))?(?:[Zz]|([+-]\d\d:\d\d))")


def parse_rfc3339(text: str) -> datetime | None:
    """An RFC 3339 timestamp in UTC, or ``None``. Digits beyond microseconds are cut off."""
    if len(text) == 32 and text[10] == "T" and text.endswith("+00:00"):  # what the SDK writes, and so nearly all
        try:
            return datetime.fromisoformat(text)
        except ValueError:
            return None
    match = _RFC3339.fullmatch(text)
    if match is None:
        return None
    day, clock, fraction, offset = match.groups()
    micros = f"{fraction[:6]:0<6}" if fraction else "000000"
    try:
        return datetime.fromisoformat(f"{day}T{clock}.{micros}{offset or '+00:00'}").astimezone(timezone.utc)
    except (ValueError, OverflowError):
        return None


def parse_loose_timestamp(text: str) -> datetime | None:
    """An ISO 8601 timestamp as v0 reads it, in UTC when it names no zone; ``None`` when it is not one."""
    parsed = parse_rfc3339(text)
    if parsed is not None:
        return parsed
    try:
        moment = datetime.fromisoformat(text.strip())
        return moment.replace(tzinfo=timezone.utc) if moment.tzinfo is None else moment.astimezone(timezone.utc)
    except (ValueError, OverflowError):
        return None


def _dropped_in_ingestion(event: JudgedEvent) -> str | None:
    """Why an accepted event is dropped later, without a word to its sender."""
    if not event.wants_person and event.event in PERSON_EVENTS:
        return "invalid_event_when_process_person_profile_is_false"
    if event.event == "$groupidentify":
        group_set = event.properties.get("$group_set")
        if group_set is not None and not isinstance(group_set, dict):
            return "invalid_group_set"
    return None


def _v0_parsing(problem: str) -> RequestRefused:
    return RequestRefused(400, "req_parsing", f"failed to parse request: {problem}")


def _v1_parsing(problem: str) -> RequestRefused:
    return RequestRefused(400, "request_parsing_error", f"Failed to parse request body: {problem}.")


def _v0_object(name: str, value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _v0_parsing(f"{name} is not an object")
    return value


def _v0_optional_object(event: Mapping[str, Any], name: str) -> dict[str, Any] | None:
    value = event.get(name)
    return None if value is None else _v0_object(f"`{name}`", value)


def _v0_uuid(given: object) -> str:
    """The event's own uuid, or a new one when it brings none."""
    if given is None or given == "":
        return str(uuid4())
    canonical = canonical_uuid(given) if isinstance(given, str) else None
    if canonical is None:
        raise _v0_parsing("`uuid` is not a UUID")
    return canonical


def _v0_given_distinct_id(event: Mapping[str, Any], properties: Mapping[str, Any]) -> object:
    value = event.get("distinct_id")
    if value is None:
        value = event.get("$distinct_id")
    return properties.get("distinct_id") if value is None else value


def _v0_timestamp(
    text: str | None, offset: int | None, received_at: datetime, skew: timedelta, changes: list[str]
) -> datetime:
    parsed = parse_loose_timestamp(text) if text is not None else None
    try:
        if offset is not None:
            return received_at - timedelta(milliseconds=offset)
        corrected = None if parsed is None else parsed - skew
    except OverflowError:
        corrected = None
    if corrected is None:
        if text is not None:
            changes.append("timestamp_unreadable")
        return received_at
    if corrected - received_at > FUTURE_LIMIT:
        changes.append("future_timestamp_clamp")
        return received_at
    return corrected


def _v1_options(raw: object) -> dict[str, Any] | None:
    """The known options, coerced; ``None`` when one of them cannot be read."""
    if raw is None:
        return {}
    if not isinstance(raw, dict):
        return None
    options: dict[str, Any] = {}
    for name in ("cookieless_mode", "disable_skew_correction", "process_person_profile"):
        if raw.get(name) is not None:
            options[name] = v1_boolean_option(raw[name])
            if options[name] is None:
                return None
    tour = raw.get("product_tour_id")
    if tour is not None:
        if isinstance(tour, bool) or not isinstance(tour, (str, int)):
            return None
        options["product_tour_id"] = str(tour)
    return options


def _v1_properties(raw: Mapping[str, Any], properties: dict[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """The properties with what v1 sends beside them put back, so that both protocols leave the same event."""
    beside = {
        "$session_id": raw.get("session_id"),
        "$window_id": raw.get("window_id"),
        "$cookieless_mode": options.get("cookieless_mode"),
        "$process_person_profile": options.get("process_person_profile"),
        "$product_tour_id": options.get("product_tour_id"),
    }
    return properties | {name: value for name, value in beside.items() if value is not None}

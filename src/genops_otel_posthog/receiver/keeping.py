"""Judged events into the store, with the person mode that decides what PostHog bills for them.

Sources: ``person_mode`` and ``force_upgrade`` in PostHog/posthog on GitHub, ``nodejs/src/ingestion`` (the personless
step) and ``posthog/tasks/usage_report.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from genops_otel_posthog.acceptance import PERSON_CREATION_MARGIN, max_event_bytes
from genops_otel_posthog.receiver.exchange import Call
from genops_otel_posthog.receiver.judgement import JudgedEvent
from genops_otel_posthog.receiver.store import Transaction, clean_text, iso, to_json

COLUMNS = (
    "request", "at", "token", "lane", "protocol", "event", "distinct_id", "uuid", "timestamp", "sent_timestamp",
    "outcome", "reason", "person_mode", "grouped", "changes", "historical", "properties", "person_set",
    "person_set_once",
)  # fmt: skip

Lane = Literal["analytics", "ai"]
Protocol = Literal["v0", "v1"]


def encode_events(events: Sequence[JudgedEvent]) -> list[str]:
    """The properties of each event as JSON text, encoded once for measuring and for keeping."""
    return [to_json(event.properties) for event in events]


def oversized(event: JudgedEvent, properties_json: str, lane: Lane) -> int | None:
    """The size of the event in bytes when it is more than PostHog takes, else ``None``.

    The envelope around properties and person properties is some 200 bytes and is not counted.
    """
    limit = max_event_bytes(event.event, ai_lane=lane == "ai")
    if len(properties_json) * 4 <= limit and not event.person_set and not event.person_set_once:
        return None
    extra = sum(len(to_json(part).encode()) for part in (event.person_set, event.person_set_once) if part)
    size = len(properties_json.encode()) + extra
    return size if size > limit else None


def keep_events(
    transaction: Transaction,
    call: Call,
    events: Sequence[JudgedEvent],
    encoded: Sequence[str],
    *,
    token: str,
    lane: Lane,
    protocol: Protocol,
    historical: bool,
) -> None:
    """Write events, kept and dropped, and create the persons of those that are identified."""
    at = iso(call.at)
    persons: dict[str, str] = {}
    rows: list[tuple[object, ...]] = []
    for event, properties in zip(events, encoded, strict=True):
        timestamp = iso(event.timestamp)
        distinct_id = clean_text(event.distinct_id)
        if event.drop is not None:
            mode = "full" if event.wants_person else "propertyless"
        elif event.wants_person:
            mode = "full"
            persons.setdefault(distinct_id, timestamp)
        else:
            created = None
            if event.detail != "person_processing_disabled":  # PostHog turned it off itself: never upgraded
                created = transaction.person_created_at(token, distinct_id) or persons.get(distinct_id)
            mode = _mode_beside_person(event.timestamp, created)
        rows.append(
            (
                call.id, at, token, lane, protocol, clean_text(event.event), distinct_id, event.uuid, timestamp,
                clean_text(event.sent_timestamp) if event.sent_timestamp else None,
                "accepted" if event.drop is None else "dropped", event.drop, mode, _is_grouped(event),
                to_json(event.changes) if event.changes else None, historical, properties,
                None if event.person_set is None else to_json(event.person_set),
                None if event.person_set_once is None else to_json(event.person_set_once),
            )
        )  # fmt: skip
    transaction.add("events", COLUMNS, rows)
    transaction.add_persons((token, distinct_id, created) for distinct_id, created in persons.items())


def drop_note(events: Sequence[JudgedEvent]) -> str | None:
    """For the request log: how many events were dropped, by reason."""
    reasons: dict[str, int] = {}
    for event in events:
        if event.drop is not None:
            reasons[event.drop] = reasons.get(event.drop, 0) + 1
    return "; ".join(f"{count} dropped: {reason}" for reason, count in reasons.items()) or None


def _mode_beside_person(timestamp: datetime, person_created_at: str | None) -> str:
    """An anonymous event of somebody PostHog knows by then is identified all the same."""
    if person_created_at is None:
        return "propertyless"
    known_since = datetime.fromisoformat(person_created_at) + PERSON_CREATION_MARGIN
    return "force_upgrade" if timestamp > known_since else "propertyless"


def _is_grouped(event: JudgedEvent) -> bool:
    groups = event.properties.get("$groups")
    return bool(isinstance(groups, dict) and any(value not in (None, "") for value in groups.values()))

"""What the receiver tells its clients: one frozen record for each kind of row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, TypeVar

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class ReceivedEvent:
    """One event as PostHog would keep it.

    Attributes:
        timestamp: corrected by the sender's clock skew, ISO 8601, UTC.
        sent_timestamp: as the sender wrote it.
        outcome: ``accepted`` or ``dropped``; ``reason`` says why.
        person_mode: ``full``, ``propertyless`` or ``force_upgrade``.
        identified: whether PostHog bills it as an identified event.
        changes: what PostHog changed in it.
        set: person properties sent beside the event's own.
    """

    id: int
    request: int
    at: str
    token: str
    lane: str
    protocol: str
    event: str
    distinct_id: str
    uuid: str
    timestamp: str
    sent_timestamp: str | None
    outcome: str
    reason: str | None
    person_mode: str
    identified: bool
    grouped: bool
    historical: bool
    changes: list[str] | None
    properties: dict[str, Any]
    set: dict[str, Any] | None
    set_once: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class ReceivedRequest:
    """One HTTP request.

    Attributes:
        status: of the answer; 0 when none was given.
        bytes: size of the body as sent.
        note: why it was refused, or what was dropped.
        fault: id of the fault rule that shaped the answer.
    """

    id: int
    at: str
    method: str
    path: str
    query: str
    status: int
    bytes: int
    encoding: str
    user_agent: str
    duration_us: int
    note: str | None
    fault: int | None


@dataclass(frozen=True, slots=True)
class ReceivedFlagRequest:
    """One request to the flag endpoints.

    Attributes:
        kind: ``flags``, ``definitions`` or ``remote_config``.
        units: what PostHog bills for it.
        answer: the value of each flag, for ``flags``.
    """

    id: int
    request: int
    at: str
    token: str
    kind: str
    distinct_id: str | None
    status: int
    units: int
    answer: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class ReceivedSpan:
    """One span. Times are nanoseconds since 1970; ids are lower-case hexadecimal."""

    id: int
    request: int
    trace_id: str
    span_id: str
    parent_span_id: str | None
    name: str
    kind: str
    start_ns: int
    end_ns: int
    status: str
    status_message: str | None
    service: str
    scope: str
    scope_version: str | None
    trace_state: str | None
    attributes: dict[str, Any]
    resource: dict[str, Any]
    events: list[dict[str, Any]]
    links: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class SpanNode:
    """A span in its tree. ``parent_missing``: it names a parent that was never received."""

    span: ReceivedSpan
    children: list[SpanNode]
    parent_missing: bool


@dataclass(frozen=True, slots=True)
class Trace:
    """All spans of a trace: roots with their children, siblings by start."""

    trace_id: str
    spans: int
    roots: list[SpanNode]


@dataclass(frozen=True, slots=True)
class MetricSeries:
    """One metric with one set of attributes, as last received.

    Attributes:
        value: of a gauge or a sum; the sum of a histogram.
        data: count, buckets or quantiles of a histogram or summary.
        history: ``[time_ns, value]`` of each point, oldest first; empty unless asked for.
    """

    id: int
    request: int
    name: str
    type: str
    unit: str
    description: str
    service: str
    scope: str
    attributes: dict[str, Any]
    resource: dict[str, Any]
    temporality: str | None
    monotonic: bool | None
    start_ns: int
    time_ns: int
    value: float | None
    data: dict[str, Any] | None
    history: list[tuple[int, float | None]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class ReceivedMessage:
    """One message as RudderStack would keep it.

    Attributes:
        type: ``track``, ``identify``, ``group``, ``alias``, ``page`` or ``screen``.
        timestamp: when it happened, as RudderStack computes it, ISO 8601, UTC.
        sent_at: as the message itself says.
        message: all of it.
    """

    id: int
    request: int
    at: str
    write_key: str
    type: str | None
    event: str | None
    user_id: str | None
    anonymous_id: str | None
    message_id: str
    timestamp: str
    sent_at: str | None
    message: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Bill:
    """What PostHog would bill.

    Attributes:
        meters: units by meter; a meter without units is absent.
        events: by event name, how many were ``counted`` and how many of them as ``identified``.
        duplicates: accepted copies that are not billed.
        flag_requests: by kind and status (``definitions 304``), number of ``requests`` and their ``units``.
    """

    meters: dict[str, int]
    events: dict[str, dict[str, int]]
    duplicates: int
    flag_requests: dict[str, dict[str, int]]


def record_from_json(kind: type[R], content: Mapping[str, Any]) -> R:
    """A record from its JSON object; what the record does not know is left out."""
    known = {spec.name for spec in fields(kind)}  # type: ignore[arg-type]  # R stands for the dataclasses above
    return kind(**{name: value for name, value in content.items() if name in known})


def bill_from_json(content: Mapping[str, Any]) -> Bill:
    """A bill from its JSON object."""
    return record_from_json(Bill, content)


def trace_from_json(content: Mapping[str, Any]) -> Trace:
    """A trace from its JSON object."""
    return Trace(content["trace_id"], content["spans"], [_node(root) for root in content["roots"]])


def _node(content: Mapping[str, Any]) -> SpanNode:
    children = [_node(child) for child in content["children"]]
    return SpanNode(record_from_json(ReceivedSpan, content), children, content["parent_missing"])

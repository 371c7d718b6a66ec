"""The tables of the database destination, as data: their columns, what each is read from, which events they hold.

``event_logs`` holds every event, ``agent_trace_history`` what agents and flows did, ``model_cost_logs`` what calls of
models cost. All three have the event's uuid as their key and its trace id, so that one trace is found in all of them,
in PostHog and in the trace backend.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from decimal import Decimal, InvalidOperation
from typing import Any, Final, Literal
from uuid import UUID

from genops_otel_posthog import semconv
from genops_otel_posthog.export.destinations.rudderstack_mapping import message_id_of

Kind = Literal["id", "text", "word", "json", "integer", "milliseconds", "usd", "time"]
"""What a column holds. ``word`` is a text of at most 64 characters, ``usd`` is exact to nine digits."""

STATUSES: Final = ("success", "error", "pending")
MODEL_COSTS_GATE: Final = "track_model_costs"
"""The feature flag that can keep what models cost out of the database."""

_LARGEST: Final = 2**63 - 1
_MOST_USD: Final = Decimal(10) ** 9
_NANO: Final = Decimal("1e-9")
_FRACTION: Final = re.compile(r"\.(\d+)")


class Row:
    """One event, as the columns read it.

    Attributes:
        event: Its name.
        distinct_id: Whose it is.
        properties: Its properties.
        id: Its uuid.
        time: When it happened, aware UTC.
        is_person: Whether the distinct id is that of a known person.
    """

    def __init__(self, body: Mapping[str, Any], written_at: datetime) -> None:
        properties = body.get("properties")
        self.event = str(body["event"])
        self.distinct_id = None if body.get("distinct_id") is None else str(body["distinct_id"])
        self.properties: Mapping[str, Any] = properties if isinstance(properties, dict) else {}
        self.id = _uuid(message_id_of(body))
        self.time = _time(body.get("timestamp")) or written_at
        self.is_person = self.properties.get("$process_person_profile") is not False

    def first(self, *names: str) -> Any:
        """The first of these properties that is given."""
        return next((value for name in names if (value := self.properties.get(name)) is not None), None)


Read = Callable[[Row], Any]


@dataclass(frozen=True)
class Column:
    """One column.

    Attributes:
        name: In the database.
        kind: What it holds.
        read: Reads it off an event; ``None`` for what is not known.
        meaning: For people.
        required: Whether it is never null. An event without it is not in the table.
    """

    name: str
    kind: Kind
    read: Read
    meaning: str
    required: bool = False


@dataclass(frozen=True)
class EventTable:
    """One table.

    Attributes:
        name: In the database.
        events: Names of the events that are in it; ``None`` for every event.
        columns: The first is the key.
        indexes: Columns by which people search.
        gate: A feature flag that has to be on for it.
    """

    name: str
    events: frozenset[str] | None
    columns: tuple[Column, ...]
    indexes: tuple[str, ...]
    gate: str | None = None

    def values(self, row: Row) -> dict[str, Any] | None:
        """The event as a row of this table; ``None`` when it has no place in it."""
        if self.events is not None and row.event not in self.events:
            return None
        values = {column.name: column.read(row) for column in self.columns}
        if any(column.required and values[column.name] is None for column in self.columns):
            return None
        return values


# --- what is read off an event ----------------------------------------------------------------------------------------


def _text(*names: str) -> Read:
    return lambda row: _as_text(row.first(*names))


def _json(*names: str) -> Read:
    return lambda row: row.first(*names)


def _count(*names: str) -> Read:
    return lambda row: _as_count(row.first(*names))


def _user(row: Row) -> str | None:
    """Who did it: the user that the event names, else its person. Nobody where PostHog keeps no person either."""
    return _as_text(row.first(semconv.PROPERTY_USER_ID)) or (row.distinct_id if row.is_person else None)


def _status(row: Row) -> str:
    """What became of it: what the event says itself, else whether it tells of an error."""
    said = row.first("status")
    if said in STATUSES:
        return str(said)
    failed = row.first("success") is False or row.first("$ai_is_error") is True or row.event in _ERRORS
    return "error" if failed else "success"


def _latency(row: Row) -> float | None:
    """Milliseconds. PostHog's own property has seconds."""
    given = _as_number(row.first("latency_ms", "time_ms", "execution_time"))
    if given is not None:
        return given
    seconds = _as_number(row.first("$ai_latency"))
    return None if seconds is None else seconds * 1000


def _error(row: Row) -> str | None:
    said = row.first("error", "error_message", "$ai_error")
    if said is not None:
        return _as_text(said)
    return "failed" if _status(row) == "error" else None


def _cost(row: Row) -> Decimal | None:
    """US dollars. Unknown is null and never 0, which would be a price."""
    total = _as_usd(row.first("genops_model_cost_usd", "$ai_total_cost_usd"))
    if total is not None:
        return total
    parts = [_as_usd(row.first(name)) for name in ("$ai_input_cost_usd", "$ai_output_cost_usd")]
    known = [part for part in parts if part is not None]
    return sum(known, Decimal(0)) if known else None


def _rate(row: Row) -> Decimal | None:
    """US dollars for a thousand tokens, in and out together: what the call cost by what it used."""
    cost = _cost(row)
    tokens = sum(_as_count(row.first(name)) or 0 for name in ("$ai_input_tokens", "$ai_output_tokens"))
    return (cost * 1000 / tokens).quantize(_NANO) if cost is not None and tokens else None


def _context(row: Row) -> dict[str, Any]:
    """All that the event says, so that the event can be made of the row again."""
    return {"distinct_id": row.distinct_id, **row.properties}


def _as_text(value: Any) -> str | None:
    if value is None or value == "":
        return None
    if isinstance(value, (dict, list)):
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return str(value)


def _as_number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _as_count(value: Any) -> int | None:
    number = _as_number(value)
    return int(number) if number is not None and 0 <= number <= _LARGEST and number == int(number) else None


def _as_usd(value: Any) -> Decimal | None:
    """An amount exact to the nano-USD; ``None`` for what is none."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        amount = Decimal(str(value))
    except InvalidOperation:
        return None
    return amount.quantize(_NANO) if amount.is_finite() and 0 <= amount < _MOST_USD else None


def _uuid(text: str) -> str:
    try:
        return str(UUID(text))
    except ValueError:
        return message_id_of({"event": text})


def _time(text: Any) -> datetime | None:
    if not isinstance(text, str):
        return None
    text = text[:-1] + "+00:00" if text.endswith(("Z", "z")) else text
    try:
        # Python 3.10 reads three or six digits and no other number of them.
        moment = datetime.fromisoformat(_FRACTION.sub(lambda found: f".{found[1][:6]:0<6}", text, count=1))
        return (moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)).astimezone(timezone.utc)
    except (ValueError, OverflowError):
        return None


# --- the tables -------------------------------------------------------------------------------------------------------

_ERRORS = frozenset({"agent_error", "$exception"})
_TRACE_ID = _text(semconv.PROPERTY_TRACE_ID, semconv.PROPERTY_DOLLAR_TRACE_ID, "$ai_trace_id")

_ID_COLUMN = Column("id", "id", lambda row: row.id, "the event's uuid: the same in PostHog and RudderStack", True)
_USER_COLUMN = Column("user_id", "text", _user, "who did it; null where it is not known")
_AGENT_COLUMN = Column("agent_id", "text", _text("agent_id", "$ai_agent_id", "$ai_agent_name"), "the agent")
_TIME_COLUMN = Column("timestamp", "time", lambda row: row.time, "when it happened", True)

EVENT_TABLES: Final = (
    EventTable(
        "event_logs",
        None,
        (
            _ID_COLUMN,
            _USER_COLUMN,
            Column("workspace_id", "text", _text(semconv.PROPERTY_WORKSPACE_ID), "the workspace"),
            Column("event_type", "text", lambda row: row.event, "the event's name", True),
            Column("context", "json", _context, "the event's properties and its distinct id", True),
            Column("status", "word", _status, "success, error or pending", True),
            Column("latency_ms", "milliseconds", _latency, "how long it took, milliseconds"),
            Column("trace_id", "text", _TRACE_ID, "the trace, 32 hexadecimal digits"),
            _TIME_COLUMN,
        ),
        ("trace_id", "timestamp", "event_type"),
    ),
    EventTable(
        "agent_trace_history",
        frozenset({"agent_execution", "agent_error", "flow_executed", "$ai_trace"}),
        (
            _ID_COLUMN,
            _AGENT_COLUMN,
            Column("flow_id", "text", _text("flow_id"), "the flow"),
            Column("trace_id", "text", _TRACE_ID, "the trace, 32 hexadecimal digits", True),
            Column("input_context", "json", _json("$ai_input_state", "query"), "what it was asked"),
            Column("execution_nodes", "json", _json("tools_used"), "the tools that ran in it"),
            Column("output_summary", "text", _text("$ai_output_state"), "what it answered"),
            Column("error", "text", _error, "what went wrong"),
            _TIME_COLUMN,
        ),
        ("trace_id", "timestamp"),
    ),
    EventTable(
        "model_cost_logs",
        frozenset({"$ai_generation", "$ai_embedding"}),
        (
            _ID_COLUMN,
            _USER_COLUMN,
            _AGENT_COLUMN,
            Column("model_name", "text", _text("$ai_model"), "the model"),
            Column("input_tokens", "integer", _count("$ai_input_tokens"), "tokens that it read"),
            Column("output_tokens", "integer", _count("$ai_output_tokens"), "tokens that it wrote"),
            Column("rate_per_1k", "usd", _rate, "USD for a thousand tokens of this call"),
            Column("cost_usd", "usd", _cost, "USD; null where the price is not known"),
            Column("trace_id", "text", _TRACE_ID, "the trace, 32 hexadecimal digits"),
            _TIME_COLUMN,
        ),
        ("trace_id", "timestamp"),
        gate=MODEL_COSTS_GATE,
    ),
)

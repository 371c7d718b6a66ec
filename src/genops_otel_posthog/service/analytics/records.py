"""What is kept of users: what they do, their sessions, their states of mind, their habits.

A record is plain: texts, numbers, moments, and JSON where it says so. Stores keep it field by field.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any, ClassVar, Final, TypeVar
from uuid import uuid4

from genops_otel_posthog.adapter.moments import moment_utc
from genops_otel_posthog.errors import GenOpsValidationError
from genops_otel_posthog.export.rules.plain import Plain
from genops_otel_posthog.export.text import text

MAX_METADATA_BYTES: Final = 256_000
"""Most bytes of the metadata of one record."""


def _new_id() -> str:
    return str(uuid4())


class Record:
    """What is kept, one kind in one collection.

    Attributes:
        COLLECTION: The name of the collection, or of the table.
        KEY: The field by which a record is known.
        MOMENT: The field by which records are put in order and grow old.
        user_id: Whom it is about.
    """

    COLLECTION: ClassVar[str]
    KEY: ClassVar[str]
    MOMENT: ClassVar[str]

    user_id: str | None


@dataclass(frozen=True)
class UserInteraction(Record):
    """Something a user did.

    Attributes:
        interaction_type: ``click``, ``hover``, ``scroll``, ``keypress``, ``navigation``, ``mode_switch`` or
            ``component_interaction``.
        timestamp: When, aware UTC.
        user_id: Who.
        session_id: In which session.
        component: On which component.
        page: On which page.
        coordinates: ``{"x": …, "y": …}``.
        duration: Milliseconds.
        metadata: Anything else, JSON.
        id: Of the record.
    """

    COLLECTION: ClassVar[str] = "user_interactions"
    KEY: ClassVar[str] = "id"
    MOMENT: ClassVar[str] = "timestamp"

    interaction_type: str
    timestamp: datetime
    user_id: str | None = None
    session_id: str | None = None
    component: str | None = None
    page: str | None = None
    coordinates: Mapping[str, Any] | None = None
    duration: float | None = None
    metadata: Mapping[str, Any] | None = None
    id: str = field(default_factory=_new_id)


@dataclass(frozen=True)
class SessionAnalytics(Record):
    """A session of a user, as far as it is known.

    Attributes:
        session_id: The session.
        updated_at: When something was last told of it, aware UTC.
        user_id: Whose it is.
        start_time: When it began, aware UTC.
        end_time: When it ended, aware UTC.
        duration: Milliseconds.
        total_interactions: How many there were.
        mode_transitions: How often the mode changed.
        most_used_mode: The mode that it was mostly in.
        productivity_score: As the application measures it; 0 is a score.
        cognitive_patterns: Names of patterns that were seen in it.
    """

    COLLECTION: ClassVar[str] = "session_analytics"
    KEY: ClassVar[str] = "session_id"
    MOMENT: ClassVar[str] = "updated_at"

    session_id: str
    updated_at: datetime
    user_id: str | None = None
    start_time: datetime | None = None
    end_time: datetime | None = None
    duration: float | None = None
    total_interactions: int | None = None
    mode_transitions: int | None = None
    most_used_mode: str | None = None
    productivity_score: float | None = None
    cognitive_patterns: tuple[str, ...] = ()


@dataclass(frozen=True)
class CognitiveState(Record):
    """How a user works from a moment on.

    Attributes:
        cognitive_mode: ``executive``, ``technical``, ``creative`` or ``adaptive``.
        timestamp: From when on, aware UTC.
        user_id: Who.
        session_id: In which session.
        confidence: How sure that is, 0 to 1.
        context: What was going on.
        triggers: What brought it about.
        metadata: Anything else, JSON.
        id: Of the record.
    """

    COLLECTION: ClassVar[str] = "cognitive_states"
    KEY: ClassVar[str] = "id"
    MOMENT: ClassVar[str] = "timestamp"

    cognitive_mode: str
    timestamp: datetime
    user_id: str | None = None
    session_id: str | None = None
    confidence: float | None = None
    context: str | None = None
    triggers: tuple[str, ...] = ()
    metadata: Mapping[str, Any] | None = None
    id: str = field(default_factory=_new_id)


@dataclass(frozen=True)
class BehaviorPattern(Record):
    """A habit that shows in what a user did.

    Attributes:
        pattern_id: The same for the same habit of the same user.
        pattern_name: For people.
        user_id: Whose.
        frequency: How often it showed.
        last_observed: When it was last looked for and found, aware UTC.
        confidence: How sure that is, 0 to 1.
        associated_modes: The modes that were switched to.
        triggers: What brought it about.
    """

    COLLECTION: ClassVar[str] = "behavior_patterns"
    KEY: ClassVar[str] = "pattern_id"
    MOMENT: ClassVar[str] = "last_observed"

    pattern_id: str
    pattern_name: str
    user_id: str
    frequency: int
    last_observed: datetime
    confidence: float
    associated_modes: tuple[str, ...] = ()
    triggers: tuple[str, ...] = ()


R = TypeVar("R", bound=Record)
RECORDS: Final[tuple[type[Record], ...]] = (UserInteraction, SessionAnalytics, CognitiveState, BehaviorPattern)


def names_of(kind: type[Record]) -> tuple[str, ...]:
    """The fields of a kind of record."""
    kind_of_dataclass: Any = kind
    return tuple(each.name for each in fields(kind_of_dataclass))


def values_of(record: Record) -> dict[str, Any]:
    """A record, field by field."""
    return {name: getattr(record, name) for name in names_of(type(record))}


def record_from(kind: type[R], values: Mapping[str, Any]) -> R:
    """A record as a store had it; fields that a store knows and this version does not are left out."""
    known = names_of(kind)
    given: dict[str, Any] = {name: value for name, value in values.items() if name in known and value is not None}
    # Stores keep lists, and null where nothing was told.
    return kind(**{name: tuple(value) if isinstance(value, list) else value for name, value in given.items()})


def told_values(told: Mapping[str, Any]) -> dict[str, Any]:
    """What an application tells, as records hold it.

    Raises:
        GenOpsValidationError: A value is of another kind. It is not repeated.
    """
    return {name: _READERS[name](name, value) for name, value in told.items()}


def _text(name: str, value: Any) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str) or not value.strip():
        raise GenOpsValidationError(f"{name} is a text that is not blank, not {type(value).__name__}")
    return text(value)


def _texts(name: str, value: Any) -> tuple[str, ...]:
    if isinstance(value, (str, bytes, Mapping)):
        raise GenOpsValidationError(f"{name} is a list of texts, not {type(value).__name__}")
    try:
        return tuple(text(each) for each in value)
    except TypeError:
        raise GenOpsValidationError(f"{name} is a list of texts, not {type(value).__name__}") from None


def _number(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise GenOpsValidationError(f"{name} is a finite number, not {value!r:.40}")
    return value


def _amount(name: str, value: Any) -> float:
    if _number(name, value) < 0:
        raise GenOpsValidationError(f"{name} is 0 or more, not {value!r:.40}")
    return _number(name, value)


def _count(name: str, value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**63:
        raise GenOpsValidationError(f"{name} is a whole number, 0 or more, not {value!r:.40}")
    return value


def _share(name: str, value: Any) -> float:
    if not 0 <= _number(name, value) <= 1:
        raise GenOpsValidationError(f"{name} lies between 0 and 1, not at {value!r:.40}")
    return float(value)


def _json(name: str, value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise GenOpsValidationError(f"{name} is a dictionary, not {type(value).__name__}")
    plain: dict[str, Any] = Plain(MAX_METADATA_BYTES).value(value)
    return plain


def _point(name: str, value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping) or set(value) != {"x", "y"}:
        raise GenOpsValidationError(f'{name} are {{"x": …, "y": …}}')
    return {axis: _number(f"{name}.{axis}", value[axis]) for axis in ("x", "y")}


def _moment(name: str, value: Any) -> datetime:
    try:
        return moment_utc(value)
    except GenOpsValidationError as problem:
        raise GenOpsValidationError(f"{name}: {problem}") from None


_READERS: Final = {
    **dict.fromkeys(("interaction_type", "user_id", "session_id", "component", "page", "cognitive_mode"), _text),
    **dict.fromkeys(("most_used_mode", "context"), _text),
    **dict.fromkeys(("timestamp", "start_time", "end_time"), _moment),
    **dict.fromkeys(("total_interactions", "mode_transitions"), _count),
    **dict.fromkeys(("triggers", "cognitive_patterns"), _texts),
    "coordinates": _point,
    "duration": _amount,
    "productivity_score": _number,
    "confidence": _share,
    "metadata": _json,
}

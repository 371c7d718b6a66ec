"""What a rule is: which spans it is about, and which events it makes of them. Values only; the engine reads them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from string import Formatter
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar

from genops_otel_posthog.errors import GenOpsValidationError

if TYPE_CHECKING:
    from genops_otel_posthog.export.rules.view import SpanView

KINDS: Final = ("internal", "server", "client", "producer", "consumer")
STATUSES: Final = ("unset", "ok", "error")
IMPORTANCES: Final = ("critical", "normal", "low")
TIMES: Final = ("start", "end")
MAX_NAME_LENGTH: Final = 200
"""Longest name of an event in characters: PostHog cuts there."""

_EMPTY: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True)
class Present:
    """A condition: the attribute is there, whatever its value."""


@dataclass(frozen=True)
class OneOf:
    """A condition: the attribute has one of these values."""

    values: tuple[Any, ...]


@dataclass(frozen=True)
class Prefix:
    """A condition: the attribute is a text that begins so."""

    text: str


Condition: TypeAlias = "Present | OneOf | Prefix | str | int | float | bool"

PRESENT: Final = Present()


def one_of(*values: str | int | float | bool) -> OneOf:
    """The condition that an attribute has one of these values."""
    return OneOf(values)


def prefix(text: str) -> Prefix:
    """The condition that an attribute begins with this text."""
    return Prefix(text)


@dataclass(frozen=True)
class EventTemplate:
    """An event that a rule makes of a span.

    A *source* is the name of a span attribute, of a resource attribute after ``resource.``, or one of ``span.name``,
    ``span.kind``, ``span.status``, ``span.duration_ms``, ``span.error``, ``span.start``, ``span.end``, ``scope.name``
    and ``scope.version``.

    Attributes:
        name: The event's name; ``{source}`` in it is replaced by the value. A span without that value makes no event.
        distinct_id: Sources of the distinct id, asked in this order, before those that every event has
            (``posthog.distinct_id``, ``genops.user.id``, ``user.id``, ``enduser.id``). Where none answers, the event
            has no person and is billed as anonymous.
        person_profile: ``False`` for events that never have a person.
        groups: PostHog groups: type → source of the key.
        properties: Property → source of its value.
        constants: Property → its value.
        copy: Beginnings of attribute names; the attributes become properties of the same names.
        sample_rate: Part of the traces that is kept, 0 to 1: all events of a trace or none. What is kept says so in
            ``genops_sample_rate``.
        importance: ``critical``, ``normal`` or ``low``: what an outbox that is full drops last and first.
        timestamp: Which of the span's times the event has, ``end`` or ``start``.

    Raises:
        GenOpsValidationError: A value cannot be used; the message names it.
    """

    name: str
    distinct_id: Sequence[str] = ()
    person_profile: bool = True
    groups: Mapping[str, str] = field(default_factory=lambda: _EMPTY)
    properties: Mapping[str, str] = field(default_factory=lambda: _EMPTY)
    constants: Mapping[str, Any] = field(default_factory=lambda: _EMPTY)
    copy: Sequence[str] = ()
    sample_rate: float = 1.0
    importance: str = "normal"
    timestamp: str = "end"

    def __post_init__(self) -> None:
        _named("name", self.name, "an event")
        try:
            sources = [source for _, source, _, _ in Formatter().parse(self.name) if source is not None]
        except ValueError as error:
            raise GenOpsValidationError(
                f"name: {self.name!r} is not a template ({error}); write {{attribute}} for a value, {{{{ for a brace"
            ) from error
        if "" in sources:
            raise GenOpsValidationError(f"name: {self.name!r} has braces without the name of an attribute in them")
        rate: object = self.sample_rate
        if isinstance(rate, bool) or not isinstance(rate, (int, float)) or not 0 <= rate <= 1:
            raise GenOpsValidationError(f"sample_rate: {rate!r} is not a number from 0 to 1")
        _one_among("importance", self.importance, IMPORTANCES)
        _one_among("timestamp", self.timestamp, TIMES)
        for name in ("distinct_id", "copy"):
            object.__setattr__(self, name, _texts(name, getattr(self, name)))
        for name in ("groups", "properties"):
            _text_mapping(name, getattr(self, name))


@dataclass
class EventDraft:
    """An event that a rule's own Python code makes; the engine adds ids, owner, person and session.

    Attributes:
        name: The event's name.
        properties: Its properties, the important ones first: an event that is too large loses the last ones.
        distinct_id: The distinct id, where the code knows it.
        distinct_id_sources: As :attr:`EventTemplate.distinct_id`.
        person_profile: As :attr:`EventTemplate.person_profile`.
        groups: PostHog groups: type → key.
        time: Nanoseconds since 1970-01-01 UTC; the span's end where it is not given.
        sample_rate: As :attr:`EventTemplate.sample_rate`.
        importance: As :attr:`EventTemplate.importance`.
        key: Tells several events of one rule and one span apart; part of the uuid.
        null_properties: Properties that are null where nobody knows them.
        model_cost: What the model call cost in US dollars, where that is known.
    """

    name: str
    properties: Mapping[str, Any] = field(default_factory=lambda: _EMPTY)
    distinct_id: object = None
    distinct_id_sources: Sequence[str] = ()
    person_profile: bool = True
    groups: Mapping[str, str] = field(default_factory=lambda: _EMPTY)
    time: int | None = None
    sample_rate: float = 1.0
    importance: str = "normal"
    key: str = ""
    null_properties: Sequence[str] = ()
    model_cost: Any = None


@dataclass(frozen=True)
class Skip:
    """What a rule's own Python code returns to say why a span that it is about makes no event."""

    why: str


Convert: TypeAlias = "Callable[[SpanView], Iterable[EventDraft] | Skip | None]"


F = TypeVar("F", bound=Callable[..., Any])


def about(*steps: str) -> Callable[[F], F]:
    """Notes on the code of a rule which steps of AI applications it is about: on a span that was found to be another
    one (:attr:`~.view.SpanView.step`) it need not be asked."""

    def note(convert: F) -> F:
        convert.steps = frozenset(steps)  # type: ignore[attr-defined]  # functions may have any attribute
        return convert

    return note


@dataclass(frozen=True)
class SpanRule:
    """Which spans become which events.

    A span has to meet every condition that is given. Every rule that it meets makes its events, in the order of the
    rules, until one with ``drop`` or ``final``. A rule with the id of an earlier one is passed over, so a rule of your
    own replaces the built-in one of that id.

    Attributes:
        id: Names the rule, in reports and in the uuids of its events: an event that is made again by a rule of the same
            id is the same event.
        scope: Name of the instrumentation scope, ``*`` and ``?`` as in file names.
        span_name: Name of the span, the same.
        kind: ``internal``, ``server``, ``client``, ``producer`` or ``consumer``; one or several.
        status: ``unset``, ``ok`` or ``error``; one or several.
        attributes: Attribute → its value, or :data:`PRESENT`, :func:`one_of`, :func:`prefix`.
        any_attribute: At least one of these attributes is there.
        span_event: A span event of this name was recorded on it; one or several names.
        events: The events that are made.
        convert: A function that makes the events instead, from a :class:`~.view.SpanView`. It returns drafts, or a
            :class:`Skip`, or ``None`` when it is not about that span.
        drop: The span makes no event, here or by a later rule.
        final: Rules after this one are not asked.
        enabled: ``False`` turns the rule off, and with it a built-in one of the same id.
        gate: A feature flag that has to be on for it.

    Raises:
        GenOpsValidationError: A value cannot be used; the message names it.

    Example:
        >>> rule = SpanRule(
        ...     "checkout",
        ...     span_name="POST /checkout",
        ...     status=("unset", "ok"),
        ...     events=[EventTemplate("checkout_completed", properties={"amount": "cart.total"})],
        ... )
    """

    id: str
    scope: str | None = None
    span_name: str | None = None
    kind: str | Sequence[str] = ()
    status: str | Sequence[str] = ()
    attributes: Mapping[str, Condition] = field(default_factory=lambda: _EMPTY)
    any_attribute: Sequence[str] = ()
    span_event: str | Sequence[str] = ()
    events: Sequence[EventTemplate] = ()
    convert: Convert | None = None
    drop: bool = False
    final: bool = False
    enabled: bool = True
    gate: str | None = None

    def __post_init__(self) -> None:
        _named("id", self.id, "a rule")
        for name, known in (("kind", KINDS), ("status", STATUSES)):
            given = getattr(self, name)
            values = (given,) if isinstance(given, str) else tuple(given)
            for value in values:
                _one_among(name, value, known)
            object.__setattr__(self, name, values)
        for name in ("any_attribute", "span_event"):
            object.__setattr__(self, name, _texts(name, getattr(self, name)))
        object.__setattr__(self, "events", tuple(self.events))
        makes = bool(self.events) + (self.convert is not None) + self.drop
        if self.enabled and makes != 1:
            problem = "says more than one thing about what it makes" if makes else "makes nothing"
            raise GenOpsValidationError(f"rule {self.id!r} {problem}; give either events, or convert, or drop")
        for name, condition in self.attributes.items():
            if not isinstance(condition, (Present, OneOf, Prefix, str, int, float, bool)):
                raise GenOpsValidationError(
                    f"attributes: {name} = {condition!r} is not a condition; "
                    "give a text, a number, true or false, PRESENT, one_of(…) or prefix(…)"
                )


def nearest(word: str, known: Iterable[str]) -> str:
    """``; did you mean 'x'?``, or nothing."""
    close = get_close_matches(str(word), list(known), n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else ""


def _one_among(name: str, value: object, known: Sequence[str]) -> None:
    if value not in known:
        raise GenOpsValidationError(f"{name}: {value!r} is not one of {', '.join(known)}{nearest(str(value), known)}")


def _named(name: str, value: object, what: str) -> None:
    if not isinstance(value, str) or not value.strip():
        raise GenOpsValidationError(f"{name}: {value!r} is not a name for {what}; give a text")


def _texts(name: str, values: Sequence[object]) -> tuple[str, ...]:
    given = (values,) if isinstance(values, str) else tuple(values)
    for value in given:
        if not isinstance(value, str) or not value:
            raise GenOpsValidationError(f"{name}: {value!r} is not a text")
    return tuple(map(str, given))


def _text_mapping(name: str, values: Mapping[Any, Any]) -> None:
    for key, value in values.items():
        if not isinstance(key, str) or not isinstance(value, str) or not value:
            raise GenOpsValidationError(
                f"{name}: {key} = {value!r} does not name an attribute; for a fixed value use constants"
            )

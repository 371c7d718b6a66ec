"""From a span to its events, or to the reasons why there are none. Never raises, whatever the span."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from enum import Enum
from string import Formatter
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import urlsplit

from genops_otel_posthog import semconv
from genops_otel_posthog.attribution import NOBODY, Attribution
from genops_otel_posthog.export.correlation import (
    DISTINCT_ID_SOURCES,
    SESSION_SOURCES,
    Correlation,
    anonymous_id,
    event_uuid,
    posthog_session_id,
    usable_distinct_id,
)
from genops_otel_posthog.export.event import Event
from genops_otel_posthog.export.privacy import Privacy
from genops_otel_posthog.export.rules.matching import Candidate, Index
from genops_otel_posthog.export.rules.plain import MAX_EVENT_BYTES, Plain
from genops_otel_posthog.export.rules.rule import MAX_NAME_LENGTH, EventDraft, EventTemplate, Skip, SpanRule
from genops_otel_posthog.export.rules.view import InvalidSpan, SpanView, iso_time, value_of
from genops_otel_posthog.export.text import text

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

    from genops_otel_posthog.processor import PostHogContext

OWN_SCOPE: Final = "genops_otel_posthog"
"""The scope of the spans around PostHog calls. They never become events unless a rule names it."""

#: Where deliveries go; spans of requests to them never become events unless a rule asks for one of
#: :data:`ADDRESS_ATTRIBUTES`.
DELIVERY_HOSTS: Final = ("posthog.com", "rudderstack.com", "rudderlabs.com")
ADDRESS_ATTRIBUTES: Final = ("server.address", "net.peer.name", "http.host", "url.full", "http.url")

Gate = Callable[[str, "SpanView", Attribution], bool]
Estimate = Callable[[str, Mapping[str, Any]], "float | None"]


class Reason(str, Enum):
    """Why a span, or an event of it, was left out. The values are fit for a metric."""

    FILTERED = "filtered"
    """Nobody asked for it: no rule, a rule that drops, a list of names, a flag that is off."""
    SAMPLED = "sampled"
    """The trace is not among the part that is kept."""
    TOO_LARGE = "too_large"
    """Not even its ids fit into an event."""
    UNSERIALISABLE = "unserialisable"
    """Its values cannot be made JSON."""
    REDACTION_FAILED = "redaction_failed"
    """The redaction hook raised, or returned what is not an event."""
    INVALID = "invalid"
    """The span lacks what an event is made of, or the code of a rule failed on it."""


# What went wrong counts before what was meant.
_GRAVITY: Final = {
    Reason.INVALID: 0,
    Reason.REDACTION_FAILED: 1,
    Reason.UNSERIALISABLE: 2,
    Reason.TOO_LARGE: 3,
    Reason.SAMPLED: 4,
    Reason.FILTERED: 5,
}


class LeftOut(NamedTuple):
    """Something that did not become an event.

    Attributes:
        rule: Id of the rule, ``None`` when it is about the span as a whole.
        reason: Why, for counting.
        detail: Why, for people. Never a value of an attribute.
        event: Name of the event that was not made, where it was known.
    """

    rule: str | None
    reason: Reason
    detail: str
    event: str | None = None


class Made(NamedTuple):
    """An event with the rule that made it, and what the model call behind it cost in US dollars, where known."""

    event: Event
    rule: str
    model_cost: Any = None


class Conversion(NamedTuple):
    """What became of a span: at least one event or one reason.

    Attributes:
        made: The events with their rules.
        left_out: What was not made, and why.
        owner: Whose span it is, where there are events.
    """

    made: tuple[Made, ...]
    left_out: tuple[LeftOut, ...]
    owner: Attribution = NOBODY

    @property
    def events(self) -> tuple[Event, ...]:
        """The events."""
        return tuple([made.event for made in self.made])

    @property
    def reason(self) -> Reason | None:
        """Why there is no event, ``None`` when there is one; the gravest reason of several."""
        if self.made:
            return None
        return min((left.reason for left in self.left_out), key=_GRAVITY.__getitem__)

    @property
    def model_cost(self) -> Any:
        """What the model calls behind the events cost together in US dollars, ``None`` when that is not known."""
        costs = [made.model_cost for made in self.made if made.model_cost is not None]
        return sum(costs[1:], costs[0]) if costs else None


_NO_RULE: Final = Conversion((), (LeftOut(None, Reason.FILTERED, "no rule is about such a span"),))


class Rules:
    """Turns spans into events. Safe to use from any thread and after a fork.

    Args:
        rules: In their order; of several with one id the first counts.
        privacy: What may leave.
        owner: The owner where neither span nor resource names one.
        trace_url: Template of the link to a trace, with ``{trace_id}`` and ``{span_id}``.
        delivery_hosts: Hosts that deliveries go to, besides the usual ones; subdomains included.
        gate: Answers whether a feature flag is on, for rules that have one; every flag is on when not given.
        estimate: Answers what PostHog will charge for an event in US dollars, for ``genops_cost_estimated``.
        max_event_bytes: Most bytes of an event's properties.
    """

    def __init__(
        self,
        rules: Iterable[SpanRule],
        *,
        privacy: Privacy | None = None,
        owner: Attribution = NOBODY,
        trace_url: str | None = None,
        delivery_hosts: Iterable[str] = (),
        gate: Gate | None = None,
        estimate: Estimate | None = None,
        max_event_bytes: int = MAX_EVENT_BYTES,
    ) -> None:
        first: dict[str, SpanRule] = {}
        for rule in rules:
            first.setdefault(rule.id, rule)
        self.rules: tuple[SpanRule, ...] = tuple(rule for rule in first.values() if rule.enabled)
        self.privacy = privacy or Privacy()
        self._index = Index(self.rules)
        self._correlation = Correlation(owner, trace_url)
        self._hosts = tuple(dict.fromkeys((*DELIVERY_HOSTS, *(host.lower() for host in delivery_hosts))))
        self._gate = gate
        self._estimate = estimate
        self._max_event_bytes = max_event_bytes

    def events_for(self, span: ReadableSpan, remembered: PostHogContext | None = None) -> Conversion:
        """The events of a finished span.

        Args:
            span: As span processors and exporters get it.
            remembered: What PostHog's context said when the span started, for spans that name nobody.

        Returns:
            Events and reasons. Whatever the span is, nothing is raised.
        """
        try:
            found = self._index.candidates(span)
            if not found:
                return _NO_RULE
            return self._convert(SpanView(span), found, remembered)
        except InvalidSpan as error:
            return Conversion((), (LeftOut(None, Reason.INVALID, str(error)),))
        except Exception as error:  # what is not a span at all must not end the application's own work
            return Conversion((), (LeftOut(None, Reason.INVALID, f"the span cannot be read: {_said(error)}"),))

    def _convert(self, span: SpanView, found: list[Candidate], remembered: PostHogContext | None) -> Conversion:
        met = [candidate for candidate in found if candidate.meets(span)]
        withheld = self._withheld(span) if met else None
        if withheld is not None:
            met = [candidate for candidate in met if _names(candidate, withheld)]
        if not met:
            if withheld is not None:
                return Conversion((), (LeftOut(None, Reason.FILTERED, withheld),))
            return _NO_RULE
        span.require_ids_and_times()
        maker = _Maker(self, span, remembered)
        for candidate in met:
            rule = candidate.rule
            if rule.drop:
                maker.leave_out(rule, Reason.FILTERED, "the rule drops it")
                break
            maker.apply(rule)
            if rule.final:
                break
        return maker.conversion()

    def _withheld(self, span: SpanView) -> str | None:
        """Why the span takes part only by a rule that names it, ``None`` for the application's own spans."""
        if span.scope == OWN_SCOPE:
            return _OWN
        for name in ADDRESS_ATTRIBUTES:
            value = span.attributes.get(name)
            if value and isinstance(value, str):
                host = _host_of(value)
                delivery = any(host == own or host.endswith("." + own) for own in self._hosts)
                return _DELIVERY if delivery and span.kind == "client" else None
        return None


_OWN: Final = "it is about a PostHog call; a rule has to name its scope"
_DELIVERY: Final = "it is a request to where events are delivered; a rule has to ask for its address"


def _names(candidate: Candidate, withheld: str) -> bool:
    if withheld is _OWN:
        return candidate.names_own_spans
    return not set(ADDRESS_ATTRIBUTES).isdisjoint(candidate.rule.attributes)


def _host_of(value: str) -> str:
    if "//" not in value:
        return value.rpartition(":")[0].lower() or value.lower() if value.count(":") == 1 else value.lower()
    try:
        return (urlsplit(value).hostname or "").lower()
    except ValueError:
        return ""


class _Maker:
    """Makes the events of one span; what they have in common is read once."""

    def __init__(self, rules: Rules, span: SpanView, remembered: PostHogContext | None) -> None:
        self._rules = rules
        self._span = span
        self._remembered = remembered
        self._owner = rules._correlation.owner(span)
        self._common = rules._correlation.properties(span, self._owner)
        if remembered is not None and "$session_id" not in self._common:
            session = posthog_session_id(remembered.session_id)
            if session is not None:
                self._common["$session_id"] = session
        self._made: list[Made] = []
        self._left_out: list[LeftOut] = []

    def conversion(self) -> Conversion:
        if not self._made and not self._left_out:
            return _NO_RULE
        return Conversion(tuple(self._made), tuple(self._left_out), self._owner)

    def leave_out(self, rule: SpanRule, reason: Reason, detail: str, event: str | None = None) -> None:
        self._left_out.append(LeftOut(rule.id, reason, detail, event))

    def apply(self, rule: SpanRule) -> None:
        if rule.gate is not None and self._rules._gate is not None and not self._gate_is_on(rule):
            return
        try:
            drafts = self._drafts(rule)
        except Exception as error:  # the code of a rule must not end the application's own work
            self.leave_out(rule, Reason.INVALID, f"the rule failed on it: {_said(error)}")
            return
        for draft in drafts:
            try:
                self._make(rule, draft)
            except InvalidSpan as error:
                self.leave_out(rule, Reason.INVALID, str(error), draft.name)
            except Exception as error:  # as above
                self.leave_out(rule, Reason.UNSERIALISABLE, _said(error), text(draft.name))

    def _gate_is_on(self, rule: SpanRule) -> bool:
        assert rule.gate is not None
        assert self._rules._gate is not None
        try:
            on = self._rules._gate(rule.gate, self._span, self._owner)
        except Exception as error:  # flags are somebody else's code
            self.leave_out(rule, Reason.FILTERED, f"the flag {rule.gate} cannot be read: {_said(error)}")
            return False
        if not on:
            self.leave_out(rule, Reason.FILTERED, f"the flag {rule.gate} is off")
        return on

    def _drafts(self, rule: SpanRule) -> Iterable[EventDraft]:
        if rule.convert is not None:
            answer = rule.convert(self._span)
            if answer is None:
                return ()
            if isinstance(answer, Skip):
                self.leave_out(rule, Reason.FILTERED, answer.why)
                return ()
            drafts = list(answer)
            if not drafts:
                self.leave_out(rule, Reason.FILTERED, "the rule makes no event of it")
            return drafts
        return [
            draft
            for number, template in enumerate(rule.events)
            if (draft := self._from_template(rule, template, str(number) if number else "")) is not None
        ]

    def _from_template(self, rule: SpanRule, template: EventTemplate, key: str) -> EventDraft | None:
        span = self._span
        name = template.name
        if "{" in name or "}" in name:
            filled = _filled(name, span)
            if isinstance(filled, Skip):
                self.leave_out(rule, Reason.FILTERED, filled.why, name)
                return None
            name = filled
        properties: dict[str, Any] = dict(template.constants)
        for target, source in template.properties.items():
            value = value_of(span, source)
            if value is not None:
                properties[target] = value
        if template.copy:
            begins = tuple(template.copy)
            for attribute, value in span.attributes.items():
                if attribute.startswith(begins) and attribute not in properties:
                    properties[attribute] = value
        groups: dict[str, str] = {}
        for kind, source in template.groups.items():
            value = value_of(span, source)
            if value is not None and value != "":
                groups[kind] = text(value)
        return EventDraft(
            name,
            properties,
            distinct_id_sources=template.distinct_id,
            person_profile=template.person_profile,
            groups=groups,
            time=span.start if template.timestamp == "start" else span.end,
            sample_rate=template.sample_rate,
            importance=template.importance,
            key=key,
        )

    def _make(self, rule: SpanRule, draft: EventDraft) -> None:
        span, rules = self._span, self._rules
        name = text(draft.name)[:MAX_NAME_LENGTH]
        if not name:
            self.leave_out(rule, Reason.INVALID, "the event has no name")
            return
        if not rules.privacy.admits(name):
            self.leave_out(rule, Reason.FILTERED, "the lists of events do not let it pass", name)
            return
        rate = draft.sample_rate
        if rate < 1 and not _sampled(span.trace_number, rate):
            self.leave_out(rule, Reason.SAMPLED, f"of such traces the part {rate:g} is kept", name)
            return
        properties = self._common.copy()
        distinct_id = self._distinct_id(draft)
        if distinct_id is None:
            session = span.first(*SESSION_SOURCES)
            if session is None and self._remembered is not None:
                session = self._remembered.session_id
            distinct_id = anonymous_id(span.trace_id, text(session) if session is not None else None)
            properties["$process_person_profile"] = False
        elif not draft.person_profile:
            properties["$process_person_profile"] = False
        if rate < 1:
            properties[semconv.PROPERTY_GENOPS_SAMPLE_RATE] = rate
        time = span.end if draft.time is None else draft.time
        properties[semconv.PROPERTY_GENOPS_TIMESTAMP] = time // 1_000_000_000
        properties.update(draft.properties)
        for name_of_null in draft.null_properties:
            properties.setdefault(name_of_null, None)
        groups = rules._correlation.groups(properties)
        if groups or draft.groups:
            properties["$groups"] = {**groups, **draft.groups}
        if rules._estimate is not None:
            estimated = rules._estimate(name, properties)
            if estimated is not None:
                properties[semconv.PROPERTY_GENOPS_COST_ESTIMATED] = estimated
        plain = self._plain(rule, name, properties)
        if plain is None:
            return
        uuid = event_uuid(span.trace_number, span.span_number, f"{rule.id}#{draft.key}" if draft.key else rule.id)
        event = Event(name, distinct_id, uuid, iso_time(time), plain, draft.importance)
        redacted = self._redacted(rule, event)
        if redacted is not None:
            self._made.append(Made(redacted, rule.id, draft.model_cost))

    def _plain(self, rule: SpanRule, name: str, properties: Mapping[str, Any]) -> dict[str, Any] | None:
        rules = self._rules
        plain, shortened = Plain(rules._max_event_bytes).properties(properties, rules.privacy.name_of)
        if shortened:
            if semconv.PROPERTY_DOLLAR_TRACE_ID not in plain:
                self.leave_out(
                    rule, Reason.TOO_LARGE, f"its ids do not fit into {self._rules._max_event_bytes} bytes", name
                )
                return None
            plain["genops_truncated"] = shortened
        return plain

    def _redacted(self, rule: SpanRule, event: Event) -> Event | None:
        redact = self._rules.privacy.redact
        if redact is None:
            return event
        try:
            changed = redact(event)
            if changed is None:
                self.leave_out(rule, Reason.FILTERED, "the redaction hook dropped it", event.name)
                return None
            if not isinstance(changed, Event):
                raise TypeError(f"the hook returned {type(changed).__name__} and not an Event or None")
        except Exception as error:  # an event that should have been changed must not leave as it was
            self.leave_out(rule, Reason.REDACTION_FAILED, _said(error), event.name)
            return None
        plain = self._plain(rule, event.name, changed.properties)
        return None if plain is None else replace(changed, properties=plain)

    def _distinct_id(self, draft: EventDraft) -> str | None:
        given = usable_distinct_id(draft.distinct_id)
        if given is not None:
            return given
        for source in draft.distinct_id_sources:
            found = usable_distinct_id(value_of(self._span, source))
            if found is not None:
                return found
        for source in DISTINCT_ID_SOURCES:
            found = usable_distinct_id(self._span.attributes.get(source))
            if found is not None:
                return found
        found = usable_distinct_id(self._owner.user_id)
        if found is None and self._remembered is not None:
            found = usable_distinct_id(self._remembered.distinct_id)
        return found


def _filled(template: str, span: SpanView) -> str | Skip:
    parts: list[str] = []
    for literal, source, _, _ in Formatter().parse(template):
        parts.append(literal)
        if source is not None:
            value = value_of(span, source)
            if value is None or value == "":
                return Skip(f"the span has no {source}, which is part of the event's name")
            parts.append(text(value))
    return "".join(parts)


def _sampled(trace_id: int, rate: float) -> bool:
    # The last 56 bits are the random ones of a W3C trace id (https://www.w3.org/TR/trace-context-2/). OpenTelemetry's
    # own ratio sampler decides by the bits above these, so what it kept is sampled here without regard to it.
    return (trace_id & 0xFF_FFFF_FFFF_FFFF) < rate * (1 << 56)


def _said(error: BaseException) -> str:
    return f"{type(error).__name__}: {text(error)[:200]}"

"""The events of one span: what a rule drafts becomes complete, private, plain and final."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from genops_otel_posthog import semconv
from genops_otel_posthog.export.correlation import (
    DISTINCT_ID_SOURCES,
    SESSION_SOURCES,
    anonymous_id,
    event_uuid,
    groups_of,
    posthog_session_id,
    usable_distinct_id,
)
from genops_otel_posthog.export.event import Event
from genops_otel_posthog.export.rules.conversion import NO_RULE, Conversion, LeftOut, Made, Reason
from genops_otel_posthog.export.rules.plain import Plain, encoded_as_it_is
from genops_otel_posthog.export.rules.rule import EventDraft, Skip, SpanRule
from genops_otel_posthog.export.rules.template import ReadyTemplate
from genops_otel_posthog.export.rules.view import InvalidSpan, SpanView, iso_time, value_of
from genops_otel_posthog.export.shapes import Names
from genops_otel_posthog.export.text import text

if TYPE_CHECKING:
    from genops_otel_posthog.export.rules.engine import Rules
    from genops_otel_posthog.processor import PostHogContext


_PERSONS = Names(*DISTINCT_ID_SOURCES)


class Maker:
    """Makes the events of one span; what they have in common is read once.

    Args:
        rules: For which rules.
        span: The span.
        remembered: See :meth:`~.engine.Rules.events_for`.
    """

    __slots__ = ("_left_out", "_made", "_remembered", "_rules", "_span", "_whose")

    def __init__(self, rules: Rules, span: SpanView, remembered: PostHogContext | None) -> None:
        self._rules = rules
        self._span = span
        self._remembered = remembered
        self._whose = rules.correlation.whose(span)
        self._made: list[Made] = []
        self._left_out: list[LeftOut] = []

    def conversion(self) -> Conversion:
        """What became of the span."""
        if not self._made and not self._left_out:
            return NO_RULE
        return Conversion(tuple(self._made), tuple(self._left_out), self._whose.owner)

    def leave_out(self, rule: SpanRule, reason: Reason, detail: str, event: str | None = None) -> None:
        """Notes what is not made."""
        self._left_out.append(LeftOut(rule.id, reason, detail, event))

    def apply(self, rule: SpanRule, templates: Iterable[ReadyTemplate]) -> None:
        """Makes the events of a rule.

        Args:
            rule: The rule.
            templates: Its templates.
        """
        if rule.gate is not None and self._rules.gate is not None and not self._gate_is_on(rule):
            return
        try:
            if rule.convert is None:
                drafts = self._drafts_of(rule, templates)
            else:
                answer = rule.convert(self._span)
                if answer is None:
                    return
                drafts = self._drafts_among(rule, answer)
        except Exception as error:  # the code of a rule must not end the application's own work
            self.leave_out(rule, Reason.INVALID, f"the rule failed on it: {said(error)}")
            return
        for draft in drafts:
            try:
                self._make(rule, draft)
            except InvalidSpan as error:
                self.leave_out(rule, Reason.INVALID, str(error), draft.name)
            except Exception as error:  # as above
                self.leave_out(rule, Reason.UNSERIALISABLE, said(error), text(draft.name))

    def _gate_is_on(self, rule: SpanRule) -> bool:
        assert rule.gate is not None
        assert self._rules.gate is not None
        try:
            on = self._rules.gate(rule.gate, self._span, self._whose.owner)
        except Exception as error:  # flags are somebody else's code
            self.leave_out(rule, Reason.FILTERED, f"the flag {rule.gate} cannot be read: {said(error)}")
            return False
        if not on:
            self.leave_out(rule, Reason.FILTERED, f"the flag {rule.gate} is off")
        return on

    def _drafts_of(self, rule: SpanRule, templates: Iterable[ReadyTemplate]) -> list[EventDraft]:
        drafts = []
        for template in templates:
            drafted = template.draft(self._span)
            if isinstance(drafted, Skip):
                self.leave_out(rule, Reason.FILTERED, drafted.why, template.template.name)
            else:
                drafts.append(drafted)
        return drafts

    def _drafts_among(self, rule: SpanRule, answer: Iterable[EventDraft] | Skip) -> list[EventDraft]:
        if isinstance(answer, Skip):
            self.leave_out(rule, Reason.FILTERED, answer.why)
            return []
        drafts = list(answer)
        if not drafts:
            self.leave_out(rule, Reason.FILTERED, "the rule makes no event of it")
        return drafts

    def _make(self, rule: SpanRule, draft: EventDraft) -> None:
        span, rules = self._span, self._rules
        name, is_admitted = rules.event_name(draft.name)
        if not name:
            self.leave_out(rule, Reason.INVALID, "the event has no name")
            return
        if not is_admitted:
            self.leave_out(rule, Reason.FILTERED, "the lists of events do not let it pass", name)
            return
        rate = draft.sample_rate
        if rate < 1 and not _sampled(span.trace_number, rate):
            self.leave_out(rule, Reason.SAMPLED, f"of such traces the part {rate:g} is kept", name)
            return
        properties = self._common()
        distinct_id = self._distinct_id(draft)
        if distinct_id is None:
            distinct_id = self._anonymous_id()
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
        groups = {**groups_of(properties), **draft.groups}
        if groups:
            properties["$groups"] = groups
        if rules.estimate is not None:
            estimated = rules.estimate(name, properties)
            if estimated is not None:
                properties[semconv.PROPERTY_GENOPS_COST_ESTIMATED] = estimated
        kept, encoded = self._plain(rule, name, properties)
        if kept is None:
            return
        uuid = event_uuid(span.trace_number, span.span_number, f"{rule.id}#{draft.key}" if draft.key else rule.id)
        event = Event(name, distinct_id, uuid, iso_time(time), kept, draft.importance)
        if rules.privacy.redact is None:
            self._made.append(Made(event, rule.id, draft.model_cost, encoded))
            return
        redacted = self._redacted(rule, event)
        if redacted is not None:
            self._made.append(Made(redacted, rule.id, draft.model_cost))

    def _common(self) -> dict[str, Any]:
        """What every event of the span has."""
        properties = self._rules.correlation.properties(self._span, self._whose)
        remembered = self._remembered
        if remembered is not None and remembered.session_id is not None and "$session_id" not in properties:
            session = posthog_session_id(remembered.session_id)
            if session is not None:
                properties["$session_id"] = session
        return properties

    def _plain(
        self, rule: SpanRule, name: str, properties: Mapping[str, Any]
    ) -> tuple[Mapping[str, Any] | None, bytes | None]:
        """The properties as they may leave, and their JSON where it is known; ``None`` where they do not fit."""
        rules = self._rules
        leaving = rules.privacy.without_secrets(properties)
        as_they_are = encoded_as_it_is(leaving, len(properties), rules.max_event_bytes)
        if as_they_are is not None:
            return as_they_are
        plain, shortened = Plain(rules.max_event_bytes).properties(properties, rules.privacy.name_of)
        if shortened:
            if semconv.PROPERTY_DOLLAR_TRACE_ID not in plain:
                self.leave_out(rule, Reason.TOO_LARGE, f"its ids do not fit into {rules.max_event_bytes} bytes", name)
                return None, None
            plain["genops_truncated"] = shortened
        return plain, None

    def _redacted(self, rule: SpanRule, event: Event) -> Event | None:
        redact = self._rules.privacy.redact
        assert redact is not None
        try:
            changed = redact(event)
            if changed is None:
                self.leave_out(rule, Reason.FILTERED, "the redaction hook dropped it", event.name)
                return None
            if not isinstance(changed, Event):
                raise TypeError(f"the hook returned {type(changed).__name__} and not an Event or None")
        except Exception as error:  # an event that should have been changed must not leave as it was
            self.leave_out(rule, Reason.REDACTION_FAILED, said(error), event.name)
            return None
        plain, _ = self._plain(rule, event.name, changed.properties)
        return None if plain is None else replace(changed, properties=plain)

    def _distinct_id(self, draft: EventDraft) -> str | None:
        if draft.distinct_id is not None:
            given = usable_distinct_id(draft.distinct_id)
            if given is not None:
                return given
        span = self._span
        for source in draft.distinct_id_sources:
            found = usable_distinct_id(value_of(span, source))
            if found is not None:
                return found
        for source in span.shape.among(_PERSONS):
            found = usable_distinct_id(span.attributes[source])
            if found is not None:
                return found
        found = self._whose.distinct_id
        if found is None and self._remembered is not None:
            found = usable_distinct_id(self._remembered.distinct_id)
        return found

    def _anonymous_id(self) -> str:
        session = self._span.first(*SESSION_SOURCES)
        if session is None and self._remembered is not None:
            session = self._remembered.session_id
        return anonymous_id(self._span.trace_id, text(session) if session is not None else None)


def _sampled(trace_id: int, rate: float) -> bool:
    # The last 56 bits are the random ones of a W3C trace id (https://www.w3.org/TR/trace-context-2/). OpenTelemetry's
    # own ratio sampler decides by the bits above these, so what it kept is sampled here without regard to it.
    return (trace_id & 0xFF_FFFF_FFFF_FFFF) < rate * (1 << 56)


def said(error: BaseException) -> str:
    """An error in a few words."""
    return f"{type(error).__name__}: {text(error)[:200]}"

"""Evaluations of feature flags as ``$feature_flag_called``: https://posthog.com/docs/feature-flags.

From the span event that OpenFeature's hook for OpenTelemetry records, and from spans that carry the attributes of an
evaluation. PostHog's own SDK reports its evaluations itself, so those of PostHog are left to it. As in the SDK, one
person seeing one answer of one flag is told once.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from genops_otel_posthog.export.rules.ai.call import words
from genops_otel_posthog.export.rules.recent import Recent
from genops_otel_posthog.export.rules.rule import EventDraft, Skip
from genops_otel_posthog.export.text import text

if TYPE_CHECKING:
    from genops_otel_posthog.export.rules.view import SpanView

#: Names of the span event, today's and the earlier one.
SPAN_EVENTS: Final = ("feature_flag.evaluation", "feature_flag")
_OWN_PROVIDER: Final = "posthog"
_ANSWER: Final = (
    "feature_flag.result.variant",
    "feature_flag.variant",
    "feature_flag.result.value",
    "feature_flag.evaluated_value",
)


class FlagEvents:
    """Makes these events; remembers which were made."""

    def __init__(self) -> None:
        self._told: Recent[tuple[str | None, str, str], tuple[int, int]] = Recent(8_192)

    def recorded(self, span: SpanView) -> Iterable[EventDraft] | Skip | None:
        """One event per evaluation that was recorded on the span and is new."""
        evaluations = [event for event in span.events if event.name in SPAN_EVENTS]
        told = [
            self._event(span, event.attributes or {}, event.timestamp, number)
            for number, event in enumerate(evaluations)
        ]
        drafts = [draft for draft in told if isinstance(draft, EventDraft)]
        return drafts or next((skip for skip in told if isinstance(skip, Skip)), None)

    def span(self, span: SpanView) -> Iterable[EventDraft] | Skip | None:
        """The event of a span that is itself an evaluation, and says how it ended."""
        if not any(span.attributes.get(name) is not None for name in (*_ANSWER, "error.type")):
            return Skip("the evaluation does not say its answer, which stands in an event of the span around it")
        told = self._event(span, span.attributes, span.end, 0)
        return told if isinstance(told, Skip) else [told]

    def _event(self, span: SpanView, found: Mapping[str, Any], time: int | None, number: int) -> EventDraft | Skip:
        key = words(found.get("feature_flag.key"))
        if key is None:
            return Skip("the evaluation does not name its flag")
        provider = _text(found, "feature_flag.provider.name", "feature_flag.provider_name")
        if provider.lower() == _OWN_PROVIDER:
            return Skip("PostHog's SDK reports it itself")
        answer = next((found[name] for name in _ANSWER if found.get(name) is not None), None)
        person = words(found.get("feature_flag.context.id")) or _person(span)
        seen = (person or span.trace_id, key, text(answer))
        teller = self._told.get(seen)
        if teller is not None and teller != (span.span_number, number):
            return Skip("the same answer was told for this person before")
        self._told.put(seen, (span.span_number, number))
        return _draft(found, key, answer, provider, person, time, str(number) if number else "")


def _draft(
    found: Mapping[str, Any], key: str, answer: Any, provider: str, person: str | None, time: int | None, number: str
) -> EventDraft:
    response = _response(answer)
    told = {
        "$feature_flag": key,
        "$feature_flag_response": response,
        f"$feature/{key}": response,
        "$feature_flag_reason": found.get("feature_flag.result.reason") or found.get("feature_flag.reason"),
        "$feature_flag_version": found.get("feature_flag.version"),
        "$feature_flag_error": found.get("error.type"),
        "feature_flag_provider": provider or None,
    }
    properties = {name: value for name, value in told.items() if value is not None}
    return EventDraft("$feature_flag_called", properties, distinct_id=person, time=time, key=number, importance="low")


def _response(answer: Any) -> Any:
    """The answer as PostHog has it. Some write it as text, and LaunchDarkly that text as JSON: ``"blue"`` in quotes."""
    if not isinstance(answer, str):
        return answer
    if len(answer) > 1 and answer[0] == answer[-1] == '"':
        try:
            return json.loads(answer)
        except ValueError:
            return answer
    return {"true": True, "false": False}.get(answer, answer)


def _text(found: Mapping[str, Any], *names: str) -> str:
    """The first of these attributes that is there, as text."""
    return next((text(found[name]) for name in names if found.get(name) is not None), "")


def _person(span: SpanView) -> str | None:
    value = span.first("posthog.distinct_id", "genops.user.id", "user.id", "enduser.id")
    return None if value is None else text(value)

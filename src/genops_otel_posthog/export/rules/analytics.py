"""Product analytics told on spans: interactions, sessions, cognitive states, as :mod:`..flows` writes them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

from genops_otel_posthog import semconv
from genops_otel_posthog.export import names
from genops_otel_posthog.export.rules.ai.call import parsed, words
from genops_otel_posthog.export.rules.recent import Recent
from genops_otel_posthog.export.rules.rule import EventDraft, Skip
from genops_otel_posthog.export.rules.view import iso_time
from genops_otel_posthog.export.text import text

if TYPE_CHECKING:
    from genops_otel_posthog.export.rules.view import SpanView

#: Properties of each event, in their order; those that were not given are null.
PROPERTIES: Final = {
    "interaction": ("session_id", "component", "page", "coordinates", "duration", "metadata", "timestamp"),
    "session_started": ("session_id", "start_time", "most_used_mode", "timestamp"),
    "session_updated": (
        "session_id",
        "end_time",
        "duration",
        "productivity_score",
        "mode_transitions",
        "total_interactions",
    ),
    "cognitive_state_change": ("cognitive_mode", "confidence", "context", "triggers", "metadata", "timestamp"),
}

# They come by the dozen and are the first that an outbox which is full can do without.
_PLENTIFUL: Final = frozenset({"hover", "scroll", "keypress"})


class AnalyticsEvents:
    """Makes these events. Remembers whose session is whose, because an update may not say."""

    def __init__(self) -> None:
        self._users: Recent[str, str] = Recent()

    def event(self, span: SpanView) -> Iterable[EventDraft] | Skip | None:
        """The event of a span."""
        found = span.attributes
        kind = found.get(names.ANALYTICS_EVENT)
        if kind not in PROPERTIES:
            return Skip(f"{names.ANALYTICS_EVENT} is none of {', '.join(PROPERTIES)}")
        properties: dict[str, Any] = {name: _given(span, name) for name in PROPERTIES[kind]}
        if "timestamp" in properties and properties["timestamp"] is None:
            properties["timestamp"] = iso_time(span.end)
        event, importance = kind, "normal"
        if kind == "interaction":
            interaction = words(found.get(names.INTERACTION_TYPE))
            if interaction is None:
                return Skip(f"{names.INTERACTION_TYPE} is not given")
            event = f"interaction_{interaction}"
            importance = "low" if interaction in _PLENTIFUL else "normal"
        elif kind == "session_started":
            properties["start_time"] = properties["start_time"] or iso_time(span.start)
            properties["most_used_mode"] = properties["most_used_mode"] or "executive"
        return [EventDraft(event, properties, distinct_id=self._user(span), importance=importance)]

    def _user(self, span: SpanView) -> str | None:
        session = words(span.attributes.get(names.ANALYTICS_SESSION_ID))
        user = span.first(semconv.GENOPS_USER_ID, "user.id", "enduser.id")
        if session is None:
            return None if user is None else text(user)
        if user is not None:
            self._users.put(session, text(user))
            return text(user)
        return self._users.get(session)


def _given(span: SpanView, name: str) -> Any:
    return parsed(span.attributes.get(names.ANALYTICS_PREFIX + name))

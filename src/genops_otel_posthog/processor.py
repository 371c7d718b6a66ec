"""Puts the owner on every span as it starts, and hands spans to an exporter the moment they end.

With an exporter, a span is written where it ends, in the thread that ends it: there is no queue that could overflow or
be lost with the process. What PostHog's own context said when the span started (whose session it is) is kept beside the
span and not on it, because a distinct id is personal data that has no business in a trace backend.
"""

from __future__ import annotations

import sys
import threading
from collections import OrderedDict
from typing import NamedTuple, Protocol

from opentelemetry.context import Context, get_current
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor

from genops_otel_posthog import semconv
from genops_otel_posthog.acceptance import person_processing_allowed
from genops_otel_posthog.attribution import Attribution, AttributionResolver
from genops_otel_posthog.links import person_link
from genops_otel_posthog.settings import Settings

_MOST_OPEN = 10_000  # spans that have started and not ended; of more, the oldest are forgotten


class PostHogContext(NamedTuple):
    """What PostHog's context said when a span started.

    Attributes:
        distinct_id: Whose context it was.
        session_id: Their session.
    """

    distinct_id: str | None = None
    session_id: str | None = None


_NOTHING_SAID = PostHogContext()


class SpanWriter(Protocol):
    """Takes spans as they end."""

    def write(self, span: ReadableSpan, context: PostHogContext) -> None:
        """Takes a span that has ended. Never raises."""
        ...

    def shutdown(self) -> None:
        """Writes what is left and lets go of everything."""
        ...

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Delivers what was written; whether that was done in time."""
        ...


class GovernanceSpanProcessor(SpanProcessor):
    """Stamps attribution on spans as they start; with an exporter, writes them as they end.

    An attribute that the application has set itself stays as it is.

    Args:
        exporter: Where ended spans go; ``None``: nowhere, spans are only stamped.
        attribution: The owner where nobody nearer is named; the environment's when not given.
        settings: The settings; those of the environment when not given.
    """

    def __init__(
        self,
        exporter: SpanWriter | None = None,
        *,
        attribution: Attribution | None = None,
        settings: Settings | None = None,
    ) -> None:
        settings = settings or Settings.from_environ(strict=False)
        defaults = Attribution.from_settings(settings)
        self._resolver = AttributionResolver(
            defaults if attribution is None else attribution.over(defaults), settings.baggage_in
        )
        self._exporter = exporter
        self._person_pages = settings.posthog_project_url if settings.record_distinct_id else None
        self._lock = threading.Lock()
        self._started: OrderedDict[int, PostHogContext] = OrderedDict()

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Stamps a span."""
        context = get_current() if parent_context is None else parent_context
        owner = self._resolver.resolve(context)
        if owner:
            given = span.attributes or {}
            attributes = owner.span_attributes()
            if given.keys().isdisjoint(attributes):
                span.set_attributes(attributes)
            else:
                span.set_attributes({name: value for name, value in attributes.items() if name not in given})
        if self._exporter is None and self._person_pages is None:
            return
        remembered = _posthog_context()
        if remembered is not None and self._exporter is not None:
            self._remember(span, remembered)
        if self._person_pages is not None:
            person = (remembered and remembered.distinct_id) or owner.user_id
            if person and person_processing_allowed(person):
                span.set_attribute(semconv.POSTHOG_PERSON_URL, person_link(self._person_pages, person))

    def on_end(self, span: ReadableSpan) -> None:
        """Hands an ended span on, if it is sampled."""
        if self._exporter is None:
            return
        context = span.context
        remembered = _NOTHING_SAID
        if self._started and context is not None:
            remembered = self._started.pop(context.span_id, remembered)
        if context is not None and context.trace_flags.sampled:
            self._exporter.write(span, remembered)

    def shutdown(self) -> None:
        """Shuts the exporter down."""
        if self._exporter is not None:
            self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Delivers what was written; whether that was done in time."""
        return self._exporter is None or self._exporter.force_flush(timeout_millis)

    def _remember(self, span: Span, context: PostHogContext) -> None:
        with self._lock:
            self._started[span.get_span_context().span_id] = context
            if len(self._started) > _MOST_OPEN:
                self._started.popitem(last=False)


def _posthog_context() -> PostHogContext | None:
    """What PostHog's context says now; ``None`` where the SDK is not in use or says nothing."""
    contexts = sys.modules.get("posthog.contexts")
    if contexts is None:
        return None
    distinct_id, session_id = contexts.get_context_distinct_id(), contexts.get_context_session_id()
    return None if distinct_id is None and session_id is None else PostHogContext(distinct_id, session_id)

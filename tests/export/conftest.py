"""Flows and interactions told through OpenTelemetry's global provider, as applications do."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from genops_otel_posthog.export import names, telling
from genops_otel_posthog.export.event import Event
from genops_otel_posthog.export.rules import Rules, builtin_rules


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Event]]:
    """The events of what was told since the last time, by name."""
    memory = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(memory))
    monkeypatch.setattr(telling, "tracer", lambda: provider.get_tracer(names.SCOPE))
    monkeypatch.setattr("genops_otel_posthog.export.flows.tracer", lambda: provider.get_tracer(names.SCOPE))
    rules = Rules(builtin_rules())

    def told(name: str | None = None) -> list[Event]:
        events = [event for span in memory.get_finished_spans() for event in rules.events_for(span).events]
        memory.clear()
        return [event for event in events if not event.name.startswith("$") and name in (None, event.name)]

    return told

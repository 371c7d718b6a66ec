"""Spans recorded from real instrumentations; flows and interactions told through OpenTelemetry's global provider."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from genops_otel_posthog.export import names, telling
from genops_otel_posthog.export.event import Event
from genops_otel_posthog.export.rules import Rules, builtin_rules
from genops_otel_posthog.export.rules.span_json import spans_from_json

RECORDED = Path(__file__).with_name("recorded")


@pytest.fixture(scope="session")
def recorded() -> Callable[[str], list[ReadableSpan]]:
    """The spans of a recording, in the order in which they ended."""

    def recorded(source: str) -> list[ReadableSpan]:
        return spans_from_json(json.loads((RECORDED / f"{source}.json").read_text(encoding="utf-8")))

    return recorded


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

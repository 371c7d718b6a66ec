"""Spans made by the real SDK, and the events of recorded ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from genops_otel_posthog.export.event import Event
from genops_otel_posthog.export.rules import Rules, builtin_rules


class Spans:
    """A tracer provider whose ended spans can be taken."""

    def __init__(self) -> None:
        self._memory = InMemorySpanExporter()
        self.provider = TracerProvider(resource=Resource({"service.name": "shop"}), shutdown_on_exit=False)
        self.provider.add_span_processor(SimpleSpanProcessor(self._memory))

    @contextmanager
    def open(self, name: str = "work", scope: str = "shop", **options: Any) -> Iterator[Any]:
        with self.provider.get_tracer(scope).start_as_current_span(name, **options) as span:
            yield span

    def taken(self) -> list[ReadableSpan]:
        spans = list(self._memory.get_finished_spans())
        self._memory.clear()
        return spans

    def one(self, name: str = "work", scope: str = "shop", **options: Any) -> ReadableSpan:
        with self.open(name, scope, **options):
            pass
        return self.taken()[-1]


@pytest.fixture
def spans() -> Spans:
    return Spans()


@pytest.fixture
def events_of(recorded: Callable[[str], list[ReadableSpan]]) -> Callable[..., list[Event]]:
    """The events that the built-in rules make of a recording."""

    def events_of(source: str, name: str | None = None, **options: Any) -> list[Event]:
        rules = Rules(builtin_rules(**options))
        made = [event for span in recorded(source) for event in rules.events_for(span).events]
        return [event for event in made if name is None or event.name == name]

    return events_of

"""Fixtures: adapters that send to the local receiver, and the spans they make."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Tracer

from genops_otel_posthog import GenOpsPostHogAdapter
from genops_otel_posthog.receiver.records import ReceivedEvent
from genops_otel_posthog.receiver.server import LocalReceiver

_numbers = count(1)


@pytest.fixture(scope="session")
def shared_receiver() -> Iterator[LocalReceiver]:
    with LocalReceiver() as receiver:
        yield receiver


@pytest.fixture
def receiver(shared_receiver: LocalReceiver) -> LocalReceiver:
    """The local receiver, empty."""
    shared_receiver.recover()
    shared_receiver.set_flags([])
    shared_receiver.clear()
    return shared_receiver


class Project:
    """A PostHog project of one test: an adapter for it, what arrived in it, and the spans of its sessions."""

    def __init__(self, receiver: LocalReceiver) -> None:
        self._receiver = receiver
        self._exporter = InMemorySpanExporter()
        self._provider = TracerProvider(shutdown_on_exit=False)
        self._provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.key = f"phc_integration{next(_numbers)}"
        self.options: dict[str, Any] = {
            "posthog_api_key": self.key,
            "posthog_host": receiver.url,
            "team": "web-team",
            "project": "shop",
            "tracer_provider": self._provider,
        }
        self.adapter = GenOpsPostHogAdapter(**self.options)

    @property
    def tracer(self) -> Tracer:
        return self._provider.get_tracer("tests")

    def events(self, name: str | None = None) -> list[ReceivedEvent]:
        """What has arrived, once everything that was captured so far has been delivered."""
        assert self.adapter.flush(10)
        return self.delivered(name)

    def delivered(self, name: str | None = None) -> list[ReceivedEvent]:
        """What has arrived by itself."""
        return self._receiver.events(name, token=self.key)

    def customers(self, name: str) -> list[object]:
        """Whose events of a name have arrived."""
        return [event.properties.get("genops_customer_id") for event in self.events(name)]

    def sessions(self) -> list[ReadableSpan]:
        """The spans of sessions that have ended."""
        return [span for span in self._exporter.get_finished_spans() if span.name.startswith("session ")]

    def forget(self) -> None:
        """Forgets spans that have ended."""
        self._exporter.clear()

    def session(self) -> ReadableSpan:
        """The only one."""
        (span,) = self.sessions()
        return span


@pytest.fixture
def project(receiver: LocalReceiver) -> Iterator[Project]:
    project = Project(receiver)
    yield project
    project.adapter.shutdown(10)

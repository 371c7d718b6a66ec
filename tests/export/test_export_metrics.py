"""The accounts of the exporter as metrics: two sums that always hold, and OpenTelemetry's own figures when asked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from genops_otel_posthog import PostHogSpanExporter, SpanRule
from genops_otel_posthog.export.event import Event
from genops_otel_posthog.export.export_metrics import COMPONENT_TYPE
from genops_otel_posthog.export.rules.rule import EventTemplate
from genops_otel_posthog.metering import metering
from genops_otel_posthog.processor import PostHogContext
from genops_otel_posthog.receiver.server import LocalReceiver

RULES = [
    SpanRule("order", span_name="order", events=[EventTemplate("order_completed", copy=("cart.",))]),
    SpanRule("rare", span_name="rare", events=[EventTemplate("seen", sample_rate=0.0)]),
    SpanRule("secret", span_name="secret", events=[EventTemplate("secret")]),
]


@pytest.fixture(scope="module")
def shared_receiver() -> Iterator[LocalReceiver]:
    with LocalReceiver() as receiver:
        yield receiver


@pytest.fixture
def receiver(shared_receiver: LocalReceiver) -> LocalReceiver:
    shared_receiver.recover()
    shared_receiver.clear()
    return shared_receiver


@pytest.fixture
def reader(monkeypatch: pytest.MonkeyPatch) -> InMemoryMetricReader:
    """The metrics of a new process."""
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader], shutdown_on_exit=False)
    monkeypatch.setattr(metrics, "get_meter_provider", lambda: provider)
    monkeypatch.setattr(metering, "_global_meter", lambda: provider.get_meter("genops_otel_posthog"))
    return reader


@pytest.fixture
def exporter(receiver: LocalReceiver, reader: InMemoryMetricReader, tmp_path: Path) -> Iterator[PostHogSpanExporter]:
    exporter = PostHogSpanExporter("phc_m", receiver.url, rules=RULES, outbox=tmp_path / "outbox", redact=redact)
    yield exporter
    exporter.shutdown(100)


def redact(event: Event) -> Event:
    if event.name == "secret":
        raise ValueError("no")
    return event


def ended(*names: str) -> list[ReadableSpan]:
    memory = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(memory))
    for name in names:
        provider.get_tracer("shop").start_span(name).end()
    return list(memory.get_finished_spans())


def points(reader: InMemoryMetricReader, name: str) -> list[Any]:
    data = reader.get_metrics_data()
    return [
        point
        for resource in (data.resource_metrics if data is not None else ())
        for scope in resource.scope_metrics
        for metric in scope.metrics
        for point in metric.data.data_points
        if metric.name == name
    ]


def states(reader: InMemoryMetricReader, destination: str | None = None) -> dict[str, int]:
    """Numbers by state, with the reason of what has one, of spans or of one destination; zeros left out."""
    found: Counter[str] = Counter()
    for point in points(reader, "genops.outbox.events"):
        if point.attributes.get("genops.outbox.destination") == destination:
            reason = point.attributes.get("genops.outbox.reason")
            found[point.attributes["genops.outbox.state"] + (f" {reason}" if reason else "")] += point.value
    return {state: number for state, number in found.items() if number}


def test_what_ended_is_what_was_filtered_sampled_enqueued_or_dropped(
    exporter: PostHogSpanExporter, reader: InMemoryMetricReader
) -> None:
    exporter.export(ended("order", "order", "rare", "ping", "ping", "ping", "secret"))

    assert states(reader) == {
        "ended": 7,
        "filtered": 3,
        "sampled": 1,
        "enqueued": 2,
        "dropped redaction_failed": 1,
    }


def test_what_was_enqueued_is_what_was_acked_or_waits_and_why(
    exporter: PostHogSpanExporter, reader: InMemoryMetricReader, receiver: LocalReceiver
) -> None:
    exporter.export(ended("order", "order"))
    assert exporter.force_flush(10_000)
    with receiver.fail("capture", status=401) as refusing:
        exporter.export(ended("order"))
        assert not exporter.force_flush(2_000)
        assert refusing.struck

        assert states(reader, "posthog") == {"enqueued": 3, "acked": 2, "pending http_401": 1}


def test_what_a_destination_refuses_for_good_is_dead(
    exporter: PostHogSpanExporter, reader: InMemoryMetricReader, receiver: LocalReceiver
) -> None:
    with receiver.fail("capture", status=400):
        exporter.export(ended("order"))
        assert exporter.force_flush(10_000)

        assert states(reader, "posthog") == {"enqueued": 1, "dead": 1}


def test_size_and_durability_of_the_outbox_are_reported(
    exporter: PostHogSpanExporter, reader: InMemoryMetricReader, receiver: LocalReceiver
) -> None:
    with receiver.fail("capture", status=503):
        exporter.export(ended("order"))

        assert points(reader, "genops.outbox.size")[0].value > 0
        assert points(reader, "genops.outbox.durable")[0].value == 1


def test_opentelemetry_s_own_figures_are_there_when_its_switch_is_on(
    receiver: LocalReceiver, reader: InMemoryMetricReader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_PYTHON_SDK_INTERNAL_METRICS_ENABLED", "true")
    exporter = PostHogSpanExporter("phc_m", receiver.url, rules=RULES, outbox=tmp_path / "outbox", redact=redact)
    exporter.export(ended("order", "ping", "secret"))
    for span in ended("order"):
        exporter.write(span, PostHogContext())
    exporter.shutdown()

    exported = {
        point.attributes.get("error.type"): point.value
        for point in points(reader, "otel.sdk.exporter.span.exported")
        if point.attributes["otel.component.type"] == COMPONENT_TYPE
    }
    assert exported == {None: 3, "redaction_failed": 1}
    assert [point.value for point in points(reader, "otel.sdk.exporter.span.inflight")] == [0]
    assert sum(point.count for point in points(reader, "otel.sdk.exporter.operation.duration")) == 2


def test_and_not_when_it_is_off(exporter: PostHogSpanExporter, reader: InMemoryMetricReader) -> None:
    exporter.export(ended("order"))

    assert points(reader, "otel.sdk.exporter.span.exported") == []

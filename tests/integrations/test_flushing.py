"""What is in memory is delivered in the time that there is; a framework is needed by its own integration alone."""

from __future__ import annotations

import subprocess
import sys
import threading
from time import monotonic
from types import SimpleNamespace
from typing import Any

import pytest
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import (
    MetricExporter,
    MetricExportResult,
    MetricsData,
    PeriodicExportingMetricReader,
)
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from genops_otel_posthog import GenOpsConfigurationError, PostHogSpanExporter, SpanRule
from genops_otel_posthog.export.rules.rule import EventTemplate
from genops_otel_posthog.integrations.flask import PostHogGovernance
from genops_otel_posthog.integrations.flushing import flush
from genops_otel_posthog.integrations.frameworks import framework
from genops_otel_posthog.receiver.server import LocalReceiver


class Received(MetricExporter):
    """Takes metrics, and remembers their names."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def export(self, metrics_data: MetricsData, timeout_millis: float = 10_000, **_: Any) -> MetricExportResult:
        scopes = [scope for resource in metrics_data.resource_metrics for scope in resource.scope_metrics]
        self.names += [metric.name for scope in scopes for metric in scope.metrics]
        return MetricExportResult.SUCCESS

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        return True

    def shutdown(self, timeout_millis: float = 30_000, **_: Any) -> None: ...


def use(monkeypatch: pytest.MonkeyPatch, tracer_provider: Any) -> None:
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: tracer_provider)


def test_events_spans_and_metrics_have_been_delivered(project: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    exported, received = InMemorySpanExporter(), Received()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(exported, schedule_delay_millis=3_600_000))
    use(monkeypatch, provider)
    meters = MeterProvider([PeriodicExportingMetricReader(received, 3_600_000)], shutdown_on_exit=False)
    monkeypatch.setattr(metrics, "get_meter_provider", lambda: meters)
    meters.get_meter("tests").create_counter("orders").add(1)
    project.adapter.capture_event_with_governance("order_completed", distinct_id="ann")
    provider.get_tracer("tests").start_span("POST /orders").end()

    assert flush(project.adapter, 10) is True
    assert len(project.delivered("order_completed")) == 1
    assert [span.name for span in exported.get_finished_spans()] == ["POST /orders"]
    assert received.names == ["orders"]
    provider.shutdown()
    meters.shutdown()


def test_spans_that_become_events_have_arrived(
    project: Any, receiver: LocalReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch processor never asks its exporter to flush."""
    exporter = PostHogSpanExporter(
        project.key,
        receiver.url,
        rules=[SpanRule("orders", span_name="POST /orders", events=[EventTemplate("order_received")])],
    )
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=3_600_000))
    use(monkeypatch, provider)
    provider.get_tracer("tests").start_span("POST /orders").end()

    assert flush(project.adapter, 10) is True
    assert len(project.delivered()) == 1
    provider.shutdown()


def test_who_does_not_keep_to_the_time_is_not_waited_for(project: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    goes_on = threading.Event()
    use(monkeypatch, SimpleNamespace(force_flush=lambda milliseconds: goes_on.wait(30)))
    project.adapter.capture_event_with_governance("order_completed", distinct_id="ann")
    started = monotonic()

    assert flush(project.adapter, 2) is False
    assert monotonic() - started < 15
    assert len(project.delivered("order_completed")) == 1
    goes_on.set()


def test_who_fails_is_named_and_hinders_nobody_else(
    project: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(milliseconds: int) -> bool:
        raise ConnectionError("no collector")

    use(monkeypatch, SimpleNamespace(force_flush=fail))

    assert flush(project.adapter, 10) is False
    assert "Delivering spans failed" in caplog.text
    assert "no collector" in caplog.text


def test_a_framework_that_is_missing_is_named_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "flask", None)

    with pytest.raises(GenOpsConfigurationError, match=r"needs flask.*pip install 'genops-otel-posthog\[flask\]'"):
        PostHogGovernance(object())
    with pytest.raises(GenOpsConfigurationError, match="needs no_such_framework"):
        framework("no_such_framework.signals", "celery")


def test_a_framework_that_is_there_and_broken_says_so_itself() -> None:
    with pytest.raises(ModuleNotFoundError, match="no_such_module_of_it"):
        framework("email.no_such_module_of_it", "email")


def test_integrations_are_imported_without_their_frameworks() -> None:
    names = ("asgi", "aws_lambda", "celery", "django", "flask")
    program = (
        "import sys\n"
        + "\n".join(f"import genops_otel_posthog.integrations.{name}" for name in names)
        + "\nprint(*({'celery', 'django', 'flask', 'starlette', 'posthog', 'asgiref'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)

    assert done.stdout.strip() == ""

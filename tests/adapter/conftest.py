"""Fixtures: the one-line API on the real SDK, put back as it was when the test ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import posthog
import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, NumberDataPoint
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from genops_otel_posthog.adapter.adapter import GenOpsPostHogAdapter
from genops_otel_posthog.adapter.clients import end_all
from genops_otel_posthog.adapter.known_clients import forget_all
from genops_otel_posthog.adapter.zero_code import uninstrument_posthog
from genops_otel_posthog.metering.metering import _global_meter, _usage_since
from genops_otel_posthog.receiver.server import LocalReceiver

MODULE_SETTINGS = ("api_key", "project_api_key", "host", "disabled", "default_client")


@pytest.fixture(autouse=True)
def module_of_a_new_process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The module-level client as it is before anybody has set anything."""
    for name in MODULE_SETTINGS:
        monkeypatch.setattr(posthog, name, False if name == "disabled" else None)
    # Usage of the month and what the global meter reports outlive an instrumentation on purpose.
    _usage_since.cache_clear()
    _global_meter.cache_clear()
    yield
    if posthog.default_client is not None:
        posthog.default_client.shutdown()
    uninstrument_posthog()
    end_all(5.0)
    forget_all()


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


class Providers(dict[str, object]):
    """A tracer and a meter provider as options, and what they were given."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        tracer_provider = TracerProvider(shutdown_on_exit=False)
        tracer_provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self._reader = InMemoryMetricReader()
        super().__init__(
            tracer_provider=tracer_provider, meter_provider=MeterProvider([self._reader], shutdown_on_exit=False)
        )

    @property
    def spans(self) -> tuple[ReadableSpan, ...]:
        """The spans that have ended."""
        return self._exporter.get_finished_spans()

    def span(self, name: str) -> ReadableSpan:
        """The only span of a name."""
        (found,) = [span for span in self.spans if span.name == name]
        return found

    @property
    def teams(self) -> list[object]:
        """``genops.team`` of each span."""
        return [(span.attributes or {}).get("genops.team") for span in self._exporter.get_finished_spans()]

    def units(self) -> dict[object, int]:
        """Units of events by team."""
        return {
            (point.attributes or {}).get("genops.team"): int(point.value)
            for point in self._points("genops.usage")
            if (point.attributes or {}).get("genops.cost.meter") == "events"
        }

    def cost(self) -> float:
        """``genops.cost.usage``, of everybody and every meter."""
        return sum(point.value for point in self._points("genops.cost.usage"))

    def _points(self, name: str) -> list[NumberDataPoint]:
        data = self._reader.get_metrics_data()
        return [
            point
            for resource in (data.resource_metrics if data else ())
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if metric.name == name
            for point in metric.data.data_points
            if isinstance(point, NumberDataPoint)
        ]


@pytest.fixture
def providers() -> Providers:
    return Providers()


@pytest.fixture
def make_adapter(receiver: LocalReceiver, providers: Providers) -> Callable[..., GenOpsPostHogAdapter]:
    """Makes adapters of one team that send to the local receiver."""

    def make(**arguments: Any) -> GenOpsPostHogAdapter:
        return GenOpsPostHogAdapter(
            **{
                "posthog_api_key": "phc_adapter",
                "posthog_host": receiver.url,
                "team": "growth",
                "project": "web",
                **providers,
                **arguments,
            }
        )

    return make


@pytest.fixture
def adapter(make_adapter: Callable[..., GenOpsPostHogAdapter]) -> GenOpsPostHogAdapter:
    """An adapter that refuses nothing."""
    return make_adapter()

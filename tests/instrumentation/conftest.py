"""Fixtures: the real SDK, instrumented with providers of the test's own, sending to the local receiver."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, Sampler

from genops_otel_posthog.instrumentation import PostHogInstrumentor
from genops_otel_posthog.metering.metering import _usage_since
from genops_otel_posthog.receiver.server import LocalReceiver


class Observed:
    """What an instrumented test can look at."""

    def __init__(self, sampler: Sampler, resource: dict[str, Any]) -> None:
        self._exporter = InMemorySpanExporter()
        self._reader = InMemoryMetricReader()
        self.tracer_provider = TracerProvider(sampler=sampler, resource=Resource(resource), shutdown_on_exit=False)
        self.tracer_provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.meter_provider = MeterProvider([self._reader], shutdown_on_exit=False)

    @property
    def spans(self) -> list[ReadableSpan]:
        return list(self._exporter.get_finished_spans())

    @property
    def names(self) -> list[str]:
        return [span.name for span in self.spans]

    def span(self, name: str) -> ReadableSpan:
        found = [span for span in self.spans if span.name == name]
        assert len(found) == 1, f"{name!r} is not exactly one of {self.names}"
        return found[0]

    def points(self, metric_name: str) -> list[tuple[dict[str, Any], Any]]:
        data = self._reader.get_metrics_data()
        return [
            (dict(point.attributes or {}), point)
            for resource in (data.resource_metrics if data else ())
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if metric.name == metric_name
            for point in metric.data.data_points
        ]

    def usage(self) -> dict[str, int]:
        """Units by meter, over all series."""
        sums: dict[str, int] = {}
        for attributes, point in self.points("genops.usage"):
            meter = attributes["genops.cost.meter"]
            sums[meter] = sums.get(meter, 0) + point.value
        return sums

    def cost(self) -> float:
        """USD, over all series."""
        return sum(point.value for _, point in self.points("genops.cost.usage"))


Instrument = Callable[..., Observed]


@pytest.fixture
def instrument() -> Iterator[Instrument]:
    """Instruments the SDK with the given options until the test ends."""

    def instrument(*, sampler: Sampler = ALWAYS_ON, resource: dict[str, Any] | None = None, **options: Any) -> Observed:
        observed = Observed(sampler, resource or {})
        PostHogInstrumentor().instrument(
            tracer_provider=observed.tracer_provider, meter_provider=observed.meter_provider, **options
        )
        return observed

    _usage_since.cache_clear()  # month-to-date usage outlives an instrumentation on purpose
    yield instrument
    if PostHogInstrumentor().is_instrumented_by_opentelemetry:
        PostHogInstrumentor().uninstrument()


@pytest.fixture(scope="session")
def shared_receiver() -> Iterator[LocalReceiver]:
    with LocalReceiver(port=0) as receiver:
        yield receiver


@pytest.fixture
def receiver(shared_receiver: LocalReceiver) -> LocalReceiver:
    """The local receiver, empty."""
    shared_receiver.recover()
    shared_receiver.set_flags([])
    shared_receiver.clear()
    return shared_receiver


@pytest.fixture
def new_client(receiver: LocalReceiver) -> Iterator[Callable[..., Any]]:
    """Makes clients of the real SDK that send to the receiver, and shuts them down."""
    import posthog

    clients: list[posthog.Client] = []

    def new_client(key: str = "phc_test", **options: Any) -> posthog.Client:
        client = posthog.Posthog(key, **{"host": receiver.url, "flush_interval": 0.05, **options})
        clients.append(client)
        return client

    yield new_client
    for client in clients:
        client.shutdown()


@pytest.fixture
def client(new_client: Callable[..., Any]) -> Any:
    """A client with the SDK's defaults."""
    return new_client()

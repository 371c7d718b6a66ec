"""Flags asked through the chain are counted, priced and refused like the SDK's own."""

from __future__ import annotations

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from genops_otel_posthog import Attribution, PostHogInstrumentor, governance
from genops_otel_posthog.flags import TRACK_MODEL_COSTS, FlagChain, Gates, Subject

from .conftest import flag


@pytest.fixture
def observed():
    """Spans, and units of flag requests by team."""
    spans, reader = InMemorySpanExporter(), InMemoryMetricReader()
    tracer_provider = TracerProvider(shutdown_on_exit=False)
    tracer_provider.add_span_processor(SimpleSpanProcessor(spans))
    PostHogInstrumentor().instrument(
        tracer_provider=tracer_provider, meter_provider=MeterProvider([reader], shutdown_on_exit=False)
    )

    class Observed:
        @property
        def names(self):
            return [span.name for span in spans.get_finished_spans()]

        @property
        def flag_requests(self):
            data = reader.get_metrics_data()
            return {
                point.attributes.get("genops.team"): point.value
                for resource in (data.resource_metrics if data else ())
                for scope in resource.scope_metrics
                for metric in scope.metrics
                if metric.name == "genops.usage"
                for point in metric.data.data_points
                if point.attributes["genops.cost.meter"] == "feature_flag_requests"
            }

    yield Observed()
    PostHogInstrumentor().uninstrument()


def test_a_remote_request_is_counted_once_for_its_owner(receiver, new_client, observed):
    receiver.set_flags([flag("beta")])
    chain = FlagChain(new_client(), deadline=10, recorders=())
    with governance(team="checkout"):
        for _ in range(3):
            chain.answer("beta", Subject("u1"))
    assert observed.flag_requests == {"checkout": 1}


def test_a_gate_is_not_seen(receiver, new_client, observed):
    receiver.set_flags([flag(TRACK_MODEL_COSTS)])
    chain = FlagChain(new_client(local=True))
    chain.prepare(10)
    before = list(observed.names)
    assert Gates(chain).allows(TRACK_MODEL_COSTS, Attribution(user_id="u1"))
    assert observed.names == before


def test_a_local_evaluation_has_the_span_of_the_sdks_own(receiver, new_client, observed):
    receiver.set_flags([flag("beta")])
    chain = FlagChain(new_client(local=True), recorders=())
    chain.prepare(10)
    chain.answer("beta", Subject("u1"))
    assert "evaluate_flag beta" in observed.names

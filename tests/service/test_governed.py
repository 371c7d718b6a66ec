"""Where the SDK is instrumented, what the service does is governed: a span, a price, an owner, a budget."""

from __future__ import annotations

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from genops_otel_posthog import PostHogInstrumentor, governance
from genops_otel_posthog.metering.metering import _usage_since
from genops_otel_posthog.service import AnalyticsService


@pytest.fixture
def instrument():
    memory = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(memory))
    _usage_since.cache_clear()

    def instrument(**options):
        PostHogInstrumentor().instrument(tracer_provider=provider, **options)
        return memory

    yield instrument
    PostHogInstrumentor().uninstrument()


def test_each_call_is_a_span_with_its_owner_and_its_price(instrument, service):
    memory = instrument(team="checkout", project="shop")
    with governance(customer_id="acme"):
        service.capture_sync("signed_up", "ann")
        service.identify_sync("ann", {"plan": "pro"})
        service.alias_sync("ann", "b")
        AnalyticsService(service).track_interaction_sync(type="click", user_id="ann")
    spans = memory.get_finished_spans()
    assert [span.name for span in spans] == ["capture signed_up", "set", "alias", "capture interaction_click"]
    for span in spans:
        assert span.attributes["genops.team"] == "checkout"
        assert span.attributes["genops.customer_id"] == "acme"
        assert "genops.cost.amount" in span.attributes


@pytest.mark.parametrize("answer", ["drop", "raise"])
def test_what_a_budget_refuses_is_false_and_no_exception(answer, instrument, service, receiver):
    instrument(
        team="checkout",
        project="shop",
        governance_policy="enforced",
        daily_budget_limit=0,
        pricing_mode="list",
        ledger_url="memory://",
        on_budget_exceeded=answer,
    )
    assert service.capture_sync("signed_up", "ann") is False
    assert service.counts().refused == {"budget" if answer == "raise" else "sdk": 1}
    assert service.flush_sync(10)
    assert receiver.events() == []

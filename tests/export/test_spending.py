"""Exported events and the budgets and metrics of the process: asked once, counted once, beside the SDK's own events."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider

from genops_otel_posthog import GovernanceSpanProcessor, PostHogInstrumentor, PostHogSpanExporter, SpanRule, governance
from genops_otel_posthog.budgets.budget import Budget
from genops_otel_posthog.export.rules.rule import EventTemplate
from genops_otel_posthog.metering import metering
from genops_otel_posthog.receiver.server import LocalReceiver

KEY = "phc_spending"
ORDER = SpanRule("order", span_name="order", events=[EventTemplate("order_completed")])


@pytest.fixture(scope="module")
def shared_receiver() -> Iterator[LocalReceiver]:
    with LocalReceiver() as receiver:
        yield receiver


@pytest.fixture
def receiver(shared_receiver: LocalReceiver) -> LocalReceiver:
    shared_receiver.clear()
    return shared_receiver


class Shop:
    """An application with an exporter."""

    def __init__(self, receiver: LocalReceiver, directory: Path, reader: InMemoryMetricReader, **options: Any) -> None:
        self.exporter = PostHogSpanExporter(KEY, receiver.url, rules=[ORDER], outbox=directory, **options)
        self.provider = TracerProvider(shutdown_on_exit=False)
        self.provider.add_span_processor(GovernanceSpanProcessor(self.exporter))
        self._reader = reader

    def span(self, name: str = "order", **attributes: Any) -> None:
        self.provider.get_tracer("shop").start_span(name, attributes=attributes).end()

    def metric(self, name: str, *labels: str) -> dict[Any, float]:
        """The sums of a metric by the values of some labels."""
        sums: Counter[Any] = Counter()
        data = self._reader.get_metrics_data()
        for resource in data.resource_metrics if data is not None else ():
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    for point in metric.data.data_points if metric.name == name else ():
                        values = tuple(point.attributes.get(label) for label in labels)
                        sums[values[0] if len(values) == 1 else values] += point.value
        return dict(sums)


@pytest.fixture
def reader(monkeypatch: pytest.MonkeyPatch) -> InMemoryMetricReader:
    """The metrics of a new process."""
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader], shutdown_on_exit=False)
    monkeypatch.setattr(metrics, "get_meter_provider", lambda: provider)
    monkeypatch.setattr(metering, "_global_meter", lambda: provider.get_meter("genops_otel_posthog"))
    metering._usage_since.cache_clear()
    return reader


@pytest.fixture
def shop(receiver: LocalReceiver, tmp_path: Path, reader: InMemoryMetricReader) -> Iterator[Callable[..., Shop]]:
    shops: list[Shop] = []

    def shop(**options: Any) -> Shop:
        shops.append(Shop(receiver, tmp_path / "outbox", reader, **options))
        return shops[-1]

    yield shop
    for each in shops:
        each.provider.shutdown()
    if PostHogInstrumentor().is_instrumented_by_opentelemetry:
        PostHogInstrumentor().uninstrument()


def test_an_exported_event_is_counted_as_posthog_bills_it(shop: Callable[..., Shop], receiver: LocalReceiver) -> None:
    here = shop()
    with governance(team="checkout"):
        here.span(**{"user.id": "ann"})
        here.span()
    assert here.provider.force_flush(10_000)

    assert here.metric("genops.usage", "genops.cost.meter") == {"events": 2, "identified_events": 1}
    assert here.metric("genops.usage", "genops.cost.meter") == receiver.bill(token=KEY).meters
    assert set(here.metric("genops.usage", "genops.team", "genops.provider")) == {("checkout", "posthog")}


def test_the_event_says_what_it_is_estimated_to_cost(
    shop: Callable[..., Shop], receiver: LocalReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GENOPS_PRICING_MODE", "list")
    here = shop()
    here.span()
    assert here.provider.force_flush(10_000)

    cost = here.metric("genops.cost.usage", "genops.cost.meter")["events"]
    assert cost > 0
    assert receiver.events(token=KEY)[0].properties["genops_cost_estimated"] == cost


def test_a_span_that_comes_through_two_exporters_costs_once(shop: Callable[..., Shop]) -> None:
    here, again = shop(), shop()
    here.provider.add_span_processor(GovernanceSpanProcessor(again.exporter))
    here.span()

    assert here.metric("genops.usage", "genops.cost.meter") == {"events": 1}


def test_the_sdk_s_own_events_and_exported_ones_stand_in_the_same_totals(
    shop: Callable[..., Shop], receiver: LocalReceiver
) -> None:
    import posthog
    from posthog.poller import Poller

    # A client that was left polling for definitions would be counted like everybody, and rightly so.
    for thread in threading.enumerate():
        if isinstance(thread, Poller):
            thread.stop()
    PostHogInstrumentor().instrument()
    here = shop()
    client = posthog.Client(KEY, host=receiver.url)
    client.capture("signed_up", distinct_id="ann")
    here.span(**{"user.id": "ann"})
    client.shutdown()

    assert here.metric("genops.usage", "genops.cost.meter") == {"events": 2, "identified_events": 2}


def test_a_budget_that_is_spent_refuses_events_and_the_span_stays(
    shop: Callable[..., Shop], receiver: LocalReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GENOPS_LEDGER_URL", "memory://")
    monkeypatch.setenv("GENOPS_GOVERNANCE_POLICY", "enforced")
    monkeypatch.setenv("GENOPS_PRICING_MODE", "list")
    monkeypatch.setenv("GENOPS_DAILY_BUDGET_LIMIT", "0.0001")  # two events at list price
    here = shop()
    for _ in range(5):
        here.span()
    assert here.provider.force_flush(10_000)

    assert here.exporter.spans.dropped == {"budget": 3}
    assert here.exporter.spans.enqueued == 2
    assert len(receiver.events(token=KEY)) == 2
    assert here.metric("genops.usage", "genops.cost.meter") == {"events": 2}


def test_a_critical_event_passes_a_spent_budget(shop: Callable[..., Shop], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GENOPS_LEDGER_URL", "memory://")
    monkeypatch.setenv("GENOPS_GOVERNANCE_POLICY", "enforced")
    monkeypatch.setenv("GENOPS_DAILY_BUDGET_LIMIT", "0")
    monkeypatch.setenv("GENOPS_CRITICAL_EVENTS", "order_completed")
    here = shop()
    here.span()

    assert here.exporter.spans.enqueued == 1


@pytest.mark.parametrize("exporter_first", [True, False])
def test_the_budgets_of_the_environment_are_open_once_in_a_process(
    shop: Callable[..., Shop], monkeypatch: pytest.MonkeyPatch, exporter_first: bool
) -> None:
    monkeypatch.setenv("GENOPS_LEDGER_URL", "memory://")
    monkeypatch.setenv("GENOPS_DAILY_BUDGET_LIMIT", "1")
    here = shop()
    if exporter_first:
        here.span()
    PostHogInstrumentor().instrument()
    here.span()

    assert len(metering._opened) == 1
    assert len(metering._opened[0].users) == 2


def test_exported_events_fall_under_budgets_that_only_the_instrumentation_was_given(
    shop: Callable[..., Shop],
) -> None:
    here = shop()
    here.span()
    PostHogInstrumentor().instrument(
        ledger_url="memory://", budgets=[Budget(id="none", limit=Decimal(0), period="day", policy="enforced")]
    )
    here.span()
    PostHogInstrumentor().uninstrument()
    here.span()

    assert (here.exporter.spans.enqueued, dict(here.exporter.spans.dropped)) == (2, {"budget": 1})


def test_the_cost_of_a_model_is_counted_once_by_its_provider_and_charged_to_budgets(
    shop: Callable[..., Shop], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("genai_prices", reason="needs genai-prices")
    monkeypatch.setenv("GENOPS_LEDGER_URL", "memory://")
    monkeypatch.setenv("GENOPS_DAILY_BUDGET_LIMIT", "1")
    here = shop()
    with governance(team="search"):
        here.span(
            "chat gpt-4o",
            **{
                "gen_ai.operation.name": "chat",
                "gen_ai.provider.name": "openai",
                "gen_ai.request.model": "gpt-4o",
                "gen_ai.response.model": "gpt-4o",
                "gen_ai.usage.input_tokens": 1_000_000,
                "gen_ai.usage.output_tokens": 1_000,
            },
        )
    labels = ("genops.provider", "genops.cost.meter", "genops.team")
    cost = here.metric("genops.cost.usage", *labels)[("openai", "model_calls", "search")]

    assert cost == pytest.approx(2.51)
    assert here.metric("genops.usage", *labels)[("openai", "model_calls", "search")] == 1
    governor = metering._opened[0].budgeting.governor
    assert governor.flush()
    ((_, standing, _),) = governor.standings()
    assert standing.committed == int(cost * 1_000_000_000)


def test_beside_the_instrumentation_and_through_two_exporters_every_cost_reaches_budgets_and_metrics_once(
    shop: Callable[..., Shop], receiver: LocalReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("genai_prices", reason="needs genai-prices")
    import posthog

    monkeypatch.setenv("GENOPS_LEDGER_URL", "memory://")
    monkeypatch.setenv("GENOPS_PRICING_MODE", "list")
    monkeypatch.setenv("GENOPS_DAILY_BUDGET_LIMIT", "100")
    here, again = shop(), shop()
    here.provider.add_span_processor(GovernanceSpanProcessor(again.exporter))
    PostHogInstrumentor().instrument(tracer_provider=here.provider)
    client = posthog.Client(KEY, host=receiver.url)
    chat = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-4o"}
    with governance(team="search"):
        client.capture("signed_up", distinct_id="ann")
        here.span(**{"user.id": "ann"})
        here.span("chat gpt-4o", **chat, **{"gen_ai.usage.input_tokens": 1_000, "gen_ai.usage.output_tokens": 100})
    client.shutdown()
    assert here.provider.force_flush(10_000)

    usage = here.metric("genops.usage", "genops.cost.meter")
    assert usage.pop("model_calls") == 1
    assert usage == receiver.bill(token=KEY).meters == {"events": 2, "identified_events": 2, "llm_events": 1}
    assert sorted(event.event for event in receiver.events(token=KEY)) == [
        "$ai_generation",
        "order_completed",
        "signed_up",
    ]
    governor = metering._opened[0].budgeting.governor
    assert governor.flush()
    ((_, standing, _),) = governor.standings()
    cost = here.metric("genops.cost.usage", "genops.team")
    assert standing.committed == round(cost["search"] * 1_000_000_000) > 0


def test_where_posthog_does_not_get_the_events_they_cost_nothing(
    shop: Callable[..., Shop], receiver: LocalReceiver
) -> None:
    from genops_otel_posthog.export.destinations.rudderstack import RudderStackDestination

    here = shop(destinations=[RudderStackDestination("write-key", receiver.url)])
    here.span()

    assert here.exporter.spans.enqueued == 1
    assert here.metric("genops.usage", "genops.cost.meter") == {}

"""Many events: gathered, in parallel, sampled; never lost once they were taken."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from genops_otel_posthog import (
    GenOpsBudgetExceededError,
    GenOpsConfigurationError,
    GenOpsProviderError,
    GenOpsValidationError,
)
from genops_otel_posthog.adapter.batch import BatchEventProcessor
from genops_otel_posthog.adapter.high_volume import ScalablePostHogAnalytics


@pytest.mark.requirement("E-19", "S4-68", "D-12")
def test_times_and_order_are_kept(adapter: Any, receiver: Any) -> None:
    now = [1_795_000_000.0]
    batch = BatchEventProcessor(adapter, batch_size=100, flush_interval=3600, clock=lambda: now[0])
    for number in range(250):
        now[0] += 1
        batch.add_event(f"event_{number}", {"n": number}, "user-42")
    assert len(batch) == 50
    report = batch.flush_events()

    adapter.flush()
    events = sorted(receiver.events(), key=lambda event: event.properties["n"])
    times = [datetime.fromisoformat(event.timestamp.replace("Z", "+00:00")).timestamp() for event in events]
    # PostHog corrects times by how far the clock of the sender is from its own.
    assert times == pytest.approx([1_795_000_001.0 + number for number in range(250)], abs=0.5)
    assert (report["events"], report["waiting"], len(batch)) == (50, 0, 0)


@pytest.mark.requirement("S4-68")
def test_the_interval_ends_without_another_event(make_adapter: Any, receiver: Any) -> None:
    batch = BatchEventProcessor(make_adapter(client_options={"flush_at": 1}), flush_interval=0.05)
    batch.add_event("alone", None, "ann")

    assert [event.event for event in receiver.wait_for_events(1)] == ["alone"]


@pytest.mark.requirement("S4-68")
def test_what_a_budget_refuses_goes_on_waiting_in_its_place(make_adapter: Any, receiver: Any) -> None:
    adapter = make_adapter(governance_policy="enforced", daily_budget_limit=0.0001, pricing_mode="list")
    batch = BatchEventProcessor(adapter, flush_interval=3600)
    for name in "abcd":
        batch.add_event(name)
    with pytest.raises(GenOpsBudgetExceededError):
        batch.flush_events()
    assert len(batch) == 2

    adapter.update_budget(daily=1)
    assert batch.flush_events()["events"] == 2
    adapter.flush()
    assert [event.event for event in receiver.events()] == ["a", "b", "c", "d"]


def test_a_full_batch_does_not_raise_into_the_one_who_adds(make_adapter: Any, caplog: Any) -> None:
    adapter = make_adapter(governance_policy="enforced", daily_budget_limit=0, pricing_mode="list")
    batch = BatchEventProcessor(adapter, batch_size=2, flush_interval=3600)
    batch.add_event("a")
    batch.add_event("b")

    assert len(batch) == 2
    adapter.update_budget(governance_policy="advisory")
    batch.close()
    assert any("2 gathered events wait" in message for message in caplog.messages)


def test_a_closed_batch_has_sent_everything_and_takes_nothing_more(adapter: Any, receiver: Any) -> None:
    with BatchEventProcessor(adapter, flush_interval=3600) as batch:
        batch.add_event("a")
    with pytest.raises(GenOpsProviderError, match="takes no more events"):
        batch.add_event("b")

    adapter.flush()
    assert [event.event for event in receiver.events()] == ["a"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"event_name": ""}, "event_name"), ({"event_name": "x", "properties": 5}, "properties")],
)
def test_what_could_not_be_captured_is_refused_when_it_is_added(arguments: Any, message: str, adapter: Any) -> None:
    with pytest.raises(GenOpsValidationError, match=message):
        BatchEventProcessor(adapter).add_event(**arguments)


@pytest.mark.parametrize("numbers", [{"batch_size": 0}, {"flush_interval": 0}, {"flush_interval": float("nan")}])
def test_a_batch_of_nothing_is_refused(numbers: Any, adapter: Any) -> None:
    with pytest.raises(GenOpsConfigurationError):
        BatchEventProcessor(adapter, **numbers)


# --- high volume ------------------------------------------------------------------------------------------------------


def black_friday(count: int) -> list[dict[str, Any]]:
    names = ["page_view", "click", "add_to_cart", "purchase", "error_shown"]
    return [
        {
            "event_name": names[min(2, number % 100 // 33)],
            "properties": {"n": number},
            "distinct_id": f"shopper-{number}",
        }
        if number % 100 < 98
        else {"event_name": names[3 + number % 2], "properties": {"n": number}, "distinct_id": f"shopper-{number}"}
        for number in range(count)
    ]


@pytest.fixture
def analytics(receiver: Any, providers: Any) -> Any:
    # Sends nothing: what is looked at is which events there are.
    made = ScalablePostHogAnalytics(
        {"posthog_api_key": "phc_x", "posthog_host": receiver.url, "client_options": {"send": False}, **providers}
    )
    yield made
    made.close()


@pytest.mark.requirement("E-20", "S4-54", "D-53", "S4-66")
async def test_a_black_friday_is_a_tenth_and_the_same_tenth_again(analytics: Any) -> None:
    events = black_friday(12_000)
    always = [event for event in events if event["event_name"] in {"purchase", "error_shown"}]

    results = await analytics.process_high_volume_events(events)
    again = await analytics.process_high_volume_events(events)

    kept = [result["properties"]["n"] for result in results]
    assert kept == sorted(kept) == [result["properties"]["n"] for result in again]
    sampled = [result for result in results if "genops_sample_rate" in result["properties"]]
    assert len(results) - len(sampled) == len(always)
    assert 1080 <= len(sampled) <= 1320
    assert {result["properties"]["genops_sample_rate"] for result in sampled} == {0.1}


@pytest.mark.requirement("S4-54")
@pytest.mark.parametrize("count", [3, 1_001])
async def test_fewer_are_all_captured_in_their_order(count: int, receiver: Any, providers: Any) -> None:
    analytics = ScalablePostHogAnalytics({"posthog_api_key": "phc_x", "posthog_host": receiver.url, **providers})
    results = await analytics.process_high_volume_events(black_friday(count))
    analytics.base_adapter.flush()

    assert [result["properties"]["n"] for result in results] == list(range(count))
    assert {event.uuid for event in receiver.events()} == {result["event_uuid"] for result in results}
    assert {result["session_id"] for result in results} != {None}
    analytics.close()


async def test_refusals_are_told_in_the_results_and_end_nothing(receiver: Any, providers: Any) -> None:
    analytics = ScalablePostHogAnalytics(
        {
            "posthog_api_key": "phc_x",
            "posthog_host": receiver.url,
            "governance_policy": "enforced",
            "daily_budget_limit": 0.0001,
            "pricing_mode": "list",
            **providers,
        }
    )
    results = await analytics.process_high_volume_events([{"event_name": "x"}] * 4)

    assert [result["blocked"] for result in results] == [False, False, True, True]
    analytics.close()


@pytest.mark.parametrize(
    ("event", "message"),
    [
        ({}, "event 1 cannot be used: it must be a dict with event_name"),
        ({"event_name": "x", "name": "y"}, "it has name"),
        ({"event_name": " "}, "event 1 cannot be used: event_name is blank"),
        ({"event_name": "x", "distinct_id": ["u"]}, "event 1 .* distinct_id must be"),
        ({"event_name": "x", "properties": 5}, "event 1 .* properties must be"),
        ({"event_name": "x", "timestamp": "soon"}, "event 1 .* timestamp 'soon'"),
        ({"event_name": "x", "uuid": "x"}, "event 1 .* uuid='x'"),
    ],
)
async def test_an_event_that_is_none_is_refused_before_any_is_captured(
    event: Any, message: str, analytics: Any, providers: Any
) -> None:
    with pytest.raises(GenOpsValidationError, match=message):
        await analytics.process_high_volume_events([{"event_name": "good"}, event])

    assert providers.spans == ()


# --- sampling of an adapter -------------------------------------------------------------------------------------------


@pytest.mark.requirement("S4-48", "S4-66", "D-53")
def test_an_aggressive_adapter_leaves_out_the_same_peoples_views_and_no_purchase(
    make_adapter: Any, receiver: Any
) -> None:
    adapter = make_adapter(tags={"cost_optimization": "aggressive"})
    people = [f"user-{number}" for number in range(200)]
    sent = {p: adapter.capture_event_with_governance("page_view", None, p)["sampled"] for p in people}
    assert sent == {p: adapter.capture_event_with_governance("page_view", None, p)["sampled"] for p in people}
    assert not any(adapter.capture_event_with_governance("purchase", None, p)["sampled"] for p in people)

    adapter.flush()
    views = receiver.events("page_view")
    assert 5 <= len(views) // 2 <= 40
    assert {event.properties["genops_sample_rate"] for event in views} == {0.1}
    assert len(receiver.events("purchase")) == 200


def test_a_sampling_that_is_none_is_refused(make_adapter: Any) -> None:
    with pytest.raises(GenOpsConfigurationError, match="cost_optimization='cheap' cannot be used"):
        make_adapter(sampling="cheap")


def spent_budget(make_adapter: Any, **arguments: Any) -> Any:
    """An adapter whose budget is spent, which refuses nothing and sends only a part of what matters least."""
    adapter = make_adapter(daily_budget_limit=0.0001, pricing_mode="list", budget_sampling=True, **arguments)
    for number in range(3):
        adapter.capture_event_with_governance("signup", None, f"u{number}")
    while adapter.get_cost_summary()["daily_budget_utilization"] < 100:
        pass
    return adapter


def test_no_sampling_of_a_budget_leaves_out_a_conversion_either(make_adapter: Any) -> None:
    adapter = spent_budget(make_adapter)
    with adapter.track_analytics_session("s") as session:
        results = [session.record_conversion("trial_started", 5, f"user-{number}") for number in range(20)]

    assert [result["event_uuid"] is not None for result in results] == [True] * 20
    assert session.conversion_value == 100


def test_what_was_sampled_twice_carries_the_product_of_the_rates(make_adapter: Any, receiver: Any) -> None:
    adapter = spent_budget(make_adapter, sampling="aggressive")
    results = [adapter.capture_event_with_governance("click", None, f"user-{number}") for number in range(400)]
    kept = [result for result in results if not result["sampled"]]

    assert 5 <= len(kept) <= 30
    assert [result["properties"]["genops_sample_rate"] for result in kept] == pytest.approx([0.04] * len(kept))

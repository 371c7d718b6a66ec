"""What an owner has spent, what it would cost to go on, and how it could cost less."""

from __future__ import annotations

import json
from datetime import date, datetime, timezone
from typing import Any

import pytest

from genops_otel_posthog import GenOpsPostHogAdapter, GenOpsValidationError
from genops_otel_posthog.adapter.day_counts import Day, DayCounts
from genops_otel_posthog.adapter.recommendations import Projection
from genops_otel_posthog.pricing.book import PriceBook

BOOK = PriceBook.load("posthog-2026-07-22")
NS = 1_000_000_000


@pytest.mark.requirement("S4-30", "S4-57")
def test_the_summary_says_how_much_of_how_much(make_adapter: Any) -> None:
    adapter = make_adapter(daily_budget_limit=0.001, monthly_budget_limit=0.01, pricing_mode="list")
    with adapter.track_analytics_session("open"):
        for _ in range(10):
            adapter.capture_event_with_governance("x")
        summary = adapter.get_cost_summary()

    assert json.loads(json.dumps(summary)) == summary
    assert (summary["daily_costs"], summary["monthly_costs"]) == pytest.approx((0.0005, 0.0005))
    assert (summary["daily_budget_limit"], summary["monthly_budget_limit"]) == (0.001, 0.01)
    assert summary["daily_budget_utilization"] == pytest.approx(50.0)
    assert summary["monthly_budget_utilization"] == pytest.approx(5.0)
    assert summary["projected_monthly_cost"] >= summary["monthly_costs"]
    assert (summary["active_sessions"], summary["events_today"], summary["flags_evaluated_today"]) == (1, 10, 0)
    assert (summary["team"], summary["project"], summary["environment"]) == ("growth", "web", "production")
    assert (summary["governance_enabled"], summary["governance_policy"]) == (True, "advisory")
    assert (summary["cost_alerts_enabled"], summary["pricing_mode"]) == (True, "list")


def test_a_fresh_owner_has_spent_nothing(adapter: GenOpsPostHogAdapter) -> None:
    summary = adapter.get_cost_summary()

    assert (summary["daily_costs"], summary["monthly_costs"], summary["daily_budget_utilization"]) == (0.0, 0.0, 0.0)


@pytest.mark.requirement("D-18", "E-12")
def test_a_day_ends_and_a_month_goes_on() -> None:
    today = [date(2026, 11, 29)]
    counts = DayCounts(lambda: today[0])

    def spend(day: date, nano: int) -> None:
        instant = datetime(day.year, day.month, day.day, 23, 59, tzinfo=timezone.utc)
        with counts.lock:
            counts.at(int(instant.timestamp()) * NS).cost_nano += nano

    spend(date(2026, 11, 29), 5)
    assert (counts.today().cost_nano, counts.this_month().cost_nano) == (5, 5)
    today[0] = date(2026, 11, 30)
    spend(date(2026, 11, 30), 7)
    assert (counts.today().cost_nano, counts.this_month().cost_nano) == (7, 12)
    today[0] = date(2026, 12, 1)
    assert (counts.today().cost_nano, counts.this_month().cost_nano, counts.last_days(3).cost_nano) == (0, 0, 12)


def test_old_days_are_forgotten() -> None:
    counts = DayCounts()
    with counts.lock:
        for number in range(1000):
            counts.at(number * 86_400 * NS).events += 1
    assert len(counts._days) == 62


@pytest.mark.requirement("S4-57", "D-20")
def test_a_week_is_compared_with_the_one_before(adapter: GenOpsPostHogAdapter) -> None:
    counts = adapter.governed.counts
    now = int(datetime.now(timezone.utc).timestamp()) * NS
    with counts.lock:
        counts.at(now).cost_nano += 3 * NS
        counts.at(now - 8 * 86_400 * NS).cost_nano += 2 * NS

    assert adapter.analyze_weekly_cost_trend() == {
        "current_week_cost": 3.0,
        "previous_week_cost": 2.0,
        "growth_rate": 50.0,
    }


@pytest.mark.requirement("E-33")
def test_the_metrics_of_opentelemetry_add_up_to_the_summary(make_adapter: Any, receiver: Any, providers: Any) -> None:
    adapter = make_adapter(pricing_mode="list")
    for number in range(7):
        adapter.capture_event_with_governance("x", None, "ann", is_identified=number % 2 == 0)
    adapter.evaluate_feature_flag_with_governance("beta", "ann")

    assert providers.cost() == pytest.approx(adapter.get_cost_summary()["daily_costs"])
    assert sum(span.attributes["genops.cost.amount"] for span in providers.spans) == pytest.approx(providers.cost())


# --- metrics for others -----------------------------------------------------------------------------------------------


@pytest.mark.requirement("E-32", "S4-58", "D-21")
def test_five_numbers_as_a_dictionary_and_for_prometheus(make_adapter: Any) -> None:
    adapter = make_adapter(team='gro"wth', daily_budget_limit=0.001, pricing_mode="list")
    adapter.capture_event_with_governance("x")

    metrics = adapter.export_analytics_metrics()
    assert set(metrics) == {
        "posthog_daily_cost",
        "posthog_budget_utilization",
        "posthog_governance_active",
        "posthog_events_today",
        "posthog_flags_evaluated",
    }
    assert metrics["posthog_daily_cost"] == pytest.approx(0.00005)
    assert metrics["posthog_budget_utilization"] == pytest.approx(5.0)
    assert (metrics["posthog_governance_active"], metrics["posthog_events_today"]) == (1, 1)
    text = adapter.render_prometheus()
    assert (
        '# TYPE posthog_daily_cost gauge\nposthog_daily_cost{team="gro\\"wth",project="web",environment="production"} '
        in text
    )
    assert text.endswith("\n")


@pytest.mark.requirement("E-32", "S4-59", "D-21")
def test_gauges_for_datadog_carry_the_owner(adapter: GenOpsPostHogAdapter) -> None:
    taken: dict[str, tuple[float, list[str]]] = {}

    class Statsd:
        def gauge(self, metric: str, value: float, *, tags: list[str]) -> None:
            taken[metric] = (value, tags)

    adapter.send_to_datadog(Statsd())

    assert len(taken) == 5
    assert taken["posthog_events_today"] == (0, ["team:growth", "project:web", "environment:production"])


# --- advice -----------------------------------------------------------------------------------------------------------


def observed(**counts: Any) -> Day:
    day = Day()
    for name, value in counts.items():
        setattr(day, name, value)
    return day


def analysis(events: int, day: Day, *, is_metered: bool = True) -> dict[str, Any]:
    return Projection(BOOK, is_metered=is_metered, observed=day, events=events).analysis()


@pytest.mark.requirement("S4-31")
def test_half_a_million_events_are_free_and_nothing_can_be_saved() -> None:
    told = analysis(500_000, observed())

    assert (told["projected_monthly_cost"], told["cost_per_event"]) == (0.0, 0.0)
    assert told["optimization_recommendations"] == []
    assert told["free_tier_utilization"]["events"] == 50.0


@pytest.mark.requirement("S4-31")
def test_what_is_advised_saves_exactly_what_it_says() -> None:
    day = observed(
        events=1_000,
        identified_events=500,
        flag_requests=400,
        repeated_flag_requests=300,
        recordings=10,
        by_event={"page_view": 600, "purchase": 400},
    )
    told = analysis(5_000_000, day)

    assert told["projected_usage"] == {
        "events": 5_000_000,
        "identified_events": 2_500_000,
        "feature_flag_requests": 2_000_000,
        "recordings": 50_000,
        "llm_events": 0,
    }
    advice = {each["optimization_type"]: each for each in told["optimization_recommendations"]}
    assert list(advice) == sorted(advice, key=lambda kind: -advice[kind]["potential_savings_per_month"])

    def cost(meter: str, units: int) -> float:
        return BOOK.cumulative_nano(meter, units) / NS

    anonymous = advice["anonymous_events"]["potential_savings_per_month"]
    assert anonymous == pytest.approx(cost("identified_events", 2_500_000))
    cached = advice["flag_caching"]["potential_savings_per_month"]
    assert cached == pytest.approx(cost("feature_flag_requests", 2_000_000) - cost("feature_flag_requests", 500_000))
    kept = round(5_000_000 * (0.6 * 0.1 + 0.4))
    sampled = advice["event_sampling"]["potential_savings_per_month"]
    assert sampled == pytest.approx(cost("events", 5_000_000) - cost("events", kept))
    for each in told["optimization_recommendations"]:
        assert 0 < each["priority_score"] <= 100
        assert f"${each['potential_savings_per_month']:,.2f} less" in each["arithmetic"]
        assert {"current_tier", "next_tier", "events_needed", "cost_per_event_improvement", "how"} <= set(each)
    assert told["projected_monthly_cost"] == pytest.approx(sum(told["cost_breakdown"].values()))


@pytest.mark.requirement("S4-31")
def test_more_usage_is_never_advised() -> None:
    for events in (1_000_000, 1_999_999, 2_000_001, 60_000_000):
        told = analysis(events, observed(events=10, by_event={"purchase": 10}))
        assert told["optimization_recommendations"] == []
        assert told["tier"]["events_needed"] is None or told["tier"]["events_needed"] > 0


def test_spans_that_are_events_cost_less_as_traces() -> None:
    day = observed(events=100, llm_events=100, by_event={"$ai_span": 90, "$ai_generation": 10})
    (advice,) = analysis(1_000_000, day, is_metered=False)["optimization_recommendations"]

    assert advice["optimization_type"] == "spans_as_traces"
    assert advice["potential_savings_per_month"] == pytest.approx(900_000 * BOOK.list_price_nano("llm_events") / NS)


@pytest.mark.requirement("S4-31")
def test_the_adapter_advises_from_what_it_has_seen(make_adapter: Any, receiver: Any) -> None:
    adapter = make_adapter()
    for number in range(4):
        adapter.capture_event_with_governance("page_view", None, f"user-{number}", is_identified=True)
    told = adapter.get_volume_discount_analysis(projected_monthly_events=4_000_000)

    assert told["projected_usage"]["identified_events"] == 4_000_000
    kinds = {each["optimization_type"] for each in told["optimization_recommendations"]}
    assert kinds == {"anonymous_events", "event_sampling"}
    assert json.loads(json.dumps(told)) == told


@pytest.mark.parametrize("events", [-1, 1.5, "many", None, True])
def test_a_number_of_events_that_is_none_is_refused(events: Any, adapter: GenOpsPostHogAdapter) -> None:
    with pytest.raises(GenOpsValidationError, match="projected_monthly_events"):
        adapter.get_volume_discount_analysis(events)

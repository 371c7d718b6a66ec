"""The calculator of the guide."""

from __future__ import annotations

from decimal import Decimal

import pytest

from genops_otel_posthog import PostHogCostCalculator, PriceBook
from genops_otel_posthog.errors import GenOpsConfigurationError


@pytest.fixture
def newest() -> PostHogCostCalculator:
    return PostHogCostCalculator()


@pytest.fixture
def guide() -> PostHogCostCalculator:
    return PostHogCostCalculator(PriceBook.load("genops-guide"))


def test_the_calculator_uses_posthogs_newest_prices_by_default(newest: PostHogCostCalculator):
    assert newest.price_book is PriceBook.load("posthog-2026-07-22")


def test_a_book_can_be_given_by_name():
    assert PostHogCostCalculator("genops-guide").price_book.name == "genops-guide"


@pytest.mark.parametrize(
    ("scenario", "total", "recordings"),
    [
        ({"events": 100_000, "flags": 50_000, "recordings": 2_000}, "0.00", "0.00"),
        ({"events": 200_000, "flags": 100_000, "recordings": 5_000}, "0.00", "0.00"),
        ({"events": 500_000, "flags": 250_000, "recordings": 10_000}, "0.36", "0.36"),
    ],
)
def test_the_guides_scenarios_print_the_guides_numbers(guide, scenario: dict[str, int], total: str, recordings: str):
    cost = guide.calculate_session_cost(**scenario)
    assert f"{cost.total_cost:.2f}" == total
    assert f"{cost.cost_breakdown['events']:.2f}" == "0.00"
    assert f"{cost.cost_breakdown['feature_flags']:.2f}" == "0.00"
    assert f"{cost.cost_breakdown['session_recordings']:.2f}" == recordings


@pytest.mark.requirement("D-06")
def test_identified_events_are_priced_once_as_events_and_once_as_the_surcharge(guide: PostHogCostCalculator):
    cost = guide.calculate_session_cost(
        event_count=10_000, identified_events=3_000, feature_flag_requests=25_000, session_recordings=1_000
    )
    assert cost.total_cost == cost.cost_breakdown["identified_events"] == Decimal("0.594")


def test_a_web_shops_month_by_the_guides_prices(guide: PostHogCostCalculator):
    cost = guide.calculate_session_cost(850_000, 255_000, 120_000, 8_000)
    assert cost.total_cost == Decimal("50.703")


def test_the_same_month_by_posthogs_prices(newest: PostHogCostCalculator):
    assert newest.calculate_session_cost(850_000, 255_000, 120_000, 8_000).total_cost == Decimal("15")


def test_the_breakdown_has_a_part_for_each_product_and_adds_up(newest: PostHogCostCalculator):
    cost = newest.calculate_session_cost(3_000_000, 2_000_000, 1_500_000, 20_000, 150_000)
    assert cost.cost_breakdown == {
        "events": Decimal("84.3"),
        "identified_events": Decimal("198"),
        "feature_flags": Decimal("50"),
        "session_recordings": Decimal("67.5"),
        "llm_analytics": Decimal("17.5"),
    }
    assert cost.total_cost == sum(cost.cost_breakdown.values())
    assert cost.cost_per_event == cost.total_cost / 3_000_000


def test_the_free_tier_usage_says_how_much_of_each_free_tier_is_taken(newest: PostHogCostCalculator):
    cost = newest.calculate_session_cost(3_000_000, 40_000, 20, 6_000, 0)
    assert cost.free_tier_usage == {
        "events": 1_000_000,
        "identified_events": 40_000,
        "feature_flags": 20,
        "session_recordings": 5_000,
        "llm_analytics": 0,
    }


def test_nothing_costs_nothing(newest: PostHogCostCalculator):
    cost = newest.calculate_session_cost()
    assert (cost.total_cost, cost.cost_per_event) == (0, 0)


@pytest.mark.parametrize(
    ("method", "units", "newest_cost", "guide_cost"),
    [
        ("calculate_feature_flag_cost", 1_250_000, "25", "1.25"),
        ("calculate_session_recording_cost", 10_000, "25", "0.355"),
        ("calculate_llm_analytics_cost", 150_000, "17.5", "5"),
        ("calculate_event_cost", 2_500_000, "67.15", "62.5"),
    ],
)
def test_each_product_has_a_method(newest, guide, method: str, units: int, newest_cost: str, guide_cost: str):
    assert getattr(newest, method)(units) == Decimal(newest_cost)
    assert getattr(guide, method)(units) == Decimal(guide_cost)


def test_identified_events_cost_the_surcharge_on_top(newest: PostHogCostCalculator, guide: PostHogCostCalculator):
    assert newest.calculate_event_cost(2_000_000, is_identified=True) == 248
    assert guide.calculate_event_cost(10_000, is_identified=True) == Decimal("1.98")


def test_the_short_names_mean_the_long_ones(newest: PostHogCostCalculator):
    short = newest.calculate_session_cost(
        events=3_000_000, identified=1_000_000, flags=2_000_000, recordings=9_000, llm=200_000
    )
    assert short == newest.calculate_session_cost(3_000_000, 1_000_000, 2_000_000, 9_000, 200_000)


def test_a_number_and_its_short_form_may_both_be_given_when_they_agree(newest: PostHogCostCalculator):
    assert newest.calculate_session_cost(event_count=5, events=5).event_count == 5


def test_a_number_and_its_short_form_that_differ_are_refused(newest: PostHogCostCalculator):
    with pytest.raises(TypeError, match="event_count=5 and events=6 are the same thing and differ"):
        newest.calculate_session_cost(event_count=5, events=6)


def test_identified_events_alone_are_all_the_events_there_are(newest: PostHogCostCalculator):
    cost = newest.calculate_session_cost(identified_events=2_000_000)
    assert (cost.event_count, cost.total_cost) == (2_000_000, 248)


@pytest.mark.requirement("D-06")
def test_more_identified_events_than_events_are_refused(newest: PostHogCostCalculator):
    with pytest.raises(ValueError, match="6 of 5 events cannot be identified"):
        newest.calculate_session_cost(event_count=5, identified_events=6)


def test_a_negative_number_is_refused(newest: PostHogCostCalculator):
    with pytest.raises(ValueError, match="never negative"):
        newest.calculate_session_cost(flags=-1)
    with pytest.raises(ValueError, match="never negative"):
        newest.calculate_event_cost(-1)


def test_half_an_event_is_refused(newest: PostHogCostCalculator):
    with pytest.raises(TypeError):
        newest.calculate_event_cost(1.5)  # type: ignore[arg-type]  # that is the point


def test_an_unknown_argument_is_refused(newest: PostHogCostCalculator):
    with pytest.raises(TypeError, match="surveys"):
        newest.calculate_session_cost(surveys=5)  # type: ignore[call-arg]  # that is the point


def test_something_used_that_the_book_does_not_price_is_refused():
    calculator = PostHogCostCalculator("posthog-2024-03-07")
    assert calculator.calculate_session_cost(events=2_000_000).total_cost == 310
    with pytest.raises(GenOpsConfigurationError, match="has no price for llm_events"):
        calculator.calculate_session_cost(events=2_000_000, llm=1)

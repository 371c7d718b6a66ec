"""Forecasts of usage and cost."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest

from genops_otel_posthog.errors import GenOpsConfigurationError
from genops_otel_posthog.money import usd_from_nano
from genops_otel_posthog.pricing.book import PriceBook
from genops_otel_posthog.pricing.forecast import SEASONAL_FACTORS, forecast, forecast_usage

NEWEST = PriceBook.load("posthog-2026-07-22")
NOVEMBER = date(2026, 11, 22)


def test_the_first_month_has_the_usage_given():
    first = forecast_usage(NEWEST, {"events": 3_000_000}, "0.1", start=NOVEMBER).months[0]
    assert (first.month, first.usage, first.cost) == (date(2026, 11, 1), {"events": 3_000_000}, Decimal("84.3"))


@pytest.mark.requirement("S4-77", "E-23")
def test_usage_grows_by_the_month_and_is_rounded_half_up():
    months = forecast_usage(NEWEST, {"events": 15}, "0.1", 3, start=NOVEMBER).months
    assert [month.usage["events"] for month in months] == [15, 17, 18]  # 15, 16.5, 18.15


def test_each_month_is_priced_by_its_tiers_and_not_by_growing_the_cost():
    months = forecast_usage(NEWEST, {"events": 1_000_000}, 1, 3, start=NOVEMBER).months
    assert [month.cost for month in months] == [0, 50, Decimal("118.6")]


def test_months_follow_the_calendar_over_the_turn_of_the_year():
    months = forecast_usage(NEWEST, {"events": 1}, 0, 15, start=NOVEMBER).months
    assert [f"{month.month:%Y-%m}" for month in months][:3] == ["2026-11", "2026-12", "2027-01"]
    assert months[-1].month == date(2028, 1, 1)


@pytest.mark.requirement("S4-77", "E-23")
def test_the_season_of_the_first_month_is_in_the_usage_given():
    months = forecast_usage(NEWEST, {"events": 1_000_000}, 0, 8, start=NOVEMBER, seasonal=SEASONAL_FACTORS).months
    assert months[0].usage["events"] == months[1].usage["events"] == 1_000_000
    assert months[2].usage["events"] == 720_000  # 0.9 / 1.25
    assert months[5].usage["events"] == 880_000  # 1.1 / 1.25


def test_shrinking_usage_is_a_forecast_too():
    assert forecast_usage(NEWEST, {"events": 100}, "-0.5", 3, start=NOVEMBER).months[2].usage == {"events": 25}


def test_identified_events_stay_a_part_of_all_events():
    months = forecast_usage(NEWEST, {"events": 7, "identified_events": 7}, "0.037", 60, start=NOVEMBER).months
    assert all(month.usage["identified_events"] <= month.usage["events"] for month in months)


@pytest.mark.requirement("S4-77")
def test_the_total_is_the_sum_of_the_months_and_the_buffer_comes_on_top():
    result = forecast_usage(NEWEST, {"events": 2_000_000}, 0, 12, start=NOVEMBER)
    assert (result.total, result.total_with_buffer) == (600, 720)


def test_a_break_point_says_when_a_meter_enters_its_next_tier():
    points = forecast_usage(NEWEST, {"feature_flag_requests": 800_000}, "0.2", 12, start=NOVEMBER).break_points
    assert [(point.volume, point.month) for point in points] == [
        (1_000_000, date(2027, 1, 1)),  # 800k, 960k, 1,152k
        (2_000_000, date(2027, 5, 1)),
        (10_000_000, None),
        (50_000_000, None),
    ]
    assert (points[0].price_before, points[0].price_after) == (0, Decimal("0.0001"))


def test_a_month_with_exactly_the_volume_has_not_entered_the_next_tier():
    result = forecast_usage(NEWEST, {"feature_flag_requests": 1_000_000}, 0, 1, start=NOVEMBER)
    assert result.break_points[0].month is None


def test_the_peak_is_the_dearest_month():
    result = forecast_usage(NEWEST, {"events": 3_000_000}, 0, 12, start=NOVEMBER, seasonal=SEASONAL_FACTORS)
    assert result.peak.month == date(2026, 11, 1)


def test_costs_are_exact():
    result = forecast_usage(NEWEST, {"events": 1_234_567}, "0.07", 12, start=NOVEMBER)
    for month in result.months:
        assert month.cost == usd_from_nano(NEWEST.cumulative_nano("events", month.usage["events"]))


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"months": 0}, "0 months are none"),
        ({"growth": -1}, "leaves nothing"),
        ({"growth": "NaN"}, "is not a number"),
        ({"buffer": "-0.1"}, "buffer -0.1 is negative"),
        ({"seasonal": {1: Decimal(1)}}, "four numbers above 0"),
        ({"seasonal": dict.fromkeys((1, 2, 3, 4), Decimal(0))}, "four numbers above 0"),
    ],
)
def test_arguments_that_make_no_forecast_are_refused(arguments: dict[str, object], reason: str):
    with pytest.raises(ValueError, match=reason):
        forecast_usage(NEWEST, {"events": 1}, **{"growth": 0, "start": NOVEMBER, **arguments})  # type: ignore[arg-type]  # wrong on purpose


def test_a_meter_without_a_price_cannot_be_forecast():
    with pytest.raises(GenOpsConfigurationError, match="has no price for exceptions"):
        forecast_usage(PriceBook.load("genops-guide"), {"exceptions": 1}, 0, start=NOVEMBER)


@pytest.mark.requirement("E-23")
def test_a_cost_without_volumes_grows_as_it_is():
    months = forecast(125.5, 0.10, 12).months
    assert months[0] == Decimal("125.5")
    assert months[11] == Decimal("125.5") * Decimal("1.1") ** 11


@pytest.mark.requirement("E-23")
def test_a_year_of_such_costs_gets_a_buffer_of_a_fifth():
    result = forecast("100", 0, 12)
    assert (result.total, result.total_with_buffer) == (1200, 1440)


@pytest.mark.parametrize("cost", ["-1", "Infinity"])
def test_a_cost_that_cannot_be_is_refused(cost: str):
    with pytest.raises(ValueError, match="is not possible"):
        forecast(cost, 0)

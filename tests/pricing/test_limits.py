"""Limits and thresholds that fit a forecast."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

from genops_otel_posthog.pricing.book import PriceBook
from genops_otel_posthog.pricing.forecast import Forecast, forecast_usage
from genops_otel_posthog.pricing.limits import suggest_limits

NEWEST = PriceBook.load("posthog-2026-07-22")


def of(usage: dict[str, int], growth: str = "0", buffer: str = "0.2", months: int = 1) -> Forecast:
    return forecast_usage(NEWEST, usage, growth, months, start=date(2026, 11, 1), buffer=buffer)


def test_the_monthly_limit_is_the_dearest_month_with_the_buffer():
    assert suggest_limits(of({"events": 2_000_000}, growth="0.5", months=2)).monthly == Decimal("101.16")  # 84.30 * 1.2


def test_the_daily_limit_is_the_dearest_day_of_even_use_and_not_a_thirtieth_of_the_month():
    # 100,000 events a day: free for ten days, then 5.00 a day for ten, then 3.43.
    limits = suggest_limits(of({"events": 3_000_000}, buffer="0"))
    assert (limits.daily, limits.monthly) == (Decimal("5.00"), Decimal("84.30"))


def test_the_weekly_limit_is_the_dearest_seven_days():
    assert suggest_limits(of({"events": 3_000_000}, buffer="0")).weekly == Decimal("35.00")


def test_the_first_threshold_is_where_spending_leaves_the_forecast():
    assert suggest_limits(of({"events": 1})).thresholds == "daily:84,weekly:84,monthly:84,monthly:95"


def test_without_a_buffer_the_threshold_is_the_limit():
    assert suggest_limits(of({"events": 1}, buffer="0")).thresholds == "daily:100,weekly:100,monthly:100"


def test_limits_are_rounded_up_to_a_cent():
    limits = suggest_limits(of({"feature_flag_requests": 1_000_001}))
    assert (limits.daily, limits.weekly, limits.monthly) == (Decimal("0.01"), Decimal("0.01"), Decimal("0.01"))


def test_a_month_within_the_free_tiers_needs_no_money():
    assert suggest_limits(of({"events": 1_000_000})).monthly == 0

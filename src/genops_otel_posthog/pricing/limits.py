"""Budget limits and alert thresholds that fit a forecast.

A limit that is the forecast itself fires in a normal month; one far above it fires too late. The limits here are the
dearest month, week and day of the forecast with its buffer on top. Metered cost is not spread evenly over a month: it
is nothing while the free tier lasts and highest right after it, so a daily limit of a thirtieth would be exceeded every
month.
"""

from __future__ import annotations

from calendar import monthrange
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal

from genops_otel_posthog.money import usd_from_nano
from genops_otel_posthog.pricing.forecast import Forecast, ForecastMonth

LAST_WARNING_PERCENT = 95
"""The threshold of the last warning, the guide's for a month."""


@dataclass(frozen=True)
class SuggestedLimits:
    """Limits for the budgets of an organisation.

    Attributes:
        daily: US dollars, rounded up to a cent.
        weekly: US dollars, rounded up to a cent.
        monthly: US dollars, rounded up to a cent.
        thresholds: Alert thresholds in the grammar of ``GENOPS_ALERT_THRESHOLDS``. The first of each period is where
            the spending leaves the forecast and enters the buffer.
    """

    daily: Decimal
    weekly: Decimal
    monthly: Decimal
    thresholds: str


def suggest_limits(forecast: Forecast) -> SuggestedLimits:
    """Suggests limits from the dearest month of a forecast, with use spread evenly over its days."""
    days = _daily_costs(forecast, forecast.peak)
    week = max(sum(days[first : first + 7], Decimal(0)) for first in range(len(days) - 6))
    with_buffer = 1 + forecast.buffer
    leaves_forecast = int((100 / with_buffer).to_integral_value(ROUND_CEILING))
    thresholds = [f"{period}:{leaves_forecast}" for period in ("daily", "weekly", "monthly")]
    if leaves_forecast < LAST_WARNING_PERCENT:
        thresholds.append(f"monthly:{LAST_WARNING_PERCENT}")
    return SuggestedLimits(
        daily=_cents(max(days) * with_buffer),
        weekly=_cents(week * with_buffer),
        monthly=_cents(forecast.peak.cost * with_buffer),
        thresholds=",".join(thresholds),
    )


def _daily_costs(forecast: Forecast, month: ForecastMonth) -> list[Decimal]:
    days = monthrange(month.month.year, month.month.month)[1]
    costs = []
    for day in range(days):
        nano = 0
        for meter, units in month.usage.items():
            before, after = units * day // days, units * (day + 1) // days
            nano += forecast.book.marginal_nano(meter, before, after - before)
        costs.append(usd_from_nano(nano))
    return costs


def _cents(amount: Decimal) -> Decimal:
    return amount.quantize(Decimal("0.01"), ROUND_CEILING)

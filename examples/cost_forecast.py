"""What a growing web shop will pay PostHog, what would lower the bill, and which budget limits fit.

Run it with ``python examples/cost_forecast.py``; it needs no PostHog account and no network.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

from genops_otel_posthog import PriceBook
from genops_otel_posthog.pricing.estimate import estimate_cost
from genops_otel_posthog.pricing.forecast import SEASONAL_FACTORS, forecast_usage
from genops_otel_posthog.pricing.limits import suggest_limits

# A month of the shop, by meter. Every flag read asks PostHog, and every event is identified.
NOVEMBER: Mapping[str, int] = {
    "events": 6_000_000,
    "identified_events": 6_000_000,
    "feature_flag_requests": 4_000_000,
    "recordings": 30_000,
    "exceptions": 150_000,
    "llm_events": 120_000,
}

# What the team could change, as the units a month would then have.
CHANGES: Mapping[str, Mapping[str, int]] = {
    "send page views anonymously": {"identified_events": 1_500_000},
    "evaluate flags locally on 20 servers": {"feature_flag_requests": 20 * 10 * 24 * 30},  # hourly changes of a flag
    "record one session in three": {"recordings": 10_000},
}


def main() -> None:
    """Prints the month, the changes and the year."""
    book = PriceBook.load("posthog-2026-07-22")

    month = estimate_cost(book, NOVEMBER)
    print(f"November by {book.name}\n")
    for meter in month.meters:
        print(f"  {meter.meter:<22} {meter.units:>10,}  ${meter.cost:>9,.2f}   next one ${meter.next_unit_price:f}")
    print(f"  {'total':<22} {'':>10}  ${month.total:>9,.2f}\n")

    print("What would change it\n")
    for change, units in CHANGES.items():
        changed = estimate_cost(book, {**NOVEMBER, **units})
        print(f"  {change:<38} ${changed.total:>9,.2f}   saves ${month.total - changed.total:,.2f} a month")

    print("\nTwelve months, with the seasons of a shop\n")
    for growth in ("0.05", "0.10", "0.20"):
        year = forecast_usage(book, NOVEMBER, growth, start=date(2026, 11, 1), seasonal=SEASONAL_FACTORS)
        limits = suggest_limits(year)
        crossed = [point for point in year.break_points if point.month and point.month > date(2026, 11, 1)]
        print(f"  {float(growth):.0%} a month: ${year.total:,.2f}, with a buffer ${year.total_with_buffer:,.2f}")
        print(f"    limits: ${limits.daily} a day, ${limits.weekly} a week, ${limits.monthly} a month")
        for point in crossed:
            print(
                f"    {point.month:%B %Y}: {point.meter} passes {point.volume:,}, "
                f"a unit then costs ${point.price_after:f} instead of ${point.price_before:f}"
            )


if __name__ == "__main__":
    main()

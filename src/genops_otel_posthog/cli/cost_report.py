"""The answers of the cost commands, as documents for programs and as tables for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from genops_otel_posthog.cli.output import console, dollars, table, volume
from genops_otel_posthog.pricing.book import PriceBook, TierPosition
from genops_otel_posthog.pricing.estimate import Estimate, MeterEstimate
from genops_otel_posthog.pricing.forecast import BreakPoint, CostForecast, Forecast
from genops_otel_posthog.pricing.limits import SuggestedLimits, suggest_limits


def estimate_document(estimate: Estimate) -> dict[str, Any]:
    """An estimate for programs."""
    return {
        "price_book": _book_document(estimate.book),
        "currency": estimate.book.currency,
        "estimated": True,
        "meters": [_meter_document(meter) for meter in estimate.meters],
        "unpriced": list(estimate.unpriced),
        "total": estimate.total,
        "list_total": estimate.list_total,
    }


def print_estimate(estimate: Estimate) -> None:
    """An estimate for people."""
    out = console()
    out.print(f"Price book {estimate.book.name}, from {estimate.book.effective_from}. US dollars, estimated.")
    rows = table("Meter", "Used before", "Units", "Cost", "At list price", "Next unit", "Tier", "Free tier left")
    for meter in estimate.meters:
        rows.add_row(
            meter.meter,
            f"{meter.used_before:,}",
            f"{meter.units:,}",
            dollars(meter.cost),
            dollars(meter.list_cost),
            dollars(meter.next_unit_price),
            f"{meter.tier.number} of {meter.tiers}: {_span(meter.tier)}",
            f"{meter.free_units_left:,} of {meter.free_units:,}" if meter.free_units else "none",
        )
    rows.add_section()
    rows.add_row("Total", "", "", _total(estimate), dollars(estimate.list_total), "", "", "")
    out.print(rows)
    _print_unpriced(estimate)


def compare_document(cases: Sequence[tuple[str, Estimate]]) -> dict[str, Any]:
    """A comparison for programs."""
    first = cases[0][1]
    return {
        "currency": "USD",
        "estimated": True,
        "cases": [
            {"name": name, **estimate_document(estimate), "difference": _difference(estimate, first)}
            for name, estimate in cases
        ],
    }


def print_comparison(cases: Sequence[tuple[str, Estimate]]) -> None:
    """A comparison for people: a column for each case, a row for each meter."""
    out = console()
    rows = table("Cost, US dollars", *(name for name, _ in cases))
    by_meter = [{meter.meter: meter for meter in estimate.meters} for _, estimate in cases]
    for name in dict.fromkeys(meter for _, estimate in cases for meter in _all_meters(estimate)):
        cells = []
        for meters, (_, estimate) in zip(by_meter, cases, strict=True):
            if name in meters:
                cells.append(f"{dollars(meters[name].cost)} for {volume(meters[name].units)}")
            else:
                cells.append("unknown" if name in estimate.unpriced else "")
        rows.add_row(name, *cells)
    rows.add_section()
    first = cases[0][1]
    rows.add_row("Total", *(_total(estimate) for _, estimate in cases))
    rows.add_row("Difference", "", *(_change(_difference(estimate, first), first.total) for _, estimate in cases[1:]))
    out.print(rows)
    for _, estimate in cases:
        _print_unpriced(estimate)


def forecast_document(forecasts: Sequence[Forecast]) -> dict[str, Any]:
    """Forecasts for programs."""
    return {
        "price_book": _book_document(forecasts[0].book),
        "currency": forecasts[0].book.currency,
        "estimated": True,
        "scenarios": [
            {
                "growth": forecast.growth,
                "months": [
                    {"month": f"{month.month:%Y-%m}", "usage": month.usage, "costs": month.costs, "cost": month.cost}
                    for month in forecast.months
                ],
                "total": forecast.total,
                "buffer": forecast.buffer,
                "total_with_buffer": forecast.total_with_buffer,
                "break_points": [_break_point_document(point) for point in forecast.break_points],
                "suggested_limits": _limits_document(suggest_limits(forecast)),
            }
            for forecast in forecasts
        ],
    }


def print_forecasts(forecasts: Sequence[Forecast]) -> None:
    """Forecasts for people."""
    out = console()
    book, buffer = forecasts[0].book, forecasts[0].buffer
    out.print(f"Price book {book.name}, from {book.effective_from}. US dollars, estimated.")
    names = [_growth(forecast.growth) for forecast in forecasts]
    rows = table("Month", *names)
    for number, month in enumerate(forecasts[0].months):
        rows.add_row(f"{month.month:%Y-%m}", *(dollars(forecast.months[number].cost) for forecast in forecasts))
    rows.add_section()
    rows.add_row("Total", *(dollars(forecast.total) for forecast in forecasts))
    rows.add_row(f"With {_percent(buffer)} buffer", *(dollars(forecast.total_with_buffer) for forecast in forecasts))
    out.print(rows)

    rows = table("Next tier: month entered", "Beyond", "Price before", "Price after", *names)
    crossed = False
    for index, point in enumerate(forecasts[0].break_points):
        months = [forecast.break_points[index].month for forecast in forecasts]
        if any(months):
            crossed = True
            rows.add_row(
                point.meter,
                volume(point.volume),
                dollars(point.price_before),
                dollars(point.price_after),
                *(f"{month:%Y-%m}" if month else "–" for month in months),
            )
    if crossed:
        out.print(rows)

    rows = table("Suggested limits", *names)
    limits = [suggest_limits(forecast) for forecast in forecasts]
    rows.add_row("GENOPS_DAILY_BUDGET_LIMIT", *(f"{limit.daily}" for limit in limits))
    rows.add_row("GENOPS_WEEKLY_BUDGET_LIMIT", *(f"{limit.weekly}" for limit in limits))
    rows.add_row("GENOPS_MONTHLY_BUDGET_LIMIT", *(f"{limit.monthly}" for limit in limits))
    out.print(rows)
    out.print(f"GENOPS_ALERT_THRESHOLDS={limits[0].thresholds}")


def cost_forecast_document(forecasts: Sequence[CostForecast]) -> dict[str, Any]:
    """Forecasts of a cost without volumes, for programs."""
    return {
        "currency": "USD",
        "estimated": True,
        "scenarios": [
            {
                "growth": forecast.growth,
                "months": list(forecast.months),
                "total": forecast.total,
                "buffer": forecast.buffer,
                "total_with_buffer": forecast.total_with_buffer,
            }
            for forecast in forecasts
        ],
    }


def print_cost_forecasts(forecasts: Sequence[CostForecast]) -> None:
    """Forecasts of a cost without volumes, for people."""
    out = console()
    out.print("US dollars; the cost grows as it is. With volumes (--events 3M ...) each month is priced by its tiers.")
    rows = table("Month", *(_growth(forecast.growth) for forecast in forecasts))
    for number in range(len(forecasts[0].months)):
        rows.add_row(f"{number + 1}", *(dollars(forecast.months[number]) for forecast in forecasts))
    rows.add_section()
    rows.add_row("Total", *(dollars(forecast.total) for forecast in forecasts))
    buffer = _percent(forecasts[0].buffer)
    rows.add_row(f"With {buffer} buffer", *(dollars(forecast.total_with_buffer) for forecast in forecasts))
    out.print(rows)


def _print_unpriced(estimate: Estimate) -> None:
    if estimate.unpriced:
        missing = ", ".join(estimate.unpriced)
        console().print(f"{estimate.book.name} has no price for {missing}: the cost is unknown and in no total.")


def _all_meters(estimate: Estimate) -> list[str]:
    return [*(meter.meter for meter in estimate.meters), *estimate.unpriced]


def _book_document(book: PriceBook) -> dict[str, Any]:
    return {"name": book.name, "effective_from": book.effective_from}


def _meter_document(meter: MeterEstimate) -> dict[str, Any]:
    return {
        "meter": meter.meter,
        "unit": meter.unit,
        "units": meter.units,
        "used_before": meter.used_before,
        "cost": meter.cost,
        "list_cost": meter.list_cost,
        "list_price": meter.list_price,
        "next_unit_price": meter.next_unit_price,
        "tier": {
            "number": meter.tier.number,
            "of": meter.tiers,
            "above": meter.tier.above,
            "up_to": meter.tier.up_to,
        },
        "free_units": meter.free_units,
        "free_units_left": meter.free_units_left,
    }


def _break_point_document(point: BreakPoint) -> dict[str, Any]:
    return {
        "meter": point.meter,
        "volume": point.volume,
        "month": f"{point.month:%Y-%m}" if point.month else None,
        "price_before": point.price_before,
        "price_after": point.price_after,
    }


def _limits_document(limits: SuggestedLimits) -> Mapping[str, Any]:
    return {
        "daily": limits.daily,
        "weekly": limits.weekly,
        "monthly": limits.monthly,
        "thresholds": limits.thresholds,
    }


def _span(tier: TierPosition) -> str:
    return f"above {volume(tier.above)}" if tier.up_to is None else f"{volume(tier.above)} to {volume(tier.up_to)}"


def _percent(share: Decimal) -> str:
    return f"{float(share * 100):g} %"


def _growth(share: Decimal) -> str:
    return f"{float(share * 100):+g} % a month"


def _total(estimate: Estimate) -> str:
    return dollars(estimate.total) + (" and the unknown" if estimate.unpriced else "")


def _difference(estimate: Estimate, first: Estimate) -> Decimal | None:
    return None if estimate.unpriced or first.unpriced else estimate.total - first.total


def _change(difference: Decimal | None, first: Decimal) -> str:
    if difference is None:
        return "unknown"
    sign = "+" if difference >= 0 else ""
    return f"{sign}{dollars(difference)}" + (f" ({float(difference / first):+.0%})" if first else "")

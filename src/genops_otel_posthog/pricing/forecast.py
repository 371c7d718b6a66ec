"""What PostHog will cost in the months ahead, if usage grows.

Usage grows, not cost: each month's volume is priced by the book from the first unit, free tier and cheaper tiers
included, so that a forecast of twice the volume is rarely twice the cost. For a bill whose volumes are not known,
:func:`forecast` grows the cost itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from types import MappingProxyType

from genops_otel_posthog.money import usd_from_nano
from genops_otel_posthog.pricing.book import PriceBook

GROWTH_SCENARIOS: tuple[Decimal, ...] = (Decimal("0.05"), Decimal("0.10"), Decimal("0.20"), Decimal("0.35"))
"""Growth per month of the guide's four scenarios."""

SEASONAL_FACTORS: Mapping[int, Decimal] = MappingProxyType(
    {1: Decimal("0.9"), 2: Decimal("1.1"), 3: Decimal("0.95"), 4: Decimal("1.25")}
)
"""Demand by calendar quarter, as in the guide's examples. Replace them by your own year."""

BUFFER = Decimal("0.20")
"""What to set aside on top of a forecast, as in the guide's examples."""


@dataclass(frozen=True)
class ForecastMonth:
    """One month of a forecast.

    Attributes:
        month: Its first day.
        usage: Units per meter.
        costs: US dollars per meter.
        cost: US dollars.
    """

    month: date
    usage: Mapping[str, int]
    costs: Mapping[str, Decimal]
    cost: Decimal


@dataclass(frozen=True)
class BreakPoint:
    """Where a meter enters the next tier.

    Attributes:
        meter: Name of the meter.
        volume: Units per month beyond which the next tier applies.
        month: First day of the first month of the forecast with more units; ``None`` when no month has.
        price_before: Price of a unit up to the volume, US dollars.
        price_after: Price of a unit beyond it, US dollars.
    """

    meter: str
    volume: int
    month: date | None
    price_before: Decimal
    price_after: Decimal


@dataclass(frozen=True)
class Forecast:
    """Months of usage and cost at one rate of growth.

    Attributes:
        book: The price book.
        growth: Growth per month; 0.1 is ten percent.
        months: The months, the first one with the usage given.
        break_points: Every tier boundary of every meter, by meter and volume.
        buffer: Share to set aside on top.
    """

    book: PriceBook
    growth: Decimal
    months: tuple[ForecastMonth, ...]
    break_points: tuple[BreakPoint, ...]
    buffer: Decimal

    @property
    def total(self) -> Decimal:
        """Cost of all months, US dollars."""
        return sum((month.cost for month in self.months), Decimal(0))

    @property
    def total_with_buffer(self) -> Decimal:
        """The same with the buffer, US dollars."""
        return self.total * (1 + self.buffer)

    @property
    def peak(self) -> ForecastMonth:
        """The dearest month, the earliest of equals."""
        return max(self.months, key=lambda month: month.cost)


def forecast_usage(
    book: PriceBook,
    usage: Mapping[str, int],
    growth: Decimal | str | float,
    months: int = 12,
    *,
    start: date,
    seasonal: Mapping[int, Decimal] | None = None,
    buffer: Decimal | str | float = BUFFER,
) -> Forecast:
    """Forecasts usage and its cost by a price book.

    Month ``k`` has ``usage * (1 + growth) ** (k - 1)`` units, rounded half up. With seasonal factors that is multiplied
    by the factor of its quarter over the factor of the first month's quarter: the usage given is a real month's and has
    its season in it.

    Args:
        book: The price book.
        usage: Units per meter in the first month.
        growth: Growth per month; 0.1 is ten percent, negative shrinks.
        months: How many months, the first included.
        start: Any day of the first month.
        seasonal: Demand by calendar quarter 1 to 4, for example :data:`SEASONAL_FACTORS`; none by default.
        buffer: Share to set aside on top.

    Raises:
        ValueError: ``months`` is less than 1, a share is out of range, or a quarter is missing or not positive.
        GenOpsConfigurationError: the book has no price for a meter.
    """
    growth, buffer = _share(growth, "growth"), _share(buffer, "buffer")
    _check(months, growth, buffer, seasonal)
    calendar = [_month_after(start.replace(day=1), number) for number in range(months)]
    forecast_months = []
    for number, month in enumerate(calendar):
        factor = (1 + growth) ** number * _season(seasonal, month) / _season(seasonal, calendar[0])
        units = {meter: int((base * factor).to_integral_value(ROUND_HALF_UP)) for meter, base in usage.items()}
        costs = {meter: usd_from_nano(book.cumulative_nano(meter, count)) for meter, count in units.items()}
        forecast_months.append(ForecastMonth(month, units, costs, sum(costs.values(), Decimal(0))))
    return Forecast(book, growth, tuple(forecast_months), _break_points(book, usage, forecast_months), buffer)


@dataclass(frozen=True)
class CostForecast:
    """Months of cost at one rate of growth, without volumes.

    Attributes:
        growth: Growth per month; 0.1 is ten percent.
        months: US dollars per month, the first one the cost given.
        buffer: Share to set aside on top.
    """

    growth: Decimal
    months: tuple[Decimal, ...]
    buffer: Decimal

    @property
    def total(self) -> Decimal:
        """Cost of all months, US dollars."""
        return sum(self.months, Decimal(0))

    @property
    def total_with_buffer(self) -> Decimal:
        """The same with the buffer, US dollars."""
        return self.total * (1 + self.buffer)


def forecast(
    current_monthly_cost: Decimal | str | float,
    growth: Decimal | str | float,
    months: int = 12,
    *,
    buffer: Decimal | str | float = BUFFER,
) -> CostForecast:
    """Grows a monthly cost: month ``k`` costs ``current_monthly_cost * (1 + growth) ** (k - 1)``.

    A rule of thumb for a bill without volumes. It knows no tiers and so overstates growth; :func:`forecast_usage` is
    the exact way.

    Args:
        current_monthly_cost: US dollars of the first month. A ``float`` counts as the decimal it prints as.
        growth: Growth per month; 0.1 is ten percent.
        months: How many months, the first included.
        buffer: Share to set aside on top.

    Raises:
        ValueError: ``months`` is less than 1, a share is out of range, or the cost negative.
    """
    cost, growth, buffer = Decimal(str(current_monthly_cost)), _share(growth, "growth"), _share(buffer, "buffer")
    _check(months, growth, buffer, None)
    if not cost.is_finite() or cost < 0:
        raise ValueError(f"a monthly cost of {cost} is not possible; give US dollars, 0 or more")
    return CostForecast(growth, tuple(cost * (1 + growth) ** number for number in range(months)), buffer)


def _share(value: Decimal | str | float, name: str) -> Decimal:
    share = Decimal(str(value))
    if not share.is_finite():
        raise ValueError(f"{name} {value} is not a number")
    return share


def _check(months: int, growth: Decimal, buffer: Decimal, seasonal: Mapping[int, Decimal] | None) -> None:
    if months < 1:
        raise ValueError(f"{months} months are none; a forecast has at least one")
    if growth <= -1:
        raise ValueError(f"growth {growth:f} leaves nothing; it is a share per month, 0.1 for ten percent")
    if buffer < 0:
        raise ValueError(f"buffer {buffer:f} is negative; it is a share on top, 0.2 for twenty percent")
    if seasonal is not None and (set(seasonal) != {1, 2, 3, 4} or min(seasonal.values()) <= 0):
        raise ValueError("seasonal factors are four numbers above 0, one for each of the quarters 1 to 4")


def _season(seasonal: Mapping[int, Decimal] | None, month: date) -> Decimal:
    return Decimal(1) if seasonal is None else seasonal[(month.month + 2) // 3]


def _month_after(first: date, number: int) -> date:
    years, month = divmod(first.month - 1 + number, 12)
    return first.replace(year=first.year + years, month=month + 1)


def _break_points(book: PriceBook, usage: Iterable[str], months: Iterable[ForecastMonth]) -> tuple[BreakPoint, ...]:
    months = list(months)
    points = []
    for meter in usage:
        rate = book.rate(meter)
        for number, volume in enumerate(rate.bounds):
            crossed = next((month.month for month in months if month.usage[meter] > volume), None)
            before, after = usd_from_nano(rate.prices[number]), usd_from_nano(rate.prices[number + 1])
            points.append(BreakPoint(meter, volume, crossed, before, after))
    return tuple(points)

"""What a usage costs by a price book: per meter the cost, the list price, the tier and the rest of the free tier."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from genops_otel_posthog.errors import GenOpsConfigurationError
from genops_otel_posthog.money import usd_from_nano
from genops_otel_posthog.pricing.book import PriceBook, TierPosition
from genops_otel_posthog.pricing.meters import METERS, unknown_meter


@dataclass(frozen=True)
class MeterEstimate:
    """The cost of the units of one meter.

    Attributes:
        meter: Name of the meter.
        unit: What one unit is.
        units: Units priced.
        used_before: Units of the same month before them.
        cost: Marginal cost in US dollars: C(used_before + units) - C(used_before).
        list_price: Price of one unit at the first paid tier, in US dollars.
        tier: The tier that the unit after these falls into.
        tiers: How many tiers the meter has.
        free_units: Size of the month's free tier.
        free_units_left: What is left of it after these units.
    """

    meter: str
    unit: str
    units: int
    used_before: int
    cost: Decimal
    list_price: Decimal
    tier: TierPosition
    tiers: int
    free_units: int
    free_units_left: int

    @property
    def list_cost(self) -> Decimal:
        """What the units cost at the list price, in US dollars: without the free tier and without cheaper tiers."""
        return self.list_price * self.units

    @property
    def next_unit_price(self) -> Decimal:
        """What the next unit costs, in US dollars."""
        return usd_from_nano(self.tier.price_nano)


@dataclass(frozen=True)
class Estimate:
    """The cost of a usage.

    Attributes:
        book: The price book used.
        meters: One entry per meter that the book prices, in the order of the usage given.
        unpriced: Meters of the usage that the book does not price; what they cost is unknown and in no total.
    """

    book: PriceBook
    meters: tuple[MeterEstimate, ...]
    unpriced: tuple[str, ...]

    @property
    def total(self) -> Decimal:
        """Marginal cost of all priced meters, in US dollars."""
        return sum((meter.cost for meter in self.meters), Decimal(0))

    @property
    def list_total(self) -> Decimal:
        """The same units at list price, in US dollars."""
        return sum((meter.list_cost for meter in self.meters), Decimal(0))


def estimate_cost(book: PriceBook, usage: Mapping[str, int], used_before: Mapping[str, int] | None = None) -> Estimate:
    """Prices a usage.

    Args:
        book: The price book.
        usage: Units per meter; meters with 0 units are listed too, with their tier.
        used_before: Units per meter used in the same month before; none by default, so that ``usage`` is a month's.

    Raises:
        GenOpsConfigurationError: a meter is unknown.
        ValueError: a number of units is negative.
    """
    before = dict(used_before or {})
    meters, unpriced = [], []
    for meter, units in usage.items():
        if meter not in METERS:
            raise GenOpsConfigurationError(unknown_meter(meter))
        if units < 0:
            raise ValueError(f"{meter} is {units:,}, and a number of units is never negative")
        if not book.prices(meter):
            unpriced.append(meter)
            continue
        rate = book.rate(meter)
        used = before.get(meter, 0)
        meters.append(
            MeterEstimate(
                meter=meter,
                unit=rate.unit,
                units=units,
                used_before=used,
                cost=usd_from_nano(rate.marginal_nano(used, units)),
                list_price=usd_from_nano(rate.list_price_nano),
                tier=rate.position(used + units),
                tiers=len(rate.tiers),
                free_units=rate.free_units,
                free_units_left=book.free_units_left(meter, used + units),
            )
        )
    return Estimate(book, tuple(meters), tuple(unpriced))


def with_identified(event_count: int, identified_events: int) -> int:
    """The number of events when some of them are identified.

    Identified events are a part of all events and not a second stream: they are counted by ``events`` like every event,
    and once more by ``identified_events``.

    Returns:
        ``event_count``, or ``identified_events`` where no other number of events is given.

    Raises:
        ValueError: more events are identified than there are.
    """
    if event_count and identified_events > event_count:
        raise ValueError(
            f"{identified_events:,} of {event_count:,} events cannot be identified: identified events are a part of "
            "all events, so give the number of all of them as the events"
        )
    return event_count or identified_events

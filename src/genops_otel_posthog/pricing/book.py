"""Price books: dated, sourced prices per meter, and the exact arithmetic over their tiers.

PostHog's tiers are graduated: each price applies only to the units inside its tier, per calendar month, over the whole
organisation. With C(n) the cost of the first n units of a month, the cost of q further units is C(n + q) - C(n). C is
an integer function in nano-USD, so costs add up to C exactly, whatever the order and however they are split.
"""

from __future__ import annotations

import os
from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from itertools import pairwise
from types import MappingProxyType
from typing import NamedTuple

from genops_otel_posthog.errors import GenOpsConfigurationError
from genops_otel_posthog.money import usd_from_nano
from genops_otel_posthog.pricing.meters import METERS, unknown_meter

FLAG_POLL_UNITS = 10
"""Flag requests that one download of flag definitions counts as.

Source: PostHog/posthog ``docs/internal/feature-flags/billing.md``.
"""

FLAG_POLL_NOT_MODIFIED_UNITS = 0
"""The same for a download answered with 304, which the current server does not bill (same source); an older one did."""


class Tier(NamedTuple):
    """One slab of a graduated price.

    Attributes:
        up_to: Last unit of the month that has this price; ``None`` for the open last tier.
        price_nano: Price of one unit in nano-USD.
    """

    up_to: int | None
    price_nano: int


class TierPosition(NamedTuple):
    """The tier that the next unit of a month falls into.

    Attributes:
        number: 1 for the first tier.
        above: Units below the tier; it starts with unit ``above + 1``.
        up_to: Last unit of the tier; ``None`` for the open last one.
        price_nano: Price of one unit in nano-USD.
    """

    number: int
    above: int
    up_to: int | None
    price_nano: int


def tier_problems(tiers: Sequence[Tier]) -> list[tuple[int, str]]:
    """What is wrong with a list of tiers: (index of the tier, reason). Empty when they can be priced with.

    A price must not rise after the free tier: every list PostHog has published falls, and a budget that sets money
    aside for the units ahead relies on the next unit never costing more than the last.
    """
    if not tiers:
        return [(0, "there is no tier; a meter with one price has one tier with `up_to: null`")]
    problems = []
    for index, tier in enumerate(tiers):
        last = index == len(tiers) - 1
        if tier.up_to is None and not last:
            problems.append((index, "only the last tier may be open (`up_to: null`)"))
        elif tier.up_to is not None and tier.up_to < 1:
            problems.append((index, f"a tier up to {tier.up_to:,} holds no units"))
        elif tier.up_to is not None and last:
            problems.append(
                (index, f"the last tier ends at {tier.up_to:,}, further units have no price; end with `up_to: null`")
            )
        if tier.price_nano < 0:
            problems.append((index, f"the price {usd_from_nano(tier.price_nano):f} is negative"))
    for index, (before, after) in enumerate(pairwise(tiers), start=1):
        if before.up_to is not None and after.up_to is not None and after.up_to <= before.up_to:
            problems.append(
                (
                    index,
                    f"the tier up to {after.up_to:,} overlaps the tier before it, which goes up to {before.up_to:,}",
                )
            )
        if 0 < before.price_nano < after.price_nano:
            was, becomes = usd_from_nano(before.price_nano), usd_from_nano(after.price_nano)
            problems.append(
                (index, f"the price rises from {was:f} to {becomes:f}; after the free tier prices may only fall")
            )
    return sorted(problems)


@dataclass(frozen=True, slots=True)
class Rate:
    """The price of one meter.

    Attributes:
        meter: Name of the meter.
        unit: What one unit is; the meter's own unit.
        tiers: Slabs in ascending order; the last one is open.
        plan: PostHog's plan key, where the price has one.
        source: Where the figures were read, a URL or ``owner/repository path``.
        bounds: Last unit of every tier but the open one, in ascending order.
        prices: Price of a unit of every tier in nano-USD.

    Raises:
        GenOpsConfigurationError: the tiers cannot be priced with.
    """

    meter: str
    unit: str
    tiers: tuple[Tier, ...]
    plan: str | None = None
    source: str = ""
    bounds: tuple[int, ...] = field(init=False, repr=False, compare=False)
    prices: tuple[int, ...] = field(init=False, repr=False, compare=False)
    _cost_below: tuple[int, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        problems = tier_problems(self.tiers)
        if problems:
            reasons = "; ".join(f"tier {index + 1}: {reason}" for index, reason in problems)
            raise GenOpsConfigurationError(f"the tiers of {self.meter} cannot be used: {reasons}")
        bounds = tuple(tier.up_to for tier in self.tiers if tier.up_to is not None)
        prices = tuple(tier.price_nano for tier in self.tiers)
        cost_below, cost, above = [0], 0, 0
        for bound, price in zip(bounds, prices, strict=False):
            cost += (bound - above) * price
            cost_below.append(cost)
            above = bound
        # Derived once, because every priced call searches them.
        object.__setattr__(self, "bounds", bounds)
        object.__setattr__(self, "prices", prices)
        object.__setattr__(self, "_cost_below", tuple(cost_below))

    def cumulative_nano(self, units: int) -> int:
        """C(units): what the first ``units`` of a month cost, in nano-USD."""
        if units < 0:
            raise ValueError(f"{units} {self.meter}: a number of units is never negative")
        tier = bisect_left(self.bounds, units)
        above = self.bounds[tier - 1] if tier else 0
        return self._cost_below[tier] + (units - above) * self.prices[tier]

    def marginal_nano(self, used: int, units: int) -> int:
        """C(used + units) - C(used): what ``units`` cost after ``used`` of the same month, in nano-USD."""
        return self.cumulative_nano(used + units) - self.cumulative_nano(used)

    def position(self, used: int) -> TierPosition:
        """The tier that the next unit after ``used`` falls into."""
        if used < 0:
            raise ValueError(f"{used} {self.meter}: a number of units is never negative")
        index = bisect_right(self.bounds, used)
        above = self.bounds[index - 1] if index else 0
        return TierPosition(index + 1, above, self.tiers[index].up_to, self.prices[index])

    @property
    def list_price_nano(self) -> int:
        """Price of one unit at the first tier that costs anything, in nano-USD; 0 for a meter that is always free."""
        return next((price for price in self.prices if price), 0)

    @property
    def free_units(self) -> int:
        """Units per month before the first one that costs anything; 0 for a meter that is free at any volume, too."""
        first_paid = next((index for index, price in enumerate(self.prices) if price), 0)
        return self.bounds[first_paid - 1] if first_paid else 0


@dataclass(frozen=True)
class PriceBook:
    """Prices of any number of meters, valid from a date.

    A book need not price every meter: what it does not price is unknown, and unknown is never 0. Ask :meth:`prices`
    first, or take the error.

    Attributes:
        name: Name on spans and in reports.
        effective_from: First day the prices apply, as far as the sources tell.
        sources: Where the figures were read.
        rates: The rate of each priced meter.
        currency: ISO 4217 code; always ``USD``, because PostHog bills US dollars and amounts are counted in nano-USD.
        flag_poll_units: Flag requests that a download of flag definitions counts as.
        flag_poll_not_modified_units: The same when the server answered 304.
        notes: What the book does not know, for people.
    """

    name: str
    effective_from: date
    sources: tuple[str, ...]
    rates: Mapping[str, Rate] = field(hash=False)
    currency: str = "USD"
    flag_poll_units: int = FLAG_POLL_UNITS
    flag_poll_not_modified_units: int = FLAG_POLL_NOT_MODIFIED_UNITS
    notes: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "rates", MappingProxyType(dict(self.rates)))

    @classmethod
    def load(cls, name_or_path: str | os.PathLike[str]) -> PriceBook:
        """Loads a shipped book by name, or a book of your own by path.

        Args:
            name_or_path: One of :meth:`available`, or the path of a YAML file. A name wins over a file of the same
                name; write ``./name`` for the file.

        Raises:
            GenOpsConfigurationError: there is no such book or file, or the file has problems; the message has one line
                ``path:line: reason`` for each.
        """
        from genops_otel_posthog.pricing.book_file import load_book

        return load_book(name_or_path)

    @staticmethod
    def available() -> tuple[str, ...]:
        """Names of the shipped books, the newest first."""
        from genops_otel_posthog.pricing.book_file import shipped_books

        return shipped_books()

    def prices(self, meter: str) -> bool:
        """Whether the book has a price for the meter."""
        return meter in self.rates

    def rate(self, meter: str) -> Rate:
        """The rate of a meter.

        Raises:
            GenOpsConfigurationError: the book has no price for it, or there is no such meter.
        """
        rate = self.rates.get(meter)
        if rate is not None:
            return rate
        if meter not in METERS:
            raise GenOpsConfigurationError(unknown_meter(meter))
        raise GenOpsConfigurationError(
            f"the price book {self.name} has no price for {meter} ({METERS[meter].counts}); its cost is unknown, "
            f"which is not 0. Use another book ({', '.join(self.available())}) or add {meter} to a book of your own"
        )

    def cumulative_nano(self, meter: str, units: int) -> int:
        """C(units): what the first ``units`` of a month cost, in nano-USD."""
        return self.rate(meter).cumulative_nano(units)

    def marginal_nano(self, meter: str, used: int, units: int) -> int:
        """C(used + units) - C(used): what ``units`` cost after ``used`` of the same month, in nano-USD."""
        return self.rate(meter).marginal_nano(used, units)

    def list_price_nano(self, meter: str) -> int:
        """Price of one unit at the first paid tier, in nano-USD: the price without the free tier."""
        return self.rate(meter).list_price_nano

    def tier_at(self, meter: str, used: int) -> TierPosition:
        """The tier that the next unit after ``used`` falls into."""
        return self.rate(meter).position(used)

    def free_units(self, meter: str) -> int:
        """Units per month that cost nothing; 0 where there is no free tier."""
        return self.rate(meter).free_units

    def free_units_left(self, meter: str, used: int) -> int:
        """Units of the free tier left after ``used`` of the month."""
        return max(0, self.rate(meter).free_units - used)

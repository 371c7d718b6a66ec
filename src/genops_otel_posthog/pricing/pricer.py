"""Prices the charges of one call at the organisation's month-to-date usage.

This runs inside every PostHog call, so it computes the price of a call as seldom as it can: while the next units of a
meter stay within one tier, every call with the same charges costs the same, and the whole answer is kept until the tier
ends.
"""

from __future__ import annotations

import logging
from typing import NamedTuple

from genops_otel_posthog.errors import GenOpsConfigurationError
from genops_otel_posthog.pricing.billing import Charge
from genops_otel_posthog.pricing.book import PriceBook
from genops_otel_posthog.pricing.usage import MonthToDateUsage

_logger = logging.getLogger(__name__)

PRICING_MODES = ("metered", "list")
"""``metered``: marginal cost at the month-to-date usage, free tier included. ``list``: the first paid tier for every
unit, for charging costs back to teams whoever used up the free tier first."""


class Price(NamedTuple):
    """What one call costs.

    Attributes:
        amount_nano: Cost in nano-USD in the pricer's mode, of the charges that have a price.
        list_nano: The same units at the first paid tier, in nano-USD.
        meter: The primary meter; ``None`` when PostHog does not bill the call.
        units: Units of the primary meter.
        parts: Meter, units and nano-USD of every charge that has a price; the amounts add up to ``amount_nano``.
        unpriced: Meters that the price book does not price. Their cost is unknown, and not 0.
    """

    amount_nano: int
    list_nano: int
    meter: str | None
    units: int
    parts: tuple[tuple[str, int, int], ...]
    unpriced: tuple[str, ...]


UNBILLED = Price(0, 0, None, 0, (), ())
"""The price of a call that PostHog does not bill."""

_MOST_KEPT = 256  # kinds of calls whose price is kept; an application has a handful
_NO_END = float("inf")


class _Kept(NamedTuple):
    """A price, and for each charge the usage before the call, from first to last, for which it holds."""

    price: Price
    first: tuple[int, ...]
    last: tuple[float, ...]


class Pricer:
    """Prices calls with one book and one count of usage. Safe to use from any thread.

    Args:
        book: The price book.
        usage: Where units are counted.
        mode: One of :data:`PRICING_MODES`.

    Raises:
        GenOpsConfigurationError: ``mode`` is unknown.
    """

    def __init__(self, book: PriceBook, usage: MonthToDateUsage, mode: str = "metered") -> None:
        if mode not in PRICING_MODES:
            raise GenOpsConfigurationError(
                f"pricing mode {mode!r} is unknown; use 'metered' (free tier included) or 'list' (first paid tier)"
            )
        self.book = book
        self.usage = usage
        self.mode = mode
        self._add_all = usage.add_all
        self._kept: dict[tuple[Charge, ...], _Kept] = {}
        self._warned: dict[str, object] = {}

    def charge(self, charges: tuple[Charge, ...]) -> Price:
        """Counts the units of a call and prices them.

        Every unit is counted once and priced at its own place in the month, so the amounts of all calls of a month add
        up to exactly C(usage), whatever ran at the same time.

        Args:
            charges: What the call is billed for, the primary meter first.
        """
        if not charges:
            return UNBILLED
        return self._price(charges, self._add_all(charges))

    def quote(self, charges: tuple[Charge, ...]) -> Price:
        """Prices a call as if it were the next one, without counting it."""
        if not charges:
            return UNBILLED
        return self._price(charges, self.usage.used_all(charges))

    def _price(self, charges: tuple[Charge, ...], used: list[int]) -> Price:
        kept = self._kept.get(charges)
        if kept is not None:
            price, first, last = kept
            place = 0  # `zip` over three short sequences would take as long as everything else here
            for before in used:
                if not first[place] <= before <= last[place]:
                    break
                place += 1  # noqa: SIM113 - so would `enumerate`
            else:
                return price
        return self._compute(charges, used)

    def _compute(self, charges: tuple[Charge, ...], used: list[int]) -> Price:
        parts: list[tuple[str, int, int]] = []
        first: list[int] = []
        last: list[float] = []
        unpriced: list[str] = []
        list_nano = 0
        for (meter, units), before in zip(charges, used, strict=True):
            if not self.book.prices(meter):
                unpriced.append(meter)
                first.append(0)
                last.append(_NO_END)
                self._warn_once(meter)
                continue
            rate = self.book.rate(meter)
            list_price = rate.list_price_nano * units
            list_nano += list_price
            if self.mode == "list":
                parts.append((meter, units, list_price))
                first.append(0)
                last.append(_NO_END)
            else:
                tier = rate.position(before)
                parts.append((meter, units, rate.marginal_nano(before, units)))
                first.append(tier.above)
                last.append(_NO_END if tier.up_to is None else tier.up_to - units)
        meter, units = charges[0]
        price = Price(sum(part[2] for part in parts), list_nano, meter, units, tuple(parts), tuple(unpriced))
        if charges in self._kept or len(self._kept) < _MOST_KEPT:
            self._kept[charges] = _Kept(price, tuple(first), tuple(last))
        return price

    def _warn_once(self, meter: str) -> None:
        first = object()
        if self._warned.setdefault(meter, first) is not first:
            return
        _logger.warning(
            "The price book %s has no price for %s: its units are counted, but their cost is unknown and in no amount. "
            "Choose another book (GENOPS_PRICE_BOOK) or add the meter to one of your own.",
            self.book.name,
            meter,
        )

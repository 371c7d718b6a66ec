"""What units cost, as governor and ledger need to know it: the most that the next one can cost, and C itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from genops_otel_posthog.budgets.ledger.protocol import CostTable
from genops_otel_posthog.pricing.book import PriceBook, Rate
from genops_otel_posthog.pricing.meters import MODEL_COST
from genops_otel_posthog.pricing.usage import BillingMonth

_OF_MONEY = CostTable((0,), (0,), (1,))
_BEFORE_MONTH_ENDS_MS = 60_000  # a call admitted this late may be counted in the new month


class Prices:
    """Prices of one book in one mode.

    Args:
        book: The price book.
        mode: ``metered`` or ``list``, see :data:`~genops_otel_posthog.pricing.pricer.PRICING_MODES`.
    """

    def __init__(self, book: PriceBook, mode: str = "metered") -> None:
        self._book = book
        self._mode = mode

    def most(self, meter: str, now_ms: int, used: int) -> int:
        """The most that the next unit of a meter can cost, in nano-USD; 0 for a meter without a price.

        In the free tier it is the first paid price, because others may use up the rest of the free tier before this
        unit is counted. Prices only fall after that (:func:`~genops_otel_posthog.pricing.book.tier_problems` refuses
        others), so in a paid tier it is the price of that tier, except when the month is about to begin anew.

        Args:
            meter: Name of the meter.
            now_ms: Now, milliseconds since the epoch.
            used: Units used this month so far.
        """
        if not self._book.prices(meter):
            return 0
        rate = self._book.rate(meter)
        month_ends_ms = BillingMonth.at(now_ms / 1000).end * 1000
        if self._mode == "list" or now_ms >= month_ends_ms - _BEFORE_MONTH_ENDS_MS:
            return rate.list_price_nano
        return rate.position(used).price_nano or rate.list_price_nano

    def tables(self, meters: Iterable[str]) -> Mapping[str, CostTable]:
        """C of each of some meters that has a price; a unit of :data:`MODEL_COST` is money."""
        given = list(meters)
        tables = {meter: self._table(self._book.rate(meter)) for meter in given if self._book.prices(meter)}
        return {**tables, MODEL_COST: _OF_MONEY} if MODEL_COST in given else tables

    def _table(self, rate: Rate) -> CostTable:
        if self._mode == "list":
            return CostTable((0,), (0,), (rate.list_price_nano,))
        above = (0, *rate.bounds)
        return CostTable(above, tuple(map(rate.cumulative_nano, above)), rate.prices)

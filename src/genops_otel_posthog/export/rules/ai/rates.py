"""A model's published rates, taken out of ``genai-prices`` once, because asking it again takes longer than the rest of
a span's export.

Its own calculation stays the authority: rates are used only after they gave what it gives for calls of every kind that
spans can tell of, and for no longer than it means the same prices.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from decimal import Decimal
from typing import Any, Final, NamedTuple

_PER: Final = 1_000_000  # tokens that a price is for
_NONE: Final = Decimal(0)


class Price(NamedTuple):
    """What a call cost, US dollars.

    Attributes:
        input: For what went in, cached tokens included.
        output: For what came out.
    """

    input: Decimal
    output: Decimal

    @property
    def total(self) -> Decimal:
        """Both together."""
        return self.input + self.output


class Tokens(NamedTuple):
    """What a call took.

    Attributes:
        input: Tokens that went in, cached ones included.
        output: Tokens that came out.
        read: Of the input, read from the provider's cache.
        written: Of the input, written to it.
    """

    input: int
    output: int | None
    read: int | None
    written: int | None

    @property
    def contradict(self) -> bool:
        """Whether more was cached than went in."""
        return (self.read or 0) + (self.written or 0) > self.input


_CHECKED: Final = (
    Tokens(17, 5, None, None),
    Tokens(90_001, None, 4_001, None),
    Tokens(90_001, 3, None, 5_003),
    Tokens(1_000_003, 10_007, 70_001, 50_021),
    Tokens(0, 0, 0, 0),
)
"""Calls for which rates must give what ``genai-prices`` gives: with and without each part, in the lowest and the
highest tier."""


@dataclass(frozen=True)
class _Rate:
    """US dollars for a token; beyond so many tokens of input, other ones, the highest number first."""

    base: Decimal
    tiers: tuple[tuple[int, Decimal], ...]

    def price(self, count: int, all_input: int) -> Decimal:
        rate = self.base
        for start, price in self.tiers:
            if all_input > start:
                rate = price
                break
        return rate * count


class Rates:
    """The rates of one model.

    Args:
        snapshot: The prices that ``genai-prices`` had.
        model: The model, as it describes it.
        prices: The model's prices at the time of the call, the same.
    """

    def __init__(self, snapshot: object, model: Any, prices: Any) -> None:
        self._snapshot = snapshot
        self._model = model
        self._prices = prices
        self._input, self._output, self._read, self._written = (
            _rate(getattr(prices, f"{name}_mtok", None)) for name in ("input", "output", "cache_read", "cache_write")
        )

    def hold(self, snapshot: object, seconds: int) -> bool:
        """Whether these are the prices that hold for a call at this time, seconds since 1970-01-01 UTC."""
        if snapshot is not self._snapshot:
            return False
        if self._model.prices is self._prices:  # always the same
            return True
        return self._model.get_prices(datetime.fromtimestamp(seconds, timezone.utc)) is self._prices

    def price(self, tokens: Tokens) -> Price:
        """The price of a call whose counts do not contradict each other."""
        rest = every = tokens.input
        price = output = _NONE
        if self._read is not None and tokens.read:
            price += self._read.price(tokens.read, every)
            rest -= tokens.read
        if self._written is not None and tokens.written:
            price += self._written.price(tokens.written, every)
            rest -= tokens.written
        if self._input is not None:
            price += self._input.price(rest, every)
        if self._output is not None and tokens.output:
            output = self._output.price(tokens.output, every)
        return Price(price, output)

    def agree(self, ask: Callable[[Tokens], Price | None]) -> bool:
        """Whether they give what ``genai-prices`` gives."""
        return all(self.price(tokens) == ask(tokens) for tokens in _CHECKED)


def _rate(price: Any) -> _Rate | None:
    if price is None:
        return None
    if isinstance(price, Decimal):
        return _Rate(price / _PER, ())
    return _Rate(price.base / _PER, tuple((tier.start, tier.price / _PER) for tier in reversed(price.tiers)))

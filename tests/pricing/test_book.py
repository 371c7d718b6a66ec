"""The arithmetic of tiers."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genops_otel_posthog.errors import GenOpsConfigurationError
from genops_otel_posthog.pricing.book import PriceBook, Rate, Tier, TierPosition

RATE = Rate("events", "event", (Tier(10, 0), Tier(20, 7), Tier(50, 3), Tier(None, 1)))
UNIT_PRICES = [0] * 10 + [7] * 10 + [3] * 30


def book(**rates: Rate) -> PriceBook:
    return PriceBook("test", date(2026, 1, 1), ("a contract",), rates)


@st.composite
def rates(draw: st.DrawFn) -> Rate:
    bounds = sorted(draw(st.sets(st.integers(1, 10**9), max_size=7)))
    paid = sorted(draw(st.lists(st.integers(0, 10**11), min_size=1, max_size=len(bounds) + 1)), reverse=True)
    prices = [0] * (len(bounds) + 1 - len(paid)) + paid
    return Rate("events", "event", tuple(Tier(*tier) for tier in zip([*bounds, None], prices, strict=True)))


UNITS = st.integers(0, 2 * 10**9)


@pytest.mark.parametrize("units", [0, 1, 9, 10, 11, 19, 20, 21, 49, 50, 51, 1000])
def test_a_month_costs_what_its_units_cost_one_by_one(units: int):
    prices = UNIT_PRICES + [1] * max(0, units - 50)
    assert RATE.cumulative_nano(units) == sum(prices[:units])


def test_the_cost_of_further_units_is_the_difference_of_two_months():
    assert RATE.marginal_nano(18, 4) == 7 + 7 + 3 + 3


def test_a_rate_without_a_free_tier_charges_from_the_first_unit():
    rate = Rate("identified_events", "event", (Tier(None, 198_000),))
    assert rate.cumulative_nano(3) == 594_000
    assert rate.free_units == 0


@given(rates(), UNITS, UNITS)
def test_more_units_never_cost_less(rate: Rate, used: int, units: int):
    assert rate.marginal_nano(used, units) >= 0


@given(rates(), UNITS, st.lists(st.integers(0, 10**6), max_size=20))
def test_a_month_costs_the_same_however_it_is_split(rate: Rate, used: int, parts: list[int]):
    total, at = 0, used
    for units in parts:
        total += rate.marginal_nano(at, units)
        at += units
    assert total == rate.cumulative_nano(at) - rate.cumulative_nano(used)


@given(rates(), UNITS, UNITS)
def test_the_next_unit_never_costs_more_than_one_before_once_the_free_tier_is_used_up(rate: Rate, one: int, two: int):
    earlier, later = sorted((max(one, rate.free_units), max(two, rate.free_units)))
    assert rate.marginal_nano(later, 1) <= rate.marginal_nano(earlier, 1)


@given(rates(), UNITS)
def test_the_position_prices_the_next_unit(rate: Rate, used: int):
    position = rate.position(used)
    assert position.price_nano == rate.marginal_nano(used, 1)
    assert position.above <= used
    assert position.up_to is None or used < position.up_to


@given(rates(), UNITS)
def test_no_unit_costs_more_than_the_list_price(rate: Rate, used: int):
    assert rate.marginal_nano(used, 1) <= rate.list_price_nano


def test_the_tier_of_the_next_unit_begins_right_after_the_last_unit_of_the_one_before():
    assert RATE.position(9) == TierPosition(1, 0, 10, 0)
    assert RATE.position(10) == TierPosition(2, 10, 20, 7)
    assert RATE.position(50) == TierPosition(4, 50, None, 1)


def test_the_list_price_is_the_first_paid_tier():
    assert RATE.list_price_nano == 7


def test_the_free_tier_shrinks_to_nothing_and_not_below():
    prices = book(events=RATE)
    assert [prices.free_units_left("events", used) for used in (0, 4, 10, 99)] == [10, 6, 0, 0]


@pytest.mark.parametrize("units", [-1, -(10**9)])
def test_a_negative_number_of_units_is_refused(units: int):
    with pytest.raises(ValueError, match="never negative"):
        RATE.cumulative_nano(units)


@pytest.mark.parametrize(
    ("tiers", "reason"),
    [
        ((), "there is no tier"),
        ((Tier(10, 0),), "the last tier ends at 10"),
        ((Tier(None, 1), Tier(None, 1)), "only the last tier may be open"),
        ((Tier(10, 0), Tier(10, 1), Tier(None, 1)), "overlaps the tier before it"),
        ((Tier(10, 1), Tier(None, 2)), "the price rises from 0.000000001 to 0.000000002"),
        ((Tier(None, -1),), "is negative"),
        ((Tier(0, 0), Tier(None, 1)), "holds no units"),
    ],
)
def test_tiers_that_cannot_be_priced_with_are_refused(tiers: tuple[Tier, ...], reason: str):
    with pytest.raises(GenOpsConfigurationError, match=reason):
        Rate("events", "event", tiers)


def test_what_a_book_does_not_price_can_be_asked_for():
    prices = book(events=RATE)
    assert prices.prices("events")
    assert not prices.prices("exceptions")


def test_the_price_of_an_unpriced_meter_is_an_error_and_not_nothing():
    with pytest.raises(GenOpsConfigurationError, match=r"has no price for exceptions .* unknown, which is not 0"):
        book(events=RATE).cumulative_nano("exceptions", 1)


def test_the_price_of_an_unknown_meter_is_an_error_with_the_one_that_was_meant():
    with pytest.raises(GenOpsConfigurationError, match="did you mean events"):
        book(events=RATE).cumulative_nano("evnts", 1)


def test_a_book_cannot_be_changed():
    with pytest.raises(TypeError):
        book(events=RATE).rates["events"] = RATE  # type: ignore[index]  # that is the point


def test_amounts_are_exact_beyond_what_a_float_holds():
    rate = Rate("events", "event", (Tier(None, 34_300),))
    assert Decimal(rate.cumulative_nano(10**15 + 1)) == Decimal("34300000000000034300")


def test_equal_books_are_equal_and_can_be_keys():
    assert len({book(events=RATE), book(events=RATE)}) == 1

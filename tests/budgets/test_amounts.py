"""Amounts as people write them, as the ledger counts them and as people read them."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genops_otel_posthog.budgets.amounts import as_decimal, counted, exact_number, shown


@pytest.mark.parametrize(
    ("value", "number"),
    [(20, "20"), ("12.50", "12.50"), (Decimal("0.1"), "0.1"), (0.1, "0.1"), (1e-7, "0.0000001"), (" 5 ", "5")],
)
def test_a_number_is_taken_as_it_is_written(value, number):
    assert exact_number(value) == Decimal(number)


@pytest.mark.parametrize("value", ["twenty", "", "$5", True, None, [20], b"20"])
def test_what_is_no_number_is_refused(value):
    with pytest.raises(ValueError, match="is not a number; write it like 20"):
        exact_number(value)


@pytest.mark.parametrize("value", ["NaN", float("nan"), float("-inf"), "1e999999999", 10**40])
def test_what_no_amount_can_be_is_refused(value):
    with pytest.raises(ValueError, match="is not an amount; write a number like 20"):
        exact_number(value)


def test_money_is_counted_in_nano_usd_and_units_as_they_are():
    assert counted(Decimal("12.5"), None) == 12_500_000_000
    assert counted(Decimal("1000"), "events") == 1000
    assert as_decimal(12_500_000_000, None) == Decimal("12.5")
    assert as_decimal(1000, "events") == 1000


def test_nothing_is_rounded():
    with pytest.raises(ValueError, match="is not a whole number of nano-USD; round it to nine decimals"):
        counted(Decimal("0.0000000001"), None)
    with pytest.raises(ValueError, match="is not a whole number of events"):
        counted(Decimal("0.5"), "events")


@pytest.mark.parametrize(
    ("amount", "meter", "text"),
    [
        (12_500_000_000, None, "$12.50"),
        (20_000_000_000, None, "$20.00"),
        (0, None, "$0.00"),
        (248_000, None, "$0.000248"),
        (1, None, "$0.000000001"),
        (1_234_567_100_000_000, None, "$1,234,567.10"),
        (-5_000_000_000, None, "-$5.00"),
        (1_200, "events", "1,200 events"),
        (3, "feature_flag_requests", "3 feature_flag_requests"),
    ],
)
def test_an_amount_is_shown_in_its_unit(amount, meter, text):
    assert shown(amount, meter) == text


@settings(deadline=None)
@given(st.integers(-(10**18), 10**18))
def test_an_amount_is_shown_exactly(nano):
    assert Decimal(shown(nano, None).replace("$", "").replace(",", "")) == as_decimal(nano, None)

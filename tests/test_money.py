"""Money is whole nano-USD inside and Decimal outside; nothing is lost between the two."""

from __future__ import annotations

from decimal import Decimal, localcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genops_otel_posthog.money import NANO_PER_USD, float_usd_from_nano, nano_from_usd, usd_from_nano

# Up to a quadrillion dollars, which is more than anybody is billed.
NANO = st.integers(-(10**24), 10**24)


def test_a_nano_usd_is_a_billionth_of_a_dollar():
    assert NANO_PER_USD == 10**9
    assert nano_from_usd("0.000000001") == 1


@pytest.mark.parametrize(
    ("amount", "nano"),
    [
        ("0.00005", 50_000),
        ("0.0000343", 34_300),
        ("0.000001", 1_000),
        ("1e-9", 1),
        ("0", 0),
        ("-2.5", -2_500_000_000),
        (" 7 ", 7_000_000_000),
        (7, 7_000_000_000),
        (Decimal("0.000198"), 198_000),
    ],
)
def test_an_amount_of_dollars_is_converted_exactly(amount, nano):
    assert nano_from_usd(amount) == nano


@given(NANO)
def test_there_and_back_is_the_same(nano):
    assert nano_from_usd(usd_from_nano(nano)) == nano
    assert nano_from_usd(str(usd_from_nano(nano))) == nano


@given(NANO, NANO)
def test_sums_of_dollars_are_sums_of_nano_usd(one, other):
    assert usd_from_nano(one + other) == usd_from_nano(one) + usd_from_nano(other)


@given(st.integers(-(10**15), 10**15))
def test_as_a_float_it_is_the_nearest_there_is(nano):
    assert float_usd_from_nano(nano) == float(usd_from_nano(nano))


def test_in_print_it_has_no_more_digits_than_it_needs():
    assert str(usd_from_nano(1_500_000_000)) == "1.5"
    assert f"{usd_from_nano(50_000):f}" == "0.00005"


@pytest.mark.parametrize("amount", ["0.0000000001", "1.0000000001", Decimal("1E-10"), "NaN", "Infinity", "-inf"])
def test_what_is_not_a_whole_number_of_nano_usd_is_refused(amount):
    with pytest.raises(ValueError, match="is not a whole number of nano-USD"):
        nano_from_usd(amount)


@pytest.mark.parametrize("amount", ["", "free", "$5", "1,000", None, [], "sNaN", "1e100", 0.1, 0.5, True], ids=repr)
def test_what_is_not_a_number_is_refused_with_how_to_write_one(amount):
    with pytest.raises(ValueError, match=r"is not an amount of US dollars; write it like '0\.0000343'"):
        nano_from_usd(amount)


@pytest.mark.parametrize("precision", [1, 6])
def test_the_precision_that_the_application_works_with_changes_nothing(precision):
    with localcontext() as context:
        context.prec = precision
        assert nano_from_usd("1234.567891") == 1_234_567_891_000
        assert str(usd_from_nano(1_234_567_891_000)) == "1234.567891"

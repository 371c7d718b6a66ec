"""Return on investment."""

from __future__ import annotations

from decimal import Decimal

import pytest

from genops_otel_posthog.pricing.roi import return_on_investment


@pytest.mark.requirement("S4-76")
def test_a_first_year_pays_for_the_implementation():
    roi = return_on_investment(
        annual_value=30_000,
        annual_analytics_cost=4_000,
        implementation_hours=40,
        annual_maintenance=2_000,
    )
    assert roi.implementation_cost == 3_000  # 40 hours at 75
    assert roi.annual_cost == 6_000
    assert roi.annual_net_benefit == 24_000
    assert roi.first_year_net_benefit == 21_000
    assert roi.payback_months == Decimal("1.5")
    assert roi.first_year_percent is not None
    assert round(roi.first_year_percent, 1) == Decimal("233.3")


def test_the_hourly_rate_is_yours():
    roi = return_on_investment(annual_value=0, annual_analytics_cost=0, implementation_hours=2, hourly_rate="99.50")
    assert roi.implementation_cost == 199


def test_what_brings_less_than_it_costs_never_pays_back():
    roi = return_on_investment(annual_value=100, annual_analytics_cost=100, implementation_hours=1)
    assert roi.payback_months is None


def test_what_costs_nothing_to_introduce_has_paid_back_at_once():
    assert return_on_investment(annual_value=1, annual_analytics_cost=5).payback_months == 0


def test_what_costs_nothing_at_all_has_no_percentage():
    assert return_on_investment(annual_value=100, annual_analytics_cost=0).first_year_percent is None


@pytest.mark.parametrize("amount", [-1, "NaN", "Infinity"])
def test_an_amount_that_cannot_be_is_refused_by_name(amount: object):
    with pytest.raises(ValueError, match="annual_value is"):
        return_on_investment(annual_value=amount, annual_analytics_cost=1)  # type: ignore[arg-type]  # wrong on purpose

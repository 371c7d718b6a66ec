"""Estimates of a usage."""

from __future__ import annotations

from decimal import Decimal

import pytest

from genops_otel_posthog.errors import GenOpsConfigurationError
from genops_otel_posthog.pricing.book import PriceBook, TierPosition
from genops_otel_posthog.pricing.estimate import estimate_cost, with_identified

NEWEST = PriceBook.load("posthog-2026-07-22")


def test_an_estimate_says_for_each_meter_what_it_costs_and_where_it_stands():
    [events, flags] = estimate_cost(NEWEST, {"events": 3_000_000, "feature_flag_requests": 250_000}).meters
    assert (events.cost, events.list_cost) == (Decimal("84.3"), Decimal(150))
    assert events.tier == TierPosition(3, 2_000_000, 15_000_000, 34_300)
    assert (events.next_unit_price, events.tiers, events.free_units_left) == (Decimal("0.0000343"), 7, 0)
    assert (flags.cost, flags.list_cost, flags.free_units_left) == (0, 25, 750_000)


def test_usage_before_moves_the_units_up_the_tiers():
    [events] = estimate_cost(NEWEST, {"events": 1_000_000}, {"events": 1_500_000}).meters
    assert events.cost == Decimal("42.15")


def test_the_total_is_the_sum_of_the_meters():
    estimate = estimate_cost(NEWEST, {"events": 2_000_000, "identified_events": 2_000_000})
    assert (estimate.total, estimate.list_total) == (248, 496)


def test_a_meter_without_a_price_is_named_and_not_in_the_total():
    estimate = estimate_cost(PriceBook.load("genops-guide"), {"events": 3_000_000, "exceptions": 1})
    assert (estimate.unpriced, estimate.total) == (("exceptions",), 75)


def test_an_unknown_meter_is_refused():
    with pytest.raises(GenOpsConfigurationError, match="did you mean events"):
        estimate_cost(NEWEST, {"evnts": 1})


def test_a_negative_number_of_units_is_refused():
    with pytest.raises(ValueError, match="never negative"):
        estimate_cost(NEWEST, {"events": -1})


@pytest.mark.parametrize(("events", "identified", "all_events"), [(5, 3, 5), (5, 5, 5), (0, 3, 3), (0, 0, 0)])
def test_identified_events_are_a_part_of_all_events(events: int, identified: int, all_events: int):
    assert with_identified(events, identified) == all_events

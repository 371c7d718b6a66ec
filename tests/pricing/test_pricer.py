"""Prices of single calls at the month-to-date usage."""

from __future__ import annotations

import logging
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genops_otel_posthog.errors import GenOpsConfigurationError
from genops_otel_posthog.pricing.billing import FLAG_REQUEST, Charge, charges_for_event
from genops_otel_posthog.pricing.book import PriceBook
from genops_otel_posthog.pricing.pricer import UNBILLED, Price, Pricer
from genops_otel_posthog.pricing.usage import InProcessUsage

ANONYMOUS = charges_for_event("page_view", identified=False)
IDENTIFIED = charges_for_event("page_view", identified=True)
NEWEST = PriceBook.load("posthog-2026-07-22")


@pytest.fixture
def metered():
    def metered(**used: int) -> Pricer:
        return Pricer(NEWEST, InProcessUsage(used))

    return metered


def test_a_unit_of_the_free_tier_costs_nothing_and_still_has_a_list_price(metered):
    assert metered().charge(ANONYMOUS) == Price(0, 50_000, "events", 1, (("events", 1, 0),), ())


def test_the_first_unit_after_the_free_tier_costs_the_first_paid_price(metered):
    pricer = metered(events=999_999)
    assert [pricer.charge(ANONYMOUS).amount_nano for _ in range(3)] == [0, 50_000, 50_000]


def test_the_price_follows_the_usage_from_tier_to_tier(metered):
    pricer = metered(events=1_999_999)
    assert [pricer.charge(ANONYMOUS).amount_nano for _ in range(2)] == [50_000, 34_300]


def test_an_identified_event_costs_both_meters_and_names_the_primary_one(metered):
    price = metered(events=1_000_000, identified_events=1_000_000).charge(IDENTIFIED)
    assert price == Price(248_000, 248_000, "events", 1, (("events", 1, 50_000), ("identified_events", 1, 198_000)), ())


@pytest.mark.requirement("D-06")
def test_the_two_meters_of_an_identified_event_have_free_tiers_of_their_own(metered):
    price = metered(events=1_500_000, identified_events=10).charge(IDENTIFIED)
    assert price.parts == (("events", 1, 50_000), ("identified_events", 1, 0))


@pytest.mark.requirement("D-05")
def test_a_call_whose_units_cross_a_boundary_is_charged_at_both_prices(metered):
    polls = (Charge("feature_flag_requests", 10),)
    assert metered(feature_flag_requests=999_996).charge(polls).amount_nano == 6 * 100_000


def test_a_call_that_is_not_billed_costs_nothing_and_counts_nothing(metered):
    pricer = metered()
    assert pricer.charge(()) == pricer.quote(()) == UNBILLED
    assert UNBILLED.meter is None


def test_a_quote_is_what_the_next_call_costs_and_counts_nothing(metered):
    pricer = metered(events=999_999)
    assert [pricer.quote(ANONYMOUS).amount_nano for _ in range(3)] == [0, 0, 0]
    pricer.charge(ANONYMOUS)
    assert pricer.quote(ANONYMOUS).amount_nano == 50_000


def test_list_mode_prices_every_unit_at_the_first_paid_tier_and_still_counts():
    usage = InProcessUsage()
    price = Pricer(NEWEST, usage, "list").charge(IDENTIFIED)
    assert price.amount_nano == price.list_nano == 248_000
    assert usage.used("events") == usage.used("identified_events") == 1


def test_list_mode_does_not_depend_on_usage():
    pricer = Pricer(NEWEST, InProcessUsage({"feature_flag_requests": 10**9}), "list")
    assert pricer.charge(FLAG_REQUEST).amount_nano == 100_000


def test_an_unknown_mode_is_refused():
    with pytest.raises(GenOpsConfigurationError, match="pricing mode 'average' is unknown; use 'metered'"):
        Pricer(NEWEST, InProcessUsage(), "average")


def test_a_meter_without_a_price_is_named_and_is_in_no_amount():
    price = Pricer(PriceBook.load("genops-guide"), InProcessUsage()).charge((Charge("exceptions", 1),))
    assert price == Price(0, 0, "exceptions", 1, (), ("exceptions",))


def test_the_priced_part_of_a_call_is_priced_beside_the_unpriced_one():
    charges = charges_for_event("page_view", identified=True, group_analytics=True)
    price = Pricer(PriceBook.load("genops-guide"), InProcessUsage()).charge(charges)
    assert price.parts == (("events", 1, 0), ("identified_events", 1, 198_000))
    assert (price.amount_nano, price.unpriced) == (198_000, ("group_analytics",))


def test_the_units_of_a_meter_without_a_price_are_counted():
    usage = InProcessUsage()
    Pricer(PriceBook.load("genops-guide"), usage).charge((Charge("exceptions", 2),))
    assert usage.used("exceptions") == 2


def test_a_meter_without_a_price_is_warned_about_once(caplog: pytest.LogCaptureFixture):
    pricer = Pricer(PriceBook.load("genops-guide"), InProcessUsage())
    with caplog.at_level(logging.WARNING):
        for units in (1, 2, 1):
            pricer.charge((Charge("exceptions", units),))
    assert [record.getMessage() for record in caplog.records] == [
        "The price book genops-guide has no price for exceptions: its units are counted, but their cost is unknown and "
        "in no amount. Choose another book (GENOPS_PRICE_BOOK) or add the meter to one of your own."
    ]


def test_a_new_month_begins_with_a_new_free_tier():
    clock = [1_795_651_200.0]  # 2026-11-26
    pricer = Pricer(NEWEST, InProcessUsage({"events": 5_000_000}, lambda: clock[0]))
    before = pricer.charge(ANONYMOUS)
    clock[0] += 10 * 86_400
    assert (before.amount_nano, pricer.charge(ANONYMOUS).amount_nano) == (34_300, 0)


def test_calls_of_any_number_of_kinds_are_priced_right_and_remembered_within_bounds(metered):
    pricer = metered()
    kinds = [(Charge("recordings", units),) for units in range(1, 2000)]
    assert sum(pricer.charge(kind).amount_nano for kind in kinds) == NEWEST.cumulative_nano("recordings", 1_999_000)
    assert len(pricer._kept) < 1000


CALLS = st.lists(
    st.sampled_from(
        [
            ANONYMOUS,
            IDENTIFIED,
            FLAG_REQUEST,
            (Charge("feature_flag_requests", 10),),
            (Charge("events", 999_999), Charge("identified_events", 600_000)),
            (Charge("recordings", 7_001),),
            (Charge("feature_flag_requests", 3_000_000),),
        ]
    ),
    max_size=60,
)


@given(CALLS, st.integers(0, 3_000_000))
def test_the_amounts_of_a_month_add_up_to_the_cost_of_its_usage(calls: list[tuple[Charge, ...]], start: int):
    usage = InProcessUsage({"events": start})
    pricer = Pricer(NEWEST, usage)
    total = sum(pricer.charge(call).amount_nano for call in calls)
    meters = ("events", "identified_events", "feature_flag_requests", "recordings")
    month = sum(NEWEST.cumulative_nano(meter, usage.used(meter)) for meter in meters)
    assert total == month - NEWEST.cumulative_nano("events", start)


@given(CALLS)
def test_a_price_is_the_sum_of_its_parts_and_never_more_than_the_list_price(calls: list[tuple[Charge, ...]]):
    pricer = Pricer(NEWEST, InProcessUsage())
    for call in calls:
        quoted, price = pricer.quote(call), pricer.charge(call)
        assert quoted == price
        assert price.amount_nano == sum(amount for _, _, amount in price.parts)
        assert 0 <= price.amount_nano <= price.list_nano


@settings(max_examples=20, deadline=None)
@given(st.lists(CALLS, min_size=2, max_size=4), st.integers(990_000, 1_000_000))
def test_calls_of_several_threads_add_up_to_the_cost_of_their_usage(work: list[list[tuple[Charge, ...]]], start: int):
    usage = InProcessUsage({"events": start})
    pricer, totals = Pricer(NEWEST, usage), []

    def run(calls: list[tuple[Charge, ...]]) -> None:
        totals.append(sum(pricer.charge(call).amount_nano for call in calls * 5))

    threads = [threading.Thread(target=run, args=(calls,)) for calls in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    meters = ("events", "identified_events", "feature_flag_requests", "recordings")
    month = sum(NEWEST.cumulative_nano(meter, usage.used(meter)) for meter in meters)
    assert sum(totals) == month - NEWEST.cumulative_nano("events", start)

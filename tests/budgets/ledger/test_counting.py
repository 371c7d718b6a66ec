"""Steps 3 and 4: units are counted once, and cost what they cost the organisation, to the nano-dollar."""

from __future__ import annotations

from itertools import permutations

import pytest
from conversation import BOOK, COSTS, DAY, MONTH, NEXT_DAY, NOON, YESTERDAY, Clock, Process, ask, counted

from genops_otel_posthog.budgets.ledger.protocol import Counted, Ledger, PeriodKey, PeriodRecord
from genops_otel_posthog.budgets.prices import Prices

FREE = BOOK.free_units("events")


def period(ledger: Ledger, budget: str = "b", window: str = DAY.id) -> PeriodRecord:
    """What the ledger holds about a budget."""
    return next(record for record in ledger.periods(budget, current=False) if record.window.id == window)


def test_what_exceeds_the_number_seen_is_new(alice: Process, ledger: Ledger):
    alice.say(ask(meter="events"), counted=(counted(5, "b"),))
    alice.say(ask(meter="events"), counted=(counted(12, "b"),))
    assert ledger.usage(MONTH) == {"events": 12}
    assert period(ledger).committed == 12


def test_what_is_not_more_than_the_number_seen_is_not(alice: Process, ledger: Ledger):
    alice.say(ask(), counted=(counted(12, "b"),))
    alice.say(ask(), counted=(counted(12, "b"),))
    alice.say(ask(), counted=(counted(5, "b"),))
    assert ledger.usage(MONTH) == {"events": 12}


def test_units_that_other_budgets_pay_for_are_counted_apart(alice: Process, ledger: Ledger):
    alice.say(ask("b", meter="events"), ask("c", meter="events"), counted=(counted(5, "b"), counted(7, "b", "c")))
    alice.say(ask("b", meter="events"), ask("c", meter="events"), counted=(counted(6, "b"),))
    assert ledger.usage(MONTH) == {"events": 13}
    assert (period(ledger, "b").committed, period(ledger, "c").committed) == (13, 7)


def test_units_that_nobody_pays_for_are_usage_all_the_same(alice: Process, ledger: Ledger):
    alice.say(counted=(counted(5),))
    assert ledger.usage(MONTH) == {"events": 5}


@pytest.mark.parametrize("meter", sorted(COSTS))
def test_units_cost_the_difference_of_two_months_at_every_border_of_tiers(meter: str, alice: Process, ledger: Ledger):
    total = paid = 0
    for bound in BOOK.rate(meter).bounds:
        for total in (bound - 1, bound, bound + 2):
            alice.say(ask(limit=10**15), costs=COSTS, counted=(counted(total, "b", meter=meter),))
            assert period(ledger).committed - paid == BOOK.cumulative_nano(meter, total) - paid
            paid = period(ledger).committed
    assert paid == BOOK.cumulative_nano(meter, total)


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_charges_add_up_to_the_cost_of_all_units_in_any_order(
    order: tuple[int, ...], alice: Process, bob: Process, carol: Process, ledger: Ledger
):
    said = [(alice, "a", FREE - 7), (bob, "b", 900_011), (carol, "c", 13_500_003)]
    for process, team, units in (said[i] for i in order):
        process.say(ask(team), ask("all"), costs=COSTS, counted=(counted(units, team, "all"),))
    teams = [period(ledger, team).committed for team in "abc"]
    units = sum(units for _, _, units in said)
    assert sum(teams) == period(ledger, "all").committed == BOOK.cumulative_nano("events", units)


def test_several_meters_of_one_call_are_each_charged(alice: Process, ledger: Ledger):
    meters = ("events", "identified_events")
    alice.say(ask(), costs=COSTS, counted=tuple(counted(2_000_000, "b", meter=meter) for meter in meters))
    assert period(ledger).committed == sum(BOOK.cumulative_nano(meter, 2_000_000) for meter in meters)


def test_a_list_price_is_paid_from_the_first_unit(alice: Process, ledger: Ledger):
    alice.say(ask(), costs=Prices(BOOK, "list").tables(["events"]), counted=(counted(10, "b"),))
    assert period(ledger).committed == 10 * BOOK.list_price_nano("events")


def test_a_meter_without_a_price_is_counted_and_costs_nothing(alice: Process, ledger: Ledger):
    alice.say(ask(), costs={}, counted=(counted(10, "b"),))
    assert ledger.usage(MONTH) == {"events": 10}
    assert period(ledger).committed == 0


def test_a_new_month_begins_with_its_free_tier(alice: Process, ledger: Ledger):
    paid = counted(FREE + 1, "b", month="2026-11")
    alice.say(ask(), costs=COSTS, counted=(paid, counted(FREE, "b", month="2026-12")))
    assert period(ledger).committed == BOOK.cumulative_nano("events", FREE + 1)
    assert ledger.usage("2026-12") == {"events": FREE}


def test_critical_events_past_the_limit_are_counted_apart(alice: Process, ledger: Ledger):
    reply = alice.say(
        ask("b", meter="events", limit=1), ask("c", meter="events"), counted=(counted(5, "c", overdrawn="b"),)
    )
    assert [(s.committed, s.overdraft) for s in reply.standings] == [(0, 5), (5, 0)]
    assert (period(ledger, "b").committed, period(ledger, "b").overdraft) == (0, 5)


def test_an_overdraft_costs_what_its_units_cost(alice: Process, ledger: Ledger):
    alice.say(ask(), costs=COSTS, counted=(counted(FREE + 3, overdrawn="b"),))
    assert period(ledger).overdraft == BOOK.cumulative_nano("events", FREE + 3)


def test_a_budget_of_units_is_charged_its_own_meter_alone(alice: Process, ledger: Ledger):
    both = (counted(5, "b"), counted(3, "b", meter="recordings"))
    alice.say(ask(meter="events"), costs=COSTS, counted=both)
    assert period(ledger).committed == 5


class TestAPeriodThatIsNotThePresentOne:
    def test_is_charged_what_was_counted_for_it(self, alice: Process, ledger: Ledger):
        one = ask(meter="events", windows=(YESTERDAY, DAY, NEXT_DAY))
        alice.say(one, counted=(counted(5, "b", period=YESTERDAY.id), counted(2, "b")))
        assert period(ledger, window=YESTERDAY.id).committed == 5
        assert period(ledger, window=YESTERDAY.id).window == YESTERDAY
        assert period(ledger).committed == 2

    def test_is_kept_as_having_ended_when_nobody_said_when_it_did(self, alice: Process, ledger: Ledger):
        alice.say(ask(meter="events"), counted=(counted(5, "b", period="d:2026-11-19"),))
        assert period(ledger, window="d:2026-11-19").window[1:] == (NOON, NOON)

    def test_is_not_reported_as_the_present_one(self, alice: Process, ledger: Ledger):
        alice.say(ask(), counted=(counted(5, "b", period="d:2026-11-19"),))
        assert [record.window for record in ledger.periods()] == [DAY]


class TestABudgetThatIsNotAskedAbout:
    """What an ended process could not say is said by another one, which may not know its budgets."""

    def test_is_charged_in_the_unit_that_the_ledger_knows(self, alice: Process, bob: Process, ledger: Ledger):
        alice.say(ask(meter="events"))
        bob.say(costs=COSTS, counted=(counted(5, "b"),))
        assert period(ledger).committed == 5

    def test_is_charged_money_when_the_ledger_knows_nothing(self, alice: Process, ledger: Ledger):
        alice.say(costs=COSTS, counted=(counted(FREE + 1, "b"),))
        assert period(ledger).committed == BOOK.cumulative_nano("events", FREE + 1)

    def test_keeps_its_definition(self, alice: Process, bob: Process, ledger: Ledger):
        alice.say(ask(definition='{"team":"web"}', limit=7))
        bob.say(counted=(counted(5, "b"),))
        assert (period(ledger).definition, period(ledger).limit) == ('{"team":"web"}', 7)


def test_a_month_that_ended_forty_days_ago_is_passed_over(alice: Process, ledger: Ledger):
    old = counted(5, "b", month="2026-09", period="d:2026-09-30")
    alice.say(ask(), counted=(old, counted(3, "b", month="2026-10")))
    assert (ledger.usage("2026-09"), ledger.usage("2026-10")) == ({}, {"events": 3})


class TestUsageThatIsKnown:
    def test_raises_what_the_ledger_knows(self, alice: Process):
        reply = alice.say(usage_at_least={MONTH: {"events": 70}}, meters=("events",))
        assert reply.usage == {"events": 70}

    def test_is_never_added_up(self, alice: Process, bob: Process, ledger: Ledger):
        for process in (alice, bob, alice):
            process.say(usage_at_least={MONTH: {"events": 70}})
        assert ledger.usage(MONTH) == {"events": 70}

    def test_never_lowers_it(self, alice: Process, ledger: Ledger):
        alice.say(counted=(counted(80),))
        alice.say(usage_at_least={MONTH: {"events": 70}})
        assert ledger.usage(MONTH) == {"events": 80}

    def test_comes_before_what_is_counted(self, alice: Process, ledger: Ledger):
        known = {MONTH: {"events": FREE}}
        alice.say(ask(), costs=COSTS, usage_at_least=known, counted=(counted(3, "b"),))
        assert ledger.usage(MONTH) == {"events": FREE + 3}
        assert period(ledger).committed == BOOK.marginal_nano("events", FREE, 3)

    def test_may_be_of_another_month(self, alice: Process, ledger: Ledger):
        alice.say(usage_at_least={"2026-12": {"events": 70}})
        assert (ledger.usage(MONTH), ledger.usage("2026-12")) == ({}, {"events": 70})

    def test_is_in_the_journal_when_it_raises_something(self, alice: Process, ledger: Ledger):
        for units in (70, 70, 90):
            alice.say(usage_at_least={MONTH: {"events": units}})
        entries = [(e.kind, e.actor, e.amount, e.note) for e in ledger.journal()]
        assert entries == [
            ("usage", "alice", 70, "events in 2026-11, raised to 70"),
            ("usage", "alice", 20, "events in 2026-11, raised to 90"),
        ]


class TestUsageRaisedByPeople:
    def test_rises(self, alice: Process, ledger: Ledger):
        alice.say(counted=(counted(5), counted(6, meter="recordings")))
        usage = ledger.raise_usage(MONTH, {"events": 100}, actor="ann", note="the bill")
        assert usage == ledger.usage(MONTH) == {"events": 100, "recordings": 6}

    def test_never_falls(self, alice: Process, ledger: Ledger):
        alice.say(counted=(counted(5),))
        assert ledger.raise_usage(MONTH, {"events": 4}, actor="ann", note="the bill") == {"events": 5}
        assert not [entry for entry in ledger.journal() if entry.kind == "usage"]

    def test_is_in_the_journal(self, ledger: Ledger, clock: Clock):
        ledger.raise_usage(MONTH, {"events": 100}, actor="ann", note="the bill")
        entry = ledger.journal()[-1]
        assert entry[1:7] == (clock.now_ms, "ann", "usage", None, None, 100)
        assert entry.note == "events in 2026-11, raised to 100: the bill"


def test_the_reply_says_how_much_was_used_of_the_meters_asked_for(alice: Process, bob: Process):
    alice.say(counted=(counted(5), counted(6, meter="recordings")))
    reply = bob.say(counted=(counted(2),), meters=("events", "llm_events"))
    assert reply.usage == {"events": 7, "llm_events": 0}


def test_the_journal_has_one_line_for_what_a_period_paid(alice: Process, ledger: Ledger):
    units = (counted(FREE + 1, "b"), counted(2, "b", meter="identified_events"), counted(3, overdrawn="b"))
    alice.say(ask(), costs=COSTS, counted=units)
    entries = [(e.kind, e.actor, e.budget, e.period, e.note) for e in ledger.journal() if e.kind != "alert"]
    assert entries == [
        ("commit", "alice", "b", DAY.id, f"{FREE + 1} events, 2 identified_events"),
        ("overdraft", "alice", "b", DAY.id, "3 events"),
    ]


def test_the_journal_has_no_line_for_what_cost_nothing(alice: Process, ledger: Ledger):
    alice.say(ask(), costs=COSTS, counted=(counted(5, "b"),))
    assert ledger.journal() == []


def test_amounts_are_exact_beyond_the_whole_numbers_of_a_double_where_the_ledger_says_so(
    alice: Process, ledger: Ledger
):
    largest = ledger.largest_amount
    key = PeriodKey("b", DAY.id)
    alice.say(ask(meter="events"), counted=(Counted("events", MONTH, largest - 1, (key,)),))
    alice.say(ask(meter="events"), counted=(Counted("events", MONTH, largest, (key,)),))
    assert period(ledger).committed == largest

"""Steps 5 to 7: what is lent to whom, and when it is free again."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from conversation import (
    A_DAY,
    DAY,
    HOUR,
    LEASE_MS,
    NEXT_DAY,
    NOON,
    YESTERDAY,
    Clock,
    Process,
    ask,
    counted,
    ms,
)

from genops_otel_posthog.budgets.ledger.protocol import Ledger, Standing


def units(limit: int = 1000, **more: object):
    """A budget of events, so that a unit costs one."""
    return ask(limit=limit, meter="events", **more)


class TestAGrant:
    def test_is_what_is_wanted_where_there_is_plenty(self, alice: Process):
        standing = alice.standing(units(want=100, need=10))
        assert (standing.granted, standing.lease, standing.leased, standing.committed) == (100, 100, 100, 0)

    def test_adds_to_the_lease(self, alice: Process):
        alice.say(units(want=100))
        standing = alice.standing(units(want=50, lease_period=DAY.id))
        assert (standing.granted, standing.lease, standing.leased) == (50, 150, 150)

    def test_is_all_that_is_left_for_the_only_process(self, alice: Process):
        assert alice.standing(units(want=5000)).granted == 1000

    def test_is_a_fair_share_where_others_hold_leases(self, alice: Process, bob: Process, carol: Process):
        assert alice.standing(units(want=400)).granted == 400
        assert bob.standing(units(want=5000)).granted == 600 // 2
        assert carol.standing(units(want=5000)).granted == 300 // 3

    def test_does_not_count_the_process_itself_among_the_others(self, alice: Process):
        alice.say(units(want=400))
        assert alice.standing(units(want=5000, lease_period=DAY.id)).granted == 600

    def test_is_as_much_as_is_needed_where_the_share_is_less(self, alice: Process, bob: Process):
        alice.say(units(want=400))
        assert bob.standing(units(want=5000, need=500)).granted == 500

    def test_is_nothing_where_less_is_free_than_needed(self, alice: Process, bob: Process):
        alice.say(units(want=950))
        standing = bob.standing(units(want=100, need=51))
        assert (standing.granted, standing.lease, standing.leased) == (0, 0, 950)

    def test_is_nothing_where_nothing_is_wanted(self, alice: Process):
        assert alice.standing(units()).granted == 0

    def test_leaves_alone_what_is_spent(self, alice: Process, bob: Process):
        alice.say(units(), counted=(counted(700, "b"),))
        assert bob.standing(units(want=5000)).granted == 300

    def test_is_nothing_when_more_is_spent_than_there_is(self, alice: Process):
        standing = alice.standing(units(want=1), counted=(counted(1001, "b"),))
        assert (standing.granted, standing.committed) == (0, 1001)

    def test_does_not_go_beyond_the_part_of_the_limit_where_refusal_begins(self, alice: Process):
        standing = alice.standing(units(cap=9_500, want=5000))
        assert (standing.limit, standing.cap, standing.granted) == (1000, 950, 950)

    def test_is_of_each_budget_by_itself(self, alice: Process):
        replies = alice.say(ask("b", want=300), ask("c", limit=200, want=300)).standings
        assert [(s.budget, s.granted, s.leased) for s in replies] == [("b", 300, 300), ("c", 200, 200)]

    def test_is_in_the_journal(self, alice: Process, ledger: Ledger, clock: Clock):
        alice.say(units(want=100))
        assert ledger.journal()[-1][1:] == (clock.now_ms, "alice", "grant", "b", DAY.id, 100, "")

    def test_is_nothing_from_a_budget_that_refuses_nobody(self, alice: Process):
        standing = alice.standing(units(cap=None, want=100, need=1))
        assert (standing.cap, standing.granted, standing.leased, standing.wanted_by_others) == (None, 0, 0, False)

    def test_is_less_after_the_limit_was_lowered(self, alice: Process, bob: Process, ledger: Ledger):
        alice.say(units(want=400))
        ledger.set_limit("b", 300, actor="ann", reason="saving")
        standing = bob.standing(units(want=100))
        assert (standing.limit, standing.granted, standing.leased) == (300, 0, 400)


class TestWantedByOthers:
    def test_is_said_to_those_who_could_give_something_back(self, alice: Process, bob: Process):
        alice.say(units(want=1000))
        bob.say(units(want=10, need=1))
        assert alice.standing(units(lease_period=DAY.id)).wanted_by_others

    def test_is_not_said_to_the_one_who_wanted(self, alice: Process, bob: Process):
        alice.say(units(want=1000))
        assert not bob.standing(units(want=10, need=1)).wanted_by_others

    def test_is_not_said_before_somebody_wanted(self, alice: Process, bob: Process):
        alice.say(units(want=1000))
        bob.say(units(want=10))
        assert not alice.standing(units(lease_period=DAY.id)).wanted_by_others

    def test_is_over_when_that_process_got_something(self, alice: Process, bob: Process):
        alice.say(units(want=1000))
        bob.say(units(want=10, need=1))
        alice.say(units(lease_period=DAY.id, returned=500))
        bob.say(units(want=10, need=1))
        assert not alice.standing(units(lease_period=DAY.id)).wanted_by_others

    def test_is_over_after_the_life_of_a_lease(self, alice: Process, bob: Process, clock: Clock):
        alice.say(units(want=1000))
        bob.say(units(want=10, need=1), lease_ms=15_000)
        clock.advance(14_999)
        assert alice.standing(units(lease_period=DAY.id)).wanted_by_others
        clock.advance(1)
        assert not alice.standing(units(lease_period=DAY.id)).wanted_by_others


class TestSettling:
    def test_takes_what_was_set_aside_off_the_lease(self, alice: Process):
        alice.say(units(want=100))
        standing = alice.standing(units(lease_period=DAY.id, settled=30), counted=(counted(30, "b"),))
        assert (standing.lease, standing.leased, standing.committed) == (70, 70, 30)

    def test_frees_what_was_set_aside_and_did_not_cost_as_much(self, alice: Process, bob: Process):
        alice.say(units(want=1000))
        alice.say(units(lease_period=DAY.id, settled=1000), counted=(counted(400, "b"),))
        assert bob.standing(units(want=5000)).granted == 600

    def test_frees_what_is_returned(self, alice: Process, bob: Process):
        alice.say(units(want=1000))
        assert alice.standing(units(lease_period=DAY.id, returned=400)).lease == 600
        assert bob.standing(units(want=5000)).granted == 400 // 2

    def test_takes_no_more_than_the_process_holds(self, alice: Process, bob: Process):
        bob.say(units(want=500))
        alice.say(units(want=100))
        standing = alice.standing(units(lease_period=DAY.id, settled=80, returned=80))
        assert (standing.lease, standing.leased) == (0, 500)

    def test_comes_before_the_grant(self, alice: Process):
        alice.say(units(want=1000))
        standing = alice.standing(units(lease_period=DAY.id, returned=1000, want=700))
        assert (standing.granted, standing.lease) == (700, 700)

    def test_of_a_lease_that_never_was_takes_nothing(self, alice: Process, bob: Process):
        bob.say(units(want=500))
        standing = alice.standing(units(lease_period=DAY.id, settled=100, returned=100))
        assert (standing.lease, standing.leased) == (0, 500)

    def test_of_a_process_that_leaves_returns_everything(self, alice: Process, bob: Process):
        alice.say(units(want=1000))
        standing = alice.standing(
            units(lease_period=DAY.id, settled=10, want=50), counted=(counted(10, "b"),), leaving=True
        )
        assert (standing.lease, standing.granted, standing.leased, standing.committed) == (0, 0, 0, 10)
        assert bob.standing(units(want=5000)).granted == 990

    def test_of_a_budget_that_refuses_nobody_any_more_returns_everything(self, alice: Process):
        alice.say(units(want=1000))
        standing = alice.standing(units(cap=None, lease_period=DAY.id))
        assert (standing.lease, standing.leased) == (0, 0)


class TestAnExpiredLease:
    def test_is_given_to_another_process(self, alice: Process, bob: Process, clock: Clock):
        alice.say(units(want=1000))
        clock.advance(LEASE_MS - 1)
        assert bob.standing(units(want=100)).granted == 0
        clock.advance(1)
        assert bob.standing(units(want=5000)).granted == 1000

    def test_is_renewed_by_each_message_of_its_process(self, alice: Process, bob: Process, clock: Clock):
        alice.say(units(want=1000))
        for _ in range(3):
            clock.advance(LEASE_MS - 1)
            assert alice.standing(units(lease_period=DAY.id)).lease == 1000
        assert bob.standing(units(want=100)).granted == 0

    def test_is_still_its_process_s_if_nobody_else_came(self, alice: Process, clock: Clock):
        alice.say(units(want=1000))
        clock.advance(HOUR)
        assert alice.standing(units(lease_period=DAY.id)).lease == 1000

    def test_takes_nothing_from_others_when_it_is_settled_late(self, alice: Process, bob: Process, clock: Clock):
        alice.say(units(want=600))
        clock.advance(LEASE_MS)
        bob.say(units(want=1000))
        late = alice.standing(units(lease_period=DAY.id, settled=250), counted=(counted(250, "b"),))
        # The bound on what a paused process can overspend: its own lease.
        assert (late.committed, late.leased, late.lease) == (250, 1000, 0)

    def test_is_in_the_journal(self, alice: Process, bob: Process, ledger: Ledger, clock: Clock):
        alice.say(units(want=600))
        clock.advance(LEASE_MS)
        bob.say(units())
        assert ledger.journal()[-1][1:] == (clock.now_ms, "bob", "reap", "b", DAY.id, 600, "of alice")

    def test_is_one_of_sixteen_at_a_time_the_earliest_first(
        self, process: Callable[[str], Process], alice: Process, ledger: Ledger, clock: Clock
    ):
        for number in range(20):
            process(f"p{number:02}").say(units(want=10))
            clock.advance(1)
        clock.advance(LEASE_MS)
        assert alice.standing(units()).leased == 40
        reaped = [entry.note for entry in ledger.journal() if entry.kind == "reap"]
        assert reaped == [f"of p{number:02}" for number in range(16)]
        assert alice.standing(units()).leased == 0

    def test_is_free_even_if_it_was_held_of_a_period_that_has_ended(
        self, alice: Process, bob: Process, ledger: Ledger, clock: Clock
    ):
        alice.say(units(want=600, hold=True))
        clock.advance(A_DAY)
        bob.say(units(hold=True))
        (over,) = [record for record in ledger.periods(current=False) if record.window.id == DAY.id]
        assert (over.leased, over.held) == (0, 0)


class TestAHeldLease:
    @pytest.fixture
    def held(self, alice: Process, bob: Process, clock: Clock) -> Standing:
        """What bob sees after alice has fallen silent."""
        alice.say(units(want=600, hold=True))
        clock.advance(LEASE_MS)
        return bob.standing(units(want=5000, hold=True))

    def test_is_set_apart_and_given_to_nobody(self, held: Standing):
        assert (held.held, held.leased, held.granted) == (600, 400, 400)

    def test_is_its_process_s_lease_again_when_it_is_heard_of(self, held: Standing, alice: Process):
        standing = alice.standing(units(hold=True, lease_period=DAY.id))
        assert (standing.lease, standing.leased, standing.held) == (600, 1000, 0)

    def test_is_settled_late_without_overspending(self, held: Standing, alice: Process):
        standing = alice.standing(
            units(hold=True, lease_period=DAY.id, settled=250, returned=100), counted=(counted(250, "b"),)
        )
        assert (standing.committed, standing.lease, standing.leased, standing.held) == (250, 250, 650, 0)

    def test_is_free_when_the_period_ends(self, held: Standing, ledger: Ledger, clock: Clock, bob: Process):
        clock.advance(A_DAY)
        bob.say(units(hold=True))
        assert [record.held for record in ledger.periods(current=False)] == [0, 0]

    def test_may_fall_silent_again(self, held: Standing, alice: Process, bob: Process, clock: Clock):
        alice.say(units(hold=True, lease_period=DAY.id))
        clock.advance(LEASE_MS)
        assert bob.standing(units(hold=True, lease_period=DAY.id)).held == 600

    def test_is_marked_in_the_journal(self, held: Standing, ledger: Ledger):
        assert [entry.note for entry in ledger.journal() if entry.kind == "reap"] == ["of alice, held"]


class TestAPeriod:
    def test_is_the_one_that_the_clock_is_in(self, alice: Process, clock: Clock):
        assert alice.standing(units()).window == DAY
        clock.now_ms = DAY.end_ms - 1
        assert alice.standing(units()).window == DAY
        clock.now_ms = DAY.end_ms
        assert alice.standing(units()).window == NEXT_DAY

    def test_begins_with_nothing_spent(self, alice: Process, clock: Clock):
        alice.say(units(), counted=(counted(1000, "b"),))
        clock.now_ms = DAY.end_ms
        assert alice.standing(units(want=100)) == Standing("b", NEXT_DAY, 1000, 1000, 0, 100, 0, 0, 100, 100)

    def test_outlives_no_lease(self, alice: Process, bob: Process, ledger: Ledger, clock: Clock):
        clock.now_ms = DAY.end_ms - 1_000
        alice.say(units(want=100), lease_ms=15_000)
        clock.advance(1_000)
        bob.say(units())
        assert [record.leased for record in ledger.periods(current=False)] == [0, 0]

    def test_that_has_ended_takes_its_lease_along(self, alice: Process, ledger: Ledger, clock: Clock):
        alice.say(units(want=100))
        clock.now_ms = DAY.end_ms
        standing = alice.standing(
            units(lease_period=DAY.id, settled=30, want=50), counted=(counted(30, "b", period=DAY.id),)
        )
        assert (standing.window, standing.lease, standing.committed) == (NEXT_DAY, 50, 0)
        over, present = ledger.periods(current=False)
        assert (over.committed, over.leased) == (30, 0)
        assert present.leased == 50

    def test_may_be_none_of_those_asked_for(self, alice: Process, clock: Clock):
        clock.now_ms = ms("2026-11-25T12:00")
        reply = alice.say(units(want=100, need=1, limit=800, cap=9_500))
        assert reply.standings == (Standing("b", None, 800, 760, 0, 0, 0, 0, 0, 0),)
        assert reply.now_ms == clock.now_ms

    def test_may_be_none_of_those_asked_for_while_a_lease_is_held(self, alice: Process, bob: Process, clock: Clock):
        alice.say(units(want=100))
        elsewhere = units(windows=(YESTERDAY,), lease_period=DAY.id, settled=30, want=50)
        standing = alice.standing(elsewhere, counted=(counted(30, "b"),))
        assert (standing.window, standing.lease, standing.granted) == (None, 70, 0)
        assert bob.standing(units()).leased == 70
        clock.advance(LEASE_MS)
        assert bob.standing(units()).leased == 0

    def test_is_asked_for_again_around_the_ledger_s_clock(self, alice: Process, clock: Clock):
        clock.now_ms = NOON - A_DAY
        assert alice.standing(units()).window is None
        assert alice.standing(units(windows=(YESTERDAY, DAY))).window == YESTERDAY

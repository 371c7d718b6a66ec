"""Steps 1 and 2: what was said twice counts once, and a ledger that has lost data says so."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from conversation import DAY, MONTH, Clock, Process, ask, counted

from genops_otel_posthog.budgets.ledger.protocol import Ledger, StaleSequence


def test_a_repeated_request_gets_the_same_reply(alice: Process):
    request = alice.request(ask(want=100), counted=(counted(5, "b"),), meters=("events",))
    assert alice.send(request) == alice.send(request)


def test_a_repeated_request_counts_nothing(alice: Process, ledger: Ledger):
    request = alice.request(ask(), counted=(counted(5, "b"),))
    for _ in range(3):
        alice.send(request)
    assert ledger.usage(MONTH) == {"events": 5}


def test_a_repeated_request_is_granted_nothing_more(alice: Process, ledger: Ledger):
    request = alice.request(ask(want=100))
    for _ in range(3):
        alice.send(request)
    assert ledger.periods()[0].leased == 100


def test_the_same_reply_is_given_whatever_happened_in_between(alice: Process, bob: Process, clock: Clock):
    request = alice.request(ask(want=100), meters=("events",))
    reply = alice.send(request)
    clock.advance(60_000)
    bob.say(ask(want=900), counted=(counted(5, "b"),), meters=("events",))
    assert alice.send(request) == reply


def test_a_repeated_request_gets_the_same_alerts(alice: Process):
    request = alice.request(ask(meter="events", limit=10), counted=(counted(10, "b"),))
    first = alice.send(request)
    assert len(first.alerts) == 1
    assert alice.send(request).alerts == first.alerts


def test_a_request_older_than_the_last_is_refused(alice: Process):
    old = alice.request(ask())
    alice.send(old)
    alice.say(ask())
    with pytest.raises(StaleSequence, match="request 1 of process alice comes after 2"):
        alice.send(old)


def test_a_refused_request_changes_nothing(alice: Process, ledger: Ledger):
    old = alice.request(ask(want=100), counted=(counted(7, "b"),))
    alice.say(ask())
    with pytest.raises(StaleSequence):
        alice.send(old)
    assert ledger.usage(MONTH) == {}
    assert ledger.periods()[0].leased == 0


def test_sequence_numbers_may_be_left_out(alice: Process, ledger: Ledger):
    alice.say(ask(), counted=(counted(5, "b"),))
    alice.sequence = 40
    alice.say(ask(), counted=(counted(8, "b"),))
    assert ledger.usage(MONTH) == {"events": 8}


def test_processes_are_told_apart(alice: Process, bob: Process, ledger: Ledger):
    alice.say(ask(), counted=(counted(5, "b"),))
    bob.say(ask(), counted=(counted(5, "b"),))
    assert ledger.usage(MONTH) == {"events": 10}


class TestForgotten:
    """A process that was answered before, by a ledger that does not know it."""

    @pytest.fixture
    def answered(self, process: Callable[[str], Process]) -> Process:
        """It has counted 5 events and holds a lease, as far as it knows."""
        process = process("answered")
        process.sequence = process.acknowledged = 7
        return process

    def test_is_told_that_the_ledger_has_forgotten(self, answered: Process, clock: Clock):
        reply = answered.say(ask(want=100), counted=(counted(5, "b"),), meters=("events",))
        assert reply.forgotten
        assert (reply.sequence, reply.now_ms) == (8, clock.now_ms)
        assert (reply.standings, reply.usage, reply.alerts) == ((), {}, ())

    def test_has_nothing_counted(self, answered: Process, ledger: Ledger):
        answered.say(ask(), counted=(counted(5, "b"),), usage_at_least={MONTH: {"recordings": 3}})
        assert ledger.usage(MONTH) == {}
        assert ledger.periods() == []

    def test_is_told_so_again_when_it_repeats_the_request(self, answered: Process):
        request = answered.request(ask())
        assert answered.send(request).forgotten
        assert answered.send(request).forgotten

    def test_is_told_so_when_the_ledger_knows_an_older_answer(self, alice: Process):
        alice.say(ask())
        alice.acknowledged = alice.sequence = 2
        assert alice.say(ask()).forgotten

    def test_tells_everything(self, answered: Process, ledger: Ledger):
        answered.say(ask())
        reply = answered.say(ask(meter="events"), counted=(counted(5, "b"),), everything=True)
        assert not reply.forgotten
        assert ledger.usage(MONTH) == {"events": 5}
        assert reply.standings[0].committed == 5

    def test_has_nothing_counted_twice_when_it_tells_everything(self, alice: Process, ledger: Ledger):
        alice.say(ask(), counted=(counted(5, "b"),))
        alice.acknowledged = alice.sequence = 3
        assert alice.say(ask()).forgotten
        alice.say(ask(), counted=(counted(6, "b"), counted(4, "b", "c")), everything=True)
        assert ledger.usage(MONTH) == {"events": 10}

    def test_goes_on_as_before_afterwards(self, answered: Process, ledger: Ledger):
        answered.say(ask())
        answered.say(ask(), counted=(counted(5, "b"),), everything=True)
        answered.say(ask(), counted=(counted(9, "b"),))
        assert ledger.usage(MONTH) == {"events": 9}

    def test_nobody_is_granted_anything_for_a_while(self, answered: Process, bob: Process, clock: Clock):
        answered.say(ask(), rebuild_ms=5_000)
        clock.advance(4_999)
        assert bob.standing(ask(want=100, need=10)).granted == 0
        clock.advance(1)
        assert bob.standing(ask(want=100, need=10)).granted == 100

    def test_the_while_begins_anew_with_each_that_was_forgotten(
        self, answered: Process, alice: Process, bob: Process, clock: Clock
    ):
        answered.say(ask())
        clock.advance(4_000)
        alice.acknowledged = alice.sequence = 1
        alice.say(ask())
        clock.advance(4_000)
        assert bob.standing(ask(want=100)).granted == 0

    def test_leases_live_on_during_it(self, answered: Process, bob: Process, clock: Clock):
        bob.say(ask(want=100), lease_ms=15_000)
        answered.say(ask())
        clock.advance(1_000)
        assert bob.standing(ask(want=100, lease_period=DAY.id)).lease == 100

    def test_nobody_is_said_to_want_more_because_of_it(self, answered: Process, alice: Process, bob: Process):
        answered.say(ask())
        alice.say(ask(want=100, need=10))
        assert not bob.standing(ask()).wanted_by_others

    def test_it_is_in_the_journal(self, answered: Process, ledger: Ledger):
        answered.say(ask())
        entry = ledger.journal()[-1]
        assert (entry.kind, entry.actor, entry.amount) == ("forgotten", "answered", 0)
        assert entry.note == "the process was answered 7, the ledger knows 0"

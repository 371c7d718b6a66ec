"""What ledgers that follow the rules in Python forget, and when. Redis and Valkey forget by themselves."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from conversation import A_DAY, DAY, LEASE_MS, MONTH, NOON, Clock, Process, ask, counted, ms

from genops_otel_posthog.budgets.ledger import memory, sqlite_storage
from genops_otel_posthog.budgets.ledger.protocol import Ledger, Override

pytestmark = pytest.mark.parametrize("ledger_factory", ["memory", "sqlite"], indirect=True)


def test_a_period_is_kept_for_forty_days_after_its_end(alice: Process, ledger: Ledger, clock: Clock):
    alice.say(ask(want=10))
    clock.now_ms = DAY.end_ms + 40 * A_DAY - 1
    alice.say()
    assert [record.window for record in ledger.periods(current=False)] == [DAY]
    clock.advance(A_DAY)
    alice.say()
    assert ledger.periods(current=False) == []


def test_leases_are_forgotten_with_their_period(alice: Process, bob: Process, ledger: Ledger, clock: Clock):
    alice.say(ask(want=10))
    clock.advance(42 * A_DAY)
    standing = bob.standing(ask())
    assert standing.window is None
    assert ledger.periods(current=False) == []


def test_usage_is_kept_for_forty_days_after_the_month(alice: Process, ledger: Ledger, clock: Clock):
    alice.say(counted=(counted(5),))
    clock.now_ms = ms("2027-01-09T23:00")
    alice.say()
    assert ledger.usage(MONTH) == {"events": 5}
    clock.now_ms = ms("2027-01-10T01:00")
    alice.say()
    assert ledger.usage(MONTH) == {}


def test_a_process_is_known_as_long_as_what_it_counted(alice: Process, bob: Process, ledger: Ledger, clock: Clock):
    clock.now_ms = ms("2026-11-01T12:00")
    alice.say(counted=(counted(5),))
    clock.now_ms = ms("2027-01-09T12:00")
    bob.say()
    assert not alice.say().forgotten
    alice.say(counted=(counted(7),))
    assert ledger.usage(MONTH) == {"events": 7}


def test_a_process_that_was_silent_for_longer_has_nothing_counted_twice(
    alice: Process, bob: Process, ledger: Ledger, clock: Clock
):
    alice.say(counted=(counted(5),))
    clock.now_ms = ms("2027-01-12T12:00")
    bob.say()
    assert alice.say().forgotten
    alice.say(counted=(counted(5), counted(3, month="2027-01")), everything=True)
    assert (ledger.usage(MONTH), ledger.usage("2027-01")) == ({}, {"events": 3})


def test_overrides_are_forgotten_when_they_have_ended(alice: Process, ledger: Ledger, clock: Clock):
    ledger.add_override(Override("o", "b", 1, NOON, NOON + 1, "launch", "ann"))
    clock.advance(A_DAY)
    alice.say()
    clock.now_ms = NOON
    assert ledger.overrides() == []


def test_a_changed_limit_is_never_forgotten(alice: Process, ledger: Ledger, clock: Clock):
    ledger.set_limit("b", 7, actor="ann", reason="")
    clock.advance(400 * A_DAY)
    alice.say()
    assert ledger.changed_limits() == {"b": 7}


@pytest.fixture
def few_entries(monkeypatch: pytest.MonkeyPatch) -> None:
    """A short journal."""
    for module in (memory, sqlite_storage):
        monkeypatch.setattr(module, "ROUTINE_ENTRIES", 20)
        monkeypatch.setattr(module, "NOTABLE_ENTRIES", 10)


def test_the_journal_is_bounded_and_routine_never_pushes_out_who_changed_a_limit(
    few_entries: None, ledger_factory: Callable[[], Ledger], clock: Clock
):
    ledger = ledger_factory()
    alice, bob = Process(ledger, "alice"), Process(ledger, "bob")
    for limit in range(100, 112):
        ledger.set_limit("b", limit, actor="ann", reason="")
    for _ in range(100):
        alice.say(ask(want=1, lease_period=DAY.id))
    clock.advance(A_DAY)  # room is made now and then
    bob.say()
    kept = ledger.journal(newest=1000)
    assert [entry.amount for entry in kept if entry.kind == "limit"] == list(range(102, 112))
    assert 10 <= sum(entry.kind == "grant" for entry in kept) <= 20


def test_a_lease_that_expired_in_a_period_nobody_asks_about_is_reaped_all_the_same(
    alice: Process, bob: Process, ledger: Ledger, clock: Clock
):
    alice.say(ask(want=10))
    clock.advance(20 * A_DAY + LEASE_MS)
    bob.say(ask())
    assert [record.leased for record in ledger.periods(current=False)] == [0]

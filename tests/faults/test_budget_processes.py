"""Processes that are killed, stopped, told to end or forked: what is lost, and what may be exceeded."""

from __future__ import annotations

import os

import pytest
from processes import A_LEASE_LATER, EVENT_NANO, Town, events

LIMIT = 1_000
"""Events that the budget of most tests is worth."""
FIRST_LEASE = LIMIT // 100
"""What a process is lent before anybody knows how much it spends."""


# --- kill -9 ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_process_killed_around_its_first_message_leaves_nothing_behind(any_town: Town, when: str) -> None:
    victim = any_town.start(events(LIMIT))
    victim.ask("die", when)
    victim.tell("spend", 1, "checkout")
    assert victim.dies() == -9

    any_town.times.pass_(A_LEASE_LATER)
    heir = any_town.start(events(LIMIT))

    assert heir.spend(2 * LIMIT) == LIMIT
    heir.ask("flush")
    assert any_town.committed() == LIMIT * EVENT_NANO


def test_a_process_killed_within_a_transaction_leaves_the_ledger_as_it_was(town: Town) -> None:
    victim = town.start(events(LIMIT))
    assert victim.spend(5) == 5
    victim.ask("flush")
    before = town.record()
    victim.spend(3)
    victim.ask("die", "within")
    victim.tell("flush")
    assert victim.dies() == -9

    assert town.record() == before
    assert town.used() == 5


@pytest.mark.parametrize(("when", "counted"), [("before", 5), ("after", 8)])
def test_a_process_killed_in_mid_sync_is_counted_wholly_or_not_at_all(any_town: Town, when: str, counted: int) -> None:
    victim = any_town.start(events(LIMIT))
    assert victim.spend(5) == 5
    victim.ask("flush")
    assert victim.spend(3) == 3
    victim.ask("die", when)
    victim.tell("flush")
    assert victim.dies() == -9

    assert any_town.used() == counted
    assert any_town.committed() == counted * EVENT_NANO


def test_what_a_killed_process_had_not_told_is_lost_and_nothing_else(any_town: Town) -> None:
    victim = any_town.start(events(LIMIT))
    told = victim.spend(5)
    victim.ask("flush")
    untold = victim.spend(4)
    victim.kill()
    any_town.times.pass_(A_LEASE_LATER)

    others = any_town.start(events(LIMIT)).spend
    spent = others(2 * LIMIT)

    assert spent == LIMIT - told
    assert untold <= FIRST_LEASE  # what was spent past the limit is what was lost: at most the lease


def test_the_lease_of_a_killed_process_comes_back_after_its_lifetime_and_not_before(any_town: Town) -> None:
    victim = any_town.start(events(LIMIT))
    assert victim.ask("begin", 1, "checkout") == 1
    lent = any_town.record().leased
    assert lent > 0
    victim.kill()
    other = any_town.start(events(LIMIT))

    before = other.spend(2 * LIMIT)
    any_town.times.pass_(A_LEASE_LATER)
    after = other.spend(2 * LIMIT)

    assert before * EVENT_NANO == LIMIT * EVENT_NANO - lent
    assert after * EVENT_NANO == lent
    other.ask("close")
    record = any_town.record()
    assert (record.committed, record.leased) == (LIMIT * EVENT_NANO, 0)


# --- SIGSTOP and SIGCONT ---------------------------------------------------------------------------------------------


def stopped_with_untold_calls(town: Town, *, hold: bool) -> tuple[int, int]:
    """A process is stopped past its lease's lifetime while another spends what there is. What the period has spent in
    the end, and what the stopped process held, in nano-USD."""
    sleeper, other = town.start(events(LIMIT, hold=hold)), town.start(events(LIMIT, hold=hold))
    sleeper.spend(1)
    sleeper.ask("flush")
    held = town.record().leased
    assert sleeper.spend(8) == 8
    sleeper.pause()
    town.times.pass_(A_LEASE_LATER)
    other.spend(2 * LIMIT)
    other.ask("flush")

    sleeper.resume()
    assert sleeper.spend(2 * LIMIT) == 0 if not hold else True
    sleeper.ask("flush")
    return town.committed(), held


def test_a_process_stopped_past_its_lease_exceeds_the_limit_by_that_lease_at_most(any_town: Town) -> None:
    spent, held = stopped_with_untold_calls(any_town, hold=False)

    assert spent == (LIMIT + 8) * EVENT_NANO  # what it had not told when it was stopped
    assert spent - LIMIT * EVENT_NANO <= held


def test_with_hold_a_stopped_process_exceeds_nothing(any_town: Town) -> None:
    spent, _ = stopped_with_untold_calls(any_town, hold=True)

    assert spent <= LIMIT * EVENT_NANO


def test_a_stopped_process_uses_nothing_of_an_expired_lease_when_it_goes_on(any_town: Town) -> None:
    sleeper, other = any_town.start(events(LIMIT)), any_town.start(events(LIMIT))
    sleeper.spend(1)
    sleeper.ask("flush")
    sleeper.pause()
    any_town.times.pass_(A_LEASE_LATER)
    assert other.spend(2 * LIMIT) == LIMIT - 1
    other.ask("flush")

    sleeper.resume()

    assert sleeper.spend(100) == 0
    assert any_town.committed() == LIMIT * EVENT_NANO


# --- an orderly end --------------------------------------------------------------------------------------------------


def test_a_process_that_ends_tells_everything_and_returns_its_lease(any_town: Town) -> None:
    spender = any_town.start(events(LIMIT))
    spender.spend(7)

    assert spender.end() == 0

    record = any_town.record()
    assert (record.committed, record.leased) == (7 * EVENT_NANO, 0)


def test_sigterm_tells_everything_and_returns_the_lease(any_town: Town) -> None:
    spender = any_town.start(events(LIMIT), on_sigterm=True)
    spender.spend(7)

    assert spender.terminate() == -15

    record = any_town.record()
    assert (record.committed, record.leased) == (7 * EVENT_NANO, 0)


@pytest.mark.parametrize("attempt", range(3))
def test_sigterm_in_the_middle_of_a_call_does_not_hold_the_process_up(town: Town, attempt: int) -> None:
    spender = town.start(events(10_000_000), on_sigterm=True)
    spender.spend(1)
    assert spender.ask("hammer", "checkout")

    assert spender.terminate() == -15

    assert town.record().leased == 0


# --- fork ------------------------------------------------------------------------------------------------------------


def test_a_forked_child_does_not_use_the_lease_of_its_parent(any_town: Town) -> None:
    parent = any_town.start(events(LIMIT))
    assert parent.spend(LIMIT - FIRST_LEASE - 1) == LIMIT - FIRST_LEASE - 1
    parent.ask("flush")
    held_by_parent = any_town.record().leased
    assert held_by_parent > 0

    by_children = sum(parent.ask("fork_worker", 2 * LIMIT, "checkout"))
    by_parent = parent.spend(2 * LIMIT)
    parent.ask("flush")

    assert by_children == FIRST_LEASE + 1 - held_by_parent // EVENT_NANO
    assert by_parent == held_by_parent // EVENT_NANO
    assert any_town.committed() == LIMIT * EVENT_NANO


def test_parent_and_forked_workers_are_each_counted_once(any_town: Town) -> None:
    parent = any_town.start(events(LIMIT))
    parent.spend(11)  # told by nobody yet when the workers are forked

    assert parent.ask("fork_worker", 20, "checkout") == [20, 20]
    parent.spend(3)
    assert parent.end() == 0

    assert any_town.used() == 11 + 20 + 20 + 3
    record = any_town.record()
    assert (record.committed, record.leased) == (54 * EVENT_NANO, 0)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_child_of_multiprocessing_tells_everything_when_it_ends(any_town: Town) -> None:
    parent = any_town.start(events(LIMIT))
    parent.spend(2)

    assert parent.ask("multiprocess", 20, "checkout") == 20

    parent.ask("close")
    record = any_town.record()
    assert (record.committed, record.leased) == (22 * EVENT_NANO, 0)

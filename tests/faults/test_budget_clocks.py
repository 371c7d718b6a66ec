"""Clocks that are set while processes hold leases, and days that are not 24 hours long."""

from __future__ import annotations

from datetime import datetime

import pytest
from processes import A_LEASE_LATER, EVENT_NANO, Town, events

LIMIT = 1_000


def test_a_clock_set_forwards_on_the_ledgers_machine_exceeds_the_limit_by_outstanding_leases_at_most(
    town: Town,
) -> None:
    lender, other = town.start(events(LIMIT)), town.start(events(LIMIT))
    lender.spend(1)
    lender.ask("flush")
    lent = town.record().leased

    town.times.set_wall(3_600)
    other.spend(2 * LIMIT)  # the ledger believes that an hour has passed, and lends it all to this one
    lender.spend(2 * LIMIT)
    for spender in (lender, other):
        spender.ask("flush")

    assert LIMIT * EVENT_NANO <= town.committed() <= LIMIT * EVENT_NANO + lent


def test_with_hold_a_clock_set_forwards_exceeds_nothing(town: Town) -> None:
    lender, other = town.start(events(LIMIT, hold=True)), town.start(events(LIMIT, hold=True))
    lender.spend(1)
    lender.ask("flush")

    town.times.set_wall(3_600)
    other.spend(2 * LIMIT)
    lender.spend(2 * LIMIT)
    for spender in (lender, other):
        spender.ask("flush")

    assert town.committed() == LIMIT * EVENT_NANO


def test_a_clock_set_backwards_keeps_the_leases_of_the_dead_for_as_long_and_exceeds_nothing(town: Town) -> None:
    victim = town.start(events(LIMIT))
    victim.spend(1)
    victim.ask("flush")
    lent = town.record().leased
    victim.kill()
    other = town.start(events(LIMIT))

    town.times.set_wall(-3_600)
    assert other.spend(2 * LIMIT) == LIMIT - 1 - lent // EVENT_NANO
    town.times.pass_(A_LEASE_LATER)
    assert other.spend(2 * LIMIT) == 0
    town.times.pass_(3_600)

    assert other.spend(2 * LIMIT) == lent // EVENT_NANO
    other.ask("flush")
    assert town.committed() == LIMIT * EVENT_NANO


@pytest.mark.parametrize("days", [3, -3])
def test_the_clock_of_a_process_does_not_matter_to_a_ledger_on_another_machine(any_town: Town, days: int) -> None:
    spender = any_town.start(events(LIMIT))
    assert spender.spend(100) == 100

    any_town.times.set_wall_of_processes(days * 86_400)

    assert spender.spend(2 * LIMIT) == LIMIT - 100
    spender.ask("flush")
    assert spender.ask("refused_for", "checkout") == "budget_exceeded"
    assert any_town.record().committed == LIMIT * EVENT_NANO
    assert any_town.committed() == LIMIT * EVENT_NANO


@pytest.mark.parametrize(
    ("zone", "begins", "hours"),
    [
        ("Europe/Berlin", "2026-03-28T23:00Z", 23),
        ("America/New_York", "2026-11-01T04:00Z", 25),
        ("America/Havana", "2026-03-08T05:00Z", 23),  # the clocks jump at midnight
        ("Africa/Cairo", "2026-04-23T22:00Z", 23),  # as well
        ("Australia/Lord_Howe", "2026-04-04T13:00Z", 24.5),
    ],
)
def test_a_day_on_which_the_clocks_change_has_one_limit_and_the_next_has_its_own(
    town: Town, zone: str, begins: str, hours: float
) -> None:
    town.times.begin_at(datetime.fromisoformat(begins.replace("Z", "+00:00")))
    spender = town.start(events(LIMIT, time_zone=zone))
    assert spender.spend(2 * LIMIT) == LIMIT

    town.times.pass_(hours * 3_600 - 60)
    assert spender.spend(10) == 0
    town.times.pass_(60)

    assert spender.spend(2 * LIMIT) == LIMIT
    spender.ask("flush")
    records = town.ledger.periods("daily", current=False)
    assert [record.committed for record in records] == [LIMIT * EVENT_NANO] * 2
    assert records[0].window.end_ms - records[0].window.start_ms == hours * 3_600_000


def test_spending_of_a_new_day_is_charged_to_it_also_while_the_ledger_is_away(town: Town) -> None:
    spender = town.start(events(LIMIT), policy="advisory", options={"wait": 2.0})
    spender.spend(20)
    spender.ask("flush")
    town.put_ledger_away()

    town.times.pass_(86_400)
    spender.spend(30)
    spender.ask("flush")
    town.bring_ledger_back()

    spender.ask("catch_up")
    records = town.ledger.periods("daily", current=False)
    assert [record.committed for record in records] == [20 * EVENT_NANO, 30 * EVENT_NANO]


def test_a_budget_whose_last_day_is_over_refuses_nobody_also_while_the_ledger_is_away(town: Town) -> None:
    spender = town.start(events(LIMIT, ends="2026-11-22", period="month"), options={"wait": 2.0})
    assert spender.spend(20) == 20
    spender.ask("flush")
    town.put_ledger_away()

    town.times.pass_(86_400)

    assert spender.spend(2 * LIMIT) == 2 * LIMIT

"""Eight processes spend at once from budgets that are too small, and one message in five meets with an accident.

Accidents are: the answer gets lost, the message is delivered twice, an older one is delivered once more. Prices are
those of a month in which the organisation passes from one tier to the next meanwhile.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

# pytest's importlib mode leaves the modules in other folders unfindable.
if str(Path(__file__).parents[1] / "faults") not in sys.path:
    sys.path.append(str(Path(__file__).parents[1] / "faults"))
if str(Path(__file__).parent / "ledger") not in sys.path:
    sys.path.append(str(Path(__file__).parent / "ledger"))

from processes import Spender, Town
from spender import BOOK
from towns import any_town, found, new_ledger_url, nursery, shared_server

from genops_otel_posthog.budgets.budget import Budget

__all__ = ["any_town", "found", "new_ledger_url", "nursery", "shared_server"]  # fixtures

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals and forks of POSIX")

EVENTS = BOOK.rate("events")
TEAMS = ("checkout", "search", "ads", "mail")
DEAREST = EVENTS.list_price_nano
"""Most that one event costs, and so the least that a budget can be short of its limit, nano-USD."""
LEASES_AND_REFUSALS_END = 20
"""Seconds after which an idle lease has been returned or has expired, and a refusal is asked about again."""


def usd(nano: int) -> str:
    return f"{nano / 10**9:.9f}"


def spend_everything(town: Town, spenders: list[Spender], calls: int) -> list[int]:
    """Every process makes its calls at the same time as the others, and then goes on as long as anybody admits any.
    How many each had admitted."""
    for number, spender in enumerate(spenders):
        spender.tell("insist", calls, TEAMS[number % len(TEAMS)])
    while not all(spender.has_answered for spender in spenders):
        # What a look finds is how the ledger stands between two messages.
        for record in town.ledger.periods():
            assert record.cap is not None
            assert record.committed + record.leased + record.held <= record.cap
    admitted = [spender.answer() for spender in spenders]
    more = True
    while more:
        for spender in spenders:
            spender.ask("catch_up")
        town.times.pass_(LEASES_AND_REFUSALS_END)
        more = False
        for number, spender in enumerate(spenders):
            found = spender.ask("insist", calls // 20, TEAMS[number % len(TEAMS)])
            admitted[number] += found
            more |= found > 0
    return admitted


def soak(town: Town, processes: int, calls: int) -> None:
    before = EVENTS.bounds[1] - processes * calls // 4  # the second paid tier begins on the way
    town.ledger.raise_usage("2026-11", {"events": before}, actor="test", note="")
    demand = EVENTS.marginal_nano(before, processes * calls)
    budgets = [
        Budget("organisation", usd(demand * 6 // 10)),
        # Together more than the organisation has.
        *(
            Budget(team, usd(demand // 4 * share // 10), scope={"team": team})
            for team, share in zip(TEAMS, (3, 8, 8, 20), strict=True)
        ),
    ]
    spenders = [
        town.start(
            *budgets,
            mode="metered",
            accidents=20,
            seed=number,
            options={"flush_interval": 0.1, "outage_percent": 0, "wait": 20.0},
        )
        for number in range(processes)
    ]

    admitted = spend_everything(town, spenders, calls)

    assert all(spender.ask("catch_up") for spender in spenders)
    assert sum(spender.ask("numbers")["accidents"] for spender in spenders) > processes
    for spender in spenders:
        while not spender.ask("close"):
            pass  # its last message met with an accident
    used = town.used() - before
    assert used == sum(admitted)
    limits = {budget.id: budget.amount for budget in budgets}
    spent = {budget.id: town.committed(budget.id) for budget in budgets}
    assert {name: amount for name, amount in spent.items() if amount > limits[name]} == {}
    assert spent["organisation"] == EVENTS.marginal_nano(before, used)
    assert sum(spent[team] for team in TEAMS) == spent["organisation"]
    assert EVENTS.position(before).price_nano > EVENTS.position(before + used).price_nano
    # The organisation's is the one that nobody can get around; a team may find it spent before its own is.
    assert limits["organisation"] - spent["organisation"] <= max(DEAREST, limits["organisation"] // 1_000)
    assert {name: town.record(name).leased for name in limits} == dict.fromkeys(limits, 0)


def test_four_processes_exceed_nothing_count_everything_once_and_use_what_there_is(any_town: Town) -> None:
    soak(any_town, processes=4, calls=2_000)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_eight_processes_of_20_000_calls_exceed_nothing_count_everything_once_and_use_what_there_is(
    any_town: Town,
) -> None:
    soak(any_town, processes=8, calls=20_000)


def test_a_ledger_that_is_slower_than_calls_wait_makes_no_process_exceed_anything(any_town: Town) -> None:
    """With the allowance for outages as it is by default: slow is not away."""
    budget = Budget("daily", usd(1_000 * DEAREST))
    slow = any_town.start(budget, delay=0.1, options={"wait": 0.01})
    slow.spend(1)
    slow.ask("catch_up")
    other = any_town.start(budget)
    assert other.spend(1_000) > 900
    for spender in (other, slow, slow, slow, other):
        spender.ask("catch_up")  # what is idle is returned
    any_town.times.pass_(6)  # refusals are asked about again
    other.spend(1_000)
    other.ask("catch_up")

    assert slow.spend(20) == 0

    slow.ask("catch_up")
    assert any_town.record("daily").committed == budget.amount


@pytest.mark.parametrize("calls", [10, 1_000])
def test_a_process_talks_to_the_ledger_once_per_flush_interval_whatever_its_rate(any_town: Town, calls: int) -> None:
    spender = any_town.start(Budget("daily", 100))
    for _ in range(3):  # until it is known what it spends
        spender.spend(calls)
        spender.ask("flush")
    before = spender.ask("numbers")["round_trips"]

    for _ in range(5):
        assert spender.spend(calls) == calls
        spender.ask("flush")  # the interval, as far as the process can tell

    assert spender.ask("numbers")["round_trips"] == before + 5

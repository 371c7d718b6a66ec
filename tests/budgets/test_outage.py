from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from house import House, refusal, spend

from genops_otel_posthog.budgets.budget import Budget, BudgetPolicy
from genops_otel_posthog.budgets.governor import Governor
from genops_otel_posthog.budgets.ledger.memory import MemoryLedger
from genops_otel_posthog.budgets.ledger.protocol import Ledger, LedgerUnavailable, StaleSequence, SyncReply, SyncRequest
from genops_otel_posthog.budgets.spool import Spool

EVENT_NANO = 50_000
BUDGET = Budget(id="daily", limit="0.05", scope={"team": "checkout"})  # 1,000 events; 10 of them are one percent


class Unreliable:
    """A ledger that can be switched off, before or after it has heard a message."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self.away = False
        self.answers_get_lost = False
        self.refuses_the_next = False

    def __getattr__(self, name: str) -> object:
        return getattr(self._ledger, name)

    def sync(self, request: SyncRequest) -> SyncReply:
        if self.away:
            raise LedgerUnavailable("it is switched off")
        if self.refuses_the_next:
            self.refuses_the_next = False
            raise StaleSequence("a copy of this process has spoken since")
        reply = self._ledger.sync(request)
        if self.answers_get_lost:
            raise LedgerUnavailable("its answer got lost")
        return reply

    def close(self) -> None:
        """Others may still use the ledger behind it."""


@pytest.fixture
def ledger(house: House) -> Unreliable:
    return Unreliable(house.ledger)


@pytest.fixture
def process(house: House, ledger: Unreliable, tmp_path: Path) -> Callable[..., Governor]:
    def start(policy: BudgetPolicy) -> Governor:
        return house.governor(
            BUDGET,
            policy=policy,
            wait=0.2,
            open_ledger=lambda: ledger,
            spool=Spool(tmp_path, "here"),  # type: ignore[arg-type, return-value]
        )

    return start


def committed(house: House) -> int:
    return sum(record.committed for record in house.ledger.periods(current=False))


def catch_up(governor: Governor) -> None:
    """Lets the governor reach its ledger again, whenever it tries next."""
    while not governor.flush(1.0):
        pass


def test_a_lease_outlives_the_ledger(process: Callable[..., Governor], ledger: Unreliable) -> None:
    governor = process(BudgetPolicy.ENFORCED)
    spend(governor, 1)
    ledger.away = True

    assert spend(governor, 5) == 5


def test_enforced_spends_one_percent_without_lease_or_ledger(
    process: Callable[..., Governor], ledger: Unreliable
) -> None:
    ledger.away = True
    governor = process(BudgetPolicy.ENFORCED)

    assert spend(governor, 100) == 10
    assert refusal(governor).reason == "ledger_unreachable"


def test_strict_spends_nothing_that_nobody_knows_of(process: Callable[..., Governor], ledger: Unreliable) -> None:
    ledger.away = True
    governor = process(BudgetPolicy.STRICT)

    assert spend(governor, 100) == 0
    assert "the ledger of budget daily cannot be reached" in str(refusal(governor).error("capture x"))


def test_advisory_goes_on(process: Callable[..., Governor], ledger: Unreliable) -> None:
    ledger.away = True

    assert spend(process(BudgetPolicy.ADVISORY), 100) == 100


@pytest.mark.parametrize(("policy", "spent"), [(BudgetPolicy.ADVISORY, 100), (BudgetPolicy.ENFORCED, 10)])
def test_what_was_spent_meanwhile_is_told_when_the_ledger_is_back(
    house: House, process: Callable[..., Governor], ledger: Unreliable, policy: BudgetPolicy, spent: int
) -> None:
    ledger.away = True
    governor = process(policy)
    spend(governor, 100)

    ledger.away = False
    catch_up(governor)

    assert committed(house) == spent * EVENT_NANO


def test_an_answer_that_got_lost_counts_nothing_twice(
    house: House, process: Callable[..., Governor], ledger: Unreliable
) -> None:
    governor = process(BudgetPolicy.ENFORCED)
    spend(governor, 20)
    ledger.answers_get_lost = True
    governor.flush(0.5)

    ledger.answers_get_lost = False
    catch_up(governor)
    spend(governor, 3)
    governor.flush()

    assert committed(house) == 23 * EVENT_NANO


def test_calls_do_not_wait_for_a_ledger_that_is_known_to_be_away(
    process: Callable[..., Governor], ledger: Unreliable
) -> None:
    ledger.away = True
    governor = process(BudgetPolicy.STRICT)
    spend(governor, 1)

    spend(governor, 1_000)

    assert sum(governor.synchroniser.errors.values()) < 100


ENDS_WITHOUT_LEDGER = """
import sys
from pathlib import Path
from house import House, spend
from genops_otel_posthog.budgets.budget import Budget, BudgetPolicy
from genops_otel_posthog.budgets.ledger.protocol import LedgerUnavailable
from genops_otel_posthog.budgets.spool import Spool

def away():
    raise LedgerUnavailable("it is switched off")

budget = Budget.from_definition(sys.argv[2])
governor = House().governor(
    budget, policy=BudgetPolicy.ADVISORY, open_ledger=away, spool=Spool(Path(sys.argv[1]), "here"))
spend(governor, 100)
"""


def test_a_process_that_ends_without_ledger_leaves_what_it_counted_to_the_next(
    house: House, process: Callable[..., Governor], tmp_path: Path
) -> None:
    subprocess.run(
        [sys.executable, "-c", ENDS_WITHOUT_LEDGER, str(tmp_path), BUDGET.definition()],
        check=True,
        cwd=Path(__file__).parent,
        timeout=60,
    )
    assert [path.stat().st_mode & 0o777 for path in tmp_path.iterdir()] == [0o600]

    second = process(BudgetPolicy.ADVISORY)
    spend(second, 1)
    second.flush()

    assert committed(house) == 101 * EVENT_NANO
    assert list(tmp_path.iterdir()) == []


def test_a_process_that_the_ledger_does_not_listen_to_any_more_goes_on_under_a_new_identity(
    house: House, process: Callable[..., Governor], ledger: Unreliable
) -> None:
    governor = process(BudgetPolicy.ADVISORY)
    spend(governor, 100)
    governor.flush()
    ledger.refuses_the_next = True
    spend(governor, 7)
    governor.flush()

    spend(governor, 1)
    catch_up(governor)

    assert committed(house) == 108 * EVENT_NANO
    assert house.ledger.usage("2026-11") == {"events": 108}


def test_a_ledger_that_lost_everything_is_told_again(
    house: House, process: Callable[..., Governor], ledger: Unreliable
) -> None:
    governor = process(BudgetPolicy.ADVISORY)
    spend(governor, 100)
    governor.flush()

    house.ledger = MemoryLedger(clock=house.clock)
    ledger._ledger = house.ledger
    spend(governor, 5)
    catch_up(governor)
    catch_up(governor)

    assert committed(house) == 105 * EVENT_NANO
    assert house.ledger.usage("2026-11") == {"events": 105}


def test_while_a_ledger_is_rebuilt_nobody_gets_a_new_lease(
    house: House, process: Callable[..., Governor], ledger: Unreliable
) -> None:
    governor = process(BudgetPolicy.ENFORCED)
    spend(governor, 990)
    governor.flush()

    house.ledger = MemoryLedger(clock=house.clock)
    ledger._ledger = house.ledger
    governor.flush()
    newcomer = house.governor(BUDGET, open_ledger=lambda: ledger, wait=0.2)  # type: ignore[arg-type, return-value]

    assert spend(newcomer, 100) == 0
    house.clock.seconds += 6
    catch_up(governor)
    assert committed(house) == 990 * EVENT_NANO

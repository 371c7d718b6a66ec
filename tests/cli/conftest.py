"""A ledger that stands at noon of 22 November 2026, and processes that spend from it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from genops_otel_posthog.budgets.budget import Budget, BudgetPolicy
from genops_otel_posthog.budgets.ledger.protocol import Ask, CostTable, Counted, PeriodKey, Standing, SyncRequest
from genops_otel_posthog.budgets.ledger.sqlite import SqliteLedger
from genops_otel_posthog.budgets.ledger.url import open_ledger
from genops_otel_posthog.cli import ledger_option, main

NOON = datetime(2026, 11, 22, 12, tzinfo=timezone.utc)
NANO_PER_EVENT = 50_000  # $0.00005


@dataclass
class Clock:
    """A clock that stands still until it is set."""

    now: datetime = NOON

    def __call__(self) -> float:
        return self.now.timestamp()

    def set(self, text: str) -> None:
        """Sets it to a time in UTC, like ``2026-11-22T12:00``."""
        self.now = datetime.fromisoformat(text).replace(tzinfo=timezone.utc)


@dataclass(frozen=True)
class Answer:
    """How a command ended, and what it wrote."""

    exit_code: int
    stdout: str
    stderr: str

    @property
    def output(self) -> str:
        """Both."""
        return self.stdout + self.stderr


def _separating_runner() -> CliRunner:
    try:
        return CliRunner(mix_stderr=False)  # click before 8.2
    except TypeError:
        return CliRunner()


class House:
    """A ledger in a file, what spends from it, and the command line beside it."""

    def __init__(self, path: Path, clock: Clock) -> None:
        self.path = path
        self.clock = clock
        self.url = f"sqlite://{path}"
        self.ledger = SqliteLedger(path, clock)
        self._processes = 0

    def spend(self, budget: Budget, events: int, *, past_the_limit: int = 0, lease: int = 0) -> Standing:
        """A new process spends events of $0.00005 from a budget, some of them past its limit, and keeps a lease.

        ``lease`` is in the budget's unit. Returns how the budget stands then.
        """
        self._processes += 1
        now_ms = self.ledger.now_ms()
        windows = budget.windows_around(now_ms)
        key = PeriodKey(budget.id, windows[0].id)
        month = f"{self.clock.now:%Y-%m}"
        counted = [
            Counted("events", month, events, (key,)),
            Counted("events", month, past_the_limit, (), (key,)),
        ]
        ask = Ask(
            budget=budget.id,
            definition=budget.definition(),
            meter=budget.meter,
            windows=windows,
            limit=budget.amount,
            cap_basis_points=budget.cap_basis_points(BudgetPolicy.ADVISORY),
            thresholds=budget.thresholds,
            want=lease,
            need=lease,
        )
        reply = self.ledger.sync(
            SyncRequest(
                process=f"process-{self._processes}",
                sequence=1,
                acknowledged=0,
                costs={"events": CostTable((0,), (0,), (NANO_PER_EVENT,))},
                counted=tuple(one for one in counted if one.units),
                asks=(ask,),
                month=month,
            )
        )
        return reply.standings[0]

    def run(self, *arguments: str) -> Answer:
        """Runs ``genops-posthog``."""
        result = _separating_runner().invoke(main, [*arguments, "--ledger", self.url])
        return Answer(result.exit_code, result.stdout, result.stderr)

    def text(self, *arguments: str, exit_code: int = 0) -> str:
        """What it prints, line ends and all."""
        result = self.run(*arguments)
        assert result.exit_code == exit_code, result.output
        return result.output

    def document(self, *arguments: str, exit_code: int = 0) -> Any:
        """What it prints with ``--json``."""
        result = self.run(*arguments, "--json")
        assert result.exit_code == exit_code, result.output
        return json.loads(result.stdout)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def house(tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    """A ledger by the test's clock, which the commands see too."""
    monkeypatch.setattr(ledger_option, "open_ledger", partial(open_ledger, clock=clock))
    house = House(tmp_path / "ledger.sqlite3", clock)
    house.ledger.usage("2026-11")  # makes the file
    yield house
    house.ledger.close()


@pytest.fixture
def configure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Writes the budgets file that the commands read."""

    def configure(text: str) -> None:
        path = tmp_path / "budgets.toml"
        path.write_text(text, encoding="utf-8")
        monkeypatch.setenv("GENOPS_BUDGETS_FILE", str(path))

    return configure

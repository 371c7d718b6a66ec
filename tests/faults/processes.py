"""Starts and ends the processes of a test, and looks into their ledger."""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from spender import Times

from genops_otel_posthog.budgets.budget import Budget
from genops_otel_posthog.budgets.ledger.protocol import Ledger, PeriodRecord
from genops_otel_posthog.budgets.ledger.url import REDIS_SCHEMES, open_ledger
from genops_otel_posthog.pricing.usage import BillingMonth

EVENT_NANO = 50_000
"""Price of an anonymous event at list price, in nano-USD."""

LEASE_SECONDS = 15.0
A_LEASE_LATER = LEASE_SECONDS + 1
"""Seconds after which a process that fell silent has lost its lease."""


def events(count: int, budget_id: str = "daily", **more: Any) -> Budget:
    """A daily budget of team checkout that is worth a number of anonymous events at list price."""
    return Budget(id=budget_id, limit=f"{count * EVENT_NANO / 10**9:.9f}", scope={"team": "checkout"}, **more)


TAKEN_FOR_AWAY = 2
"""Seconds after which a ledger that has not answered is taken for away."""


class Nursery:
    """Starts processes; see ``nursery.py``."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("nursery.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        # A socket's path may have 104 bytes; those of pytest's own directories are often longer.
        self._directory = Path(tempfile.mkdtemp(prefix="gp"))
        self._address = str(self._directory / "s")
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(self._address)
        self._listener.listen()

    def start(self, given: Mapping[str, object]) -> tuple[int, socket.socket]:
        """Starts a process; its pid, and the line to it."""
        pid = self._ask("start", self._address, given)
        return pid, self._listener.accept()[0]

    def wait(self, pid: int) -> int:
        """Waits for a process to end; its exit code, or the signal that ended it, negative."""
        return self._ask("wait", pid, None)

    def _ask(self, *words: object) -> int:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(words) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def close(self) -> None:
        """Ends it. The processes that it started have to have ended."""
        self._process.communicate()
        self._listener.close()
        shutil.rmtree(self._directory)


class Spender:
    """A process that spends, seen from outside; see ``spender.py`` for what it can be told.

    Args:
        nursery: Who starts it.
        **given: What its governor is made of.
    """

    def __init__(self, nursery: Nursery, **given: Any) -> None:
        self._nursery = nursery
        self.pid, self._line = nursery.start(given)
        self._reading = self._line.makefile("r")
        self._ended: int | None = None

    def tell(self, *words: object) -> None:
        """Tells it something, without waiting for the answer."""
        self._line.sendall(f"{json.dumps(words)}\n".encode())

    def answer(self) -> Any:
        """The answer to what it was told.

        Raises:
            EOFError: it ended instead.
        """
        line = self._reading.readline()
        if not line:
            raise EOFError(f"process {self.pid} ended with {self.dies()}")
        return json.loads(line)

    @property
    def has_answered(self) -> bool:
        """Whether the answer is there."""
        return bool(select.select([self._line], [], [], 0)[0])

    def ask(self, *words: object) -> Any:
        """Tells it something; its answer."""
        self.tell(*words)
        return self.answer()

    def spend(self, calls: int, team: str = "checkout") -> int:
        answer: int = self.ask("spend", calls, team)
        return answer

    def dies(self) -> int:
        """Waits until it has ended; with which code."""
        if self._ended is None:
            self._ended = self._nursery.wait(self.pid)
        return self._ended

    def kill(self) -> None:
        """``kill -9``."""
        os.kill(self.pid, signal.SIGKILL)
        self.dies()

    def pause(self) -> None:
        """SIGSTOP; returns when it stands still."""
        os.kill(self.pid, signal.SIGSTOP)
        stat = Path(f"/proc/{self.pid}/stat")
        while stat.exists() and stat.read_text().rpartition(")")[2].split()[0] not in "tT":
            pass

    def resume(self) -> None:
        """SIGCONT."""
        os.kill(self.pid, signal.SIGCONT)

    def terminate(self) -> int:
        """SIGTERM; the exit code."""
        os.kill(self.pid, signal.SIGTERM)
        return self.dies()

    def end(self) -> int:
        """Lets it reach its last line; the exit code."""
        self._line.shutdown(socket.SHUT_WR)
        return self.dies()

    def close(self) -> None:
        """Whatever became of it, it is gone."""
        if self._ended is None:
            self.kill()
        self._reading.close()
        self._line.close()


class Town:
    """A ledger that any number of processes share, on one machine with one time.

    Args:
        nursery: Starts the processes.
        directory: Where clocks, spools and a SQLite ledger lie.
        url: Of the ledger.
    """

    def __init__(self, nursery: Nursery, directory: Path, url: str) -> None:
        self._nursery = nursery
        self.directory = directory
        self.url = url
        self.times = Times(directory / "times")
        self.spool = directory / "untold"
        self._spenders: list[Spender] = []
        self._ledger: Ledger | None = None

    def start(self, *budgets: Budget, **given: Any) -> Spender:
        """Starts a process. It talks to the ledger when it must or is told to, unless a flush interval is given."""
        options = {"wait": 20.0, "flush_interval": 600.0, "lease_seconds": LEASE_SECONDS, **given.pop("options", {})}
        spender = Spender(
            self._nursery,
            **{"ledger": self.url, "spool": str(self.spool), "times": str(self.times.path), **given},
            budgets=[budget.definition() for budget in budgets],
            options=options,
        )
        self._spenders.append(spender)
        return spender

    @property
    def ledger(self) -> Ledger:
        """The ledger, opened for looking into it."""
        if self._ledger is None:
            if self.url.partition("://")[0] in REDIS_SCHEMES:
                from genops_otel_posthog.budgets.ledger.redis import RedisLedger

                self._ledger = RedisLedger.from_url(self.url, timeout=20.0, clock=self.times.ledger)
            else:
                self._ledger = open_ledger(self.url, clock=self.times.ledger, timeout=20.0)
        return self._ledger

    def record(self, budget: str = "daily") -> PeriodRecord:
        """How a budget stands in its present period."""
        (record,) = self.ledger.periods(budget)
        return record

    def committed(self, budget: str = "daily") -> int:
        """What was spent of a budget in all periods, nano-USD."""
        return sum(record.committed for record in self.ledger.periods(budget, current=False))

    def used(self) -> int:
        """Events that the organisation has used this month."""
        month = BillingMonth.at(self.times.ledger()).id
        return self.ledger.usage(month).get("events", 0)

    def put_ledger_away(self) -> None:
        """Takes a ledger in a file out of reach."""
        self._let_go()
        for path in self._files():
            path.rename(path.with_name(f"away-{path.name}"))
        self._path.mkdir()

    def bring_ledger_back(self) -> None:
        """Puts it where it was."""
        self._path.rmdir()
        for path in self._path.parent.glob("away-*"):
            path.rename(path.with_name(path.name.removeprefix("away-")))

    @property
    def _path(self) -> Path:
        return Path(self.url.removeprefix("sqlite://"))

    def _files(self) -> list[Path]:
        return [path for path in self._path.parent.glob(f"{self._path.name}*") if not path.name.endswith(".lock")]

    def _let_go(self) -> None:
        if self._ledger is not None:
            self._ledger.close()

    def close(self) -> None:
        for spender in self._spenders:
            spender.close()
        self._let_go()

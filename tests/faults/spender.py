"""A process that spends: it does what it is told, and answers each line with one of its own.

Everything in it is what an application has: a governor, its thread, its exit handlers, a ledger of its own. Only time
can be moved, for all processes of a test at once (:class:`Times`), and messages to the ledger can be disturbed.
"""

from __future__ import annotations

import json
import mmap
import os
import random
import signal
import struct
import sys
import time
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from genops_otel_posthog.attribution import Attribution
from genops_otel_posthog.budgets.alerts.queue import AlertCounts
from genops_otel_posthog.budgets.budget import Budget, BudgetPolicy
from genops_otel_posthog.budgets.budget_set import BudgetSet
from genops_otel_posthog.budgets.decision import LEDGER_UNREACHABLE, Reservation
from genops_otel_posthog.budgets.governor import Governor
from genops_otel_posthog.budgets.ledger.protocol import (
    Alert,
    Ledger,
    LedgerUnavailable,
    StaleSequence,
    SyncReply,
    SyncRequest,
)
from genops_otel_posthog.budgets.ledger.url import REDIS_SCHEMES, open_ledger
from genops_otel_posthog.budgets.options import GovernorOptions
from genops_otel_posthog.budgets.prices import Prices
from genops_otel_posthog.budgets.spool import Spool
from genops_otel_posthog.leaving import run_on_sigterm
from genops_otel_posthog.pricing.billing import Charge
from genops_otel_posthog.pricing.book import PriceBook
from genops_otel_posthog.pricing.usage import InProcessUsage

EVENT = (Charge("events", 1),)
NOON = datetime(2026, 11, 22, 12, tzinfo=timezone.utc).timestamp()
BOOK = PriceBook.load("posthog-2026-07-22")


class Times:
    """The clocks of one machine, moved by hand and shared by all processes of a test through a file.

    Attributes:
        path: The file: three offsets in seconds, of the wall clock as processes see it, of the wall clock as the ledger
            sees it, and of the monotonic clock. Where it is made, it is noon.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.exists():
            until_noon = NOON - time.time()
            path.write_bytes(struct.pack("3d", until_noon, until_noon, 0))
        with path.open("r+b") as file:
            self._offsets = mmap.mmap(file.fileno(), 24)

    def _offset(self, number: int) -> float:
        offset: float = struct.unpack_from("d", self._offsets, 8 * number)[0]
        return offset

    def _move(self, number: int, seconds: float) -> None:
        struct.pack_into("d", self._offsets, 8 * number, self._offset(number) + seconds)

    def wall(self) -> float:
        return time.time() + self._offset(0)

    def ledger(self) -> float:
        return time.time() + self._offset(1)

    def monotonic(self) -> float:
        return time.monotonic() + self._offset(2)

    def pass_(self, seconds: float) -> None:
        """Time passes, by every clock."""
        for number in range(3):
            self._move(number, seconds)

    def begin_at(self, moment: datetime) -> None:
        """Before anything has happened: it is another moment than noon."""
        self.set_wall(moment.timestamp() - self.wall())

    def set_wall(self, seconds: float) -> None:
        """Somebody sets the wall clock of the machine by so many seconds."""
        self._move(0, seconds)
        self._move(1, seconds)

    def set_wall_of_processes(self, seconds: float) -> None:
        """Somebody sets the wall clock of the machine, and the ledger is on another one."""
        self._move(0, seconds)


class Disturbed:
    """A ledger whose messages meet with accidents.

    Args:
        ledger: The ledger.
        accidents: Of every hundred messages, how many are delivered twice or lose their answer.
        seed: Decides which.
        delay: Seconds that every answer takes.
    """

    def __init__(self, ledger: Ledger, accidents: int, seed: int, delay: float) -> None:
        self._ledger = ledger
        self._accidents = accidents
        self._random = random.Random(seed)
        self._delay = delay
        self._previous: SyncRequest | None = None
        self.dies: str | None = None
        self.met = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ledger, name)

    def sync(self, request: SyncRequest) -> SyncReply:
        if self.dies == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.dies == "within":
            self._ledger.now_ms()
            self._ledger.usage("2026-11")  # opens it
            self._ledger._connection.set_trace_callback(_die_at_commit)  # type: ignore[attr-defined]
        time.sleep(self._delay)
        reply = self._ledger.sync(request)
        if self.dies == "after":
            os.kill(os.getpid(), signal.SIGKILL)
        if self._random.randrange(100) < self._accidents:
            self.met += 1
            kind = self._random.randrange(3)
            if kind == 0:
                raise LedgerUnavailable("the answer got lost")
            if kind == 1 and self._previous is not None and self._previous.sequence < request.sequence:
                try:
                    self._ledger.sync(self._previous)  # delivered late, once more
                except StaleSequence:
                    pass
                else:
                    raise AssertionError("an old message was counted")
            reply = self._ledger.sync(request)
        self._previous = request
        return reply


def _die_at_commit(statement: str) -> None:
    if statement == "COMMIT":
        os.kill(os.getpid(), signal.SIGKILL)


class Mailbox:
    """Takes alerts, and has delivered them at once."""

    def __init__(self) -> None:
        self.received: list[Alert] = []
        self._delivered: list[str] = []

    @property
    def counts(self) -> AlertCounts:
        return AlertCounts(delivered=len(self.received))

    def submit(self, alert: Alert) -> None:
        self.received.append(alert)
        self._delivered.append(alert.id)

    def delivered(self) -> tuple[str, ...]:
        delivered, self._delivered = tuple(self._delivered), []
        return delivered

    def close(self, timeout: float) -> None:
        """Everything is delivered at once."""


class Application:
    """What is told to this process, and done."""

    def __init__(self, given: dict[str, Any]) -> None:
        self._times = Times(Path(given["times"]))
        self._url: str = given["ledger"]
        self._accidents, self._seed = given.get("accidents", 0), given.get("seed", 0)
        self._delay: float = given.get("delay", 0.0)
        self._under_way: list[Reservation] = []
        self.opened: list[Disturbed] = []
        self.alerts = Mailbox()
        self._dies: str | None = None
        budgets = BudgetSet(map(Budget.from_definition, given["budgets"]))
        spool = given.get("spool")
        self.governor = Governor(
            budgets,
            Prices(BOOK, given.get("mode", "list")),
            InProcessUsage(clock=self._times.wall),
            self._open,
            GovernorOptions(policy=BudgetPolicy(given.get("policy", "enforced")), **given.get("options", {})),
            spool=None if spool is None else Spool(Path(spool), self._url),
            alerts=self.alerts,
            clock=self._times.wall,
            monotonic=self._times.monotonic,
        )
        if given.get("on_sigterm"):
            run_on_sigterm(self.governor.close)

    def _open(self) -> Ledger:
        opened: Ledger
        if self._url.partition("://")[0] in REDIS_SCHEMES:
            from genops_otel_posthog.budgets.ledger.redis import RedisLedger

            opened = RedisLedger.from_url(self._url, clock=self._times.ledger)
        else:
            opened = open_ledger(self._url, clock=self._times.ledger)
        disturbed = Disturbed(opened, self._accidents, self._seed, self._delay)
        disturbed.dies = self._dies
        self.opened.append(disturbed)
        return disturbed  # type: ignore[return-value]  # passes everything else on

    # --- what it can be told ---------------------------------------------------------------------------------------

    def spend(self, calls: int, team: str | None = None, critical: bool = False) -> int:
        """Makes calls; how many were admitted."""
        owner = Attribution(team=team, project="web-shop")
        admitted = 0
        for _ in range(calls):
            decision = self.governor.admit(owner, EVENT, critical=critical)
            if isinstance(decision, Reservation):
                self.governor.settle(decision)
                admitted += 1
        return admitted

    def insist(self, calls: int, team: str | None = None) -> int:
        """Makes calls, and makes those again that found the ledger away; how many were admitted."""
        owner = Attribution(team=team, project="web-shop")
        admitted = 0
        while calls:
            decision = self.governor.admit(owner, EVENT)
            if isinstance(decision, Reservation):
                self.governor.settle(decision)
                admitted += 1
            elif decision.reason == LEDGER_UNREACHABLE:
                time.sleep(0.001)
                continue
            calls -= 1
        return admitted

    def begin(self, calls: int, team: str | None = None) -> int:
        """Has calls admitted which end when :meth:`finish` is told; how many were admitted."""
        decisions = [self.governor.admit(Attribution(team=team, project="web-shop"), EVENT) for _ in range(calls)]
        admitted = [decision for decision in decisions if isinstance(decision, Reservation)]
        self._under_way += admitted
        return len(admitted)

    def finish(self) -> int:
        """Ends the calls that are under way."""
        for reservation in self._under_way:
            self.governor.settle(reservation)
        finished, self._under_way = len(self._under_way), []
        return finished

    def refused_for(self, team: str | None = None) -> str | None:
        """Why the next call is refused; ``None`` if it is not."""
        decision = self.governor.admit(Attribution(team=team, project="web-shop"), EVENT)
        if not isinstance(decision, Reservation):
            return decision.reason
        self.governor.release(decision)
        return None

    def flush(self, timeout: float = 20.0) -> bool:
        """Tells the ledger; whether it answered."""
        return self.governor.flush(timeout)

    def catch_up(self) -> bool:
        """Tells the ledger, whenever it is asked next, and until it has answered twice."""
        for _ in range(2):
            while not self.governor.flush(1.0):
                time.sleep(0.01)
        return True

    def open(self) -> bool:
        """Opens the ledger, as an application does at its start."""
        self.governor.open()
        return True

    def die(self, when: str) -> bool:
        """Kills this process with the next message: ``before``, ``within`` or ``after`` its execution."""
        self._dies = when
        for ledger in self.opened:
            ledger.dies = when
        return True

    def set_limit(self, budget: str, usd: str) -> bool:
        """Changes a budget in this process."""
        from dataclasses import replace

        present = self.governor.budgets.get(budget)
        assert present is not None
        self.governor.budgets.replace(replace(present, limit=usd))
        return True

    def numbers(self) -> dict[str, Any]:
        """What this process knows of itself."""
        governor = self.governor
        return {
            "round_trips": governor.synchroniser.round_trips,
            "errors": sum(governor.synchroniser.errors.values()),
            "reachable": governor.synchroniser.reachable,
            "left": {account.budget.id: account.left for account in governor.accounts()},
            "accidents": sum(ledger.met for ledger in self.opened),
            "alerts": [[alert.budget, alert.basis_points] for alert in self.alerts.received],
            "untold": len(governor._holdings.touched),
            "used": governor.usage.used("events"),
        }

    def limit_files_to(self, size: int | None) -> bool:
        """The disk is full for whatever makes a file longer than so many bytes; ``None``: it is not any more."""
        import resource

        _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (most if size is None else size, most))
        return True

    def drop_root(self) -> bool:
        """Permissions of files hold for this process from now on, also when root runs the tests."""
        if os.geteuid() == 0:
            os.setegid(65534)
            os.seteuid(65534)
        return True

    def spare_a_child(self) -> bool:
        """Forks a child that outlives this process, for as long as the test keeps its line."""
        if not os.fork():
            sys.stdin.read()
            os._exit(0)
        return True

    def fail(self) -> bool:
        """Talks to the ledger until that has failed twice more: the first failure has been dealt with then."""
        before = self.numbers()["errors"]
        while self.numbers()["errors"] < before + 2:
            self.governor.flush(0.1)
            time.sleep(0.01)
        return True

    def longest_wait(self, calls: int, team: str | None = None) -> float:
        """Makes calls; how many seconds the longest took."""
        longest = 0.0
        for _ in range(calls):
            before = time.monotonic()
            self.spend(1, team)
            longest = max(longest, time.monotonic() - before)
        return longest

    def fork_worker(self, calls: int, team: str | None = None) -> list[int]:
        """Two workers are forked as servers do it, spend, and end with their exit handlers run."""
        answers, children = [], []
        for _ in range(2):
            reading, writing = os.pipe()
            child = os.fork()
            if not child:
                os.close(reading)
                os.write(writing, str(self.spend(calls, team)).encode())
                os.close(writing)
                sys.exit(0)
            os.close(writing)
            with os.fdopen(reading) as pipe:
                answers.append(int(pipe.read()))
            children.append(child)
        for child in children:
            assert os.waitpid(child, 0)[1] == 0
        return answers

    def multiprocess(self, calls: int, team: str | None = None) -> int:
        """A child of multiprocessing is forked, spends, and ends as such children do."""
        import multiprocessing

        context = multiprocessing.get_context("fork")
        receiving, sending = context.Pipe(duplex=False)
        child = context.Process(target=lambda: sending.send(self.spend(calls, team)))
        child.start()
        answer: int = receiving.recv()
        child.join()
        assert child.exitcode == 0
        return answer

    def hammer(self, team: str | None = None) -> bool:
        """Spends without a pause, in the main thread, until the process is ended."""
        print(json.dumps(True), flush=True)
        while True:
            self.spend(100, team)

    def close(self) -> bool:
        """Leaves, as at the end of a process."""
        return self.governor.close()


def main(given: dict[str, Any]) -> None:
    application = Application(given)
    for line in sys.stdin:
        name, *arguments = json.loads(line)
        told: Callable[..., object] = getattr(application, name)
        print(json.dumps(told(*arguments)), flush=True)

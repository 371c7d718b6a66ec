"""``python -m benchmarks.fleet``: what a fleet asks of its ledger, and how much of a budget it strands, simulated.

The governors and the ledger are the real ones; time is simulated and messages take none, so that ten thousand processes
fit into one. Every process spends at its own pace; the budget is smaller than what all of them want, so that the end of
a budget is part of the picture.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Sequence
from random import Random
from typing import Any

from genops_otel_posthog import Attribution, Budget, BudgetPolicy, PriceBook
from genops_otel_posthog.budgets.budget_set import BudgetSet
from genops_otel_posthog.budgets.decision import Reservation
from genops_otel_posthog.budgets.governor import Governor
from genops_otel_posthog.budgets.ledger.memory import MemoryLedger
from genops_otel_posthog.budgets.options import GovernorOptions
from genops_otel_posthog.budgets.prices import Prices
from genops_otel_posthog.pricing.billing import Charge
from genops_otel_posthog.pricing.usage import InProcessUsage
from genops_otel_posthog.settings import DEFAULT_PRICE_BOOK

OWNER = Attribution(team="checkout", project="web-shop")
EVENT = (Charge("events", 1),)
EVENT_NANO = 50_000
NOON = 1_795_348_800.0  # 2026-11-22 12:00 UTC


class Clock:
    """Simulated time, wall and monotonic."""

    def __init__(self) -> None:
        self.seconds = NOON

    def __call__(self) -> float:
        return self.seconds


class Conversation:
    """Stands for the thread that talks to the ledger: the same messages, at once and in simulated time."""

    def __init__(self, governor: Governor, ledger: MemoryLedger, clock: Clock) -> None:
        self._governor = governor
        self._ledger = ledger
        self._clock = clock
        self.messages = 0

    def start(self) -> None:
        """There is no thread."""

    def hurry(self) -> None:
        """The next flush is soon enough."""

    def answered_within(self, until: float) -> bool:
        """Says what there is to say."""
        request = self._governor.correspondence.message(leaving=False)
        if request is not None:
            self.messages += 1
            self._governor.correspondence.hear(request, self._ledger.sync(request), self._clock(), repeated=False)
        return True

    def close(self, timeout: float) -> bool:
        """Nobody waits for what was simulated."""
        return True


class Process:
    """One process of the fleet."""

    def __init__(self, budget: Budget, ledger: MemoryLedger, clock: Clock, calls_per_second: float) -> None:
        self.governor = Governor(
            BudgetSet([budget]),
            Prices(PriceBook.load(DEFAULT_PRICE_BOOK), "list"),
            InProcessUsage(clock=clock),
            lambda: ledger,
            GovernorOptions(policy=BudgetPolicy.ENFORCED),
            clock=clock,
            monotonic=clock,
        )
        self.conversation = Conversation(self.governor, ledger, clock)
        self.governor.synchroniser = self.conversation  # type: ignore[assignment]  # the part of it that is used
        self.calls_per_second = calls_per_second
        self.admitted = 0
        self.refused = 0

    def live_for_a_second(self, random: Random) -> None:
        """Makes its calls of one second, and flushes."""
        calls = int(self.calls_per_second) + (random.random() < self.calls_per_second % 1)
        for _ in range(calls):
            decision = self.governor.admit(OWNER, EVENT)
            if isinstance(decision, Reservation):
                self.governor.settle(decision)
                self.admitted += 1
            else:
                self.refused += 1
        self.conversation.answered_within(0.0)


def simulate(processes: int, seconds: int, calls_per_second: float, seed: int = 1) -> dict[str, Any]:
    """One fleet, for a while.

    Args:
        processes: How many.
        seconds: How long, simulated.
        calls_per_second: Of a process, on average; some make ten times as many as others.
        seed: Decides which.

    Returns:
        Messages a second in the first half; what is lent and not spent half way, as seconds of the whole fleet's
        spending, and at the end, as part of the limit; what was used of the limit, and what was spent beyond it.
    """
    random, clock = Random(seed), Clock()
    ledger = MemoryLedger(clock=clock)
    wanted = processes * calls_per_second * seconds
    limit = int(wanted * 0.7) * EVENT_NANO  # spent before the time is over
    budget = Budget("fleet", limit=limit / 1e9)
    rates = [calls_per_second * random.choice((0.2, 0.5, 1.0, 1.0, 2.0)) for _ in range(processes)]
    fleet = [Process(budget, ledger, clock, rate) for rate in rates]
    stranded_half_way = messages_before = 0
    steady: list[int] = []
    for second in range(seconds):
        random.shuffle(fleet)
        for number, process in enumerate(fleet):
            clock.seconds = NOON + second + number / processes
            process.live_for_a_second(random)
        messages = sum(process.conversation.messages for process in fleet)
        if 2 <= second < seconds // 2:
            steady.append(messages - messages_before)
        messages_before = messages
        if second == seconds // 2:
            stranded_half_way = ledger.periods("fleet")[0].leased
    (record,) = ledger.periods("fleet")
    return {
        "processes": processes,
        "calls_a_second": round(sum(rates)),
        "messages_a_second": round(sum(steady) / len(steady), 1),
        "messages_a_second_and_process": round(sum(steady) / len(steady) / processes, 3),
        "calls_refused": sum(process.refused for process in fleet),
        "lent_half_way_seconds_of_spending": round(stranded_half_way / EVENT_NANO / sum(rates), 2),
        "lent_at_the_end_percent": round(100 * record.leased / record.limit, 3),
        "used_percent": round(100 * record.committed / record.limit, 3),
        "overshoot_nano_usd": max(0, record.committed - record.limit),
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; 1 when a limit was exceeded."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fleet", description=__doc__)
    parser.add_argument("--processes", type=int, action="append", help="size of a fleet; repeatable (10, 1000, 10000)")
    parser.add_argument("--seconds", type=int, default=20, help="simulated seconds (20)")
    parser.add_argument("--calls", type=float, default=5.0, help="calls a second of a process, on average (5)")
    parser.add_argument("--json", action="store_true", help="as JSON")
    arguments = parser.parse_args(argv)
    logging.disable()  # thousands of processes would each say once that the budget is spent
    results = [
        simulate(processes, arguments.seconds, arguments.calls)
        for processes in arguments.processes or (10, 1000, 10000)
    ]
    if arguments.json:
        print(json.dumps(results, indent=2))
    else:
        for result in results:
            print("\n".join(f"{name.replace('_', ' '):<36}{value:>14,}" for name, value in result.items()), "\n")
    return int(any(result["overshoot_nano_usd"] for result in results))


if __name__ == "__main__":
    sys.exit(main())

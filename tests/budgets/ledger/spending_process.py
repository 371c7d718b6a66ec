"""A process that spends: ``spender.py LEDGER-URL NAME TEAM CALLS SEED``. Prints what it did, as JSON.

It keeps to its leases, says a fifth of its messages twice, and gives back what is left in the end. With ``CALLS`` = 0
it never ends; it then prints the units it has been answered for, line by line.
"""

from __future__ import annotations

import json
import random
import sys
import time
from datetime import datetime, timedelta, timezone

from conversation import BOOK, COSTS, Process

from genops_otel_posthog.budgets.ledger.protocol import Ask, Counted, PeriodKey, SyncReply, Window
from genops_otel_posthog.budgets.ledger.url import open_ledger

PRICE = BOOK.list_price_nano("events")
LIMIT = 20_000 * PRICE
CHUNK = 100 * PRICE
MONTH = "2026-11"


def present() -> Window:
    """A period of this year's length, so that it never ends in a test."""
    year = datetime.now(timezone.utc).year
    start = datetime(year, 1, 1, tzinfo=timezone.utc)
    return Window("all", int(start.timestamp() * 1000), int((start + timedelta(days=400)).timestamp() * 1000))


class Spender:
    """What the process knows of its leases."""

    def __init__(self, url: str, name: str, team: str, seed: int) -> None:
        self.process = Process(open_ledger(url, timeout=30), name)
        self.budgets = (team, "all")
        self.keys = tuple(PeriodKey(budget, "all") for budget in self.budgets)
        self.chance = random.Random(seed)
        self.window = present()
        self.left = dict.fromkeys(self.budgets, 0)
        self.settled = dict.fromkeys(self.budgets, 0)
        self.units = 0
        self.denied = 0
        self.round_trips = 0

    def call(self) -> None:
        """One call of 1 to 5 events, if the budgets allow it."""
        units = self.chance.randint(1, 5)
        most = units * PRICE
        if any(self.left[budget] < most for budget in self.budgets):
            self.say(need=most)
        if any(self.left[budget] < most for budget in self.budgets):
            self.denied += 1
            return
        for budget in self.budgets:
            self.left[budget] -= most
            self.settled[budget] += most
        self.units += units

    def say(self, need: int = 0, *, leaving: bool = False) -> SyncReply:
        """Tells the ledger all it knows."""
        asks = tuple(
            Ask(
                budget=budget,
                definition="{}",
                meter=None,
                windows=(self.window,),
                limit=LIMIT,
                cap_basis_points=10_000,
                lease_period="all",
                settled=self.settled[budget],
                want=max(CHUNK, need) if self.left[budget] < max(CHUNK, need) and not leaving else 0,
                need=need if self.left[budget] < need else 0,
            )
            for budget in self.budgets
        )
        counted = (Counted("events", MONTH, self.units, self.keys),)
        request = self.process.request(*asks, costs=COSTS, counted=counted, leaving=leaving, lease_ms=600_000)
        reply = self.process.send(request)
        if self.chance.random() < 0.2:
            assert self.process.send(request) == reply
        for standing in reply.standings:
            self.left[standing.budget] = standing.lease
            self.settled[standing.budget] = 0
            assert standing.cap is not None
            assert standing.committed + standing.leased + standing.held <= standing.cap
        self.round_trips += 1
        return reply


def main() -> None:
    """Spends."""
    url, name, team, calls, seed = sys.argv[1:]
    spender = Spender(url, name, team, int(seed))
    while not int(calls):
        spender.call()
        spender.say()
        print(spender.units, flush=True)
    begun = time.monotonic()
    for number in range(int(calls)):
        spender.call()
        if number % 20 == 19:
            spender.say()
    spender.say(leaving=True)
    seconds = time.monotonic() - begun
    print(
        json.dumps({"units": spender.units, "denied": spender.denied, "round_trips": spender.round_trips, "s": seconds})
    )


if __name__ == "__main__":
    main()

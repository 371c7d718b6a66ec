"""One process's side of a conversation with a ledger, and the calendar of the tests."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any

from genops_otel_posthog.budgets.ledger.protocol import (
    Ask,
    Counted,
    Ledger,
    PeriodKey,
    Standing,
    SyncReply,
    SyncRequest,
    Window,
)
from genops_otel_posthog.budgets.prices import Prices
from genops_otel_posthog.pricing.book import PriceBook
from genops_otel_posthog.settings import DEFAULT_PRICE_BOOK

BOOK = PriceBook.load(DEFAULT_PRICE_BOOK)
"""The prices that the tests pay."""

COSTS = Prices(BOOK).tables(BOOK.rates)
"""C of every meter that has a price."""


def ms(text: str) -> int:
    """``2026-11-22T12:00`` in UTC, in milliseconds since the epoch."""
    return int(datetime.fromisoformat(text).replace(tzinfo=timezone.utc).timestamp()) * 1000


SECOND, HOUR, A_DAY = 1000, 3_600_000, 86_400_000
NOON = ms("2026-11-22T12:00")
MONTH = "2026-11"
YESTERDAY = Window("d:2026-11-21", ms("2026-11-21T00:00"), ms("2026-11-22T00:00"))
DAY = Window("d:2026-11-22", ms("2026-11-22T00:00"), ms("2026-11-23T00:00"))
NEXT_DAY = Window("d:2026-11-23", ms("2026-11-23T00:00"), ms("2026-11-24T00:00"))
LEASE_MS = 15_000


class Clock:
    """A clock that stands still until it is told otherwise; seconds since the epoch when called."""

    def __init__(self, now_ms: int = NOON) -> None:
        self.now_ms = now_ms

    def __call__(self) -> float:
        return self.now_ms / 1000

    def advance(self, milliseconds: int) -> None:
        self.now_ms += milliseconds


def ask(budget: str = "b", *, limit: int = 1000, cap: int | None = 10_000, **more: Any) -> Ask:
    """A budget of a day, refusing from its limit on unless told otherwise."""
    more = {"definition": f'{{"id":"{budget}"}}', "meter": None, "windows": (DAY, NEXT_DAY), **more}
    return Ask(budget=budget, limit=limit, cap_basis_points=cap, **more)


def counted(
    units: int, *paying: str, meter: str = "events", month: str = MONTH, period: str = DAY.id, overdrawn: str = ""
) -> Counted:
    """Units that the named budgets pay for, and, if one is named, ``overdrawn`` past its limit."""
    keys = tuple(PeriodKey(budget, period) for budget in paying)
    return Counted(meter, month, units, keys, (PeriodKey(overdrawn, period),) if overdrawn else ())


class Process:
    """A process as the ledger knows it: a name, a sequence, and what has been answered."""

    def __init__(self, ledger: Ledger, name: str) -> None:
        self.ledger = ledger
        self.name = name
        self.sequence = 0
        self.acknowledged = 0

    def request(self, *asks: Ask, **more: Any) -> SyncRequest:
        """The next request. Takes what :class:`SyncRequest` takes."""
        self.sequence += 1
        more = {"costs": {}, "counted": (), "month": MONTH, "lease_ms": LEASE_MS, **more}
        return SyncRequest(process=self.name, sequence=self.sequence, acknowledged=self.acknowledged, asks=asks, **more)

    def send(self, request: SyncRequest) -> SyncReply:
        """Sends a request, for the first time or again."""
        reply = self.ledger.sync(request)
        self.acknowledged = reply.sequence
        return reply

    def say(self, *asks: Ask, **more: Any) -> SyncReply:
        """Sends the next request."""
        return self.send(self.request(*asks, **more))

    def standing(self, one: Ask, **more: Any) -> Standing:
        """Sends a request about one budget; how it stands."""
        return self.say(one, **more).standings[0]

"""A governor with every part real: budgets, prices from the default book, a ledger, the thread between them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any

from genops_otel_posthog.attribution import Attribution
from genops_otel_posthog.budgets.alerts.queue import AlertCounts
from genops_otel_posthog.budgets.budget import Budget, BudgetPolicy
from genops_otel_posthog.budgets.budget_set import BudgetSet
from genops_otel_posthog.budgets.correspondence import AlertSink
from genops_otel_posthog.budgets.decision import Refusal, Reservation
from genops_otel_posthog.budgets.governor import Governor
from genops_otel_posthog.budgets.ledger.memory import MemoryLedger
from genops_otel_posthog.budgets.ledger.protocol import Alert, Ledger
from genops_otel_posthog.budgets.options import GovernorOptions
from genops_otel_posthog.budgets.prices import Prices
from genops_otel_posthog.budgets.spool import Spool
from genops_otel_posthog.pricing.billing import Charge
from genops_otel_posthog.pricing.book import PriceBook
from genops_otel_posthog.pricing.usage import InProcessUsage

CHECKOUT = Attribution(team="checkout", project="web-shop")
SEARCH = Attribution(team="search", project="web-shop")
ANONYMOUS_EVENT = (Charge("events", 1),)
"""50,000 nano-USD at list price."""
BOOK = PriceBook.load("posthog-2026-07-22")


class Clock:
    """Wall and monotonic time of everything in a test, moved by hand."""

    def __init__(self, moment: datetime) -> None:
        self.seconds = moment.timestamp()

    def __call__(self) -> float:
        return self.seconds

    def move_to(self, moment: datetime) -> None:
        self.seconds = moment.timestamp()


class Mailbox:
    """Delivers alerts to a list."""

    def __init__(self, received: list[Alert]) -> None:
        self._received = received
        self._delivered: list[str] = []

    @property
    def counts(self) -> AlertCounts:
        return AlertCounts(delivered=len(self._received))

    def submit(self, alert: Alert) -> None:
        self._received.append(alert)
        self._delivered.append(alert.id)

    def delivered(self) -> tuple[str, ...]:
        delivered, self._delivered = tuple(self._delivered), []
        return delivered

    def close(self, timeout: float) -> None:
        """Everything is delivered at once."""


class House:
    """A ledger, and any number of processes that share it."""

    def __init__(self) -> None:
        self.clock = Clock(datetime(2026, 11, 22, 12, tzinfo=timezone.utc))
        self.ledger: Ledger = MemoryLedger(clock=self.clock)
        self.alerts: list[Alert] = []
        self._governors: list[Governor] = []

    def governor(
        self,
        *budgets: Budget,
        policy: BudgetPolicy = BudgetPolicy.ENFORCED,
        mode: str = "list",
        wait: float = 5.0,
        open_ledger: Callable[[], Ledger] | None = None,
        spool: Spool | None = None,
        usage: InProcessUsage | None = None,
        real_time: bool = False,
        alerts: AlertSink | None = None,
        **options: Any,
    ) -> Governor:
        """One process's governor. It talks to the ledger only when it must or is flushed."""
        clocks: dict[str, Any] = {} if real_time else {"clock": self.clock}
        governor = Governor(
            BudgetSet(budgets),
            Prices(BOOK, mode),
            usage or InProcessUsage(clock=self.clock),
            open_ledger or (lambda: self.ledger),
            GovernorOptions(policy=policy, wait=wait, flush_interval=options.pop("flush_interval", 60.0), **options),
            spool=spool,
            alerts=alerts or Mailbox(self.alerts),
            **clocks,
        )
        self._governors.append(governor)
        return governor

    def close(self) -> None:
        for governor in self._governors:
            governor.close()


def spend(governor: Governor, calls: int, owner: Attribution = CHECKOUT, *, critical: bool = False) -> int:
    """Makes calls, each admitted and settled or refused. Returns how many were admitted."""
    admitted = 0
    for _ in range(calls):
        decision = governor.admit(owner, ANONYMOUS_EVENT, critical=critical)
        if isinstance(decision, Reservation):
            governor.settle(decision)
            admitted += 1
    return admitted


def refusal(governor: Governor, owner: Attribution = CHECKOUT) -> Refusal:
    """The refusal of the next call."""
    decision = governor.admit(owner, ANONYMOUS_EVENT)
    assert isinstance(decision, Refusal)
    return decision

"""Governors to be timed: real budgets, a real ledger in memory, leases that outlast the measurement."""

from __future__ import annotations

import logging
from collections.abc import Callable

from genops_otel_posthog import Attribution, Budget, BudgetPolicy, PriceBook
from genops_otel_posthog.budgets.budget_set import BudgetSet
from genops_otel_posthog.budgets.decision import Refusal, Reservation
from genops_otel_posthog.budgets.governor import Governor
from genops_otel_posthog.budgets.ledger.memory import MemoryLedger
from genops_otel_posthog.budgets.options import GovernorOptions
from genops_otel_posthog.budgets.prices import Prices
from genops_otel_posthog.pricing.billing import Charge
from genops_otel_posthog.pricing.usage import InProcessUsage
from genops_otel_posthog.settings import DEFAULT_PRICE_BOOK

OWNER = Attribution(team="checkout", project="web-shop", environment="production", customer_id="acme")
EVENT = (Charge("events", 1), Charge("identified_events", 1))
PLENTY = "9000000"  # US dollars; the first lease alone lasts for hundreds of millions of events

MATCHING_ALL = [
    Budget("everybody", PLENTY, period="month"),
    Budget("team", PLENTY, scope={"team": "checkout"}),
    Budget("project", PLENTY, scope={"project": "web-shop"}),
    Budget("team-in-production", PLENTY, scope={"team": "checkout", "environment": "production"}),
]


def decision(budgets: int) -> Callable[[], object]:
    """Asks whether a call may be made that falls under so many budgets."""
    governor = _governor(MATCHING_ALL[:budgets])
    return lambda: governor.admit(OWNER, EVENT)


def decision_and_settlement(budgets: int) -> Callable[[], object]:
    """Asks, and says that the call was made."""
    governor = _governor(MATCHING_ALL[:budgets])

    def call() -> None:
        answer = governor.admit(OWNER, EVENT)
        assert isinstance(answer, Reservation)
        governor.settle(answer)

    return call


def refusal() -> Callable[[], object]:
    """Asks about a call that falls under a budget that is spent."""
    logging.getLogger("genops_otel_posthog.budgets").setLevel(logging.ERROR)  # that it refuses is no complaint here
    governor = _governor([Budget("spent", 0)], leased=False)
    return lambda: governor.admit(OWNER, EVENT)


def _governor(budgets: list[Budget], *, leased: bool = True) -> Governor:
    governor = Governor(
        BudgetSet(budgets),
        Prices(PriceBook.load(DEFAULT_PRICE_BOOK)),
        InProcessUsage(),
        MemoryLedger,
        GovernorOptions(policy=BudgetPolicy.ENFORCED, wait=5.0),
    )
    answer = governor.admit(OWNER, EVENT)
    if isinstance(answer, Refusal) is leased:
        raise RuntimeError(f"the governor answered {answer!r} before the measurement")
    return governor

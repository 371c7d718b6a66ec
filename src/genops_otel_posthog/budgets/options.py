"""How a governor behaves."""

from __future__ import annotations

from dataclasses import dataclass

from genops_otel_posthog.budgets.budget import BudgetPolicy
from genops_otel_posthog.money import NANO_PER_USD


@dataclass(frozen=True)
class GovernorOptions:
    """How a governor behaves.

    Attributes:
        policy: The policy of budgets that name none.
        wait: Most seconds a call waits for a decision when it finds no lease.
        flush_interval: Seconds between two messages to the ledger.
        lease_seconds: How long a lease lives if its process falls silent.
        required: Fields of attribution without which policy strict refuses a call.
        outage_percent: What a process may spend of a limit in a period while the ledger is away (it has not answered
            for a second, or never), under policy enforced.
        outage_most_nano: The same in nano-USD; the smaller one holds.
    """

    policy: BudgetPolicy = BudgetPolicy.ADVISORY
    wait: float = 0.05
    flush_interval: float = 1.0
    lease_seconds: float = 15.0
    required: tuple[str, ...] = ("team", "project")
    outage_percent: int = 1
    outage_most_nano: int = NANO_PER_USD

"""The budgets that one call must satisfy, and the reservations that calls of each kind make against them."""

from __future__ import annotations

from genops_otel_posthog.budgets.account import Account
from genops_otel_posthog.budgets.decision import Reservation
from genops_otel_posthog.budgets.ledger.protocol import PeriodKey
from genops_otel_posthog.pricing.billing import Charge


class Plan:
    """A set of budgets that all have to agree. Owners that match the same budgets share one plan.

    Attributes:
        accounts: This process's side of the budgets.
        reservations: What calls set aside, by what they are billed for. Emptied whenever an amount or a period may
            have changed, so it holds only what is true now.
        fullest: Of the budgets that have reached a threshold, the one that is fullest.
    """

    __slots__ = ("accounts", "fullest", "reservations")

    def __init__(self, accounts: tuple[Account, ...]) -> None:
        self.accounts = accounts
        self.reservations: dict[tuple[Charge, ...], Reservation] = {}
        self.fullest: Account | None = None
        self.refresh()

    def refresh(self) -> None:
        """Takes note of what the ledger said."""
        self.reservations.clear()
        warned = [account for account in self.accounts if account.warned]
        self.fullest = max(warned, key=lambda account: account.utilization, default=None)

    @property
    def utilization(self) -> float:
        """How full the fullest budget is; 0.0 where there is none."""
        return max((account.utilization for account in self.accounts), default=0.0)

    def holds(self, charges: tuple[Charge, ...], prices: dict[str, int]) -> tuple[tuple[Account, int], ...]:
        """What a call sets aside from each budget that it costs anything.

        Args:
            charges: What the call is billed for.
            prices: The most that the next unit of each meter can cost, nano-USD.
        """
        money = sum(prices.get(meter, 0) * units for meter, units in charges)
        holds = []
        for account in self.accounts:
            own = account.budget.meter
            amount = money if own is None else sum(units for meter, units in charges if meter == own)
            if amount:
                holds.append((account, amount))
        return tuple(holds)

    def charged(self, now_ms: int) -> tuple[PeriodKey, ...]:
        """The periods that pay; by this process's clock where the ledger has not been asked yet."""
        return tuple(
            account.key or PeriodKey(account.budget.id, account.budget.windows_around(now_ms)[0].id)
            for account in self.accounts
            if account.budget.applies_at(now_ms)
        )

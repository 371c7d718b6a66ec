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
        until_ms: When the first of the budgets begins another period, by the ledger's clock as far as it is known.
    """

    __slots__ = ("accounts", "fullest", "reservations", "until_ms")

    def __init__(self, accounts: tuple[Account, ...], now_ms: int) -> None:
        self.accounts = accounts
        self.reservations: dict[tuple[Charge, ...], Reservation] = {}
        self.fullest: Account | None = None
        self.refresh(now_ms)

    def refresh(self, now_ms: int) -> None:
        """Takes note of what the ledger said, and of what time it is."""
        self.reservations.clear()
        self.until_ms = min((account.window_at(now_ms).end_ms for account in self.accounts), default=1 << 62)
        warned = [account for account in self.accounts if account.highest_threshold is not None]
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

    def charged(self, now: float, now_ms: int) -> tuple[PeriodKey, ...]:
        """The periods that pay.

        Args:
            now: The monotonic clock.
            now_ms: The ledger's clock, as far as it is known.
        """
        return tuple(account.key_at(now, now_ms) for account in self.accounts if account.budget.applies_at(now_ms))

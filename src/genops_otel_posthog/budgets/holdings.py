"""What one process holds: its side of every budget, which budgets each owner falls under, what calls set aside.

Shared by the two who work with it: the governor, which decides about calls, and the correspondence with the ledger. One
lock guards all of it; no step under it does anything slow.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from typing import TypeAlias

from genops_otel_posthog.attribution import Attribution
from genops_otel_posthog.budgets.account import Account
from genops_otel_posthog.budgets.budget import Budget, BudgetPolicy
from genops_otel_posthog.budgets.budget_set import BudgetSet
from genops_otel_posthog.budgets.decision import Reservation
from genops_otel_posthog.budgets.ledger.protocol import PeriodKey
from genops_otel_posthog.budgets.plan import Plan
from genops_otel_posthog.budgets.prices import Prices
from genops_otel_posthog.pricing.billing import Charge
from genops_otel_posthog.pricing.usage import InProcessUsage

_MOST_OWNERS = 2048  # whose budgets are remembered; beyond, the memory starts over
_DATES_BEGIN_MS = 900_000  # in every time zone, a day begins at a quarter of an hour of UTC

DecisionKey: TypeAlias = "tuple[str, str, str, str | None]"
"""Result, reason and policy of a decision, and the budget that decided where there was one."""


class Holdings:
    """The holdings of a process that has just started: nothing.

    Args:
        budgets: The budgets; they may change at any time.
        prices: What units cost.
        usage: The organisation's month-to-date usage as this process knows it.
        policy: The policy of budgets that name none.
        clock: Seconds since the epoch.

    Attributes:
        accounts: This process's side of the budgets it has met, by id.
        applying: Ids of the budgets that apply today.
        version: The version of the budgets that all of it is about.
        plan_of: The budgets that each owner falls under.
        reserving: The most that the next unit of each meter can cost, nano-USD.
        touched: Reservations that were settled since the last message to the ledger.
        ledger_ahead_ms: How much the ledger's clock is ahead of this process's.
        dates_hold_until_ms: Until when no budget begins or ceases to apply.
    """

    def __init__(
        self,
        budgets: BudgetSet,
        prices: Prices,
        usage: InProcessUsage,
        policy: BudgetPolicy,
        clock: Callable[[], float],
    ) -> None:
        lock = threading.Lock()
        self.acquire, self.release_lock = lock.acquire, lock.release
        self.budgets = budgets
        self._prices = prices
        self._usage = usage
        self._policy = policy
        self._clock = clock
        self.accounts: dict[str, Account] = {}
        self.applying: frozenset[str] = frozenset()
        self.version = -1
        self.plan_of: dict[Attribution, Plan] = {}
        self.reserving: dict[str, int] = {}
        self.touched: list[Reservation] = []
        self.ledger_ahead_ms = 0
        self.dates_hold_until_ms = 0
        self._plans: dict[tuple[str, ...], Plan] = {}
        self._meter_of: dict[str, str | None] = {}
        self._decisions_taken: Counter[DecisionKey] = Counter()

    def now_ms(self) -> int:
        """The ledger's clock, as far as this process knows it."""
        return int(self._clock() * 1000) + self.ledger_ahead_ms

    def plan(self, owner: Attribution) -> Plan:
        """The budgets that an owner's calls must satisfy."""
        plan = self.plan_of.get(owner)
        if plan is None:
            budgets = [budget for budget in self.budgets.matching(owner) if budget.applies_at(self.now_ms())]
            ids = tuple(budget.id for budget in budgets)
            self.acquire()
            try:
                plan = self._plans.get(ids)
                if plan is None:
                    plan = self._plans[ids] = Plan(tuple(map(self._account, budgets)), self.now_ms())
                if len(self.plan_of) >= _MOST_OWNERS:
                    self.plan_of.clear()
                self.plan_of[owner] = plan
            finally:
                self.release_lock()
        return plan

    def _account(self, budget: Budget) -> Account:
        self._meter_of[budget.id] = budget.meter
        account = self.accounts.get(budget.id)
        if account is None:
            account = self.accounts[budget.id] = Account(budget, self._policy)
        elif account.budget != budget:
            account.replace(budget, self._policy)
        return account

    def reservation(self, plan: Plan, charges: tuple[Charge, ...], now: float, now_ms: int) -> Reservation:
        """What calls of one kind set aside. The caller holds the lock."""
        for meter, _ in charges:
            if meter not in self.reserving:
                self.reserving[meter] = self._prices.most(meter, now_ms, self._usage.used(meter))
        holds = plan.holds(charges, self.reserving)
        reservation = Reservation(plan, charges, holds, plan.charged(now, now_ms))
        # Until the ledger has said which period it is in, the next call asks anew.
        if all(account.standing is not None for account in plan.accounts):
            plan.reservations[charges] = reservation
        return reservation

    def take_note_of_budgets(self) -> None:
        """Budgets were added, changed or removed, or began or ceased to apply."""
        self.acquire()
        try:
            self.version = self.budgets.version
            self.applying = self._ids_that_apply()
            for budget in self.budgets:
                if budget.id in self.accounts:
                    self._account(budget)
            self.plan_of.clear()
            self._plans.clear()
        finally:
            self.release_lock()

    def take_note_of_dates(self) -> None:
        """Budgets have a first and a last day, which come and go also while the ledger is away."""
        self.dates_hold_until_ms = (self.now_ms() // _DATES_BEGIN_MS + 1) * _DATES_BEGIN_MS
        if self._ids_that_apply() != self.applying:
            self.take_note_of_budgets()

    def _ids_that_apply(self) -> frozenset[str]:
        now_ms = self.now_ms()
        return frozenset(budget.id for budget in self.budgets if budget.applies_at(now_ms))

    def set_clock(self, ledger_now_ms: int) -> None:
        """What the ledger's clock says at this moment."""
        self.ledger_ahead_ms = ledger_now_ms - int(self._clock() * 1000)

    def heard(self) -> None:
        """The ledger has spoken: amounts and periods are looked up anew. The caller holds the lock."""
        self.reserving.clear()
        now_ms = self.now_ms()
        for plan in self._plans.values():
            plan.refresh(now_ms)

    def paying(self, keys: tuple[PeriodKey, ...], meter: str) -> tuple[PeriodKey, ...]:
        """Of some periods, those whose budget counts money, or units of this meter."""
        return tuple(key for key in keys if self._meter_of[key.budget] in (None, meter))

    def decided(self, result: str, reason: str, policy: str, budget: str | None, calls: int = 1) -> None:
        """Counts decisions. The caller holds the lock."""
        self._decisions_taken[result, reason, policy, budget] += calls

    def admitted(self, reservation: Reservation, calls: int) -> None:
        """Counts calls that were admitted, unless nobody could have refused them. The caller holds the lock."""
        if reservation.decided:
            self._decisions_taken[self._decision_key(reservation)] += calls

    def decisions(self) -> dict[DecisionKey, int]:
        """How many decisions were taken since the process started, by result, reason and policy."""
        self.acquire()
        try:
            decisions = Counter(self._decisions_taken)
            for reservation in self.touched:
                if reservation.decided:
                    decisions[self._decision_key(reservation)] += reservation.settled
            return decisions
        finally:
            self.release_lock()

    def _decision_key(self, reservation: Reservation) -> DecisionKey:
        # The names of the policies happen to ascend with their severity.
        policies = [account.policy.value for account in reservation.plan.accounts]
        account = reservation.account
        policy = max(policies, default=self._policy.value)
        return reservation.result, reservation.reason, policy, None if account is None else account.budget.id

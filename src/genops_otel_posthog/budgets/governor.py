"""May this call be made? Asked before every call, answered from memory.

A process holds leases: parts of budgets that the ledger lent it. A call sets aside the most it can cost from the lease
of every budget it falls under, is made, and is then settled (it happened) or released (it did not). What was settled is
told to the ledger by the :class:`Synchroniser`, which comes back with what it really cost the organisation and with a
new lease. Only a call that finds its lease used up waits for that, and not longer than it is told to.
"""

from __future__ import annotations

import atexit
import logging
import os
import sys
import time
import weakref
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from genops_otel_posthog.attribution import Attribution
from genops_otel_posthog.budgets.account import Account
from genops_otel_posthog.budgets.budget import BudgetPolicy
from genops_otel_posthog.budgets.budget_set import BudgetSet
from genops_otel_posthog.budgets.correspondence import AlertSink, Correspondence
from genops_otel_posthog.budgets.decision import (
    ATTRIBUTION_MISSING,
    BUDGET_EXCEEDED,
    CRITICAL_EVENT,
    LEDGER_UNREACHABLE,
    STRICT_LIMIT,
    Refusal,
    Reservation,
    Spent,
)
from genops_otel_posthog.budgets.holdings import DecisionKey, Holdings
from genops_otel_posthog.budgets.ledger.protocol import Ledger, PeriodKey, Standing, Window
from genops_otel_posthog.budgets.options import GovernorOptions
from genops_otel_posthog.budgets.plan import Plan
from genops_otel_posthog.budgets.prices import Prices
from genops_otel_posthog.budgets.spool import Spool
from genops_otel_posthog.budgets.synchroniser import OnExchange, Synchroniser
from genops_otel_posthog.pricing.billing import Charge
from genops_otel_posthog.pricing.usage import BillingMonth, InProcessUsage

_logger = logging.getLogger(__name__)

_OWN_EXITS = ("multiprocessing.util", "billiard.util")
"""Modules whose forked children do not run exit handlers; billiard is the one of Celery."""


def _ignore(seconds: float, error: str | None) -> None:
    """Nobody wants to know how long the ledger took."""


class Governor:
    """Decides whether calls may be made, and counts those that were. Safe to use from any thread.

    Args:
        budgets: The budgets; they may change at any time.
        prices: What units cost.
        usage: The organisation's month-to-date usage as this process knows it; raised to what the ledger says.
        open_ledger: Opens the ledger. Called in another thread.
        options: How it behaves.
        spool: Where that is kept which the ledger could not be told.
        usage_at_least: Month -> meter -> units that the organisation is known to have used before.
        on_exchange: Told about each exchange with the ledger.
        alerts: Who delivers alerts; ``None``: this process takes none.
        clock: Seconds since the epoch.
        monotonic: A clock that never jumps, seconds.
    """

    def __init__(
        self,
        budgets: BudgetSet,
        prices: Prices,
        usage: InProcessUsage,
        open_ledger: Callable[[], Ledger],
        options: GovernorOptions | None = None,
        *,
        spool: Spool | None = None,
        usage_at_least: Mapping[str, Mapping[str, int]] | None = None,
        on_exchange: OnExchange = _ignore,
        alerts: AlertSink | None = None,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.budgets = budgets
        self.options = options or GovernorOptions()
        self.usage = usage
        self._prices = prices
        self._spool = spool
        self._usage_at_least = dict(usage_at_least or {})
        self.alerts = alerts
        self._clock = clock
        self._monotonic = monotonic
        self.synchroniser = Synchroniser(
            self._begin(), open_ledger, self.options.flush_interval, on_exchange, monotonic
        )
        _alive.add(self)

    def _begin(self) -> Correspondence:
        """A new process: nothing held, nothing counted, nothing said."""
        self._holdings = Holdings(self.budgets, self._prices, self.usage, self.options.policy, self._clock)
        self._acquire, self._release_lock = self._holdings.acquire, self._holdings.release_lock
        self._remarked: set[tuple[str, str | None]] = set()
        self.closed = False
        self.correspondence = Correspondence(
            self._holdings,
            self._prices,
            self.usage,
            self.options,
            hurry=lambda: self.synchroniser.hurry(),  # which does not exist yet
            spool=self._spool,
            usage_at_least=self._usage_at_least,
            alerts=self.alerts,
            monotonic=self._monotonic,
        )
        return self.correspondence

    # --- before and after each call --------------------------------------------------------------------------------

    def admit(
        self, owner: Attribution, charges: tuple[Charge, ...], *, critical: bool = False
    ) -> Reservation | Refusal:
        """Whether a call may be made.

        Args:
            owner: Whose call it is.
            charges: What it will be billed for.
            critical: Whether it passes an exhausted budget, as overdraft; never one of policy strict.

        Returns:
            A reservation, to be handed to :meth:`settle` or :meth:`release` once; or a refusal.
        """
        if self._holdings.version != self.budgets.version:
            self._holdings.take_note_of_budgets()
        now = self._monotonic()
        # Written out, because every call of the application passes here. Under the lock from the first look on: what
        # was looked up before an answer of the ledger may pay from a period that has ended.
        self._acquire()
        try:
            reservation = self._holdings.plan_of[owner].reservations[charges]
            holds = reservation.holds
            for account, amount in holds:
                if amount > account.left or now >= account.deadline:
                    break
            else:
                for account, amount in holds:
                    account.left -= amount
                return reservation
        except KeyError:
            pass  # the first call of its kind since something changed
        finally:
            self._release_lock()
        return self._admit_slowly(owner, charges, critical)

    def settle(self, reservation: Reservation) -> None:
        """The call was made."""
        self._acquire()
        if not reservation.settled:
            self._holdings.touched.append(reservation)
        reservation.settled += 1
        self._release_lock()

    def release(self, reservation: Reservation) -> None:
        """The call was not made after all."""
        self._acquire()
        for (account, amount), era in zip(reservation.holds, reservation.eras, strict=True):
            if account.era == era:
                account.release(amount)
        self._release_lock()

    def record(self, owner: Attribution, charges: tuple[Charge, ...]) -> None:
        """Counts what is spent already, so that nobody can refuse it: budgets pay for it, past their limits if need be.

        No lease pays: those are for calls that may still be refused.

        Args:
            owner: Who spent it.
            charges: What was spent.
        """
        if self._holdings.version != self.budgets.version:
            self._holdings.take_note_of_budgets()
        self.synchroniser.start()
        if self._holdings.now_ms() >= self._holdings.dates_hold_until_ms:
            self._holdings.take_note_of_dates()
        plan = self._holdings.plan(owner)
        self._acquire()
        try:
            spent = Spent(plan, charges, (), plan.charged(self._monotonic(), self._holdings.now_ms()))
            spent.settled = 1
            self._holdings.touched.append(spent)
        finally:
            self._release_lock()

    def note(self, result: str, reason: str) -> None:
        """Counts a decision that was taken before the governor was asked."""
        self._acquire()
        self._holdings.decided(result, reason, self.options.policy.value, None)
        self._release_lock()

    def utilization(self, owner: Attribution) -> float:
        """How full the fullest of an owner's budgets is, as last heard: 1.0 is its limit."""
        return self._holdings.plan(owner).utilization

    def account(self, budget_id: str, wait: float = 0.0) -> Account | None:
        """How a budget stands.

        Args:
            budget_id: The budget.
            wait: Most seconds to wait for the ledger to be told what this process has counted, and to answer. Where it
                does not, the account is as last heard.

        Returns:
            ``None`` while nobody has spent from it, nor asked about it, in this process.
        """
        if wait > 0:
            self.synchroniser.answered_within(self._monotonic() + wait)
        return self._holdings.accounts.get(budget_id)

    # --- the slow way: a lease is used up, or there is none yet ----------------------------------------------------

    def _admit_slowly(self, owner: Attribution, charges: tuple[Charge, ...], critical: bool) -> Reservation | Refusal:
        self.synchroniser.start()
        if self._holdings.now_ms() >= self._holdings.dates_hold_until_ms:
            self._holdings.take_note_of_dates()
        missing = self._missing(owner, self._holdings.plan(owner))
        if missing:
            return self._refused(Refusal(ATTRIBUTION_MISSING, missing=missing))
        until = self._monotonic() + self.options.wait
        answered = True
        while True:
            plan = self._holdings.plan(owner)  # each time: budgets may have changed while it waited
            self._acquire()
            try:
                decision = self._decide(plan, charges, critical, answered)
            finally:
                self._release_lock()
            if isinstance(decision, Reservation):
                return decision
            if isinstance(decision, Refusal):
                return self._refused(decision)
            answered = self.synchroniser.answered_within(until)

    def _decide(
        self, plan: Plan, charges: tuple[Charge, ...], critical: bool, answered: bool
    ) -> Reservation | Refusal | None:
        """The decision as it can be taken now; ``None`` when the ledger must be asked first. Holds the lock."""
        now, now_ms = self._monotonic(), self._holdings.now_ms()
        if now_ms >= plan.until_ms:
            plan.refresh(now_ms)  # another period has begun, which the ledger need not have said
        reservation = plan.reservations.get(charges) or self._holdings.reservation(plan, charges, now, now_ms)
        short = [hold for hold in reservation.holds if self._is_short(hold, now)]
        if not short:
            return self._take(reservation)
        refused = next((hold for hold in short if hold[0].refuses_without_asking(hold[1], now)), None)
        if refused is not None or not answered:
            return self._without_lease(reservation, short, critical, refused, now, now_ms)
        # Those first that were refused before: if they are again, nothing has been borrowed of the others in vain.
        for account, amount in [hold for hold in short if hold[0].was_refused] or short:
            account.need = max(account.need, amount)
        return None

    @staticmethod
    def _is_short(hold: tuple[Account, int], now: float) -> bool:
        account, amount = hold
        return account.refuses and (amount > account.left or now >= account.deadline)

    def _take(self, reservation: Reservation) -> Reservation:
        watched = False
        for account, amount in reservation.holds:
            account.left -= amount
            watched |= account.left < 0  # of a budget that refuses nobody: a threshold has been reached
        if watched:
            self.synchroniser.hurry()
        return reservation

    def _without_lease(
        self,
        wished: Reservation,
        short: list[tuple[Account, int]],
        critical: bool,
        refused: tuple[Account, int] | None,
        now: float,
        now_ms: int,
    ) -> Reservation | Refusal:
        """The ledger said no, or nothing. What is still possible, by policy."""
        if refused is not None and not (critical and refused[0].policy is not BudgetPolicy.STRICT):
            account, amount = refused
            over = account.standing is not None and account.standing.committed + amount > account.standing.limit
            strict = account.policy is BudgetPolicy.STRICT and not over
            return Refusal(STRICT_LIMIT if strict else BUDGET_EXCEEDED, account, amount)
        overdrawn: list[PeriodKey] = []
        for account, amount in short:
            key = account.key_at(now, now_ms)
            if critical and account.policy is not BudgetPolicy.STRICT:
                overdrawn.append(key)
            elif refused is not None or not (self._may_guess(account) and self._from_allowance(account, key, amount)):
                return Refusal(LEDGER_UNREACHABLE, account, amount)
        exception = CRITICAL_EVENT if critical else LEDGER_UNREACHABLE
        holds = tuple(hold for hold in wished.holds if hold not in short)
        charged = tuple(key for key in wished.charged if key not in overdrawn)
        return self._take(Reservation(wished.plan, wished.charges, holds, charged, tuple(overdrawn), exception))

    def _may_guess(self, account: Account) -> bool:
        """Whether a call may be made that the ledger has not lent anything for. Not while it is only slow: that is when
        a budget is nearly spent, and processes fight for the rest."""
        return account.standing is None or self.synchroniser.away

    def _from_allowance(self, account: Account, key: PeriodKey, amount: int) -> bool:
        """Whether the call fits into what a process may spend of a budget while the ledger is away."""
        if account.policy is BudgetPolicy.STRICT:
            return False
        if account.allowance is None or account.allowance[0] != key:
            most = account.budget.amount * self.options.outage_percent // 100
            if account.budget.meter is None:
                most = min(most, self.options.outage_most_nano)
            account.allowance = key, most
        left = account.allowance[1] - amount
        if left < 0:
            return False
        account.allowance = key, left
        return True

    def _missing(self, owner: Attribution, plan: Plan) -> tuple[str, ...]:
        if not (
            self.options.policy is BudgetPolicy.STRICT
            or any(account.policy is BudgetPolicy.STRICT for account in plan.accounts)
        ):
            return ()
        return tuple(field for field in self.options.required if getattr(owner, field) is None)

    def _refused(self, refusal: Refusal) -> Refusal:
        """Counts a refusal and says it once per period. Without the lock: who logs may call PostHog."""
        account = refusal.account
        policy = self.options.policy if account is None else account.policy
        about = refusal.reason, None if account is None else str(account.key or account.budget.id)
        self._acquire()
        budget = None if account is None else account.budget.id
        self._holdings.decided(refusal.result, refusal.reason, policy.value, budget)
        said = about in self._remarked
        self._remarked.add(about)
        self._release_lock()
        if not said:
            _logger.warning("%s", refusal.error("A PostHog call"))
        return refusal

    # --- for metrics and people ------------------------------------------------------------------------------------

    def accounts(self) -> list[Account]:
        """This process's side of every budget it has met."""
        return list(self._holdings.accounts.values())

    def standings(self) -> list[tuple[Account, Standing, Window]]:
        """The budgets whose present period is known, each with how it stands in it."""
        now_ms = self._holdings.now_ms()
        return [
            (account, standing, window)
            for account in self.accounts()
            if (standing := account.standing) is not None
            and (window := standing.window) is not None
            and now_ms < window.end_ms
        ]

    def decisions(self) -> dict[DecisionKey, int]:
        """How many decisions were taken since the process started, by result, reason, policy and budget."""
        return self._holdings.decisions()

    # --- beginning and end -----------------------------------------------------------------------------------------

    def open(self) -> None:
        """Opens the ledger, and learns what the organisation has used this month.

        Raises:
            GenOpsConfigurationError: the ledger's URL cannot be used, or a limit is larger than it counts exactly.
            LedgerUnavailable: it does not answer; calls may be made all the same, and it is asked again.
        """
        ledger = self.synchroniser.open()
        self.budgets.check(ledger.largest_amount)
        month = BillingMonth.at(self._holdings.now_ms() / 1000).id
        self.usage.raise_to(month, ledger.usage(month))

    def prepare(self, owner: Attribution) -> None:
        """Gets leases for an owner's budgets before the first call needs them."""
        if self._holdings.version != self.budgets.version:
            self._holdings.take_note_of_budgets()
        if self._holdings.plan(owner).accounts:
            self.synchroniser.hurry()

    def flush(self, timeout: float = 2.0) -> bool:
        """Tells the ledger what was counted; whether it answered in time."""
        return self.synchroniser.answered_within(self._monotonic() + timeout)

    def close(self, timeout: float = 2.0) -> bool:
        """Tells the ledger everything and gives the leases back; whether it answered in time. Calls are still counted
        afterwards, but nobody is told. Whoever closes it as well waits for that."""
        until = self._monotonic() + timeout
        closing, self.closed = not self.closed, True
        if closing and self.alerts is not None:
            self.alerts.close(timeout / 2)  # first, so that the last message says which were delivered
        return self.synchroniser.close(until - self._monotonic())

    def forked(self) -> None:
        """Starts over in a child process, which has no lease and has counted nothing."""
        if self._spool is not None:
            self._spool.forked()
        self.synchroniser.forked(self._begin())


_alive: weakref.WeakSet[Governor] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for governor in list(_alive):
        governor.forked()
        for name in _OWN_EXITS:
            module = sys.modules.get(name)
            if module is not None:
                module.register_after_fork(governor, partial(_leave_with_child, module))


def _leave_with_child(module: Any, governor: Governor) -> None:
    """A child of multiprocessing ends without exit handlers, and has finalizers instead."""
    module.Finalize(governor, governor.close, exitpriority=0)


def _at_exit() -> None:
    for governor in list(_alive):
        governor.close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
atexit.register(_at_exit)

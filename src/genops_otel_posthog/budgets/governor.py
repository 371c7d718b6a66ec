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
import threading
import time
import uuid
import weakref
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, TypeAlias

from genops_otel_posthog.attribution import Attribution
from genops_otel_posthog.budgets.account import Account
from genops_otel_posthog.budgets.alerts.queue import AlertCounts
from genops_otel_posthog.budgets.budget import Budget, BudgetPolicy
from genops_otel_posthog.budgets.budget_set import BudgetSet
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
from genops_otel_posthog.budgets.ledger.protocol import (
    Alert,
    Counted,
    Ledger,
    PeriodKey,
    Standing,
    SyncReply,
    SyncRequest,
    Window,
)
from genops_otel_posthog.budgets.plan import Plan
from genops_otel_posthog.budgets.prices import Prices
from genops_otel_posthog.budgets.spool import Spool
from genops_otel_posthog.budgets.synchroniser import OnExchange, Synchroniser
from genops_otel_posthog.money import NANO_PER_USD
from genops_otel_posthog.pricing.billing import Charge
from genops_otel_posthog.pricing.usage import BillingMonth, InProcessUsage

_logger = logging.getLogger(__name__)

_MOST_OWNERS = 2048  # whose budgets are remembered; beyond, the memory starts over
_LEASE_USABLE = 0.9  # of its life by the ledger's clock, so that nobody uses what may have been given to others
_REFRESH = 30.0  # seconds after which a process asks how budgets stand even if it has nothing to say
_SPEAKS_UP = 4.0  # seconds after which it does so if it has counted: less than a ledger that lost data waits for it
_DATES_BEGIN_MS = 900_000  # in every time zone, a day begins at a quarter of an hour of UTC
_KEPT_AFTER_PERIOD = 3_600_000  # ms for which counts of a period that has ended are kept, for late calls

_OWN_EXITS = ("multiprocessing.util", "billiard.util")
"""Modules whose forked children do not run exit handlers; billiard is the one of Celery."""

_CountKey: TypeAlias = "tuple[str, str, tuple[PeriodKey, ...], tuple[PeriodKey, ...]]"
DecisionKey: TypeAlias = "tuple[str, str, str, str | None]"
"""Result, reason and policy of a decision, and the budget that decided where there was one."""


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


class AlertSink(Protocol):
    """Who delivers alerts, see :class:`~.alerts.delivery.AlertDelivery`."""

    @property
    def counts(self) -> AlertCounts:
        """What became of the alerts so far."""
        ...

    def submit(self, alert: Alert) -> None:
        """Takes an alert; returns at once."""
        ...

    def delivered(self) -> tuple[str, ...]:
        """Ids of the alerts that were delivered since this was asked last."""
        ...

    def close(self, timeout: float) -> None:
        """Delivers what waits, within so many seconds."""
        ...


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
        self.synchroniser = Synchroniser(self, open_ledger, self.options.flush_interval, on_exchange, monotonic)
        self._begin()
        _alive.add(self)

    def _begin(self) -> None:
        """A new process: nothing counted, nothing lent to it."""
        lock = threading.Lock()
        self._acquire, self._release_lock = lock.acquire, lock.release
        self._process = uuid.uuid4().hex
        self._sequence = 0
        self._acknowledged = 0
        self._everything = False
        self._ledger_ahead_ms = 0
        self._last_heard = float("-inf")
        self._version = self._published = -1
        self._applying: frozenset[str] = frozenset()
        self._dates_hold_until_ms = 0
        self._accounts: dict[str, Account] = {}
        self._plans: dict[tuple[str, ...], Plan] = {}
        self._plan_of: dict[Attribution, Plan] = {}
        self._reserving: dict[str, int] = {}
        self._touched: list[Reservation] = []
        self._counted: dict[_CountKey, int] = {}
        self._changed: set[_CountKey] = set()
        self._told_usage = not self._usage_at_least
        self._decisions: Counter[DecisionKey] = Counter()
        self._remarked: set[tuple[str, str | None]] = set()
        self._meter_of: dict[str, str | None] = {}
        self.closed = False

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
        if self._version != self.budgets.version:
            self._take_note_of_budgets()
        now = self._monotonic()
        # Written out, because every call of the application passes here. Under the lock from the first look on: what
        # was looked up before an answer of the ledger may pay from a period that has ended.
        self._acquire()
        try:
            reservation = self._plan_of[owner].reservations[charges]
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
            self._touched.append(reservation)
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
        if self._version != self.budgets.version:
            self._take_note_of_budgets()
        self.synchroniser.start()
        if self.now_ms() >= self._dates_hold_until_ms:
            self._take_note_of_dates()
        plan = self._plan(owner)
        self._acquire()
        try:
            spent = Spent(plan, charges, (), plan.charged(self._monotonic(), self.now_ms()))
            spent.settled = 1
            self._touched.append(spent)
        finally:
            self._release_lock()

    def note(self, result: str, reason: str) -> None:
        """Counts a decision that was taken before the governor was asked."""
        self._acquire()
        self._decisions[result, reason, self.options.policy.value, None] += 1
        self._release_lock()

    def utilization(self, owner: Attribution) -> float:
        """How full the fullest of an owner's budgets is, as last heard: 1.0 is its limit."""
        return self._plan(owner).utilization

    # --- the slow way: a lease is used up, or there is none yet ----------------------------------------------------

    def _admit_slowly(self, owner: Attribution, charges: tuple[Charge, ...], critical: bool) -> Reservation | Refusal:
        self.synchroniser.start()
        if self.now_ms() >= self._dates_hold_until_ms:
            self._take_note_of_dates()
        missing = self._missing(owner, self._plan(owner))
        if missing:
            return self._refused(Refusal(ATTRIBUTION_MISSING, missing=missing))
        until = self._monotonic() + self.options.wait
        answered = True
        while True:
            plan = self._plan(owner)  # each time: budgets may have changed while it waited
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
        now, now_ms = self._monotonic(), self.now_ms()
        if now_ms >= plan.until_ms:
            plan.refresh(now_ms)  # another period has begun, which the ledger need not have said
        reservation = plan.reservations.get(charges) or self._reservation(plan, charges, now, now_ms)
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
        self._decisions[
            refusal.result, refusal.reason, policy.value, None if account is None else account.budget.id
        ] += 1
        said = about in self._remarked
        self._remarked.add(about)
        self._release_lock()
        if not said:
            _logger.warning("%s", refusal.error("A PostHog call"))
        return refusal

    # --- which budgets, which amounts ------------------------------------------------------------------------------

    def _plan(self, owner: Attribution) -> Plan:
        plan = self._plan_of.get(owner)
        if plan is None:
            budgets = [budget for budget in self.budgets.matching(owner) if budget.applies_at(self.now_ms())]
            ids = tuple(budget.id for budget in budgets)
            self._acquire()
            try:
                plan = self._plans.get(ids)
                if plan is None:
                    plan = self._plans[ids] = Plan(tuple(map(self._account, budgets)), self.now_ms())
                if len(self._plan_of) >= _MOST_OWNERS:
                    self._plan_of.clear()
                self._plan_of[owner] = plan
            finally:
                self._release_lock()
        return plan

    def _account(self, budget: Budget) -> Account:
        self._meter_of[budget.id] = budget.meter
        account = self._accounts.get(budget.id)
        if account is None:
            account = self._accounts[budget.id] = Account(budget, self.options.policy)
        elif account.budget != budget:
            account.replace(budget, self.options.policy)
        return account

    def _reservation(self, plan: Plan, charges: tuple[Charge, ...], now: float, now_ms: int) -> Reservation:
        for meter, _ in charges:
            if meter not in self._reserving:
                self._reserving[meter] = self._prices.most(meter, now_ms, self.usage.used(meter))
        holds = plan.holds(charges, self._reserving)
        reservation = Reservation(plan, charges, holds, plan.charged(now, now_ms))
        # Until the ledger has said which period it is in, the next call asks anew.
        if all(account.standing is not None for account in plan.accounts):
            plan.reservations[charges] = reservation
        return reservation

    def _take_note_of_budgets(self) -> None:
        self._acquire()
        try:
            self._version = self.budgets.version
            self._applying = self._ids_that_apply()
            for budget in self.budgets:
                if budget.id in self._accounts:
                    self._account(budget)
            self._plan_of.clear()
            self._plans.clear()
        finally:
            self._release_lock()

    def _take_note_of_dates(self) -> None:
        """Budgets have a first and a last day, which come and go also while the ledger is away."""
        self._dates_hold_until_ms = (self.now_ms() // _DATES_BEGIN_MS + 1) * _DATES_BEGIN_MS
        if self._ids_that_apply() != self._applying:
            self._take_note_of_budgets()

    def _ids_that_apply(self) -> frozenset[str]:
        now_ms = self.now_ms()
        return frozenset(budget.id for budget in self.budgets if budget.applies_at(now_ms))

    def now_ms(self) -> int:
        """The ledger's clock, as far as this process knows it."""
        return int(self._clock() * 1000) + self._ledger_ahead_ms

    # --- talking to the ledger, in the synchroniser's thread -------------------------------------------------------

    def prepare_ledger(self, ledger: Ledger) -> None:
        """Tells the ledger of the overrides that the configuration knows, see :class:`Books`."""
        version = self.budgets.version
        if version != self._published:
            for budget in self.budgets:
                for override in budget.ledger_overrides():
                    ledger.add_override(override)
            self._published = version

    def message(self, *, leaving: bool) -> SyncRequest | None:
        """The next message to the ledger, see :class:`Books`."""
        self._take_note_of_dates()
        now, now_ms = self._monotonic(), self.now_ms()
        delivered = () if self.alerts is None else self.alerts.delivered()
        self._acquire()
        try:
            self._count(now_ms)
            overdue = now - self._last_heard >= (_SPEAKS_UP if self._counted else _REFRESH)
            accounts = list(self._accounts.values())
            if not (
                self._changed
                or self._everything
                or delivered
                or not self._told_usage
                or any(account.standing is None or account.has_news for account in accounts)
                or (accounts and overdue)
            ):
                return None
            keys = self._counted.keys() if self._everything else self._changed
            counted = tuple(
                Counted(meter, month, self._counted[meter, month, charged, overdrawn], charged, overdrawn)
                for meter, month, charged, overdrawn in sorted(keys)
            )
            meters = tuple(sorted({*self._reserving, *(entry.meter for entry in counted)}))
            self._sequence += 1
            request = SyncRequest(
                process=self._process,
                sequence=self._sequence,
                acknowledged=self._acknowledged,
                costs=self._prices.tables(meters),
                counted=counted,
                asks=tuple(
                    account.ask(
                        now_ms,
                        expired=now >= account.deadline,
                        leaving=leaving or account.budget.id not in self._applying,
                    )
                    for account in accounts
                ),
                month=BillingMonth.at(now_ms / 1000).id,
                meters=meters,
                usage_at_least={} if self._told_usage else self._usage_at_least,
                delivered=delivered,
                everything=self._everything,
                lease_ms=int(self.options.lease_seconds * 1000),
                wants_alerts=self.alerts is not None and not leaving,
                leaving=leaving,
            )
            self._changed.clear()
            return request
        finally:
            self._release_lock()

    def hear(self, request: SyncRequest, reply: SyncReply, sent_at: float, *, repeated: bool) -> None:
        """Takes the ledger's answer, see :class:`Books`."""
        now = self._monotonic()
        self._acquire()
        try:
            self._acknowledged = reply.sequence
            if not repeated:
                self._ledger_ahead_ms = reply.now_ms - int(self._clock() * 1000)
            self._last_heard = now
            self._everything = reply.forgotten
            if reply.forgotten:
                for account in self._accounts.values():
                    account.lose_lease()
                self._told_usage = not self._usage_at_least
            else:
                self._told_usage = True
                self._hear_standings(request, reply, sent_at, now)
                self._forget_old_periods(reply.now_ms)
            self._raise_usage(reply)
            self._reserving.clear()
            for plan in self._plans.values():
                plan.refresh(self.now_ms())
        finally:
            self._release_lock()
        if reply.forgotten:
            _logger.warning("The budget ledger has lost what it knew of this process; it is told everything again")
            self.synchroniser.hurry()
        if self.alerts is not None:
            for alert in reply.alerts:
                self.alerts.submit(alert)

    def _hear_standings(self, request: SyncRequest, reply: SyncReply, sent_at: float, now: float) -> None:
        lease_until = sent_at + _LEASE_USABLE * self.options.lease_seconds
        for ask, standing in zip(request.asks, reply.standings, strict=True):
            account = self._accounts.get(ask.budget)
            if account is None:
                continue
            deadline = lease_until if account.refuses else float("inf")
            if standing.window is not None:
                deadline = min(deadline, sent_at + (standing.window.end_ms - reply.now_ms) / 1000)
            account.hear(standing, ask, reply.now_ms, deadline, now)
            if ask.budget not in self._applying:
                del self._accounts[ask.budget]  # removed, or its time is over; what it held has been given back

    def _count(self, now_ms: int) -> None:
        """Adds up what was settled since the last message."""
        month = BillingMonth.at(now_ms / 1000).id
        for reservation in self._touched:
            calls, reservation.settled = reservation.settled, 0
            for (account, amount), era in zip(reservation.holds, reservation.eras, strict=True):
                if account.era == era:
                    account.settle(amount * calls)
            for meter, units in reservation.charges:
                charged = self._paying(reservation.charged, meter)
                key = meter, month, charged, self._paying(reservation.overdrawn, meter)
                self._counted[key] = self._counted.get(key, 0) + units * calls
                self._changed.add(key)
            if reservation.decided:
                self._decisions[self._decision_key(reservation)] += calls
        self._touched.clear()

    def _paying(self, keys: tuple[PeriodKey, ...], meter: str) -> tuple[PeriodKey, ...]:
        """Of some periods, those whose budget counts money, or units of this meter."""
        return tuple(key for key in keys if self._meter_of[key.budget] in (None, meter))

    def _raise_usage(self, reply: SyncReply) -> None:
        month = BillingMonth.at(reply.now_ms / 1000).id
        untold: Counter[str] = Counter()
        for reservation in self._touched:
            for meter, units in reservation.charges:
                untold[meter] += units * reservation.settled
        self.usage.raise_to(month, {meter: units + untold[meter] for meter, units in reply.usage.items()})

    def _forget_old_periods(self, now_ms: int) -> None:
        """Counts of periods that ended long enough ago are final; they would only make the process grow."""
        month = BillingMonth.at((now_ms - _KEPT_AFTER_PERIOD) / 1000).id
        present = {account.key for account in self._accounts.values()}
        for key in [key for key in self._counted if key[1] < month and key not in self._changed]:
            if present.isdisjoint((*key[2], *key[3])):
                del self._counted[key]

    def begin_anew(self) -> None:
        """Goes on under a new identity, see :class:`Books`."""
        self._acquire()
        try:
            untold = {key: self._counted[key] for key in self._changed}
            self._process = uuid.uuid4().hex
            self._sequence = self._acknowledged = 0
            self._counted = untold
            for account in self._accounts.values():
                account.lose_lease()
        finally:
            self._release_lock()

    def undelivered(self) -> None:
        """Keeps what the ledger could not be told, see :class:`Books`."""
        self._acquire()
        try:
            # Also what was settled since the message that is not answered, which is repeated as it was.
            self._count(self.now_ms())
            if self._spool is None or not self._counted:
                return
            counted = tuple(Counted(key[0], key[1], units, key[2], key[3]) for key, units in self._counted.items())
            meters = sorted({entry.meter for entry in counted})
            kept = SyncRequest(
                process=self._process,
                sequence=self._sequence + 1,
                acknowledged=0,
                costs=self._prices.tables(meters),
                counted=counted,
                asks=(),
                month=BillingMonth.at(self.now_ms() / 1000).id,
            )
        finally:
            self._release_lock()
        self._spool.keep(kept)

    def reached(self, ledger: Ledger) -> None:
        """The ledger answers: what ended processes could not tell is told now, see :class:`Books`."""
        if self._spool is not None:
            self._spool.told()
            self._spool.tell(ledger)

    # --- for metrics and people ------------------------------------------------------------------------------------

    def accounts(self) -> list[Account]:
        """This process's side of every budget it has met."""
        return list(self._accounts.values())

    def standings(self) -> list[tuple[Account, Standing, Window]]:
        """The budgets whose present period is known, each with how it stands in it."""
        now_ms = self.now_ms()
        return [
            (account, standing, window)
            for account in self.accounts()
            if (standing := account.standing) is not None
            and (window := standing.window) is not None
            and now_ms < window.end_ms
        ]

    def decisions(self) -> dict[DecisionKey, int]:
        """How many decisions were taken since the process started, by result, reason and policy."""
        self._acquire()
        try:
            decisions = Counter(self._decisions)
            for reservation in self._touched:
                if reservation.decided:
                    decisions[self._decision_key(reservation)] += reservation.settled
            return decisions
        finally:
            self._release_lock()

    def _decision_key(self, reservation: Reservation) -> DecisionKey:
        # The names of the policies happen to ascend with their severity.
        policies = [account.policy.value for account in reservation.plan.accounts]
        account = reservation.account
        policy = max(policies, default=self.options.policy.value)
        return reservation.result, reservation.reason, policy, None if account is None else account.budget.id

    # --- beginning and end -----------------------------------------------------------------------------------------

    def open(self) -> None:
        """Opens the ledger, and learns what the organisation has used this month.

        Raises:
            GenOpsConfigurationError: the ledger's URL cannot be used, or a limit is larger than it counts exactly.
            LedgerUnavailable: it does not answer; calls may be made all the same, and it is asked again.
        """
        ledger = self.synchroniser.open()
        self.budgets.check(ledger.largest_amount)
        month = BillingMonth.at(self.now_ms() / 1000).id
        self.usage.raise_to(month, ledger.usage(month))

    def prepare(self, owner: Attribution) -> None:
        """Gets leases for an owner's budgets before the first call needs them."""
        if self._version != self.budgets.version:
            self._take_note_of_budgets()
        if self._plan(owner).accounts:
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
        self._begin()
        if self._spool is not None:
            self._spool.forked()
        self.synchroniser.forked()


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

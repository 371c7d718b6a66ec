"""The process's side of the conversation with the ledger: what it says, what it makes of the answers.

A process says how much it has counted in all, never how much more (see :class:`~.ledger.protocol.Counted`), so whatever
is repeated, and whoever says it in its place, nothing is counted twice.
"""

from __future__ import annotations

import logging
import uuid
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Protocol, TypeAlias

from genops_otel_posthog.budgets.alerts.queue import AlertCounts
from genops_otel_posthog.budgets.holdings import Holdings
from genops_otel_posthog.budgets.ledger.protocol import Alert, Counted, Ledger, PeriodKey, SyncReply, SyncRequest
from genops_otel_posthog.budgets.options import GovernorOptions
from genops_otel_posthog.budgets.prices import Prices
from genops_otel_posthog.budgets.spool import Spool
from genops_otel_posthog.pricing.usage import BillingMonth, InProcessUsage

_logger = logging.getLogger(__name__)

_LEASE_USABLE = 0.9  # of its life by the ledger's clock, so that nobody uses what may have been given to others
_REFRESH = 30.0  # seconds after which a process asks how budgets stand even if it has nothing to say
_SPEAKS_UP = 4.0  # seconds after which it does so if it has counted: less than a ledger that lost data waits for it
_KEPT_AFTER_PERIOD = 3_600_000  # ms for which counts of a period that has ended are kept, for late calls

_CountKey: TypeAlias = "tuple[str, str, tuple[PeriodKey, ...], tuple[PeriodKey, ...]]"


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


class Correspondence:
    """What one process says to the ledger and hears from it; carried by the :class:`~.synchroniser.Synchroniser`.

    Args:
        holdings: What the process holds.
        prices: What units cost.
        usage: The organisation's month-to-date usage as this process knows it; raised to what the ledger says.
        options: How the governor behaves.
        hurry: Asks for another message soon.
        spool: Where that is kept which the ledger could not be told.
        usage_at_least: Month -> meter -> units that the organisation is known to have used before.
        alerts: Who delivers alerts; ``None``: this process takes none.
        monotonic: A clock that never jumps, seconds.
    """

    def __init__(
        self,
        holdings: Holdings,
        prices: Prices,
        usage: InProcessUsage,
        options: GovernorOptions,
        *,
        hurry: Callable[[], None],
        spool: Spool | None,
        usage_at_least: Mapping[str, Mapping[str, int]],
        alerts: AlertSink | None,
        monotonic: Callable[[], float],
    ) -> None:
        self._holdings = holdings
        self._prices = prices
        self._usage = usage
        self._options = options
        self._hurry = hurry
        self._spool = spool
        self._usage_at_least = usage_at_least
        self._alerts = alerts
        self._monotonic = monotonic
        self._process = uuid.uuid4().hex
        self._sequence = 0
        self._acknowledged = 0
        self._everything = False
        self._last_heard = float("-inf")
        self._published = -1
        self._counted: dict[_CountKey, int] = {}
        self._told: dict[_CountKey, int] = {}
        self._changed: set[_CountKey] = set()
        self._told_usage = not usage_at_least

    def prepare_ledger(self, ledger: Ledger) -> None:
        """Tells the ledger of the overrides that the configuration knows, see :class:`Books`."""
        version = self._holdings.budgets.version
        if version != self._published:
            for budget in self._holdings.budgets:
                for override in budget.ledger_overrides():
                    ledger.add_override(override)
            self._published = version

    def message(self, *, leaving: bool) -> SyncRequest | None:
        """The next message to the ledger, see :class:`Books`."""
        self._holdings.take_note_of_dates()
        now, now_ms = self._monotonic(), self._holdings.now_ms()
        delivered = () if self._alerts is None else self._alerts.delivered()
        self._holdings.acquire()
        try:
            self._count(now_ms)
            overdue = now - self._last_heard >= (_SPEAKS_UP if self._counted else _REFRESH)
            accounts = list(self._holdings.accounts.values())
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
            meters = tuple(sorted({*self._holdings.reserving, *(entry.meter for entry in counted)}))
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
                        leaving=leaving or account.budget.id not in self._holdings.applying,
                    )
                    for account in accounts
                ),
                month=BillingMonth.at(now_ms / 1000).id,
                meters=meters,
                usage_at_least={} if self._told_usage else self._usage_at_least,
                delivered=delivered,
                everything=self._everything,
                lease_ms=int(self._options.lease_seconds * 1000),
                wants_alerts=self._alerts is not None and not leaving,
                leaving=leaving,
            )
            self._changed.clear()
            return request
        finally:
            self._holdings.release_lock()

    def hear(self, request: SyncRequest, reply: SyncReply, sent_at: float, *, repeated: bool) -> None:
        """Takes the ledger's answer, see :class:`Books`."""
        now = self._monotonic()
        self._holdings.acquire()
        try:
            self._acknowledged = reply.sequence
            if not repeated:
                self._holdings.set_clock(reply.now_ms)
            self._last_heard = now
            self._everything = reply.forgotten
            if reply.forgotten:
                for account in self._holdings.accounts.values():
                    account.lose_lease()
                self._told_usage = not self._usage_at_least
                self._told.clear()
            else:
                self._told_usage = True
                for meter, month, units, charged, overdrawn in request.counted:
                    self._told[meter, month, charged, overdrawn] = units
                self._hear_standings(request, reply, sent_at, now)
                self._forget_old_periods(reply.now_ms)
            self._raise_usage(reply)
            self._holdings.heard()
        finally:
            self._holdings.release_lock()
        if reply.forgotten:
            _logger.warning("The budget ledger has lost what it knew of this process; it is told everything again")
            self._hurry()
        if self._alerts is not None:
            for alert in reply.alerts:
                self._alerts.submit(alert)

    def _hear_standings(self, request: SyncRequest, reply: SyncReply, sent_at: float, now: float) -> None:
        lease_until = sent_at + _LEASE_USABLE * self._options.lease_seconds
        for ask, standing in zip(request.asks, reply.standings, strict=True):
            account = self._holdings.accounts.get(ask.budget)
            if account is None:
                continue
            deadline = lease_until if account.refuses else float("inf")
            if standing.window is not None:
                deadline = min(deadline, sent_at + (standing.window.end_ms - reply.now_ms) / 1000)
            account.hear(standing, ask, reply.now_ms, deadline, now)
            if ask.budget not in self._holdings.applying:
                del self._holdings.accounts[
                    ask.budget
                ]  # removed, or its time is over; what it held has been given back

    def _count(self, now_ms: int) -> None:
        """Adds up what was settled since the last message."""
        month = BillingMonth.at(now_ms / 1000).id
        for reservation in self._holdings.touched:
            calls, reservation.settled = reservation.settled, 0
            for (account, amount), era in zip(reservation.holds, reservation.eras, strict=True):
                if account.era == era:
                    account.settle(amount * calls)
            for meter, units in reservation.charges:
                charged = self._holdings.paying(reservation.charged, meter)
                key = meter, month, charged, self._holdings.paying(reservation.overdrawn, meter)
                self._counted[key] = self._counted.get(key, 0) + units * calls
                self._changed.add(key)
            self._holdings.admitted(reservation, calls)
        self._holdings.touched.clear()

    def _raise_usage(self, reply: SyncReply) -> None:
        month = BillingMonth.at(reply.now_ms / 1000).id
        untold: Counter[str] = Counter()
        for reservation in self._holdings.touched:
            for meter, units in reservation.charges:
                untold[meter] += units * reservation.settled
        self._usage.raise_to(month, {meter: units + untold[meter] for meter, units in reply.usage.items()})

    def _forget_old_periods(self, now_ms: int) -> None:
        """Counts of periods that ended long enough ago are final; they would only make the process grow."""
        month = BillingMonth.at((now_ms - _KEPT_AFTER_PERIOD) / 1000).id
        present = {account.key for account in self._holdings.accounts.values()}
        for key in [key for key in self._counted if key[1] < month and key not in self._changed]:
            if present.isdisjoint((*key[2], *key[3])):
                del self._counted[key]
                self._told.pop(key, None)

    def begin_anew(self) -> None:
        """Goes on under a new identity, see :class:`Books`."""
        self._holdings.acquire()
        try:
            # The ledger knows what it acknowledged under the old identity, and would count it again under the new one.
            untold = {key: units - self._told.get(key, 0) for key, units in self._counted.items()}
            self._counted = {key: units for key, units in untold.items() if units}
            self._changed = set(self._counted)
            self._told.clear()
            self._process = uuid.uuid4().hex
            self._sequence = self._acknowledged = 0
            for account in self._holdings.accounts.values():
                account.lose_lease()
        finally:
            self._holdings.release_lock()

    def undelivered(self) -> None:
        """Keeps what the ledger could not be told, see :class:`Books`."""
        self._holdings.acquire()
        try:
            # Also what was settled since the message that is not answered, which is repeated as it was.
            self._count(self._holdings.now_ms())
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
                month=BillingMonth.at(self._holdings.now_ms() / 1000).id,
            )
        finally:
            self._holdings.release_lock()
        self._spool.keep(kept)

    def reached(self, ledger: Ledger) -> None:
        """The ledger answers: what ended processes could not tell is told now, see :class:`Books`."""
        if self._spool is not None:
            self._spool.told()
            self._spool.tell(ledger)

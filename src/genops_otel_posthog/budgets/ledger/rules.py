"""The rules of one sync, as :mod:`~genops_otel_posthog.budgets.ledger.protocol` numbers them, over any storage.

Whole numbers only, and nothing here asks what time it is: the same requests at the same times give the same replies.
"""

from __future__ import annotations

from bisect import bisect_right
from functools import lru_cache

from genops_otel_posthog.budgets.ledger.limits import effective_limits, limit_of
from genops_otel_posthog.budgets.ledger.protocol import (
    BASIS_POINTS,
    Alert,
    Ask,
    CostTable,
    PeriodKey,
    StaleSequence,
    Standing,
    SyncReply,
    SyncRequest,
    Threshold,
    Window,
    forecast_amount,
    part_of,
    threshold_amount,
)
from genops_otel_posthog.budgets.ledger.storage import LeaseState, Note, PeriodState, Storage
from genops_otel_posthog.pricing.usage import BillingMonth

DAY_MS = 86_400_000
KEPT_MS = 40 * DAY_MS
"""How long a period, a month and what a silent process counted in it are remembered after their end."""

_ALERTS_KEPT_MS = 7 * DAY_MS
_MOST_REAPED = 16
_MOST_ALERTS = 16
_RE_ARMED_BELOW = 500  # basis points
_EXHAUSTED = Threshold(BASIS_POINTS, severity="critical")


def cost_of(table: CostTable, units: int) -> int:
    """C(units), in nano-USD."""
    tier = bisect_right(table.above, units) - 1
    return table.cost_below[tier] + (units - table.above[tier]) * table.price[tier]


def execute(storage: Storage, request: SyncRequest, now_ms: int, largest_amount: int) -> SyncReply:
    """Executes one sync.

    Args:
        storage: The ledger's memory; the caller makes it all happen or none of it.
        request: What the process says.
        now_ms: The ledger's clock, milliseconds since the epoch.
        largest_amount: Limits do not become larger than this.

    Raises:
        StaleSequence: the request is older than the one answered last.
    """
    last = storage.last_sequence(request.process)
    if request.sequence == last:
        return storage.last_reply(request.process)
    if request.sequence < last:
        raise StaleSequence(
            f"request {request.sequence} of process {request.process} comes after {last} was answered; it is not "
            "counted. Two processes use one identity, or a very old request was repeated"
        )
    if request.acknowledged > last and not request.everything:
        storage.keep_rebuild_until(now_ms + request.rebuild_ms)
        known = f"the process was answered {request.acknowledged}, the ledger knows {last}"
        storage.note([Note(now_ms, request.process, "forgotten", None, None, 0, known)])
        return SyncReply(request.sequence, now_ms, forgotten=True)
    return _Sync(storage, request, now_ms, largest_amount).reply()


def make_room(storage: Storage, now_ms: int) -> None:
    """Forgets what nobody needs any more."""
    storage.forget(
        periods_ended_ms=now_ms - KEPT_MS,
        months_before=oldest_month(now_ms),
        # Until what the process counted is passed over for its age: it must not be counted again if it speaks again.
        processes_silent_since_ms=int(BillingMonth.at((now_ms - KEPT_MS) / 1000).start * 1000) - DAY_MS,
        alerts_raised_ms=now_ms - _ALERTS_KEPT_MS,
        now_ms=now_ms,
    )


def oldest_month(now_ms: int) -> str:
    """The oldest billing month in which units are still counted."""
    return _month_of_day((now_ms - KEPT_MS) // DAY_MS)


@lru_cache(maxsize=4)
def _month_of_day(day: int) -> str:
    return BillingMonth.at(day * DAY_MS / 1000).id


class _Sync:
    """One sync that is neither a repetition nor refused."""

    __slots__ = (
        "_added",
        "_asks",
        "_changed",
        "_largest",
        "_notes",
        "_now",
        "_periods",
        "_request",
        "_storage",
        "_used",
    )

    def __init__(self, storage: Storage, request: SyncRequest, now_ms: int, largest_amount: int) -> None:
        self._storage = storage
        self._request = request
        self._now = now_ms
        self._largest = largest_amount
        self._asks = {ask.budget: ask for ask in request.asks}
        self._changed, self._added = effective_limits(storage, now_ms)
        self._periods: dict[PeriodKey, PeriodState] = {}
        self._used: dict[tuple[str, str], int] = {}
        self._notes: list[Note] = []

    def reply(self) -> SyncReply:
        storage, request = self._storage, self._request
        self._raise_usage()
        self._count()
        may_grant = not request.leaving and storage.rebuild_until_ms() <= self._now
        standings = tuple(self._answer(ask, may_grant) for ask in request.asks)
        for (month, meter), units in self._used.items():
            storage.keep_used(month, meter, units)
        for period in self._periods.values():
            storage.keep_period(period)
        reply = SyncReply(
            sequence=request.sequence,
            now_ms=self._now,
            standings=standings,
            usage={
                meter: self._used.get((request.month, meter)) or storage.used(request.month, meter)
                for meter in request.meters
            },
            alerts=self._alerts(),
        )
        storage.note(self._notes)
        storage.keep_reply(request.process, reply)
        return reply

    # --- steps 3 and 4: usage and what it costs --------------------------------------------------------------------

    def _raise_usage(self) -> None:
        for month, meters in self._request.usage_at_least.items():
            for meter, units in meters.items():
                used = self._storage.used(month, meter)
                if units > used:
                    self._used[month, meter] = units
                    self._note("usage", None, units - used, f"{meter} in {month}, raised to {units}")

    def _count(self) -> None:
        storage, request = self._storage, self._request
        if not request.counted:
            return
        oldest = oldest_month(self._now)
        paid: dict[tuple[str, PeriodKey], tuple[int, str]] = {}
        for counted in request.counted:
            new = counted.units - storage.seen(request.process, counted) if counted.month >= oldest else 0
            if new <= 0:
                continue
            storage.keep_seen(request.process, counted)
            meter, month = counted.meter, counted.month
            used = self._used.get((month, meter))
            if used is None:
                used = storage.used(month, meter)
            self._used[month, meter] = used + new
            table = request.costs.get(meter)
            cost = 0 if table is None else cost_of(table, used + new) - cost_of(table, used)
            for kind, keys in (("commit", counted.charged), ("overdraft", counted.overdrawn)):
                for key in keys:
                    period = self._period(key)
                    amount = cost if period.meter is None else new if period.meter == meter else 0
                    if kind == "commit":
                        period.committed += amount
                    else:
                        period.overdraft += amount
                    before, note = paid.get((kind, key), (0, ""))
                    paid[kind, key] = before + amount, f"{note}, {new} {meter}" if note else f"{new} {meter}"
        for (kind, key), (amount, note) in paid.items():
            if amount:
                self._note(kind, key, amount, note)

    def _period(self, key: PeriodKey) -> PeriodState:
        """A period, made known if it is not; a budget that is asked about is brought up to date."""
        period = self._periods.get(key)
        if period is not None:
            return period
        period = self._storage.period(key)
        ask = self._asks.get(key.budget)
        if period is None:
            window = next((window for window in ask.windows if window.id == key.period), None) if ask else None
            start_ms, end_ms = (self._now, self._now) if window is None else window[1:]
            period = PeriodState(key, start_ms, end_ms)
            if ask:
                self._bring_up_to_date(period, ask)
        self._periods[key] = period
        return period

    def _bring_up_to_date(self, period: PeriodState, ask: Ask) -> None:
        period.definition = ask.definition
        period.meter = ask.meter
        period.configured = ask.limit
        period.cap_basis_points = ask.cap_basis_points
        period.limit = self._limit(ask)

    def _limit(self, ask: Ask) -> int:
        return limit_of(ask.budget, ask.limit, self._changed, self._added, self._largest)

    # --- steps 5 to 8, for one budget ------------------------------------------------------------------------------

    def _answer(self, ask: Ask, may_grant: bool) -> Standing:
        now, process = self._now, self._request.process
        self._reap(ask)
        window = next((window for window in ask.windows if window.start_ms <= now < window.end_ms), None)
        lease = self._settle(ask, window)
        if window is None:
            if lease is not None:
                self._storage.keep_lease(lease)
            limit = self._limit(ask)
            cap = None if ask.cap_basis_points is None else part_of(limit, ask.cap_basis_points)
            return Standing(ask.budget, None, limit, cap, 0, 0, 0, 0, 0, lease.amount if lease else 0)
        period = self._period(PeriodKey(ask.budget, window.id))
        period.start_ms, period.end_ms = window.start_ms, window.end_ms
        self._bring_up_to_date(period, ask)
        if lease is not None and lease.key != period.key:
            self._storage.keep_lease(lease)
            lease = None
        if lease is None:
            lease = self._storage.lease(period.key, process)
        cap = None if ask.cap_basis_points is None else part_of(period.limit, ask.cap_basis_points)
        granted = 0 if cap is None or not may_grant else self._grant(ask, period, cap)
        if granted and lease is None:
            lease = LeaseState(period.key, process)
        if lease is not None:
            lease.amount += granted
            lease.expires_ms = min(now + self._request.lease_ms, window.end_ms)
            self._storage.keep_lease(lease)
        self._raise_alerts(ask, period)
        return Standing(
            budget=ask.budget,
            window=window,
            limit=period.limit,
            cap=cap,
            committed=period.committed,
            leased=period.leased,
            held=period.held,
            overdraft=period.overdraft,
            granted=granted,
            lease=lease.amount if lease else 0,
            wanted_by_others=bool(period.short) and period.short != process and now < period.short_until_ms,
        )

    def _reap(self, ask: Ask) -> None:
        process = self._request.process
        for lease in self._storage.expired_leases(ask.budget, process, self._now, _MOST_REAPED):
            period = self._period(lease.key)
            amount, lease.amount = lease.amount, 0
            period.leased -= amount
            holds = ask.hold and self._now < period.end_ms
            if holds:
                lease.held += amount
                period.held += amount
            self._storage.keep_lease(lease)
            self._note("reap", lease.key, amount, f"of {lease.process}{', held' if holds else ''}")

    def _settle(self, ask: Ask, window: Window | None) -> LeaseState | None:
        """Takes what was settled and returned from the lease, if there is one; the caller keeps what is left of it."""
        if ask.lease_period is None:
            return None
        lease = self._storage.lease(PeriodKey(ask.budget, ask.lease_period), self._request.process)
        if lease is None:
            return None
        period = self._period(lease.key)
        lease.amount += lease.held
        period.leased += lease.held
        period.held -= lease.held
        lease.held = 0
        over = self._request.leaving or ask.cap_basis_points is None
        if over or (window is not None and window.id != ask.lease_period):
            taken = lease.amount
        else:
            taken = min(lease.amount, ask.settled + ask.returned)
        lease.amount -= taken
        period.leased -= taken
        return lease

    def _grant(self, ask: Ask, period: PeriodState, cap: int) -> int:
        if ask.want <= 0:
            return 0
        process = self._request.process
        free = max(0, cap - period.committed - period.leased - period.held)
        share = free // (self._storage.other_holders(period.key, process) + 1)
        granted = min(ask.want, max(ask.need, share), free)
        if granted < ask.need:
            period.short, period.short_until_ms = process, self._now + self._request.lease_ms
            return 0
        if granted:
            period.leased += granted
            if period.short == process:
                period.short, period.short_until_ms = "", 0
            self._note("grant", period.key, granted, "")
        return granted

    def _raise_alerts(self, ask: Ask, period: PeriodState) -> None:
        spent, limit = period.committed + period.overdraft, period.limit
        if not spent and not period.raised:
            return
        thresholds = ask.thresholds
        if not any(threshold[:2] == _EXHAUSTED[:2] for threshold in thresholds):
            thresholds = (*thresholds, _EXHAUSTED)
        raised = set(period.raised)
        # Whether it is a forecast -> the highest threshold that is reached for the first time.
        highest: dict[bool, Threshold] = {}
        for threshold in thresholds:
            basis_points, forecast, _ = threshold
            name = f"{basis_points}f" if forecast else str(basis_points)
            is_spent = spent >= threshold_amount(limit, basis_points)
            if name in raised:
                if not forecast and spent < threshold_amount(limit, max(0, basis_points - _RE_ARMED_BELOW)):
                    raised.discard(name)
                continue
            if not is_spent:
                foreseen = forecast_amount(limit, basis_points, self._window(period), self._now) if forecast else None
                if foreseen is None or spent < foreseen:
                    continue
            raised.add(name)
            if forecast and is_spent:
                continue  # no news
            if forecast not in highest or basis_points > highest[forecast].basis_points:
                highest[forecast] = threshold
        period.raised = frozenset(raised)
        for threshold in highest.values():
            self._raise_alert(ask, period, threshold, spent)

    @staticmethod
    def _window(period: PeriodState) -> Window:
        return Window(period.key.period, period.start_ms, period.end_ms)

    def _raise_alert(self, ask: Ask, period: PeriodState, threshold: Threshold, spent: int) -> None:
        basis_points, forecast, severity = threshold
        name = f"{basis_points}{'f' if forecast else ''}"
        alert = Alert(
            id=f"{ask.budget}/{period.key.period}/{name}/{self._now}",
            budget=ask.budget,
            definition=ask.definition,
            period=period.key.period,
            basis_points=basis_points,
            forecast=forecast,
            severity=severity,
            limit=period.limit,
            spent=spent,
            at_ms=self._now,
            period_end_ms=period.end_ms,
        )
        self._storage.keep_alert(alert)
        part = f"{basis_points // 100}.{basis_points % 100:02} %{' forecast' if forecast else ''}"
        self._note("alert", period.key, spent, f"{part} of {period.limit}, {severity}")

    # --- step 9 ----------------------------------------------------------------------------------------------------

    def _alerts(self) -> tuple[Alert, ...]:
        storage, request = self._storage, self._request
        if request.delivered:
            storage.drop_alerts(request.delivered)
        if request.leaving:
            storage.free_claims(request.process)
            return ()
        if not request.wants_alerts:
            return ()
        return tuple(storage.claim_alerts(request.process, self._now, self._now + request.claim_ms, _MOST_ALERTS))

    def _note(self, kind: str, key: PeriodKey | None, amount: int, note: str) -> None:
        budget, period = key or (None, None)
        self._notes.append(Note(self._now, self._request.process, kind, budget, period, amount, note))

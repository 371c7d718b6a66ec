"""A ledger in memory: for tests, and for a single process that may forget what it spent when it ends."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from heapq import merge, nsmallest
from operator import attrgetter
from typing import NamedTuple

from genops_otel_posthog.budgets.ledger.protocol import Alert, Counted, JournalEntry, Override, PeriodKey, SyncReply
from genops_otel_posthog.budgets.ledger.storage import ROUTINE, LeaseState, Note, PeriodState, Storage
from genops_otel_posthog.budgets.ledger.stored import StoredLedger

ROUTINE_ENTRIES = 10_000
NOTABLE_ENTRIES = 10_000


class MemoryLedger(StoredLedger):
    """A ledger that lives as long as this object. Everybody who shares the object shares the ledger, from any thread.

    Args:
        clock: Seconds since the epoch.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        super().__init__(clock)
        self._lock = threading.Lock()
        self._storage = _MemoryStorage()

    @contextmanager
    def _writing(self) -> Iterator[Storage]:
        with self._lock:
            yield self._storage

    _reading = _writing

    def close(self) -> None:
        """Does nothing: there is nothing to let go of, and others may still use the object."""

    def abandon(self) -> None:
        """Makes the copy in a forked child usable; a thread that does not exist there may have held its lock."""
        self._lock = threading.Lock()


class _Seen(NamedTuple):
    meter: str
    month: str
    charged: tuple[PeriodKey, ...]
    overdrawn: tuple[PeriodKey, ...]

    @classmethod
    def of(cls, counted: Counted) -> _Seen:
        return cls(counted.meter, counted.month, counted.charged, counted.overdrawn)


class _Claim:
    """A waiting alert, and whose it is."""

    __slots__ = ("alert", "process", "until_ms")

    def __init__(self, alert: Alert) -> None:
        self.alert = alert
        self.process = ""
        self.until_ms = 0


class _MemoryStorage:
    """See :class:`~genops_otel_posthog.budgets.ledger.storage.Storage`. What it hands out is what it keeps."""

    def __init__(self) -> None:
        self._rebuild_until_ms = 0
        self._replies: dict[str, SyncReply] = {}
        self._heard_ms: dict[str, int] = {}
        self._seen: dict[str, dict[_Seen, int]] = {}
        self._used: dict[str, dict[str, int]] = {}
        self._periods: dict[PeriodKey, PeriodState] = {}
        self._leases: dict[str, dict[tuple[str, str], LeaseState]] = {}  # budget -> (period, process) -> lease
        self._limits: dict[str, int] = {}
        self._overrides: dict[str, Override] = {}
        self._alerts: dict[str, _Claim] = {}
        self._number = 0
        self._routine: deque[JournalEntry] = deque(maxlen=ROUTINE_ENTRIES)
        self._notable: deque[JournalEntry] = deque(maxlen=NOTABLE_ENTRIES)

    def last_sequence(self, process: str) -> int:
        reply = self._replies.get(process)
        return reply.sequence if reply else 0

    def last_reply(self, process: str) -> SyncReply:
        return self._replies[process]

    def keep_reply(self, process: str, reply: SyncReply) -> None:
        self._replies[process] = reply
        self._heard_ms[process] = reply.now_ms

    def rebuild_until_ms(self) -> int:
        return self._rebuild_until_ms

    def keep_rebuild_until(self, until_ms: int) -> None:
        self._rebuild_until_ms = until_ms

    def seen(self, process: str, counted: Counted) -> int:
        return self._seen.get(process, {}).get(_Seen.of(counted), 0)

    def keep_seen(self, process: str, counted: Counted) -> None:
        self._seen.setdefault(process, {})[_Seen.of(counted)] = counted.units

    def used(self, month: str, meter: str) -> int:
        return self._used.get(month, {}).get(meter, 0)

    def used_all(self, month: str) -> dict[str, int]:
        return dict(self._used.get(month, {}))

    def keep_used(self, month: str, meter: str, units: int) -> None:
        self._used.setdefault(month, {})[meter] = units

    def period(self, key: PeriodKey) -> PeriodState | None:
        return self._periods.get(key)

    def periods(self, budget: str | None) -> Sequence[PeriodState]:
        periods = [period for key, period in self._periods.items() if budget is None or key.budget == budget]
        return sorted(periods, key=lambda period: (period.key.budget, period.start_ms))

    def keep_period(self, period: PeriodState) -> None:
        self._periods[period.key] = period

    def lease(self, key: PeriodKey, process: str) -> LeaseState | None:
        return self._leases.get(key.budget, {}).get((key.period, process))

    def keep_lease(self, lease: LeaseState) -> None:
        leases = self._leases.setdefault(lease.key.budget, {})
        if lease.amount or lease.held:
            leases[lease.key.period, lease.process] = lease
        else:
            leases.pop((lease.key.period, lease.process), None)

    def expired_leases(self, budget: str, but: str, now_ms: int, most: int) -> Sequence[LeaseState]:
        leases = self._leases.get(budget, {}).values()
        expired = [lease for lease in leases if lease.amount and lease.expires_ms <= now_ms and lease.process != but]
        return nsmallest(most, expired, key=attrgetter("expires_ms", "key", "process"))

    def other_holders(self, key: PeriodKey, process: str) -> int:
        leases = self._leases.get(key.budget, {}).values()
        return sum(1 for lease in leases if lease.amount and lease.key == key and lease.process != process)

    def changed_limits(self) -> Mapping[str, int]:
        return self._limits

    def keep_changed_limit(self, budget: str, limit: int | None) -> None:
        if limit is None:
            self._limits.pop(budget, None)
        else:
            self._limits[budget] = limit

    def overrides(self, now_ms: int) -> Sequence[Override]:
        overrides = [override for override in self._overrides.values() if override.until_ms > now_ms]
        return sorted(overrides, key=attrgetter("from_ms", "id"))

    def keep_override(self, override: Override) -> None:
        self._overrides[override.id] = override

    def drop_override(self, override_id: str) -> None:
        del self._overrides[override_id]

    def keep_alert(self, alert: Alert) -> None:
        self._alerts[alert.id] = _Claim(alert)

    def claim_alerts(self, process: str, now_ms: int, until_ms: int, most: int) -> Sequence[Alert]:
        free = [claim for claim in self._alerts.values() if claim.until_ms <= now_ms][:most]
        for claim in free:
            claim.process, claim.until_ms = process, until_ms
        return [claim.alert for claim in free]

    def free_claims(self, process: str) -> None:
        for claim in self._alerts.values():
            if claim.process == process:
                claim.until_ms = 0

    def drop_alerts(self, ids: Iterable[str]) -> None:
        for alert_id in ids:
            self._alerts.pop(alert_id, None)

    def note(self, entries: Iterable[Note]) -> None:
        for entry in entries:
            self._number += 1
            kept = self._routine if entry.kind in ROUTINE else self._notable
            kept.append(JournalEntry(self._number, *entry))

    def journal(self, budget: str | None, newest: int) -> Sequence[JournalEntry]:
        entries = [e for e in merge(self._routine, self._notable) if budget is None or e.budget == budget]
        return entries[-newest:] if newest > 0 else []

    def forget(
        self,
        *,
        periods_ended_ms: int,
        months_before: str,
        processes_silent_since_ms: int,
        alerts_raised_ms: int,
        now_ms: int,
    ) -> None:
        for period in [period for period in self._periods.values() if period.end_ms <= periods_ended_ms]:
            del self._periods[period.key]
            leases = self._leases.get(period.key.budget, {})
            for lease in [lease for lease in leases.values() if lease.key == period.key]:
                del leases[lease.key.period, lease.process]
        for budget in [budget for budget, leases in self._leases.items() if not leases]:
            del self._leases[budget]
        for month in [month for month in self._used if month < months_before]:
            del self._used[month]
        for process in [p for p, heard_ms in self._heard_ms.items() if heard_ms < processes_silent_since_ms]:
            del self._heard_ms[process], self._replies[process]
            self._seen.pop(process, None)
        for seen in self._seen.values():
            for counted in [counted for counted in seen if counted.month < months_before]:
                del seen[counted]
        for override in [override for override in self._overrides.values() if override.until_ms <= now_ms]:
            del self._overrides[override.id]
        for alert in [claim.alert for claim in self._alerts.values()]:
            if alert.at_ms <= alerts_raised_ms and alert.period_end_ms <= now_ms:
                del self._alerts[alert.id]

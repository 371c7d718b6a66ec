"""Analytics in memory: for tests, for development, and for what need not outlive the process."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from genops_otel_posthog.forks import start_over_after_fork
from genops_otel_posthog.service.analytics.records import RECORDS, R, Record


class MemoryStore:
    """The latest records of a process; see :class:`~.store.AnalyticsStore`.

    Args:
        limit: Most records of each kind. The oldest make room.
    """

    waits = False

    def __init__(self, limit: int = 10_000) -> None:
        self._limit = limit
        self._records: dict[type[Any], OrderedDict[str, Any]] = {kind: OrderedDict() for kind in RECORDS}
        self.start_over()
        start_over_after_fork(self)

    def start_over(self) -> None:
        """Has a lock that nobody holds; called in a forked process."""
        self._lock = threading.Lock()

    def prepare(self) -> None:
        """See :meth:`~.store.AnalyticsStore.prepare`."""

    def put(self, record: Record) -> None:
        """See :meth:`~.store.AnalyticsStore.put`."""
        with self._lock:
            self._put(type(record), getattr(record, record.KEY), record)

    def change(self, kind: type[Record], key: str, changes: Mapping[str, Any]) -> None:
        """See :meth:`~.store.AnalyticsStore.change`."""
        with self._lock:
            there = self._records[kind].get(key)
            self._put(kind, key, kind(**{kind.KEY: key, **changes}) if there is None else replace(there, **changes))

    def _put(self, kind: type[Any], key: str, record: Any) -> None:
        records = self._records[kind]
        records[key] = record
        records.move_to_end(key)
        if len(records) > self._limit:
            records.popitem(last=False)

    def get(self, kind: type[R], key: str) -> R | None:
        """See :meth:`~.store.AnalyticsStore.get`."""
        with self._lock:
            found: R | None = self._records[kind].get(key)
            return found

    def find(self, kind: type[R], user_id: str, limit: int) -> list[R]:
        """See :meth:`~.store.AnalyticsStore.find`."""
        with self._lock:
            found = [record for record in reversed(self._records[kind].values()) if record.user_id == user_id]
        found.sort(key=lambda record: getattr(record, kind.MOMENT), reverse=True)
        return found[:limit]

    def remove_before(self, kind: type[Record], moment: datetime) -> int:
        """See :meth:`~.store.AnalyticsStore.remove_before`."""
        return self._remove(kind, lambda record: getattr(record, kind.MOMENT) < moment)

    def remove_user(self, kind: type[Record], user_id: str) -> int:
        """See :meth:`~.store.AnalyticsStore.remove_user`."""
        return self._remove(kind, lambda record: record.user_id == user_id)

    def _remove(self, kind: type[Any], is_meant: Any) -> int:
        with self._lock:
            keys = [key for key, record in self._records[kind].items() if is_meant(record)]
            for key in keys:
                del self._records[kind][key]
        return len(keys)

    def close(self) -> None:
        """See :meth:`~.store.AnalyticsStore.close`."""

"""The rows of the database as this process last saw them: looked up in microseconds, read again in the background."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import TimeoutError as FutureTimeoutError
from types import MappingProxyType
from typing import Final

from genops_otel_posthog.flags.answer import MISSING, Answer, Subject, Unknown
from genops_otel_posthog.flags.database.store import FlagStore, FlagStoreError
from genops_otel_posthog.flags.row import FlagRow
from genops_otel_posthog.flags.workers import Workers
from genops_otel_posthog.forks import start_over_after_fork
from genops_otel_posthog.settings.once import WarnOnce

POLL_SECONDS: Final = 10.0
REREAD_SECONDS: Final = 60.0
"""Rows that were changed by hand, without a new version, are seen after this time at the latest."""

_Rows = Mapping[tuple[str, str, str], FlagRow]  # by key, scope and id
_warn = WarnOnce(logging.getLogger(__name__))


class FlagTable:
    """A snapshot of the rows. Safe to use from any thread.

    Looking up never waits for the database: it starts reading in the background when the snapshot is older than
    ``poll``, and answers from the old one. A database that is away leaves the last snapshot in force.

    Args:
        store: The database.
        workers: Whose threads read.
        poll: Seconds between looks at the database.
        clock: Seconds that never go back.
    """

    def __init__(
        self,
        store: FlagStore,
        workers: Workers | None = None,
        *,
        poll: float = POLL_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.store = store
        self._workers = workers or Workers(limit=1)
        self._poll = poll
        self._clock = clock
        self._listeners: list[Callable[[list[str]], None]] = []
        self._rows: _Rows = MappingProxyType({})
        self._keys: frozenset[str] = frozenset()
        self._state: object = None
        self._confirmed: float | None = None  # when the snapshot was last known to be the database
        self._read_in_full = 0.0
        self._next_look = float("-inf")
        self.start_over()
        start_over_after_fork(self)

    def start_over(self) -> None:
        """For a forked process: a reading that its parent had begun will not end here."""
        self._reading = threading.Lock()

    def on_change(self, listener: Callable[[list[str]], None]) -> None:
        """Has a function called with the keys whose rows have changed, by the thread that read them."""
        self._listeners.append(listener)

    @property
    def keys(self) -> frozenset[str]:
        """Flags that have a row."""
        self._look_again()
        return self._keys

    def lookup(self, key: str, subject: Subject) -> Answer | Unknown:
        """What the narrowest row for a subject says: that of the user, else of the workspace, else of everybody."""
        self._look_again()
        if key not in self._keys:
            return Unknown("database_unavailable") if self._confirmed is None else MISSING
        rows = self._rows
        row = rows.get((key, "user", subject.user)) if subject.user else None
        if row is None and subject.workspace:
            row = rows.get((key, "workspace", subject.workspace))
        if row is None:
            row = rows.get((key, "global", ""))
        if row is None:
            return MISSING
        return row.answer(subject, None if self._confirmed is None else max(0.0, self._clock() - self._confirmed))

    def refresh(self, wait: float | None = None) -> bool:
        """Reads the database now.

        Args:
            wait: Most seconds to wait for it.

        Returns:
            Whether the snapshot is the database as it is.
        """
        future = self._workers.submit(self._read)
        if future is None:
            return False
        try:
            return future.result(wait)
        except FutureTimeoutError:
            return False

    def _look_again(self) -> None:
        now = self._clock()
        if now >= self._next_look:
            self._next_look = now + self._poll
            self._workers.submit(self._read)

    def _read(self) -> bool:
        with self._reading:
            try:
                return self._read_alone()
            except FlagStoreError as problem:
                stands = "no flag is known from it" if self._confirmed is None else "what was last read stands"
                _warn("the flag database", f"{problem}; until it can be used, {stands}")
                return False

    def _read_alone(self) -> bool:
        now = self._clock()
        self._next_look = now + self._poll
        state = self.store.state()
        if self._confirmed is None or state != self._state or now - self._read_in_full >= REREAD_SECONDS:
            rows: dict[tuple[str, str, str], FlagRow] = {
                (row.flag_key, row.scope, row.scope_id): row for row in self.store.rows()
            }
            changed = sorted(
                {key[0] for key in rows.keys() | self._rows.keys() if rows.get(key) != self._rows.get(key)}
            )
            # In this order, a key that is in the set is never looked for in older rows than these.
            self._rows, self._keys = MappingProxyType(rows), frozenset(key for key, _, _ in rows)
            self._state, self._read_in_full = state, now
            if changed and self._confirmed is not None:
                for listener in self._listeners:
                    listener(changed)
        self._confirmed = now
        return True

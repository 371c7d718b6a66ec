"""A ledger over a storage: it keeps a clock, makes room now and then, and leaves the rest to the rules."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager

from genops_otel_posthog.budgets.ledger.kept import KeptLedger
from genops_otel_posthog.budgets.ledger.protocol import SyncReply, SyncRequest
from genops_otel_posthog.budgets.ledger.rules import execute, make_room
from genops_otel_posthog.budgets.ledger.storage import Storage

_MAKES_ROOM_EVERY_MS = 3_600_000


class StoredLedger(KeptLedger):
    """Everything about a ledger but where it is kept.

    Args:
        clock: Seconds since the epoch.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._makes_room_ms = 0

    @abstractmethod
    def _writing(self) -> AbstractContextManager[Storage]:
        """The storage, for changes that happen all or not at all, and nothing else beside them."""

    @property
    def largest_amount(self) -> int:
        """The largest integer of SQLite, about 9.2 billion US dollars in nano-USD."""
        return 2**63 - 1

    def now_ms(self) -> int:
        """The ledger's clock, milliseconds since the epoch."""
        return round(self._clock() * 1000)

    def sync(self, request: SyncRequest) -> SyncReply:
        """Executes one sync, see :class:`~genops_otel_posthog.budgets.ledger.protocol.Ledger`."""
        with self._writing() as storage:
            now_ms = self.now_ms()
            if now_ms >= self._makes_room_ms:
                make_room(storage, now_ms)
                self._makes_room_ms = now_ms + _MAKES_ROOM_EVERY_MS
            return execute(storage, request, now_ms, self.largest_amount)

    def check_writable(self) -> None:
        """Begins to write, and ends without having done so."""
        with self._writing():
            pass

"""How much may still be written, and what goes when there is no room.

Room is made by the segment: whole files, least important first and oldest first. An event never makes room at the
cost of something more important, and at the cost of its equals only under ``drop_oldest``.
"""

from __future__ import annotations

import errno
import logging
import time
from collections import Counter
from typing import TYPE_CHECKING

from genops_otel_posthog.export.outbox.accounts import QUEUE_FULL
from genops_otel_posthog.export.outbox.directory import bytes_in, free_bytes
from genops_otel_posthog.export.outbox.segment_file import IMPORTANCES
from genops_otel_posthog.export.outbox.segments import FileSegment, Segment

if TYPE_CHECKING:
    from genops_otel_posthog.export.outbox.store import Store

_logger = logging.getLogger(__name__)

_RESERVE_SHARE = 0.05
_RESERVE_BYTES = 1024 * 1024 * 1024
_MEASURED_FOR = 0.1  # seconds: the directory is not listed more often than that, however often there is no room
_TOLD_EVERY = 60.0


class Room:
    """See the module. Guarded by the lock of the store.

    Attributes:
        left: Bytes that may still be written to the directory.
        memory_left: Bytes that may still be kept in memory.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self.left = 0
        self.memory_left = store.options.tuning.memory_bytes
        self._measured = -_MEASURED_FOR
        self._dropped: Counter[str] = Counter()
        self._told = -_TOLD_EVERY
        self._cursor_told = False

    def used(self) -> int:
        """Bytes of the directory, of all processes."""
        try:
            return bytes_in(self._store.directory)
        except OSError:
            return 0

    def measure(self) -> None:
        """Looks at what all processes have written."""
        self._measured = time.monotonic()
        self.left = self._store.options.max_bytes - self.used()

    def make(self, size: int, importance: str) -> bool:
        """Whether there is room on disk, if need be after throwing away what may go."""
        if size <= self.left:
            return True
        if time.monotonic() >= self._measured + _MEASURED_FOR:
            self.measure()
        for victim in self._victims(importance, durable=True):
            if size <= self.left:
                break
            self._store.shelf.drop(victim, QUEUE_FULL)
        return size <= self.left

    def make_in_memory(self, size: int, importance: str) -> bool:
        """The same for memory."""
        for victim in self._victims(importance, durable=False):
            if size <= self.memory_left:
                break
            self._store.shelf.drop(victim, self._store.writer.disk_problem or QUEUE_FULL)
        return size <= self.memory_left

    def check_disk(self) -> None:
        """Leaves the last of a disk to others: at a full one SQLite cannot even delete, and other programs break.

        Raises:
            OSError: Less than 5 % of the disk is free, and less than a gibibyte.
        """
        free, total = free_bytes(self._store.directory)
        if free < reserve_of(total):
            raise OSError(errno.ENOSPC, f"only {free} bytes are free on the disk", str(self._store.directory))

    def tell(self, reason: str, count: int) -> None:
        """One line a minute about what was thrown away or refused; the accounting has all of it."""
        self._dropped[reason] += count
        now = time.monotonic()
        if count and now >= self._told + _TOLD_EVERY:
            self._told = now
            counts = ", ".join(f"{number} {name}" for name, number in self._dropped.items())
            self._dropped.clear()
            _logger.warning("Events dropped by the outbox in %s: %s", self._store.directory, counts)

    def tell_cursor(self, error: OSError) -> None:
        """Once: positions cannot be kept."""
        if not self._cursor_told:
            self._cursor_told = True
            _logger.warning(
                "What was delivered cannot be noted in %s: %s. After a crash it is sent again, with the same uuids",
                *(self._store.directory, error),
            )

    def _victims(self, importance: str, *, durable: bool) -> list[Segment]:
        rank = IMPORTANCES.index(importance)
        most = rank if self._store.options.policy == "drop_oldest" else rank - 1
        mine = [
            segment
            for segment in self._store.shelf.segments
            if segment.durable is durable
            and segment.records
            and IMPORTANCES.index(segment.importance) <= most
            # What also waits for a destination of another process is not this one's to throw away.
            and (not isinstance(segment, FileSegment) or len(segment.positions) == len(segment.destinations))
        ]
        return sorted(mine, key=lambda segment: (IMPORTANCES.index(segment.importance), segment.name))


def reserve_of(disk: int) -> int:
    """How much of a disk of so many bytes is left to others: 5 %, and at most a gibibyte."""
    return min(_RESERVE_BYTES, int(disk * _RESERVE_SHARE))

"""The segments that this process holds, in the order in which they are sent: its own, and those it adopted."""

from __future__ import annotations

import logging
import os
import time
from typing import TYPE_CHECKING

from genops_otel_posthog.export.outbox.cursor import Position, cursor_path, read_cursor
from genops_otel_posthog.export.outbox.segment_file import IMPORTANCES
from genops_otel_posthog.export.outbox.segments import FileSegment, Segment, sync_descriptor

if TYPE_CHECKING:
    from genops_otel_posthog.export.outbox.store import Store
    from genops_otel_posthog.export.outbox.writer import Stream

_logger = logging.getLogger(__name__)

_RANKS = {importance: rank for rank, importance in enumerate(IMPORTANCES)}
_LONGEST_OPEN = 3600.0  # seconds: events are thrown away for their age by the segment


class Shelf:
    """See the module. Guarded by the lock of the store.

    Attributes:
        segments: More important ones first, then older ones.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self.segments: list[Segment] = []
        self._has_new_names = False
        self._syncing: set[int] = set()

    def hold(self, segment: Segment) -> None:
        """Puts a segment where it belongs."""
        self.segments.append(segment)
        self.segments.sort(key=lambda one: (-_RANKS[one.importance], one.name))
        self._has_new_names |= segment.durable and segment.owned

    def take_over(self, segment: FileSegment) -> None:
        """An orphan is from now on delivered by this process."""
        store = self._store
        with store.lock:
            if store.closed:
                segment.release()
                return
            for name, position in segment.positions.items():
                store.lanes[name].tally.adopted += segment.records - position.records
            self.hold(segment)
            self._finish_if_done(segment)
            for lane in store.lanes.values():
                lane.wake()

    def settle(self, segment: Segment, destination: str, position: Position) -> None:
        """A destination is done with everything before a position."""
        before = segment.size
        try:
            segment.advance(destination, position)
        except OSError as error:
            self._store.room.tell_cursor(error)
        if not segment.durable:
            self._store.room.memory_left += before - segment.size
        self._finish_if_done(segment)
        self._store.changed.notify_all()

    def retire(self, stream: Stream) -> None:
        """Nothing more is appended to what a stream appends to."""
        for segment in (stream.file, stream.memory):
            if segment is not None:
                segment.growing = False
                self._finish_if_done(segment)
        stream.file = stream.memory = None

    def retire_old(self) -> None:
        """Closes segments that have been open for long, and those whose file somebody has removed.

        Delivered events leave the disk only with their segment, and old ones are thrown away by the segment too.
        """
        now = time.monotonic()
        for stream in self._store.writer.streams.values():
            segment = stream.file
            if segment is None:
                continue
            age = now - segment.born
            begun = any(position.records for position in segment.positions.values())
            is_removed = os.fstat(segment.descriptor).st_nlink == 0
            if is_removed or age > _LONGEST_OPEN or (begun and age > self._store.options.tuning.rotate):
                self.retire(stream)

    def drop(self, segment: Segment, reason: str) -> None:
        """Throws a segment away, but for what is being sent."""
        store = self._store
        for stream in store.writer.streams.values():
            stream.file = None if stream.file is segment else stream.file
            stream.memory = None if stream.memory is segment else stream.memory
        count = 0
        for name in segment.positions:
            lost = store.lanes[name].unsettled(segment)
            store.lanes[name].tally.dropped[reason] += lost
            count = max(count, lost)
        segment.gone, segment.growing = True, False
        self.segments.remove(segment)
        self._remove(segment)
        store.room.tell(reason, count)
        store.changed.notify_all()

    def sync(self) -> bool:
        """Synchronises what was appended with the disk; whether that worked. Not under the lock."""
        with self._store.lock:
            dirty = [segment for segment in self.segments if isinstance(segment, FileSegment) and segment.dirty]
            has_new_names, self._has_new_names = self._has_new_names, False
        try:
            for segment in dirty:
                self._sync_one(segment)
            if has_new_names:
                descriptor = os.open(self._store.directory, os.O_RDONLY | os.O_CLOEXEC)
                try:
                    os.fsync(descriptor)
                finally:
                    os.close(descriptor)
        except OSError as error:
            self._has_new_names |= has_new_names
            _logger.warning("%s cannot be synchronised with the disk: %s", self._store.directory, error)
            return False
        return True

    def release_all(self) -> None:
        """Leaves everything to other processes."""
        for segment in self.segments:
            segment.release()

    def forked(self) -> None:
        """In a child process: closes what is the parent's.

        The lock of a file ends when every process that shares the descriptor has closed it, or has ended.
        """
        self.release_all()
        for descriptor in self._syncing:
            os.close(descriptor)

    def _sync_one(self, segment: FileSegment) -> None:
        """Not under the lock, which everybody who appends needs; the segment may be given up meanwhile."""
        with self._store.lock:
            if segment.descriptor < 0:
                return
            segment.dirty = False
            descriptor = os.dup(segment.descriptor)
            self._syncing.add(descriptor)
        try:
            sync_descriptor(descriptor)
        except OSError:
            segment.dirty = True
            raise
        finally:
            with self._store.lock:
                self._syncing.discard(descriptor)
                os.close(descriptor)

    def _finish_if_done(self, segment: Segment) -> None:
        if segment.growing or segment.gone:
            return
        if any(position.records < segment.records for position in segment.positions.values()):
            return
        self.segments.remove(segment)
        if not segment.owned:
            self._store.keeper.has_room()
        if isinstance(segment, FileSegment) and _others_wait(segment):
            segment.release()
            return
        self._remove(segment)

    def _remove(self, segment: Segment) -> None:
        size, room = segment.size, self._store.room
        try:
            segment.remove()
        except OSError as error:
            _logger.warning("A segment that has been dealt with cannot be removed: %s", error)
        if segment.durable:
            room.left += size
        else:
            room.memory_left += size


def _others_wait(segment: FileSegment) -> bool:
    """Whether a destination that this process does not serve is not done with a segment."""
    for name in segment.destinations:
        if name not in segment.positions:
            position = read_cursor(cursor_path(segment.path, name), segment.seed)
            if position is None or position.records < segment.records:
                return True
    return False

"""Appending: what an application waits for, a few microseconds an event, and what happens when it cannot be done."""

from __future__ import annotations

import errno
import logging
import os
import time
import zlib
from collections import Counter
from typing import TYPE_CHECKING

from genops_otel_posthog.errors import GenOpsError, GenOpsValidationError
from genops_otel_posthog.export.outbox.accounts import CLOSED, DISK_FULL, QUEUE_FULL, TOO_LARGE
from genops_otel_posthog.export.outbox.directory import prepare
from genops_otel_posthog.export.outbox.segment_file import MAX_BODY_BYTES, RECORD_OVERHEAD, pack_record_head
from genops_otel_posthog.export.outbox.segments import (
    FILES_POSSIBLE,
    FileSegment,
    MemorySegment,
    create,
    sync_descriptor,
    take_back,
)

if TYPE_CHECKING:
    from genops_otel_posthog.export.outbox.lane import Lane
    from genops_otel_posthog.export.outbox.store import Store

_logger = logging.getLogger(__name__)

_NEVER = 1 << 62
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_LOOK_AGAIN = 0.5  # seconds: room that another process makes is not announced
_MEMORY_SEGMENTS = 16

TAKEN = ""
"""What is said of an event that was taken; of another one it is the reason."""

_getpid = os.getpid
_write = os.write
_crc32 = zlib.crc32


class OutboxFullError(GenOpsError):
    """There is no room for an event, and the outbox was told to raise then."""


class Stream:
    """Where events of one importance for one set of destinations are appended.

    Attributes:
        importance: Of the events.
        destinations: Identities, sorted.
        file: The segment that is appended to at the moment.
        memory: The same where there can be no file.
        enqueued: Events appended by this process.
    """

    def __init__(self, importance: str, destinations: tuple[str, ...]) -> None:
        self.importance = importance
        self.destinations = destinations
        self.forget()

    def forget(self) -> None:
        """Starts over, as a new process does."""
        self.file: FileSegment | None = None
        self.memory: MemorySegment | None = None
        self.enqueued = 0


class Writer:
    """See the module. Guarded by the lock of the store, which :meth:`append` takes itself.

    Attributes:
        streams: By importance and destinations.
        refused: Events that were not taken, by reason.
        disk_problem: Why events wait in memory rather than on disk, as a reason of the accounting; ``None`` when they
            do not.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._always = store.options.fsync == "always"
        self.streams: dict[tuple[str, tuple[str, ...]], Stream] = {}
        self.forget()

    def forget(self) -> None:
        """Starts over, as a new process does."""
        self.process = _getpid()
        self.refused: Counter[str] = Counter()
        self.disk_problem: str | None = None
        self._room = self._store.room
        self._disk_again = 0.0
        self._is_problem_told = False
        self._appended = 0
        self._wake_at = _NEVER
        self._number = 0
        for stream in self.streams.values():
            stream.forget()

    def stream(self, importance: str, destinations: tuple[str, ...]) -> Stream:
        """Where such events are appended."""
        with self._store.lock:
            return self.streams.setdefault((importance, destinations), Stream(importance, destinations))

    def enqueued(self, destination: str) -> int:
        """Events appended by this process for a destination."""
        return sum(stream.enqueued for stream in self.streams.values() if destination in stream.destinations)

    def append(self, stream: Stream, body: bytes) -> str:
        """See :meth:`~.outbox.Outbox.offer`."""
        if _getpid() != self.process:  # some servers fork without telling Python
            self._store.forked()
        size = len(body) + RECORD_OVERHEAD
        with self._store.lock:
            segment = stream.file
            if segment is None or size > segment.room or size > self._room.left or not body:
                return self._append_slowly(stream, body)
            try:
                written = _write(
                    segment.descriptor, pack_record_head(size - RECORD_OVERHEAD, _crc32(body, segment.seed)) + body
                )
                if written != size:
                    take_back(segment)
            except OSError as error:
                # From now on in memory, as long as there is room.
                self._store.shelf.retire(stream)
                self.no_disk(error)
                return self._append_slowly(stream, body)
            segment.end += size
            segment.room -= size
            segment.records += 1
            segment.dirty = True
            self._room.left -= size
            stream.enqueued += 1
            self._appended += 1
            if self._appended >= self._wake_at or self._always:
                self._after_append(segment)
            return TAKEN

    def refuse_closed(self, _stream: Stream, _body: bytes) -> str:
        """What :meth:`append` is of an outbox that was shut down."""
        with self._store.lock:
            return self._refuse(CLOSED)

    def wake_lane(self, lane: Lane, after: int | None) -> None:
        """Wakes a lane once so many events more have been appended; ``None`` for not at all."""
        lane.wake_at = _NEVER if after is None else self._appended + after
        self._wake_at = min(lane.wake_at for lane in self._store.lanes.values())

    # --- the disk ---------------------------------------------------------------------------------------------------

    def check_directory(self) -> None:
        """Says at once, rather than with the first event, that the directory cannot be used."""
        if self.disk_problem is not None or self._store.shelf.segments:
            return
        directory = self._store.directory
        try:
            if not FILES_POSSIBLE:
                raise OSError("this system has no advisory file locks")
            prepare(directory)
            if not os.access(directory, os.W_OK | os.X_OK) or os.statvfs(directory).f_flag & os.ST_RDONLY:
                raise PermissionError(errno.EACCES, "Permission denied", str(directory))
        except OSError as error:
            self.no_disk(error)

    def spare_disk(self) -> None:
        """Writes nothing more while the disk is nearly full."""
        if self.disk_problem is not None:
            return
        try:
            self._room.check_disk()
        except OSError as error:
            for stream in self.streams.values():
                self._store.shelf.retire(stream)
            self.no_disk(error)

    def no_disk(self, error: OSError) -> None:
        """From now on events wait in memory; the directory is tried again later."""
        tuning = self._store.options.tuning
        self.disk_problem = DISK_FULL if error.errno in _FULL else QUEUE_FULL
        self._disk_again = time.monotonic() + tuning.disk_retry
        if not self._is_problem_told:
            self._is_problem_told = True
            _logger.warning(
                "The outbox directory %s cannot be used: %s. Up to %d bytes of events wait in memory instead, and are "
                "lost if this process ends before they are delivered",
                *(self._store.directory, error, tuning.memory_bytes),
            )

    def _try_disk_again(self) -> None:
        if self.disk_problem is None or time.monotonic() < self._disk_again or not FILES_POSSIBLE:
            return
        self._disk_again = time.monotonic() + self._store.options.tuning.disk_retry
        try:
            prepare(self._store.directory)
            self._room.check_disk()
        except OSError:
            return  # told when it began
        self.disk_problem, self._is_problem_told = None, False
        _logger.info("The outbox directory %s can be used again", self._store.directory)

    # --- what is not the ordinary case ------------------------------------------------------------------------------

    def _append_slowly(self, stream: Stream, body: bytes) -> str:
        """No segment, a full one, no room, no disk."""
        if self._store.closed:
            return self._refuse(CLOSED)
        if not body:
            raise GenOpsValidationError("an event has no bytes; give the outbox the event as JSON")
        if len(body) > MAX_BODY_BYTES:
            return self._refuse(TOO_LARGE)
        size = len(body) + RECORD_OVERHEAD
        segment = self._segment_for(stream, size)
        if segment is None:
            return self._refuse(self.disk_problem or QUEUE_FULL)
        if isinstance(segment, FileSegment):
            return self.append(stream, body)
        segment.append(body)
        self._room.memory_left -= size
        stream.enqueued += 1
        self._appended += 1
        self._after_append(segment)
        return TAKEN

    def _segment_for(self, stream: Stream, size: int) -> FileSegment | MemorySegment | None:
        """A segment with room for a record of this size; ``None`` when there is no room and none can be made."""
        self._store.start()
        options = self._store.options
        deadline = time.monotonic() + options.block_timeout
        while not self._store.closed:
            self._try_disk_again()
            if self.disk_problem is None and self._room.make(size, stream.importance):
                if stream.file is not None and size <= stream.file.room:
                    return stream.file
                try:
                    return self._open(stream, size)
                except OSError as error:
                    self.no_disk(error)
            if self.disk_problem is not None and self._room.make_in_memory(size, stream.importance):
                return self._in_memory(stream)
            if options.policy == "raise":
                reason = self.disk_problem or QUEUE_FULL
                self.refused[reason] += 1
                raise OutboxFullError(
                    f"the outbox in {self._store.directory} has no room for {size} bytes more ({reason}): it may take "
                    f"{options.max_bytes} bytes. Give it more, or another policy than 'raise'"
                )
            left = deadline - time.monotonic()
            if options.policy != "block" or left <= 0:
                return None
            self._store.changed.wait(min(left, _LOOK_AGAIN))
        return None

    def _open(self, stream: Stream, size: int) -> FileSegment:
        self._store.shelf.retire(stream)
        self._room.check_disk()
        self._number += 1
        segment = create(self._store.directory, stream.importance, stream.destinations, number=self._number)
        segment.room = max(self._store.options.segment_bytes, size)
        stream.file = segment
        self._room.left -= segment.end
        self._store.shelf.hold(segment)
        return segment

    def _in_memory(self, stream: Stream) -> MemorySegment:
        segment = stream.memory
        if segment is not None and segment.size < self._store.options.tuning.memory_bytes // _MEMORY_SEGMENTS:
            return segment
        self._store.shelf.retire(stream)
        stream.memory = segment = MemorySegment(stream.importance, stream.destinations)
        self._store.shelf.hold(segment)
        return segment

    def _after_append(self, segment: FileSegment | MemorySegment) -> None:
        if self._always and isinstance(segment, FileSegment):
            try:
                sync_descriptor(segment.descriptor)
            except OSError as error:
                _logger.warning("%s cannot be synchronised with the disk: %s", segment.path, error)
        if self._appended >= self._wake_at:
            lanes = self._store.lanes.values()
            for lane in lanes:
                if self._appended >= lane.wake_at:
                    lane.wake_at = _NEVER
                    lane.wake()
            self._wake_at = min(lane.wake_at for lane in lanes)

    def _refuse(self, reason: str) -> str:
        self.refused[reason] += 1
        self._room.tell(reason, 1)
        return reason

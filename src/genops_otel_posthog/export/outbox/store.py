"""What one process does with one directory, however many outboxes it has there.

One lock guards all of it. Appending takes it for the time of one ``write``; sending takes it to look and to settle,
never while a request is made.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import threading
import time
import zlib
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from genops_otel_posthog.errors import GenOpsError, GenOpsValidationError
from genops_otel_posthog.export.destinations.protocol import Destination
from genops_otel_posthog.export.outbox.accounts import (
    CLOSED,
    DEAD_LETTERS_FULL,
    DISK_FULL,
    QUEUE_FULL,
    TOO_LARGE,
    Accounting,
    DestinationAccount,
)
from genops_otel_posthog.export.outbox.cursor import Position, cursor_path, read_cursor
from genops_otel_posthog.export.outbox.dead import DeadLetters
from genops_otel_posthog.export.outbox.directory import DEAD_LETTERS, prepare
from genops_otel_posthog.export.outbox.keeper import Keeper
from genops_otel_posthog.export.outbox.lane import Lane
from genops_otel_posthog.export.outbox.options import Options
from genops_otel_posthog.export.outbox.room import Room
from genops_otel_posthog.export.outbox.segment_file import (
    IMPORTANCES,
    MAX_BODY_BYTES,
    RECORD_OVERHEAD,
    pack_record_head,
)
from genops_otel_posthog.export.outbox.segments import (
    FILES_POSSIBLE,
    FileSegment,
    MemorySegment,
    Segment,
    create,
    sync_descriptor,
    take_back,
)

_logger = logging.getLogger(__name__)

_NEVER = 1 << 62
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_LOOK_AGAIN = 0.5  # seconds: room that another process makes is not announced
_MEMORY_SEGMENTS = 16
_FORKING = threading.RLock()
_getpid = os.getpid
_write = os.write
_crc32 = zlib.crc32
RANKS = {importance: rank for rank, importance in enumerate(IMPORTANCES)}


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
        self.file: FileSegment | None = None
        self.memory: MemorySegment | None = None
        self.enqueued = 0


class Store:
    """See the module.

    Args:
        directory: Absolute, without symbolic links.
        options: Of the first outbox that was opened there.
    """

    def __init__(self, directory: Path, options: Options) -> None:
        self.directory = directory
        self.options = options
        self.lanes: dict[str, Lane] = {}
        self.streams: dict[tuple[str, tuple[str, ...]], Stream] = {}
        self.users = 0
        self._begin()

    def _begin(self) -> None:
        self.process = _getpid()
        self.lock = threading.RLock()
        self.changed = threading.Condition(self.lock)
        self.segments: list[Segment] = []
        self.refused: Counter[str] = Counter()
        self.room = Room(self)
        self.dead = DeadLetters(self.directory / DEAD_LETTERS, max_bytes=self.options.dead_bytes)
        self.keeper = Keeper(self)
        self.closed = False
        self.disk_problem: str | None = None  # why there are no files; an accounts reason
        self._disk_again = 0.0
        self._disk_problem_told = False
        self._appended = 0
        self._wake_at = _NEVER
        self._number = 0
        self._names_unsynced = False
        self._syncing: int | None = None  # a descriptor that a forked child has to close
        self._always = self.options.fsync == "always"

    # --- opening ----------------------------------------------------------------------------------------------------

    def serve(self, destinations: Iterable[tuple[str, Destination]]) -> None:
        """Sends to these destinations too; the first object for an identity is used for all outboxes."""
        with self.lock:
            for name, destination in destinations:
                if name not in self.lanes:
                    self.lanes[name] = Lane(self, name, destination)
            self._check_disk()
            self._start()

    def stream(self, importance: str, destinations: tuple[str, ...]) -> Stream:
        """Where such events are appended."""
        with self.lock:
            return self.streams.setdefault((importance, destinations), Stream(importance, destinations))

    def _check_disk(self) -> None:
        """Says at once, rather than with the first event, that the directory cannot be used."""
        if self.disk_problem is None and not self.segments:
            try:
                if not FILES_POSSIBLE:
                    raise OSError("this system has no advisory file locks")
                prepare(self.directory)
                if not os.access(self.directory, os.W_OK | os.X_OK) or os.statvfs(self.directory).f_flag & os.ST_RDONLY:
                    raise PermissionError(errno.EACCES, "Permission denied", str(self.directory))
            except OSError as error:
                self._no_disk(error)

    def _start(self) -> None:
        """Starts the threads that do not run. At the end of the interpreter there are no new ones: what is on disk
        waits for the next process."""
        self.keeper.start()
        for lane in self.lanes.values():
            lane.start()

    # --- appending --------------------------------------------------------------------------------------------------

    def append(self, stream: Stream, body: bytes) -> bool:
        """See :meth:`~.outbox.Outbox.append`."""
        if _getpid() != self.process:
            self.forked()
        size = len(body) + RECORD_OVERHEAD
        with self.lock:
            segment = stream.file
            if segment is None or size > segment.room or size > self.room.left or not body:
                return self._append_slowly(stream, body)
            try:
                written = _write(
                    segment.descriptor, pack_record_head(size - RECORD_OVERHEAD, _crc32(body, segment.seed)) + body
                )
                if written != size:
                    take_back(segment)
            except OSError as error:
                return self._append_in_trouble(stream, body, error)
            segment.end += size
            segment.room -= size
            segment.records += 1
            segment.dirty = True
            self.room.left -= size
            stream.enqueued += 1
            self._appended += 1
            if self._appended >= self._wake_at or self._always:
                self._after_append(segment)
            return True

    def _after_append(self, segment: FileSegment | MemorySegment) -> None:
        if self._always and isinstance(segment, FileSegment):
            try:
                sync_descriptor(segment.descriptor)
            except OSError as error:
                _logger.warning("%s cannot be synchronised with the disk: %s", segment.path, error)
        if self._appended >= self._wake_at:
            for lane in self.lanes.values():
                if self._appended >= lane.wake_at:
                    lane.wake_at = _NEVER
                    lane.wake()
            self._wake_at = min(lane.wake_at for lane in self.lanes.values())

    def _append_slowly(self, stream: Stream, body: bytes) -> bool:
        """Whatever is not the ordinary case: no segment, a full one, no room, no disk."""
        if self.closed:
            return self._refuse(CLOSED)
        if not body:
            raise GenOpsValidationError("an event has no bytes; give the outbox the event as JSON")
        if len(body) > MAX_BODY_BYTES:
            return self._refuse(TOO_LARGE)
        segment = self._segment_for(stream, len(body) + RECORD_OVERHEAD)
        if segment is None:
            return self._refuse(self.disk_problem or QUEUE_FULL)
        if isinstance(segment, FileSegment):
            return self.append(stream, body)
        segment.append(body)
        self.room.memory_left -= len(body) + RECORD_OVERHEAD
        stream.enqueued += 1
        self._appended += 1
        self._after_append(segment)
        return True

    def _append_in_trouble(self, stream: Stream, body: bytes, error: OSError) -> bool:
        """The disk refused: from now on in memory, as long as there is room."""
        self._retire(stream)
        self._no_disk(error)
        return self._append_slowly(stream, body)

    def _segment_for(self, stream: Stream, size: int) -> FileSegment | MemorySegment | None:
        """A segment with room for a record of this size; ``None`` when there is no room and none can be made."""
        self._start()
        deadline = time.monotonic() + self.options.block_timeout
        while not self.closed:
            self._try_disk_again()
            if self.disk_problem is None and self.room.make(size, stream.importance):
                segment = stream.file
                if segment is not None and size <= segment.room:
                    return segment
                self._retire(stream)
                try:
                    return self._open(stream, size)
                except OSError as error:
                    self._no_disk(error)
            if self.disk_problem is not None and self.room.make_in_memory(size, stream.importance):
                return self._in_memory(stream)
            if self.options.policy == "raise":
                reason = self.disk_problem or QUEUE_FULL
                self.refused[reason] += 1
                raise OutboxFullError(
                    f"the outbox in {self.directory} has no room for {size} bytes more ({reason}): it may take "
                    f"{self.options.max_bytes} bytes. Give it more, or another policy than 'raise'"
                )
            left = deadline - time.monotonic()
            if self.options.policy != "block" or left <= 0:
                return None
            self.changed.wait(min(left, _LOOK_AGAIN))
        return None

    def _in_memory(self, stream: Stream) -> MemorySegment:
        segment = stream.memory
        if segment is not None and segment.size < self.options.tuning.memory_bytes // _MEMORY_SEGMENTS:
            return segment
        self._retire(stream)
        stream.memory = segment = MemorySegment(stream.importance, stream.destinations)
        self._hold(segment)
        return segment

    def _open(self, stream: Stream, size: int) -> FileSegment:
        self.room.check_disk()
        self._number += 1
        segment = create(self.directory, stream.importance, stream.destinations, number=self._number)
        segment.room = max(self.options.segment_bytes, size)
        stream.file = segment
        self.room.left -= segment.end
        self._names_unsynced = True
        self._hold(segment)
        return segment

    def refuse_closed(self, _stream: Stream, _body: bytes) -> bool:
        """Of an outbox that was shut down."""
        with self.lock:
            return self._refuse(CLOSED)

    def _refuse(self, reason: str) -> bool:
        self.refused[reason] += 1
        self.room.tell(reason, 1)
        return False

    # --- disk trouble -----------------------------------------------------------------------------------------------

    def _no_disk(self, error: OSError) -> None:
        self.disk_problem = DISK_FULL if error.errno in _FULL else QUEUE_FULL
        self._disk_again = time.monotonic() + self.options.tuning.disk_retry
        if not self._disk_problem_told:
            self._disk_problem_told = True
            _logger.warning(
                "The outbox directory %s cannot be used: %s. Up to %d bytes of events wait in memory instead, and are "
                "lost if this process ends before they are delivered",
                *(self.directory, error, self.options.tuning.memory_bytes),
            )

    def _try_disk_again(self) -> None:
        if self.disk_problem is None or time.monotonic() < self._disk_again or not FILES_POSSIBLE:
            return
        self._disk_again = time.monotonic() + self.options.tuning.disk_retry
        try:
            prepare(self.directory)
            self.room.check_disk()
        except OSError:
            return  # told when it began
        self.disk_problem, self._disk_problem_told = None, False
        _logger.info("The outbox directory %s can be used again", self.directory)

    def spare_disk(self) -> None:
        """Writes nothing more while the disk is nearly full."""
        with self.lock:
            try:
                self.room.check_disk()
            except OSError as error:
                for stream in self.streams.values():
                    self._retire(stream)
                self._no_disk(error)

    # --- segments ---------------------------------------------------------------------------------------------------

    def _hold(self, segment: Segment) -> None:
        self.segments.append(segment)
        self.segments.sort(key=lambda one: (-RANKS[one.importance], one.name))

    def take_over(self, segment: FileSegment) -> None:
        """An orphan is from now on delivered by this process."""
        with self.lock:
            for name, position in segment.positions.items():
                self.lanes[name].tally.adopted += segment.records - position.records
            self._hold(segment)
            self._finish_if_done(segment)
            for lane in self.lanes.values():
                lane.wake()

    def first_waiting(self, destination: str) -> Segment | None:
        """The first segment with something for a destination."""
        for segment in self.segments:
            position = segment.positions.get(destination)
            if position is not None and position.records < segment.records:
                return segment
        return None

    def settle(self, segment: Segment, destination: str, position: Position) -> None:
        """A destination is done with everything before a position. Under the lock."""
        before = segment.size
        try:
            segment.advance(destination, position)
        except OSError as error:
            self.room.tell_cursor(error)
        if not segment.durable:
            self.room.memory_left += before - segment.size
        self._finish_if_done(segment)
        self.changed.notify_all()

    def retire_old(self) -> None:
        """Closes segments that have been open for long, so that delivered events leave the disk."""
        with self.lock:
            oldest = time.monotonic() - self.options.tuning.rotate
            for stream in self.streams.values():
                segment = stream.file
                if segment is None or segment.born > oldest:
                    continue
                if any(position.records for position in segment.positions.values()):
                    self._retire(stream)

    def _retire(self, stream: Stream) -> None:
        for segment in (stream.file, stream.memory):
            if segment is not None:
                segment.growing = False
                self._finish_if_done(segment)
        stream.file = stream.memory = None

    def _finish_if_done(self, segment: Segment) -> None:
        if segment.growing or segment.gone:
            return
        if any(position.records < segment.records for position in segment.positions.values()):
            return
        self.segments.remove(segment)
        if not segment.owned:
            self.keeper.has_room()
        if isinstance(segment, FileSegment) and _others_wait(segment):
            segment.release()
            return
        self._remove(segment)

    def _remove(self, segment: Segment) -> None:
        size = segment.size
        try:
            segment.remove()
        except OSError as error:
            _logger.warning("A segment that has been dealt with cannot be removed: %s", error)
        if segment.durable:
            self.room.left += size
        else:
            self.room.memory_left += size

    def drop(self, segment: Segment, reason: str) -> None:
        """Throws a segment away, but for what is being sent. Under the lock."""
        for stream in self.streams.values():
            stream.file = None if stream.file is segment else stream.file
            stream.memory = None if stream.memory is segment else stream.memory
        count = 0
        for name in segment.positions:
            lost = self.lanes[name].unsettled(segment)
            self.lanes[name].tally.dropped[reason] += lost
            count = max(count, lost)
        segment.gone, segment.growing = True, False
        self.segments.remove(segment)
        self._remove(segment)
        self.room.tell(reason, count)
        self.changed.notify_all()

    # --- dead letters -----------------------------------------------------------------------------------------------

    def bury(self, destination: str, body: bytes, reason: str, detail: str) -> None:
        """Keeps a dead letter.

        Raises:
            OSError: It cannot be kept.
        """
        if self.disk_problem is not None and not self.directory.is_dir():
            self.dead = DeadLetters(None, max_bytes=self.options.dead_bytes)
        for name, count in self.dead.add(destination, body, reason, detail).items():
            with self.lock:
                tally = self.lanes[name].tally if name in self.lanes else None
                if tally is not None:  # one that an earlier process buried is in no account of this one
                    moved = min(count, tally.dead)
                    tally.dead -= moved
                    tally.dropped[DEAD_LETTERS_FULL] += moved
                self.room.tell(DEAD_LETTERS_FULL, count)

    # --- waking and waiting -----------------------------------------------------------------------------------------

    def wake_lane(self, lane: Lane, after: int | None) -> None:
        """Wakes a lane once so many events more have been appended; ``None`` for not at all. Under the lock."""
        lane.wake_at = _NEVER if after is None else self._appended + after
        self._wake_at = min(lane.wake_at for lane in self.lanes.values())

    def delivered(self, destinations: Sequence[str], timeout: float) -> bool:
        """Waits until what this process appended so far for these destinations is settled; whether it is."""
        deadline = time.monotonic() + timeout
        with self.lock:
            targets = [
                (segment, segment.records)
                for segment in self.segments
                if segment.owned and not segment.positions.keys().isdisjoint(destinations)
            ]
            for name in destinations:
                self.lanes[name].hurry()
            while not all(_is_settled(segment, records, destinations) for segment, records in targets):
                left = deadline - time.monotonic()
                if left <= 0:
                    return False
                self.changed.wait(left)
            return True

    def own_pending(self) -> int:
        """Events of this process that are not settled everywhere."""
        with self.lock:
            return sum(
                segment.records - min(position.records for position in segment.positions.values())
                for segment in self.segments
                if segment.owned
            )

    def safe(self) -> bool:
        """Synchronises with the disk; whether everything that was appended outlives this process."""
        with self.lock:
            held = list(self.segments)
        if any(not segment.durable and segment.size for segment in held):
            return False
        return self.options.fsync == "none" or self.sync()

    def sync(self) -> bool:
        """Synchronises what was appended with the disk; whether that worked."""
        with self.lock:
            dirty = [segment for segment in self.segments if isinstance(segment, FileSegment) and segment.dirty]
            named, self._names_unsynced = self._names_unsynced, False
        try:
            for segment in dirty:
                self._sync_one(segment)
            if named:
                with contextlib.closing(_Directory(self.directory)) as names:
                    os.fsync(names.descriptor)
        except OSError as error:
            self._names_unsynced |= named
            _logger.warning("%s cannot be synchronised with the disk: %s", self.directory, error)
            return False
        return True

    def _sync_one(self, segment: FileSegment) -> None:
        """Not under the lock, which nobody could append without: the segment may be given up meanwhile."""
        with self.lock:
            if segment.descriptor < 0:
                return
            segment.dirty = False
            self._syncing = os.dup(segment.descriptor)
        try:
            sync_descriptor(self._syncing)
        except OSError:
            segment.dirty = True
            raise
        finally:
            os.close(self._syncing)
            self._syncing = None

    # --- accounts ---------------------------------------------------------------------------------------------------

    def accounting(self) -> Accounting:
        """See :meth:`~.outbox.Outbox.accounting`."""
        with self.lock:
            accounts: dict[str, DestinationAccount] = {}
            for name, lane in self.lanes.items():
                enqueued = sum(stream.enqueued for stream in self.streams.values() if name in stream.destinations)
                accounts[name] = lane.account(enqueued)
            return Accounting(
                accounts, dict(self.refused), self.disk_problem is None, str(self.directory), self.room.used()
            )

    # --- ending -----------------------------------------------------------------------------------------------------

    def stop(self, timeout: float) -> None:
        """Ends the threads and leaves what waits to other processes."""
        deadline = time.monotonic() + timeout
        with self.lock:
            self.closed = True
            self.keeper.stop()
            for lane in self.lanes.values():
                lane.stop()
            self.changed.notify_all()
        ended = [lane.join(max(0.0, deadline - time.monotonic())) for lane in self.lanes.values()]
        self.keeper.join(max(0.0, deadline - time.monotonic()))
        with self.lock:
            for stream in self.streams.values():
                self._retire(stream)
            for segment in self.segments:
                # A segment whose batch is still on its way stays locked until the process ends.
                if all(ended):
                    segment.release()
        for lane, has_ended in zip(self.lanes.values(), ended, strict=True):
            if has_ended:
                lane.destination.close()
        if all(ended):
            self.dead.close()

    def forked(self) -> None:
        """In a child process: what was appended is the parent's, and so are its threads, locks and files."""
        with _FORKING:
            if self.process == _getpid():
                return
            for segment in self.segments:
                segment.release()  # the descriptor only: the parent has the lock as long as it has its own
            if self._syncing is not None:
                os.close(self._syncing)
            closed = self.closed
            for stream in self.streams.values():
                stream.file, stream.memory, stream.enqueued = None, None, 0
            self._begin()
            self.closed = closed
            for lane in self.lanes.values():
                lane.forget()


class _Directory:
    def __init__(self, path: Path) -> None:
        self.descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def close(self) -> None:
        os.close(self.descriptor)


def _others_wait(segment: FileSegment) -> bool:
    """Whether a destination that this process does not serve is not done with a segment."""
    for name in segment.destinations:
        if name not in segment.positions:
            position = read_cursor(cursor_path(segment.path, name), segment.seed)
            if position is None or position.records < segment.records:
                return True
    return False


def _is_settled(segment: Segment, records: int, destinations: Sequence[str]) -> bool:
    if segment.gone:
        return True
    return all(position.records >= records for name, position in segment.positions.items() if name in destinations)

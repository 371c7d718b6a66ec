"""A segment as the outbox handles it: records in order and, for each destination, how far it has got.

Two kinds: a file, locked as long as its owner lives, and a bounded list in memory for where there can be no file.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from genops_otel_posthog.export.outbox.cursor import CursorFile, Position, cursor_path, read_cursor
from genops_otel_posthog.export.outbox.directory import UNFINISHED_SUFFIX, segment_name
from genops_otel_posthog.export.outbox.segment_file import (
    RECORD_OVERHEAD,
    Header,
    Record,
    make_header,
    read_header,
    read_records,
)

try:
    import fcntl
except ImportError:  # Windows: nobody could know whether the process of a file still lives
    fcntl = None  # type: ignore[assignment]  # there is none on Windows

FILES_POSSIBLE = fcntl is not None


class Segment(Protocol):
    """Records in order and the positions of the destinations in them. Guarded by the lock of its store.

    Attributes:
        name: Names sort by age.
        importance: Of all its records.
        positions: How far each destination of it that this process serves has got.
        end: Where the next record would begin.
        records: How many there are.
        growing: Whether records are still appended.
        owned: Whether this process wrote it.
        born: When this process first held it, on the monotonic clock.
        durable: Whether it outlives the process.
        gone: Whether it was thrown away while a batch of it was being sent.
    """

    name: str
    importance: str
    positions: dict[str, Position]
    end: int
    records: int
    growing: bool
    owned: bool
    born: float
    durable: bool
    gone: bool

    @property
    def size(self) -> int:
        """What it takes, in bytes."""
        ...

    def read(self, offset: int, limit: int, guard: AbstractContextManager[object]) -> Iterator[Record]:
        """Records from an offset to a limit, as they are asked for.

        Args:
            guard: The lock of the store, taken for moments. Not held by the caller.

        Raises:
            OSError: The disk cannot be read.
        """
        ...

    def advance(self, destination: str, position: Position) -> None:
        """A destination is done with everything before a position.

        Raises:
            OSError: That could not be kept; after a crash the destination gets those records again.
        """
        ...

    def remove(self) -> None:
        """Nobody needs it any more."""
        ...

    def release(self) -> None:
        """Leaves it to other processes."""
        ...


class FileSegment:
    """A segment on disk. See :class:`Segment`; made by :func:`create` and :func:`adopt`."""

    durable = True

    def __init__(
        self,
        path: Path,
        descriptor: int,
        header: Header,
        *,
        owned: bool,
        end: int,
        records: int,
        positions: dict[str, Position],
    ) -> None:
        self.path = path
        self.name = path.stem
        self.descriptor = descriptor
        self.importance = header.importance
        self.destinations = header.destinations
        self.seed = header.seed
        self.positions = positions
        self.end = end
        self.records = records
        self.growing = owned
        self.owned = owned
        self.born = time.monotonic()
        self.gone = False
        self.room = 0  # bytes that may still be appended
        self.dirty = False  # not synchronised with the disk
        self._cursors: dict[str, CursorFile] = {}

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return self.end

    def read(self, offset: int, limit: int, guard: AbstractContextManager[object]) -> Iterator[Record]:
        """See :class:`Segment`. The file may be given up meanwhile; then there is no more."""

        def piece(size: int, offset: int) -> bytes:
            with guard:
                return os.pread(self.descriptor, size, offset) if self.descriptor >= 0 else b""

        return read_records(piece, self.seed, offset, limit)

    def advance(self, destination: str, position: Position) -> None:
        """See :class:`Segment`."""
        self.positions[destination] = position
        cursor = self._cursors.get(destination)
        if cursor is None:
            cursor = self._cursors[destination] = CursorFile(cursor_path(self.path, destination), self.seed)
        cursor.write(position)

    def remove(self) -> None:
        """See :class:`Segment`. The records go before the cursors: a cursor alone does no harm, records alone would."""
        with contextlib.suppress(FileNotFoundError):
            self.path.unlink()
        for destination in self.destinations:
            with contextlib.suppress(FileNotFoundError):
                cursor_path(self.path, destination).unlink()
        self.release()

    def release(self) -> None:
        """See :class:`Segment`."""
        for cursor in self._cursors.values():
            cursor.close()
        self._cursors.clear()
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


class MemorySegment:
    """A segment without a file, for where there can be none. See :class:`Segment`."""

    durable = False

    def __init__(self, importance: str, destinations: Iterable[str], *, owned: bool = True) -> None:
        self.name = f"{int(time.time() * 1000):013d}-memory-{secrets.token_hex(4)}"
        self.importance = importance
        self.positions = dict.fromkeys(destinations, Position(0, 0))
        self.end = 0
        self.records = 0
        self.size = 0  # bytes of what is still held
        self.growing = True
        self.owned = owned
        self.born = time.monotonic()
        self.gone = False
        self._bodies: list[bytes] = []
        self._first = 0  # the number of the first body that is still held

    def append(self, body: bytes) -> None:
        """Adds a record."""
        self._bodies.append(body)
        self.end += 1
        self.records += 1
        self.size += len(body) + RECORD_OVERHEAD

    def read(self, offset: int, limit: int, guard: AbstractContextManager[object]) -> Iterator[Record]:
        """See :class:`Segment`."""
        with guard:
            bodies = self._bodies[offset - self._first : limit - self._first]
        return (Record(body, number, number + 1) for number, body in enumerate(bodies, offset))

    def advance(self, destination: str, position: Position) -> None:
        """See :class:`Segment`. What every destination is done with is forgotten."""
        self.positions[destination] = position
        done = min(position.offset for position in self.positions.values()) - self._first
        if done > 0:
            self.size -= sum(len(body) + RECORD_OVERHEAD for body in self._bodies[:done])
            del self._bodies[:done]
            self._first += done

    def remove(self) -> None:
        """See :class:`Segment`."""
        self._bodies.clear()
        self.size = 0

    def release(self) -> None:
        """See :class:`Segment`: nobody else could take it."""


def create(directory: Path, importance: str, destinations: Sequence[str], *, number: int) -> FileSegment:
    """A new segment, locked by this process.

    It gets its name only once it is locked and begun, so that no other process ever takes it for an orphan.

    Raises:
        OSError: The directory cannot be written to, or the disk is full.
    """
    content, header = make_header(importance, tuple(destinations), nonce=secrets.token_bytes(8))
    name = segment_name(int(time.time() * 1000), os.getpid(), number)
    path, unfinished = directory / name, directory / f"{name}{UNFINISHED_SUFFIX}"
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    descriptor = os.open(unfinished, flags, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.write(descriptor, content) != len(content):
            raise OSError(errno.ENOSPC, "No space left on device", str(unfinished))
        if path.exists():  # a clock that was set back, and a process id that came round
            raise FileExistsError(errno.EEXIST, "File exists", str(path))
        os.rename(unfinished, path)
    except BaseException:
        os.close(descriptor)
        with contextlib.suppress(OSError):
            unfinished.unlink()
        raise
    start = Position(header.start, 0)
    return FileSegment(
        path, descriptor, header, owned=True, end=header.start, records=0, positions=dict.fromkeys(destinations, start)
    )


def lock_orphan(path: Path) -> int | None:
    """A descriptor of a file whose process has ended, locked; ``None`` where it lives, or another was quicker.

    Raises:
        OSError: The file may not be written to.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except OSError:
        os.close(descriptor)
        raise
    if os.fstat(descriptor).st_nlink == 0:  # somebody finished with it between the two calls
        os.close(descriptor)
        return None
    return descriptor


def adopt(path: Path, descriptor: int, serves: Iterable[str]) -> tuple[FileSegment, int]:
    """A segment that another process left, and how many bytes at its end are no record.

    Args:
        descriptor: From :func:`lock_orphan`; the segment owns it from now on.
        serves: The destinations that this process has; the positions of the segment are for those.

    Raises:
        UnreadableSegment: It is none, or of another format.
        OSError: It cannot be read.
    """
    header = read_header(descriptor)
    start = Position(header.start, 0)
    wanted = set(serves)
    said = {name: read_cursor(cursor_path(path, name), header.seed) for name in header.destinations if name in wanted}
    positions = dict.fromkeys(said, start)
    size = os.fstat(descriptor).st_size
    end, records = header.start, 0
    for record in read_records(
        lambda size, offset: os.pread(descriptor, size, offset), header.seed, header.start, size
    ):
        end, records = record.end, records + 1
        for name, position in said.items():
            if position == (end, records):
                positions[name] = position
    segment = FileSegment(path, descriptor, header, owned=False, end=end, records=records, positions=positions)
    return segment, size - end


def take_back(segment: FileSegment) -> None:
    """Takes back the part of a record that went in: a full disk takes what fits without raising.

    Raises:
        OSError: Always: the disk is full.
    """
    os.ftruncate(segment.descriptor, segment.end)
    raise OSError(errno.ENOSPC, "No space left on device", str(segment.path))


def sync_descriptor(descriptor: int) -> None:
    """Makes the content of a file survive a loss of power.

    Raises:
        OSError: The disk refused.
    """
    getattr(os, "fdatasync", os.fsync)(descriptor)  # macOS has no fdatasync

"""What waits in an outbox directory, for whoever looks at it from outside the processes that use it."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from genops_otel_posthog.export.outbox.cursor import Position, cursor_path, read_cursor
from genops_otel_posthog.export.outbox.dead import DeadLetter, DeadLetters
from genops_otel_posthog.export.outbox.directory import DEAD_LETTERS, default_directory, prepare, segments_in
from genops_otel_posthog.export.outbox.segment_file import (
    Header,
    UnreadableSegment,
    make_record,
    read_header,
    read_records,
)
from genops_otel_posthog.export.outbox.segments import adopt, create, lock_orphan, sync_descriptor


@dataclass(frozen=True)
class WaitingSegment:
    """A segment as it lies there.

    Attributes:
        path: The file.
        made: When it was begun.
        process: Id of the process that wrote it.
        in_use: Whether a living process has it: the one that wrote it, or one that delivers it.
        importance: Of its events.
        events: How many it holds, delivered or not.
        bytes: Its size.
        waiting: How many events each destination still has to get.
        problem: Why it cannot be read; empty when it can.
    """

    path: Path
    made: datetime
    process: int
    in_use: bool
    importance: str
    events: int
    bytes: int
    waiting: dict[str, int]
    problem: str = ""


@dataclass(frozen=True)
class WaitingEvent:
    """An event that some destination still has to get.

    Attributes:
        destinations: Which.
        importance: Of the event.
        body: The event as it will be sent.
        segment: Where it lies.
    """

    destinations: tuple[str, ...]
    importance: str
    body: bytes
    segment: Path

    def content(self) -> dict[str, Any]:
        """The event; an empty object when it is none."""
        try:
            content = json.loads(self.body)
        except ValueError:
            return {}
        return content if isinstance(content, dict) else {}


def dead_letters(directory: Path) -> DeadLetters:
    """The dead letters of a directory."""
    return DeadLetters(directory / DEAD_LETTERS)


def waiting_segments(directory: Path) -> Iterator[WaitingSegment]:
    """All segments, oldest first. Those that vanish meanwhile have been delivered.

    Raises:
        OSError: The directory cannot be read.
    """
    for path in segments_in(directory):
        try:
            with closing(_Reader(path)) as reader:
                yield reader.describe()
        except FileNotFoundError:
            continue


def waiting_events(directory: Path, destination: str | None = None) -> Iterator[WaitingEvent]:
    """All events that wait, oldest segment first.

    Args:
        destination: Only those for this one, by identity or name.

    Raises:
        OSError: The directory cannot be read.
    """
    for path in segments_in(directory):
        try:
            with closing(_Reader(path)) as reader:
                for event in reader.events():
                    if destination is None or any(is_named(name, destination) for name in event.destinations):
                        yield event
        except (FileNotFoundError, UnreadableSegment):
            continue


def waits_for(directory: str | os.PathLike[str] | None, identity: str) -> bool:
    """Whether there are events of any process for a destination.

    Args:
        directory: The outbox directory; the default one when not given.
        identity: Of the destination.

    Raises:
        GenOpsConfigurationError: There is no place for a default directory.
    """
    try:
        paths = segments_in(Path(directory) if directory is not None else default_directory())
    except OSError:
        return False  # there is none yet
    for path in paths:
        with suppress(OSError, UnreadableSegment), closing(_Reader(path)) as reader:
            if reader.is_for(identity):
                return True
    return False


def is_named(identity: str, wanted: str) -> bool:
    """Whether a destination is meant by its identity, ``posthog.1f2e3d4c5b``, or by its name alone."""
    return wanted in (identity, identity.partition(".")[0])


def requeue(directory: Path, letters: Sequence[DeadLetter]) -> int:
    """Sends dead letters again: each to its destination, with its uuid. Returns how many.

    They are on disk before they are no dead letters any more, so a crash in between sends one twice and loses none.

    Raises:
        OSError: The directory cannot be written to.
    """
    prepare(directory)
    for destination in sorted({letter.destination for letter in letters}):
        bodies = [letter.body for letter in letters if letter.destination == destination]
        write_anew(directory, "normal", (destination,), bodies)
    return dead_letters(directory).remove([letter.id for letter in letters])


def purge(directory: Path, *, destination: str | None, before: datetime | None) -> tuple[int, int]:
    """Throws away what waits, for good.

    Args:
        destination: Only what waits for this one, by identity or name.
        before: Only segments begun before that.

    Returns:
        How many events were thrown away (each once for every destination that now does not get it), and how many
        segments belong to living processes and were left.

    Raises:
        OSError: The directory cannot be used.
    """
    thrown = left = 0
    for path in segments_in(directory):
        if before is not None and _made(path) >= before:
            continue
        descriptor = lock_orphan(path)
        if descriptor is None:
            left += path.exists()
            continue
        try:
            every = read_header(descriptor).destinations
            segment, _ = adopt(path, descriptor, every)
        except UnreadableSegment:
            os.close(descriptor)
            continue
        end = Position(segment.end, segment.records)
        for name in every:
            if destination is None or is_named(name, destination):
                thrown += segment.records - segment.positions[name].records
                segment.advance(name, end)
        if all(position.records >= segment.records for position in segment.positions.values()):
            segment.remove()
        else:
            segment.release()
    return thrown, left


def events_in(path: Path) -> Iterator[WaitingEvent]:
    """The events that wait in a segment; none when it is gone, or is none."""
    try:
        with closing(_Reader(path)) as reader:
            yield from reader.events()
    except (FileNotFoundError, UnreadableSegment):
        return


def write_anew(directory: Path, importance: str, destinations: tuple[str, ...], bodies: Sequence[bytes]) -> None:
    """Writes a segment that waits for a process to deliver it.

    Raises:
        OSError: It cannot be written; then it is not there.
    """
    segment = create(directory, importance, destinations, number=secrets.randbelow(1 << 30))
    for body in bodies:
        record = make_record(body, segment.seed)
        if os.write(segment.descriptor, record) != len(record):
            segment.remove()
            raise OSError(f"the disk of {directory} is full; nothing was written for {', '.join(destinations)}")
    sync_descriptor(segment.descriptor)
    segment.release()


class _Reader:
    """Reads a segment without taking it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def close(self) -> None:
        os.close(self._descriptor)

    def is_for(self, identity: str) -> bool:
        return identity in read_header(self._descriptor).destinations

    def describe(self) -> WaitingSegment:
        size = os.fstat(self._descriptor).st_size
        made, process, in_use = _made(self._path), _process(self._path), self._is_in_use()
        try:
            header = read_header(self._descriptor)
        except UnreadableSegment as problem:
            return WaitingSegment(self._path, made, process, in_use, "", 0, size, {}, str(problem))
        events = sum(1 for _ in self._records(header))
        waiting = {name: events - min(events, self._done(header, name)) for name in header.destinations}
        return WaitingSegment(self._path, made, process, in_use, header.importance, events, size, waiting)

    def events(self) -> Iterator[WaitingEvent]:
        header = read_header(self._descriptor)
        done = {name: self._done(header, name) for name in header.destinations}
        for number, body in enumerate(self._records(header)):
            names = tuple(name for name, count in done.items() if count <= number)
            if names:
                yield WaitingEvent(names, header.importance, body, self._path)

    def _records(self, header: Header) -> Iterator[bytes]:
        size = os.fstat(self._descriptor).st_size
        for record in read_records(
            lambda size, offset: os.pread(self._descriptor, size, offset), header.seed, header.start, size
        ):
            yield record.body

    def _done(self, header: Header, name: str) -> int:
        position = read_cursor(cursor_path(self._path, name), header.seed)
        return position.records if position else 0

    def _is_in_use(self) -> bool:
        try:
            descriptor = lock_orphan(self._path)
        except OSError:
            return True  # somebody else's: only its user could deliver it
        if descriptor is None:
            return True
        os.close(descriptor)
        return False


def _made(path: Path) -> datetime:
    return datetime.fromtimestamp(int(path.stem.partition("-")[0]) / 1000, timezone.utc)


def _process(path: Path) -> int:
    return int(path.stem.split("-")[1])

"""The thread that keeps house: synchronises with the disk, adopts orphans, closes, expires and sweeps."""

from __future__ import annotations

import contextlib
import contextvars
import logging
import os
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from genops_otel_posthog.export.outbox.accounts import EXPIRED
from genops_otel_posthog.export.outbox.directory import (
    CURSOR_SUFFIX,
    SEGMENT_SUFFIX,
    UNFINISHED_SUFFIX,
    segments_in,
)
from genops_otel_posthog.export.outbox.segment_file import UnreadableSegment
from genops_otel_posthog.export.outbox.segments import FileSegment, adopt, lock_orphan

if TYPE_CHECKING:
    from genops_otel_posthog.export.outbox.store import Store

_logger = logging.getLogger(__name__)

_ADOPTED_AT_ONCE = 8
"""Orphans that a process holds at most, so that others may take some too."""
_UNFINISHED_SECONDS = 3600.0
_CLOCK_JUMP_SECONDS = 3600.0
_AGE_OF_NO_CLOCK = 20 * 365 * 86_400.0
"""Seconds: a file as old as that was written before the clock of the machine was set."""


class Keeper:
    """See the module.

    Args:
        store: Whose house it is.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._event = threading.Event()
        self._thread: threading.Thread | None = None
        self._stopping = False
        self._survey_now = False
        self._more = False  # there are orphans that were not adopted yet
        self._not_mine: dict[str, tuple[int, frozenset[str]]] = {}  # size and destinations when it was last looked at
        self._clocks = time.time() - time.monotonic()

    def start(self) -> None:
        """Starts the thread unless it runs or the interpreter is ending."""
        if self._thread is None:
            thread = threading.Thread(target=self._run, name="genops-outbox", daemon=True)
            with contextlib.suppress(RuntimeError):
                contextvars.Context().run(thread.start)
                self._thread = thread

    def has_room(self) -> None:
        """An orphan has been dealt with: there may be another."""
        if self._more:
            self._survey_now = True
            self._event.set()

    def stop(self) -> None:
        """Ends the thread soon."""
        self._stopping = True
        self._event.set()

    def join(self, timeout: float) -> None:
        """Waits for the thread."""
        if self._thread is not None:
            self._thread.join(timeout)

    def _run(self) -> None:
        tuning = self._store.options.tuning
        syncs = self._store.options.fsync == "interval"
        surveyed = -tuning.survey
        while not self._stopping:
            try:
                if syncs:
                    self._store.shelf.sync()
                if self._survey_now or time.monotonic() >= surveyed + tuning.survey:
                    surveyed = time.monotonic()
                    self._survey_now = False
                    self.survey()
            except Exception:
                # Without this thread orphans would wait for ever, and nobody would know.
                _logger.exception("Keeping the outbox directory %s failed unexpectedly", self._store.directory)
            if not self._stopping:
                self._event.wait(min(tuning.sync, tuning.survey) if syncs else tuning.survey)
                self._event.clear()

    def survey(self) -> None:
        """Looks at the directory once."""
        store = self._store
        with store.lock:
            store.shelf.retire_old()
        try:
            found = segments_in(store.directory)
            with store.lock:
                store.writer.spare_disk()
                store.room.measure()
            self._adopt(found)
            self._sweep()
        except OSError as error:
            with store.lock:
                if store.durable and not isinstance(error, FileNotFoundError):  # made with the first event
                    store.writer.no_disk(error)
        self._expire()
        with store.lock:
            store.changed.notify_all()  # there may be room that another process made

    def _adopt(self, found: list[Path]) -> None:
        with self._store.lock:
            held = {segment.name for segment in self._store.shelf.segments}
            adopted = sum(not segment.owned for segment in self._store.shelf.segments)
            served = frozenset(self._store.lanes)
        self._more = False
        for path in found:
            if self._stopping:
                return
            if adopted >= _ADOPTED_AT_ONCE:
                self._more = True
                break
            if path.stem in held or self._not_mine.get(path.name) == (_size(path), served):
                continue
            segment = self._take(path, served)
            if segment is not None:
                adopted += 1
                self._store.shelf.take_over(segment)
        names = {path.name for path in found}
        self._not_mine = {name: seen for name, seen in self._not_mine.items() if name in names}

    def _take(self, path: Path, served: frozenset[str]) -> FileSegment | None:
        try:
            descriptor = lock_orphan(path)
        except OSError as error:
            self._leave(path, served, str(error))
            return None
        if descriptor is None:
            return None
        try:
            segment, tail = adopt(path, descriptor, served)
        except (UnreadableSegment, OSError) as error:
            os.close(descriptor)
            self._leave(path, served, str(error))
            return None
        done = all(position.records >= segment.records for position in segment.positions.values())
        if segment.positions.keys() < set(segment.destinations) and done:
            # Nothing of it is for this process. It is looked at again when something changes.
            segment.release()
            self._not_mine[path.name] = (_size(path), served)
            return None
        if tail:
            _logger.info(
                "Segment %s ends with %d bytes that are no event: its process ended, or the disk was full, while it "
                "was appending",
                *(path.name, tail),
            )
        return segment

    def _leave(self, path: Path, served: frozenset[str], reason: str) -> None:
        if path.name not in self._not_mine:
            _logger.warning("%s is left alone: %s", path, reason)
        self._not_mine[path.name] = (_size(path), served)

    def _expire(self) -> None:
        store, max_age = self._store, self._store.options.max_age
        # A clock that was set says nothing about the age of a file.
        if max_age is None or abs(time.time() - time.monotonic() - self._clocks) > _CLOCK_JUMP_SECONDS:
            return
        with store.lock:
            for segment in list(store.shelf.segments):
                if segment.growing:
                    continue
                age = time.monotonic() - segment.born
                if isinstance(segment, FileSegment) and not segment.owned:
                    on_disk = time.time() - os.fstat(segment.descriptor).st_mtime
                    age = on_disk if on_disk < _AGE_OF_NO_CLOCK else age
                if age > max_age:
                    store.shelf.drop(segment, EXPIRED)

    def _sweep(self) -> None:
        """Removes what crashes left: cursors without a segment, segments that never got their name."""
        for path in self._store.directory.iterdir():
            if path.suffix == CURSOR_SUFFIX:
                # <segment>.<name>[.<account>].cur, and names of segments have no dot.
                if not path.with_name(path.name.partition(".")[0] + SEGMENT_SUFFIX).exists():
                    path.unlink(missing_ok=True)
            elif path.suffix == UNFINISHED_SUFFIX:
                with contextlib.suppress(FileNotFoundError):
                    if time.time() - path.stat().st_mtime > _UNFINISHED_SECONDS:
                        path.unlink()


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -1

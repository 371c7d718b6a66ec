"""What one process does with one directory, however many outboxes it has there.

One lock guards all of it. Appending takes it for the time of one ``write``; sending takes it to look and to settle,
never while a request is made.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from genops_otel_posthog.export.destinations.protocol import Destination
from genops_otel_posthog.export.outbox.accounts import DEAD_LETTERS_FULL, Accounting
from genops_otel_posthog.export.outbox.dead import DeadLetters
from genops_otel_posthog.export.outbox.directory import DEAD_LETTERS
from genops_otel_posthog.export.outbox.keeper import Keeper
from genops_otel_posthog.export.outbox.lane import Lane
from genops_otel_posthog.export.outbox.options import Options
from genops_otel_posthog.export.outbox.room import Room
from genops_otel_posthog.export.outbox.segments import Segment
from genops_otel_posthog.export.outbox.shelf import Shelf
from genops_otel_posthog.export.outbox.writer import Writer

_logger = logging.getLogger(__name__)

_FORKING = threading.RLock()


class Store:
    """See the module.

    Args:
        directory: Absolute, without symbolic links.
        options: Of the first outbox that was opened there.

    Attributes:
        lock: Guards everything here but ``users``.
        changed: Notified when something was settled, thrown away or adopted.
        lanes: By identity of the destination.
        users: How many outboxes there are.
        closed: Whether nothing is taken any more.
    """

    def __init__(self, directory: Path, options: Options) -> None:
        self.directory = directory
        self.options = options
        self.lanes: dict[str, Lane] = {}
        self.users = 0
        self.closed = False
        self._begin()
        self.writer = Writer(self)

    def _begin(self) -> None:
        self.lock = threading.RLock()
        self.changed = threading.Condition(self.lock)
        self.shelf = Shelf(self)
        self.room = Room(self)
        self.keeper = Keeper(self)
        self._dead = DeadLetters(self.directory / DEAD_LETTERS, max_bytes=self.options.dead_bytes)
        self._dead_in_memory = DeadLetters(None, max_bytes=self.options.dead_bytes)

    @property
    def durable(self) -> bool:
        """Whether what is appended now outlives the process."""
        return self.writer.disk_problem is None

    def serve(self, destinations: Iterable[tuple[str, Destination]]) -> None:
        """Sends to these destinations too; the first object for an identity is used for all outboxes."""
        with self.lock:
            for name, destination in destinations:
                if name not in self.lanes:
                    self.lanes[name] = Lane(self, name, destination)
            self.writer.check_directory()
            self.start()

    def start(self) -> None:
        """Starts the threads that do not run.

        At the end of the interpreter there are no new ones: what is on disk waits for the next process.
        """
        self.keeper.start()
        for lane in self.lanes.values():
            lane.start()

    # --- dead letters -----------------------------------------------------------------------------------------------

    def bury(self, destination: str, body: bytes, reason: str, detail: str) -> None:
        """Keeps a dead letter. Not under the lock.

        Raises:
            OSError: It cannot be kept now.
        """
        try:
            gone = self._dead.add(destination, body, reason, detail)
        except OSError:
            if self.durable:
                raise
            # Waiting for a full disk would keep from the destination what would make room on it.
            gone = self._dead_in_memory.add(destination, body, reason, detail)
        for name, count in gone.items():
            with self.lock:
                if name in self.lanes:
                    tally = self.lanes[name].tally
                    moved = min(count, tally.dead)  # those that an earlier process buried are in no account of this one
                    tally.dead -= moved
                    tally.dropped[DEAD_LETTERS_FULL] += moved
                self.room.tell(DEAD_LETTERS_FULL, count)

    # --- waiting ----------------------------------------------------------------------------------------------------

    def delivered(self, destinations: Sequence[str], timeout: float) -> bool:
        """Waits until what this process appended so far for these destinations is settled; whether it is."""
        deadline = time.monotonic() + timeout
        with self.lock:
            targets = [
                (segment, segment.records)
                for segment in self.shelf.segments
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
                for segment in self.shelf.segments
                if segment.owned
            )

    def safe(self) -> bool:
        """Synchronises with the disk; whether everything that was appended outlives this process."""
        with self.lock:
            if any(not segment.durable and segment.size for segment in self.shelf.segments):
                return False
        return self.options.fsync == "none" or self.shelf.sync()

    def accounting(self) -> Accounting:
        """See :meth:`~.outbox.Outbox.accounting`."""
        used = self.room.used()
        with self.lock:
            accounts = {name: lane.account(self.writer.enqueued(name)) for name, lane in self.lanes.items()}
            return Accounting(accounts, dict(self.writer.refused), self.durable, str(self.directory), used)

    # --- ending -----------------------------------------------------------------------------------------------------

    def stop(self, timeout: float) -> None:
        """Ends the threads and leaves what waits to other processes."""
        deadline = time.monotonic() + timeout
        with self.lock:
            self.closed = True
            for stream in self.writer.streams.values():
                self.shelf.retire(stream)
            self.keeper.stop()
            for lane in self.lanes.values():
                lane.stop()
            self.changed.notify_all()
            self.lane_ended()
        for lane in self.lanes.values():
            lane.join(max(0.0, deadline - time.monotonic()))
        self.keeper.join(max(0.0, deadline - time.monotonic()))

    def lane_ended(self) -> None:
        """The last thread out leaves the segments to others: not before, for batches of them are on their way."""
        with self.lock:
            if self.closed and not any(lane.is_running for lane in self.lanes.values()):
                self.shelf.release_all()
                self._dead_in_memory.close()

    def forked(self) -> None:
        """In a child process: what was appended is the parent's, and so are its threads, locks and files."""
        with _FORKING:
            if self.writer.process == os.getpid():
                return
            self.shelf.forked()
            self._begin()
            self.writer.forget()
            for lane in self.lanes.values():
                lane.forget()


def _is_settled(segment: Segment, records: int, destinations: Sequence[str]) -> bool:
    if segment.gone:
        return True
    return all(position.records >= records for name, position in segment.positions.items() if name in destinations)

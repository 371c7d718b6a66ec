"""What a lane has read and not settled, in the order in which it is sent.

Ordinarily that is one batch. There are more while a batch is halved, and when a batch failed while others were taken:
it then stands aside, is tried again at growing intervals and delays nobody. The cursor of a segment stays before the
first record that is not settled, so that the end of the process costs nothing but sending some again.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from genops_otel_posthog.export.outbox.accounts import DAMAGED, Tally
from genops_otel_posthog.export.outbox.batch import Batch
from genops_otel_posthog.export.outbox.cursor import Position
from genops_otel_posthog.export.outbox.segment_file import Record

if TYPE_CHECKING:
    from genops_otel_posthog.export.outbox.segments import Segment
    from genops_otel_posthog.export.outbox.store import Store

_logger = logging.getLogger(__name__)

_MOST_UNPROVEN = 20
"""Single events that failed with nothing taken in between, after which it is rather the service than the events."""


@dataclass
class Aside:
    """A batch that failed while others were taken.

    Attributes:
        batch: Which.
        since: When it first stood aside, on the monotonic clock.
        due: When it is tried again.
        failures: How often it has failed with others taken in between.
    """

    batch: Batch
    since: float
    due: float
    failures: int = 1


class Work:
    """See the module. Guarded by the lock of the store, which ``read_more`` takes by itself.

    Args:
        store: Where the segments are.
        name: The destination's identity.

    Attributes:
        ready: What is sent next.
        aside: What is tried again beside it.
        taken: Requests that the destination took.
    """

    def __init__(self, store: Store, name: str) -> None:
        self._store = store
        self._name = name
        self.ready: deque[Batch] = deque()
        self.aside: list[Aside] = []
        self.taken = 0
        self._read: dict[Segment, Position] = {}  # how far, of segments that have batches here

    # --- how much there is ------------------------------------------------------------------------------------------

    def unread(self, segment: Segment) -> int:
        """Records of a segment that are neither settled nor here."""
        return segment.records - self._reached(segment).records

    @property
    def in_line(self) -> int:
        """Events that wait for their first request, or their next without delay."""
        segments = (s for s in self._store.shelf.segments if self._name in s.positions)
        return sum(map(self.unread, segments)) + sum(map(len, self.ready))

    @property
    def standing_aside(self) -> int:
        """Events that failed while others were taken."""
        return sum(len(each.batch) for each in self.aside)

    @property
    def waiting(self) -> int:
        """Both: events that are not settled."""
        return self.in_line + self.standing_aside

    @property
    def aside_bytes(self) -> int:
        """Bytes of those."""
        return sum(each.batch.size for each in self.aside)

    # --- what comes next --------------------------------------------------------------------------------------------

    def first_aside(self) -> Aside | None:
        """What stands aside and is to be tried first.

        Not again before something else was taken, as long as there is something else: it would only show once more
        that it failed.
        """
        alone = not self.in_line
        tried = (each for each in self.aside if alone or each.batch.failed_at != self.taken)
        return min(tried, key=lambda each: each.due, default=None)

    def wants_more(self) -> bool:
        """Whether more is to be read: nothing is here, or what is here failed event by event and needs a witness."""
        if not self.ready:
            return True
        return len(self.ready) < _MOST_UNPROVEN and all(
            len(batch) == 1 and batch.failed_at == self.taken for batch in self.ready
        )

    def read_more(self, tally: Tally, *, room: int, most: int, largest: int) -> bool:
        """Reads the next batch; whether there was one. Not under the lock.

        Args:
            tally: Where damage is counted.
            room: Most bytes of a batch.
            most: Most events of a batch.
            largest: An event beyond this is a batch of its own.

        Raises:
            OSError: The disk cannot be read.
        """
        store = self._store
        with store.lock:
            segment = next((s for s in store.shelf.segments if self._name in s.positions and self.unread(s)), None)
            if segment is None:
                return False
            position, limit, total = self._reached(segment), segment.end, segment.records
        records: list[Record] = []
        for record in segment.read(position.offset, limit, store.lock):
            size = len(record.body)
            room -= size
            if records and (room < 0 or size > largest):
                break
            records.append(record)
            if len(records) >= most or size > largest:
                break
        with store.lock:
            if segment.gone:
                return False
            if not records:
                lost = total - position.records
                tally.dropped[DAMAGED] += lost
                _logger.error(
                    "%d events for %s in segment %s cannot be read back from the disk", lost, self._name, segment.name
                )
                self._read[segment] = Position(limit, total)
                self._settle(segment)
                return False
            first = position.records + 1
            self._read[segment] = Position(records[-1].end, position.records + len(records))
            self.ready.appendleft(Batch(segment, records, range(first, first + len(records))))
            return True

    # --- what becomes of it -----------------------------------------------------------------------------------------

    def replace(self, batch: Batch, *parts: Batch) -> None:
        """Puts parts in the place of a batch; with none it is settled."""
        for number, each in enumerate(self.aside):
            if each.batch is batch:
                self.aside[number : number + 1] = [Aside(part, each.since, each.due, each.failures) for part in parts]
                break
        else:
            self.ready.popleft()
            self.ready.extendleft(reversed(parts))
        self._settle(batch.segment)

    def halve(self, batch: Batch) -> None:
        """In the middle."""
        self.replace(batch, *batch.split(len(batch) // 2))

    def rotate(self) -> None:
        """The first goes behind all others."""
        self.ready.rotate(-1)

    def put_aside(self, *, now: float, due: float) -> None:
        """The first stands aside from now on."""
        self.aside.append(Aside(self.ready.popleft(), now, due))

    def aside_of(self, batch: Batch) -> Aside | None:
        """What is known of a batch that stands aside."""
        return next((each for each in self.aside if each.batch is batch), None)

    def _reached(self, segment: Segment) -> Position:
        return self._read.get(segment) or segment.positions[self._name]

    def _batches(self) -> Iterator[Batch]:
        yield from self.ready
        yield from (each.batch for each in self.aside)

    def _settle(self, segment: Segment) -> None:
        """The cursor goes as far as everything is settled."""
        begins = [batch.begin for batch in self._batches() if batch.segment is segment]
        position = min(begins) if begins else self._read.pop(segment)
        if not segment.gone and position != segment.positions[self._name]:
            self._store.shelf.settle(segment, self._name, position)
        self._store.changed.notify_all()

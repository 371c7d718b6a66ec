"""A batch on its way: records that are sent together, and what is known against them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from genops_otel_posthog.export.outbox.cursor import Position
from genops_otel_posthog.export.outbox.segment_file import Record
from genops_otel_posthog.export.outbox.segments import Segment


@dataclass
class Batch:
    """Records of one segment that are to be sent in one request.

    Attributes:
        segment: Where they come from.
        records: Those that are to be sent.
        numbers: Of each, how many records of the segment there are up to and including it. They are not in an
            unbroken row where a destination took some and asked for the rest again.
        failed_at: How many requests the destination had taken when these records last failed; ``None`` before.
        suspected: Whether they, or more with them among, failed right after and right before others were taken.
    """

    segment: Segment
    records: Sequence[Record]
    numbers: Sequence[int]
    failed_at: int | None = None
    suspected: bool = False

    def __len__(self) -> int:
        return len(self.records)

    @property
    def size(self) -> int:
        """Bytes of all bodies."""
        return sum(len(record.body) for record in self.records)

    @property
    def begin(self) -> Position:
        """Where the cursor may stand as long as these are not settled."""
        return Position(self.records[0].begin, self.numbers[0] - 1)

    def split(self, at: int) -> tuple[Batch, Batch]:
        """Two batches, the first with so many records."""
        return self._of(slice(0, at)), self._of(slice(at, None))

    def only(self, positions: Sequence[int]) -> Batch:
        """What is left when all but these are settled."""
        return replace(self, records=[self.records[i] for i in positions], numbers=[self.numbers[i] for i in positions])

    def _of(self, part: slice) -> Batch:
        return replace(self, records=self.records[part], numbers=self.numbers[part])

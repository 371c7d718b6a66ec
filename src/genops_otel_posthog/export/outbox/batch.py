"""A batch on its way: the records that are sent together and where the cursor goes once they are settled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from genops_otel_posthog.export.outbox.cursor import Position
from genops_otel_posthog.export.outbox.segment_file import Record
from genops_otel_posthog.export.outbox.segments import Segment


@dataclass(frozen=True)
class Batch:
    """Records of one segment that are to be sent in one request.

    Attributes:
        segment: Where they come from.
        records: Those that are to be sent.
        numbers: Of each, how many records of the segment there are up to and including it. They are not in an
            unbroken row where a destination took some and asked for the rest again.
        until: Where the cursor goes when all of them are settled.
    """

    segment: Segment
    records: Sequence[Record]
    numbers: Sequence[int]
    until: Position

    def __len__(self) -> int:
        return len(self.records)

    @property
    def size(self) -> int:
        """Bytes of all bodies."""
        return sum(len(record.body) for record in self.records)

    def split(self, at: int) -> tuple[Batch, Batch]:
        """Two batches, the first with so many records."""
        first, second = self.records[:at], self.records[at:]
        until = Position(first[-1].end, self.numbers[at - 1])
        return (
            Batch(self.segment, first, self.numbers[:at], until),
            Batch(self.segment, second, self.numbers[at:], self.until),
        )

    def only(self, positions: Sequence[int]) -> Batch:
        """What is left when all but these are settled. The cursor goes past the others as well."""
        return Batch(
            self.segment, [self.records[i] for i in positions], [self.numbers[i] for i in positions], self.until
        )

"""What became of every event, in numbers that add up.

For each destination ``enqueued + adopted = acked + dead + pending + dropped`` holds at any moment. ``pending`` is
counted from the segments, the others where they happen, so the sum is a check and not a definition.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

QUEUE_FULL = "queue_full"
DISK_FULL = "disk_full"
TOO_LARGE = "too_large"
EXPIRED = "expired"
CLOSED = "closed"
DAMAGED = "damaged"
DEAD_LETTERS_FULL = "dead_letters_full"


@dataclass(frozen=True)
class DestinationAccount:
    """What became of the events for one destination, since this process began.

    Attributes:
        enqueued: Appended by this process.
        adopted: Left behind by processes that have ended, and taken over by this one.
        acked: Taken by the destination.
        dead: Not acceptable to it, and kept as dead letters.
        pending: Waiting.
        aside: Those of them that failed while others were taken, and are tried again beside them.
        dropped: Thrown away after they were enqueued, by reason: ``queue_full`` (made room for newer ones),
            ``expired``, ``damaged`` (the disk no longer yields them), ``dead_letters_full``.
        requests: Requests made.
        retries: Those of them that have to be made again.
        state: ``ok``, ``retrying`` (the network, an overload) or ``held`` (the account: people have to act).
        reason: Why it is not ``ok``; empty when it is.
    """

    enqueued: int = 0
    adopted: int = 0
    acked: int = 0
    dead: int = 0
    pending: int = 0
    aside: int = 0
    dropped: Mapping[str, int] = field(default_factory=dict)
    requests: int = 0
    retries: int = 0
    state: str = "ok"
    reason: str = ""

    @property
    def holds(self) -> bool:
        """Whether the numbers add up."""
        gone = self.acked + self.dead + sum(self.dropped.values())
        return self.enqueued + self.adopted == gone + self.pending


@dataclass(frozen=True)
class Accounting:
    """What became of every event that reached an outbox, since this process began.

    Attributes:
        destinations: By identity of the destination.
        refused: Events that were never enqueued, by reason: ``queue_full``, ``disk_full``, ``too_large``, ``closed``.
        durable: Whether what is enqueued now outlives the process.
        directory: Where it lies.
        bytes: What the directory takes on disk.
    """

    destinations: Mapping[str, DestinationAccount]
    refused: Mapping[str, int]
    durable: bool
    directory: str
    bytes: int

    @property
    def holds(self) -> bool:
        """Whether the numbers of every destination add up."""
        return all(account.holds for account in self.destinations.values())


class Tally:
    """The counters of one destination while they change. Guarded by the lock of the store."""

    def __init__(self) -> None:
        self.adopted = 0
        self.acked = 0
        self.dead = 0
        self.requests = 0
        self.retries = 0
        self.dropped: Counter[str] = Counter()

    def account(self, enqueued: int, pending: int, aside: int, state: str, reason: str) -> DestinationAccount:
        """The numbers as they are."""
        return DestinationAccount(
            enqueued=enqueued,
            adopted=self.adopted,
            acked=self.acked,
            dead=self.dead,
            pending=pending,
            aside=aside,
            dropped=dict(self.dropped),
            requests=self.requests,
            retries=self.retries,
            state=state,
            reason=reason,
        )

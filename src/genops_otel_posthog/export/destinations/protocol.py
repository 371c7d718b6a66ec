"""The door between the sender of the outbox and a destination.

The sender knows batches, cursors, retries and deadlines; a destination knows one service: how a batch becomes a
request, and what the answer means for each event of it. A third party adds a destination by the entry point group
``genops_otel_posthog_destinations``.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import NamedTuple, Protocol


class Verdict(Enum):
    """What an answer means."""

    ACCEPTED = "accepted"
    """Every event of the batch has been taken."""
    RETRY = "retry"
    """Nobody is at fault: the network, an overload, a time-out. The same batch again, later."""
    TOO_LARGE = "too_large"
    """The batch is too large as a whole: halve it. A single event that is too large is rejected."""
    REJECTED = "rejected"
    """At least one event of the batch is not acceptable: find it by halving. A single event becomes a dead letter."""
    HELD = "held"
    """The account is at fault (key, quota): nothing is dropped, nothing is sent but a probe, people are told."""


class Answer(NamedTuple):
    """What became of a batch.

    Attributes:
        verdict: What to do.
        reason: Short, stable and fit for a metric: ``http_503``, ``timeout``, ``quota_limited``.
        retry_after: Seconds that the service asked to wait, at least.
        detail: For people; never a key, never the content of an event.
        rejected: Where the service named the guilty events: their positions in the batch; the others were taken.
    """

    verdict: Verdict
    reason: str = ""
    retry_after: float | None = None
    detail: str = ""
    rejected: tuple[int, ...] = ()


class Destination(Protocol):
    """A service that takes events. Used by the sender's thread alone.

    Attributes:
        name: Short and stable; names the cursor on disk.
        max_batch_events: Most events of a request.
        max_batch_bytes: Most bytes of all event bodies of a request.
        max_event_bytes: Most bytes of a single event; larger ones become dead letters without being sent.
    """

    name: str
    max_batch_events: int
    max_batch_bytes: int
    max_event_bytes: int

    def send(self, bodies: Sequence[bytes], timeout: float) -> Answer:
        """Sends a batch.

        Args:
            bodies: Events as JSON, each as :meth:`~genops_otel_posthog.export.event.Event.body` serialised.
            timeout: Most seconds to wait.

        Returns:
            The answer. It never raises for anything the network or the service may do.
        """
        ...

    def close(self) -> None:
        """Lets go of connections."""
        ...

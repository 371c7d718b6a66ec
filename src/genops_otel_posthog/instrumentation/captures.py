"""What became of the events that the application captured, in numbers that add up.

The SDK keeps its events in memory and drops them in silence: when its queue is full, after four attempts, when they
are too large, when the process ends. Each of these is counted here by reason, and so is what was delivered.
``admitted = stored + delivered + failed + dropped + pending`` holds at any moment: pending events are those whose uuids
are kept, the others are counted where it happens, so the sum is a check and not a definition.
"""

from __future__ import annotations

import logging
import os
import threading
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Final
from weakref import WeakSet

from genops_otel_posthog import semconv

_logger = logging.getLogger(__name__)

DELIVERED: Final = semconv.CAPTURE_STATE_DELIVERED
STORED: Final = semconv.CAPTURE_STATE_STORED
FAILED: Final = semconv.CAPTURE_STATE_FAILED
DROPPED: Final = semconv.CAPTURE_STATE_DROPPED

OUT_OF_SIGHT: Final = "out_of_sight"
"""Why an event counts as dropped of which nothing was heard while very many others were admitted."""

_MOST_PENDING = 200_000  # the queue of a client holds 10,000 and ends with it; what it held then is never settled
_MOST_EARLY = 2_000
_LOOK_EVERY = 1_024


@dataclass(frozen=True)
class CaptureAccount:
    """What became of the events that were given to the SDK, since it was instrumented or the process forked.

    Attributes:
        refused: Events that the SDK did not take, by reason: ``queue_full``, ``before_send``, ``disabled``,
            ``send_off``, ``closed`` (the client was shut down), ``too_large``, ``unavailable``, ``error``.
        admitted: Events that it took.
        stored: Those of them that went to the outbox, whose account goes on from there.
        delivered: Those that PostHog has taken.
        failed: Those that the SDK has given up to deliver, by reason: ``http_503``, ``timeout``,
            ``connection_failed``, ``rejected`` (capture v1 refused this event), ``retries_exhausted``, ``error``.
        dropped: Those that it threw away without trying, by reason: ``too_large``, ``unserialisable``,
            ``before_send`` (an ``AsyncClient`` asks it late), ``shutdown``, ``out_of_sight``.
        pending: Those that it has in memory; they are lost if the process ends now.
        beside_outbox: Admitted events that were to go to the outbox, which could not take them.
    """

    refused: Mapping[str, int] = field(default_factory=dict)
    admitted: int = 0
    stored: int = 0
    delivered: int = 0
    failed: Mapping[str, int] = field(default_factory=dict)
    dropped: Mapping[str, int] = field(default_factory=dict)
    pending: int = 0
    beside_outbox: int = 0

    @property
    def holds(self) -> bool:
        """Whether the numbers add up."""
        lost = sum(self.failed.values()) + sum(self.dropped.values())
        return self.admitted == self.stored + self.delivered + lost + self.pending


class Captures:
    """Counts. Safe to use from any thread; a forked child starts at nothing, because its parent reports the rest."""

    _every: ClassVar[WeakSet[Captures]] = WeakSet()

    def __init__(self) -> None:
        self._begin()
        Captures._every.add(self)

    def _begin(self) -> None:
        lock = threading.RLock()  # a finalizer or a signal handler may capture while this thread is in here
        self._acquire, self._release = lock.acquire, lock.release
        self._admitted = self._stored = self._delivered = self._beside_outbox = 0
        self._refused: Counter[str] = Counter()
        self._lost: dict[str, Counter[str]] = {FAILED: Counter(), DROPPED: Counter()}
        self._pending: dict[str, int] = {}
        # What the consumer's thread settled before the thread that captured it came to say that it was admitted.
        self._early: dict[str, tuple[str, str]] = {}

    def admit(self, uuid: str) -> None:
        """The SDK took an event into its queue."""
        self._acquire()  # `with` would double the time of the lock
        self._admitted += 1
        if self._early or uuid in self._pending or not self._admitted % _LOOK_EVERY:
            self._admit_slowly(uuid)
        else:
            self._pending[uuid] = 1
        self._release()

    def _admit_slowly(self, uuid: str) -> None:
        early = self._early.pop(uuid, None)
        if early is not None:
            self._count(*early)
            return
        pending = self._pending
        pending[uuid] = pending.get(uuid, 0) + 1  # the application gives uuids itself, and gave this one again
        while len(pending) > _MOST_PENDING:
            self._lost[DROPPED][OUT_OF_SIGHT] += pending.pop(next(iter(pending)))

    def refuse(self, reason: str) -> None:
        """The SDK did not take an event."""
        self._acquire()
        self._refused[reason] += 1
        self._release()

    def pass_outbox(self, number: int) -> None:
        """Events that were to go to the outbox go the SDK's own way."""
        self._acquire()
        self._beside_outbox += number
        self._release()

    def admit_and_settle(self, state: str, reason: str = "", number: int = 1) -> None:
        """The SDK took events and sent them at once, as it does in synchronous mode."""
        self._acquire()
        self._admitted += number
        for _ in range(number):
            self._count(state, reason)
        self._release()

    def settle(self, uuids: Iterable[str], state: str, reason: str = "") -> None:
        """Events have left the SDK's queue.

        Args:
            uuids: Theirs.
            state: ``stored``, ``delivered``, ``failed`` or ``dropped``.
            reason: Of the last two.
        """
        self._acquire()
        try:
            for uuid in uuids:
                if self._take(uuid):
                    self._count(state, reason)
                    continue
                self._early[uuid] = state, reason
                if len(self._early) > _MOST_EARLY:
                    del self._early[next(iter(self._early))]
        finally:
            self._release()

    def is_pending(self, uuid: str) -> bool:
        """Whether the SDK has this event in its queue."""
        return uuid in self._pending

    def account(self) -> CaptureAccount:
        """The numbers as they are."""
        self._acquire()
        try:
            return CaptureAccount(
                refused=dict(self._refused),
                admitted=self._admitted,
                stored=self._stored,
                delivered=self._delivered,
                failed=dict(self._lost[FAILED]),
                dropped=dict(self._lost[DROPPED]),
                pending=sum(self._pending.values()),
                beside_outbox=self._beside_outbox,
            )
        finally:
            self._release()

    def tell_at_exit(self) -> None:
        """Says once what the process takes with it."""
        account = self.account()
        if account.pending:
            _logger.warning(
                "%d of %d events that the application captured are not delivered and are lost with this process. "
                "Events outlive it with GENOPS_DURABLE_CAPTURE=true",
                *(account.pending, account.admitted),
            )

    def _take(self, uuid: str) -> bool:
        """Takes an event out of the pending ones; whether it was among them."""
        number = self._pending.pop(uuid, 0)
        if number > 1:
            self._pending[uuid] = number - 1
        return number > 0

    def _count(self, state: str, reason: str) -> None:
        if state == DELIVERED:
            self._delivered += 1
        elif state == STORED:
            self._stored += 1
        else:
            self._lost[state][reason] += 1

    @classmethod
    def _start_over_after_fork(cls) -> None:
        for captures in list(cls._every):
            captures._begin()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=Captures._start_over_after_fork)

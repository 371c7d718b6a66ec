"""One destination's way out: a thread that takes batches from the segments and sends them.

Each destination has a lane of its own, so that one that is down, slow or refuses does not delay another.

The order is by importance, then by age.
"""

from __future__ import annotations

import contextlib
import contextvars
import logging
import threading
import time
from typing import TYPE_CHECKING

from genops_otel_posthog.export.destinations.protocol import Answer, Destination, Verdict
from genops_otel_posthog.export.outbox.accounts import DestinationAccount, Tally
from genops_otel_posthog.export.outbox.answers import HELD, Answers
from genops_otel_posthog.export.outbox.batch import Batch
from genops_otel_posthog.export.outbox.work import Work

if TYPE_CHECKING:
    from genops_otel_posthog.export.outbox.segments import Segment
    from genops_otel_posthog.export.outbox.store import Store

_logger = logging.getLogger(__name__)


class Lane:
    """See the module.

    Args:
        store: Where the segments are.
        name: The destination's identity.
        destination: The destination.
    """

    def __init__(self, store: Store, name: str, destination: Destination) -> None:
        self.name = name
        self.destination = destination
        self._store = store
        self.forget()

    def forget(self) -> None:
        """Starts over, as a new process does. What waits is still in the segments."""
        self.tally = Tally()
        self.wake_at = 0
        self._event = threading.Event()
        self._thread: threading.Thread | None = None
        self._stopping = False
        self._work = Work(self._store, self.name)
        self._answers = Answers(self._store, self.name, self._work, self.tally, self.destination.max_batch_bytes)
        self._lingers_until: float | None = None

    # --- for the store, under its lock ------------------------------------------------------------------------------

    def start(self) -> None:
        """Starts the thread unless it runs, or the interpreter is ending and takes no more threads."""
        if self._thread is None:
            thread = threading.Thread(target=self._run, name=f"genops-outbox-{self.name}", daemon=True)
            with contextlib.suppress(RuntimeError):
                # In an empty context: instrumented threads would take the span that happens to be current along.
                contextvars.Context().run(thread.start)
                self._thread = thread

    def wake(self) -> None:
        """There is something to look at."""
        self._event.set()

    def hurry(self) -> None:
        """Somebody waits: no lingering, and one try now unless the service asked for time."""
        self._answers.hurry()
        self._event.set()

    @property
    def is_running(self) -> bool:
        """Whether there is a thread that has not ended."""
        return self._thread is not None

    def stop(self) -> None:
        """Ends the thread after the request that is being made."""
        self._stopping = True
        self._event.set()

    def join(self, timeout: float) -> None:
        """Waits for the thread to end. Not under the lock."""
        thread = self._thread
        if thread is not None:
            thread.join(timeout)

    def waiting(self) -> int:
        """Events that this destination has not settled."""
        return self._work.waiting

    def unsettled(self, segment: Segment) -> int:
        """Events of a segment that are neither settled nor being sent. Called when it is thrown away."""
        return self._work.unread(segment)

    def account(self, enqueued: int) -> DestinationAccount:
        """The numbers as they are."""
        return self.tally.account(
            enqueued, self.waiting(), self._work.standing_aside, self._answers.state, self._answers.reason
        )

    # --- the thread -------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while self._wait():
            try:
                self._step()
            except Exception:
                # Without its thread the destination would get nothing more, and nobody would know.
                if not self._answers.failures:
                    _logger.exception("Sending to %s failed unexpectedly; it is tried again", self.name)
                with self._store.lock:
                    self._answers.pause(Answer(Verdict.RETRY, "error"))
        self.destination.close()
        with self._store.lock:
            self._thread = None
            self._store.lane_ended()

    def _wait(self) -> bool:
        """Until there is a batch to be sent; ``False`` at the end."""
        while True:
            with self._store.lock:
                if self._stopping:
                    return False
                delay = self._delay(time.monotonic())
                if delay is not None and delay <= 0:
                    return True
                self._event.clear()
            self._event.wait(delay)

    def _delay(self, now: float) -> float | None:
        """Seconds until the next request; ``None`` when nothing waits. Says what to be woken for."""
        in_line, aside, answers = self._work.in_line, self._work.first_aside(), self._answers
        if not in_line:
            self._lingers_until, answers.hurried = None, False
            self._store.writer.wake_lane(self, after=1)
            return None if aside is None else max(aside.due, answers.not_before) - now
        if self._lingers_until is None:
            self._lingers_until = now + self._store.options.tuning.linger
        missing = self.destination.max_batch_events - in_line
        due = now if answers.hurried or self._work.ready or missing <= 0 else self._lingers_until
        due = max(due if aside is None else min(due, aside.due), answers.not_before)
        self._store.writer.wake_lane(self, after=missing if due > answers.not_before else None)
        return due - now

    def _step(self) -> None:
        batch = self._next_batch()
        if batch is None:
            return
        self._answers.take(batch, self._known(batch) or self._send(batch))

    def _next_batch(self) -> Batch | None:
        """The batch to send now; ``None`` when it turned out that there is nothing."""
        with self._store.lock:
            aside = self._work.first_aside()
            if aside is not None and (aside.due <= time.monotonic() or not self._work.in_line):
                return aside.batch
            wants_more = self._work.wants_more()
        if wants_more:
            self._read()
        with self._store.lock:
            ready = self._work.ready
            if not ready:
                return None
            if self._answers.state == HELD and len(ready[0]) > 1:
                self._work.replace(ready[0], *ready[0].split(1))  # a probe is one event
            if self._answers.limit_bytes < self.destination.max_batch_bytes:
                while len(ready[0]) > 1 and ready[0].size > self._answers.limit_bytes:  # from before it was learned
                    self._work.halve(ready[0])
            return ready[0]

    def _read(self) -> None:
        """The next records become the work."""
        destination = self.destination
        try:
            is_read = self._work.read_more(
                self.tally,
                room=self._answers.limit_bytes,
                most=destination.max_batch_events,
                largest=destination.max_event_bytes,
            )
        except OSError as error:
            with self._store.lock:
                self._answers.failed(None, Answer(Verdict.RETRY, "disk", detail=str(error)))
            return
        if is_read:
            self._lingers_until = None

    def _known(self, batch: Batch) -> Answer | None:
        """The answer that needs no request."""
        size = len(batch.records[0].body)
        if size <= self.destination.max_event_bytes:
            return None
        detail = f"{size} bytes, and {self.destination.name} takes {self.destination.max_event_bytes}"
        return Answer(Verdict.TOO_LARGE, "too_large", detail=detail)

    def _send(self, batch: Batch) -> Answer:
        options = self._store.options
        with self._store.lock:
            self.tally.requests += 1
        try:
            with options.quietly():
                return self.destination.send([record.body for record in batch.records], options.tuning.request_timeout)
        except Exception as error:
            # The door says that it never raises; somebody else's destination may all the same.
            if not self._answers.failures:
                _logger.exception("Destination %s raised instead of answering; it is tried again", self.name)
            return Answer(Verdict.RETRY, "error", detail=type(error).__name__)

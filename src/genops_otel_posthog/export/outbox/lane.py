"""One destination's way out: a thread that takes batches from the segments, sends them and settles the answers.

Each destination has a lane of its own, so that one that is down, slow or refuses does not delay another.

The order is by importance, then by age. Within a segment it is the order of the records, so that one cursor says
everything; a batch that has to be halved is therefore settled from left to right.
"""

from __future__ import annotations

import contextlib
import contextvars
import logging
import threading
import time
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING

from genops_otel_posthog.export.destinations.protocol import Answer, Destination, Verdict
from genops_otel_posthog.export.outbox.accounts import DAMAGED, DestinationAccount, Tally
from genops_otel_posthog.export.outbox.batch import Batch
from genops_otel_posthog.export.outbox.cursor import Position
from genops_otel_posthog.export.outbox.segment_file import Record

if TYPE_CHECKING:
    from genops_otel_posthog.export.outbox.segments import Segment
    from genops_otel_posthog.export.outbox.store import Store

_logger = logging.getLogger(__name__)

OK, RETRYING, HELD = "ok", "retrying", "held"

_SPLIT_AFTER = 3
"""Failures in a row after which a batch that the service may be too slow for is halved."""
_SLOW = frozenset({"timeout", "http_408", "http_500", "http_502", "http_504"})
"""Reasons that a smaller batch may help against."""
_TELL_AFTER = 3
"""Failures in a row after which people are told that a destination cannot be reached."""
_SUSPICIOUS = 20
"""Events refused in a row, none taken: rather the configuration than the events, so go slowly."""


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
        self.state, self.reason = OK, ""
        self.wake_at = 0
        self._event = threading.Event()
        self._thread: threading.Thread | None = None
        self._stopping = False
        self._work: deque[Batch] = deque()
        self._ahead = 0  # records of the segment at work that are settled although the cursor is before them
        self._limit_bytes = self.destination.max_batch_bytes
        self._failures = 0
        self._rejected_in_row = 0
        self._not_before = 0.0
        self._may_hurry = True
        self._hurried = False
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
        self._hurried = True
        if self._may_hurry:
            self._not_before = 0.0
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
        behind = sum(
            segment.records - segment.positions[self.name].records
            for segment in self._store.shelf.segments
            if self.name in segment.positions
        )
        return behind - self._ahead + sum(len(batch) for batch in self._work if batch.segment.gone)

    def unsettled(self, segment: Segment) -> int:
        """Events of a segment that are neither settled nor being sent. Called when it is thrown away."""
        at_work = sum(len(batch) for batch in self._work if batch.segment is segment)
        ahead = self._ahead if at_work else 0
        self._ahead -= ahead
        return segment.records - segment.positions[self.name].records - ahead - at_work

    def account(self, enqueued: int) -> DestinationAccount:
        """The numbers as they are."""
        return self.tally.account(enqueued, self.waiting(), self.state, self.reason)

    # --- the thread -------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while self._wait():
            try:
                self._step()
            except Exception:
                # Without its thread the destination would get nothing more, and nobody would know.
                if not self._failures:
                    _logger.exception("Sending to %s failed unexpectedly; it is tried again", self.name)
                with self._store.lock:
                    self._pause(Answer(Verdict.RETRY, "error"))
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
        waiting = self.waiting()
        if not waiting:
            self._lingers_until, self._hurried = None, False
            self._store.writer.wake_lane(self, after=1)
            return None
        if self._lingers_until is None:
            self._lingers_until = now + self._store.options.tuning.linger
        missing = self.destination.max_batch_events - waiting
        due = now if self._hurried or self._work or missing <= 0 else self._lingers_until
        due = max(due, self._not_before)
        self._store.writer.wake_lane(self, after=missing if due > self._not_before else None)
        return due - now

    def _step(self) -> None:
        batch = self._next_batch()
        if batch is None:
            return
        answer = self._known(batch) or self._send(batch)
        verdict = answer.verdict
        if verdict is Verdict.ACCEPTED:
            self._accepted(batch, answer)
        elif verdict in (Verdict.TOO_LARGE, Verdict.REJECTED):
            self._refused(batch, answer)
        else:
            with self._store.lock:
                self._failed(batch, answer)

    def _next_batch(self) -> Batch | None:
        """The batch to send now, first in the work; ``None`` when it turned out that there is nothing."""
        with self._store.lock:
            segment = None if self._work else self._store.shelf.first_waiting(self.name)
        if segment is not None:
            self._read(segment)
        with self._store.lock:
            if not self._work:
                return None
            if self.state == HELD and len(self._work[0]) > 1:
                self._work.extendleft(reversed(self._work.popleft().split(1)))  # a probe is one event
            if self._limit_bytes < self.destination.max_batch_bytes:
                while len(self._work[0]) > 1 and self._work[0].size > self._limit_bytes:  # from before it was learned
                    self._halve(self._work[0])
            return self._work[0]

    def _read(self, segment: Segment) -> None:
        """The next records of a segment become the work."""
        with self._store.lock:
            position, limit, total = segment.positions[self.name], segment.end, segment.records
        records: list[Record] = []
        room, most = self._limit_bytes, self.destination.max_batch_events
        largest = self.destination.max_event_bytes
        try:
            for record in segment.read(position.offset, limit, self._store.lock):
                size = len(record.body)
                room -= size
                if records and (room < 0 or size > largest):
                    break
                records.append(record)
                if len(records) >= most or size > largest:
                    break
        except OSError as error:
            with self._store.lock:
                self._failed(None, Answer(Verdict.RETRY, "disk", detail=str(error)))
            return
        with self._store.lock:
            if segment.gone:
                return
            if not records:
                lost = total - position.records
                self.tally.dropped[DAMAGED] += lost
                _logger.error(
                    "%d events for %s in segment %s cannot be read back from the disk", lost, self.name, segment.name
                )
                self._store.shelf.settle(segment, self.name, Position(limit, total))
                return
            first = position.records + 1
            until = Position(records[-1].end, position.records + len(records))
            self._work.append(Batch(segment, records, range(first, first + len(records)), until))
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
            if not self._failures:
                _logger.exception("Destination %s raised instead of answering; it is tried again", self.name)
            return Answer(Verdict.RETRY, "error", detail=type(error).__name__)

    # --- answers ----------------------------------------------------------------------------------------------------

    def _accepted(self, batch: Batch, answer: Answer) -> None:
        rejected = sorted(answer.rejected)
        if not self._bury(batch, rejected, answer):
            return
        again = sorted(set(answer.again).difference(rejected))
        with self._store.lock:
            self._reached()
            self._rejected_in_row = 0
            self.tally.acked += len(batch) - len(rejected) - len(again)
            self.tally.dead += len(rejected)
            self._work.popleft()
            if not again:
                self._settle(batch)
                return
            rest = batch.only(again)
            if not batch.segment.gone:
                self._ahead += len(batch) - len(rest)
            self._work.appendleft(rest)
            self.tally.retries += 1
            self._pause(answer)

    def _refused(self, batch: Batch, answer: Answer) -> None:
        if len(batch) > 1:
            with self._store.lock:
                self._halve(batch)
                if answer.verdict is Verdict.TOO_LARGE:
                    self._limit_bytes = max(1, min(self._limit_bytes, batch.size // 2))
            return
        if not self._bury(batch, (0,), answer._replace(rejected={0: answer.reason or answer.verdict.value})):
            return
        with self._store.lock:
            self.tally.dead += 1
            self._work.popleft()
            self._settle(batch)
            if answer.verdict is Verdict.REJECTED:
                self._reached()
                self._suspect(answer)

    def _suspect(self, answer: Answer) -> None:
        """When one event after the other is refused, it may not be the events: slowly then."""
        self._rejected_in_row += 1
        if self._rejected_in_row < _SUSPICIOUS:
            return
        if self._rejected_in_row == _SUSPICIOUS:
            _logger.error(
                "%s refused %d events in a row and took none: %s. They are kept as dead letters, and the next ones "
                "are tried at growing intervals. Look at them with: genops-posthog outbox dead",
                *(self.name, _SUSPICIOUS, answer.reason),
            )
        self._failures = self._rejected_in_row - _SUSPICIOUS
        self._pause(answer)

    def _bury(self, batch: Batch, positions: Sequence[int], answer: Answer) -> bool:
        """Keeps dead letters before the cursor passes them; ``False`` when that cannot be done now.

        Keeping one twice keeps it once, so that what is tried again does no harm.
        """
        try:
            for position in positions:
                body, reason = batch.records[position].body, answer.rejected[position]
                self._store.bury(self.name, body, reason, answer.detail)
        except OSError as error:
            with self._store.lock:
                self._failed(batch, Answer(Verdict.RETRY, "dead_letters", detail=str(error)))
            return False
        return True

    def _halve(self, batch: Batch) -> None:
        self._work.popleft()
        self._work.extendleft(reversed(batch.split(len(batch) // 2)))

    def _settle(self, batch: Batch) -> None:
        if batch.segment.gone:
            return
        moved = batch.until.records - batch.segment.positions[self.name].records
        self._ahead -= moved - len(batch)
        self._store.shelf.settle(batch.segment, self.name, batch.until)

    def _reached(self) -> None:
        """The service answered as one that works."""
        if self.state == HELD or self._failures >= _TELL_AFTER:
            _logger.info("%s takes events again; %d wait for it", self.name, self.waiting())
        self.state, self.reason = OK, ""
        self._failures = 0
        self._not_before, self._may_hurry = 0.0, True

    def _failed(self, batch: Batch | None, answer: Answer) -> None:
        self.tally.retries += 1
        held = answer.verdict is Verdict.HELD
        if held and self.state != HELD:
            self._failures = 0
            _logger.error(
                "%s refuses events: %s. Nothing is lost: %d events wait in %s and are sent once it takes them again",
                *(self.name, _why(answer), self.waiting(), self._store.directory),
            )
        elif not held and self.state == HELD:
            self._failures = 0
        self.state, self.reason = HELD if held else RETRYING, answer.reason
        self._pause(answer)
        if not held and self._failures == _TELL_AFTER:
            _logger.warning(
                "%s cannot be reached: %s. %d events wait in %s and are sent once it can",
                *(self.name, _why(answer), self.waiting(), self._store.directory),
            )
        if batch is not None and len(batch) > 1 and answer.reason in _SLOW and self._failures % _SPLIT_AFTER == 0:
            self._halve(batch)

    def _pause(self, answer: Answer) -> None:
        self._failures += 1
        tuning = self._store.options.tuning
        pauses = tuning.probes if answer.verdict is Verdict.HELD else tuning.retries
        pause = pauses.after(self._failures, answer.retry_after)
        self._not_before = time.monotonic() + pause
        self._may_hurry = not answer.retry_after
        self._hurried = False


def _why(answer: Answer) -> str:
    return f"{answer.reason} ({answer.detail})" if answer.detail else answer.reason

"""What an answer leads to: events that are settled, tried again, searched for the guilty one, or held.

The service is told from its events by trying others. What fails while others are taken is at fault itself: it stands
aside, is tried again beside them, and becomes a dead letter in the end. What fails while nothing is taken waits.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from genops_otel_posthog.export.destinations.protocol import Answer, Verdict
from genops_otel_posthog.export.outbox.accounts import Tally
from genops_otel_posthog.export.outbox.batch import Batch
from genops_otel_posthog.export.outbox.work import Aside, Work

if TYPE_CHECKING:
    from genops_otel_posthog.export.outbox.store import Store

_logger = logging.getLogger(__name__)

OK, RETRYING, HELD = "ok", "retrying", "held"

_SPLIT_AFTER = 3
"""Failures in a row after which a batch that the service may be too slow for is halved."""
_BLAMED = frozenset(
    {"timeout", "http_408", "http_500", "http_502", "http_504", "connection_lost", "error", "event_retry"}
)
"""Reasons that may lie in the events: too many at once, or one that the service cannot digest."""
_CONVICTED_AFTER = 5
"""Times that a single event has to fail, with others taken in between, before it becomes a dead letter."""
_TELL_AFTER = 3
"""Failures in a row after which people are told that a destination cannot be reached."""
_SUSPICIOUS = 20
"""Events refused in a row, none taken: rather the configuration than the events, so go slowly."""


class Answers:
    """See the module. Used by the thread of one lane.

    Args:
        store: Where dead letters go.
        name: The destination's identity.
        work: What is sent.
        tally: Where it is counted.
        limit_bytes: Most bytes of a batch, as the destination says.

    Attributes:
        state: ``ok``, ``retrying`` or ``held``.
        reason: Why it is not ``ok``.
        failures: In a row.
        not_before: When the next request may be made, on the monotonic clock.
        hurried: Whether somebody waits.
        limit_bytes: Most bytes of a batch, as far as has been learned.
    """

    def __init__(self, store: Store, name: str, work: Work, tally: Tally, limit_bytes: int) -> None:
        self.state, self.reason = OK, ""
        self.failures = 0
        self.not_before = 0.0
        self.hurried = False
        self.limit_bytes = limit_bytes
        self._store = store
        self._name = name
        self._work = work
        self._tally = tally
        self._may_hurry = True
        self._is_told = False
        self._rejected_in_row = 0
        self._convicted = 0

    def hurry(self) -> None:
        """Somebody waits: one try now, unless the service asked for time. Under the lock of the store."""
        self.hurried = True
        if self._may_hurry:
            self.not_before = 0.0
            for each in self._work.aside:
                each.due = 0.0

    def take(self, batch: Batch, answer: Answer) -> None:
        """Settles what an answer settles. Not under the lock."""
        if len(answer.again) == len(batch):  # taken, it says, but for all of it
            answer = answer._replace(verdict=Verdict.RETRY, reason=answer.reason or "event_retry")
        if answer.verdict is Verdict.ACCEPTED:
            self._accepted(batch, answer)
        elif answer.verdict in (Verdict.TOO_LARGE, Verdict.REJECTED):
            self._refused(batch, answer)
        elif self._is_to_blame(batch, answer):
            self._blame(batch, answer)
        else:
            with self._store.lock:
                self.failed(batch, answer)

    def _accepted(self, batch: Batch, answer: Answer) -> None:
        rejected = sorted(answer.rejected)
        if not self._bury(batch, rejected, answer):
            return
        again = sorted(set(answer.again).difference(rejected))
        with self._store.lock:
            self._reached()
            self._rejected_in_row = 0
            self._tally.acked += len(batch) - len(rejected) - len(again)
            self._tally.dead += len(rejected)
            self._work.taken += 1
            if not again:
                self._work.replace(batch)
                return
            rest = batch.only(again)
            self._work.replace(batch, rest)
            self._stand_aside(rest, answer)
            if answer.retry_after:
                self.pause(answer)

    def _refused(self, batch: Batch, answer: Answer) -> None:
        if len(batch) > 1:
            with self._store.lock:
                self._work.halve(batch)
                if answer.verdict is Verdict.TOO_LARGE:
                    self.limit_bytes = max(1, min(self.limit_bytes, batch.size // 2))
            return
        if not self._bury_one(batch, answer):
            return
        if answer.verdict is Verdict.REJECTED:
            with self._store.lock:
                self._reached()
                self._suspect(answer)

    def _is_to_blame(self, batch: Batch, answer: Answer) -> bool:
        """Whether it failed, others were taken, and it failed again: then it is not the service."""
        is_blamed = answer.verdict is Verdict.RETRY and answer.reason in _BLAMED
        return is_blamed and batch.failed_at is not None and batch.failed_at != self._work.taken

    def _blame(self, batch: Batch, answer: Answer) -> None:
        """Halves a batch until the event that fails is alone; that one stands aside, at last as a dead letter."""
        aside = self._work.aside_of(batch)
        if aside is not None and len(batch) == 1 and self._has_had_its_chances(aside):
            self._convict(batch, aside, answer)
            return
        with self._store.lock:
            if aside is not None or len(batch) == 1:
                self._stand_aside(batch, answer)
                return
            self._tally.retries += 1
            batch.failed_at, batch.suspected = self._work.taken, True
            self._work.halve(batch)

    def _has_had_its_chances(self, aside: Aside) -> bool:
        tuning = self._store.options.tuning
        is_old = time.monotonic() - aside.since >= tuning.patience or self._work.aside_bytes > tuning.aside_bytes
        return is_old and aside.failures >= _CONVICTED_AFTER

    def _convict(self, batch: Batch, aside: Aside, answer: Answer) -> None:
        detail = f"failed {aside.failures + 1} times while others were taken"
        detail += f": {answer.detail}" if answer.detail else ""
        if self._bury_one(batch, answer._replace(detail=detail)):
            self._convicted += 1
            if self._convicted == 1:
                _logger.error(
                    "%s takes events but not one, which %s (%s). It is kept as a dead letter, as others like it will "
                    "be without a word. To send them again: genops-posthog outbox requeue --reason %s",
                    *(self._name, detail, answer.reason, answer.reason),
                )

    def _suspect(self, answer: Answer) -> None:
        """When one event after the other is refused, it may not be the events: slowly then."""
        self._rejected_in_row += 1
        if self._rejected_in_row < _SUSPICIOUS:
            return
        if self._rejected_in_row == _SUSPICIOUS:
            _logger.error(
                "%s refused %d events in a row and took none: %s. They are kept as dead letters, and the next ones "
                "are tried at growing intervals. Look at them with: genops-posthog outbox dead",
                *(self._name, _SUSPICIOUS, answer.reason),
            )
        self.failures = self._rejected_in_row - _SUSPICIOUS
        self.pause(answer)

    def _bury(self, batch: Batch, positions: Sequence[int], answer: Answer) -> bool:
        """Keeps dead letters before the cursor passes them; ``False`` when that cannot be done now.

        Keeping one twice keeps it once, so that what is tried again does no harm.
        """
        try:
            for position in positions:
                body, reason = batch.records[position].body, answer.rejected[position]
                self._store.bury(self._name, body, reason, answer.detail)
        except OSError as error:
            with self._store.lock:
                self.failed(batch, Answer(Verdict.RETRY, "dead_letters", detail=str(error)))
            return False
        return True

    def _bury_one(self, batch: Batch, answer: Answer) -> bool:
        """The one event of a batch becomes a dead letter; ``False`` when that cannot be done now."""
        if not self._bury(batch, (0,), answer._replace(rejected={0: answer.reason or answer.verdict.value})):
            return False
        with self._store.lock:
            self._tally.dead += 1
            self._work.replace(batch)
        return True

    def _reached(self) -> None:
        """The service answered as one that works."""
        if self._is_told:
            self._is_told = False
            _logger.info("%s takes events again; %d wait for it", self._name, self._work.waiting)
        self.state, self.reason = OK, ""
        self.failures = 0
        self.not_before, self._may_hurry = 0.0, True

    def failed(self, batch: Batch | None, answer: Answer) -> None:
        """Nothing can be sent now, or nothing is known against these events. Under the lock."""
        self._tally.retries += 1
        held = answer.verdict is Verdict.HELD
        if held and self.state != HELD:
            self.failures, self._is_told = 0, True
            _logger.error(
                "%s refuses events: %s. Nothing is lost: %d events wait in %s and are sent once it takes them again",
                *(self._name, _why(answer), self._work.waiting, self._store.directory),
            )
        elif not held and self.state == HELD:
            self.failures, self._is_told = 0, False
        self.state, self.reason = HELD if held else RETRYING, answer.reason
        self.pause(answer)
        is_aside = batch is not None and self._work.aside_of(batch) is not None
        if not held and self.failures >= _TELL_AFTER and not self._is_told and not is_aside:
            self._is_told = True
            _logger.warning(
                "%s cannot be reached: %s. %d events wait in %s and are sent once it can",
                *(self._name, _why(answer), self._work.waiting, self._store.directory),
            )
        if batch is not None and answer.reason in _BLAMED:
            self._search(batch)

    def _search(self, batch: Batch) -> None:
        """The batch failed, and nothing was taken since it last did: smaller then, or something else first."""
        batch.failed_at = self._work.taken
        aside = self._work.aside_of(batch)
        if aside is not None:
            aside.due = self.not_before
        elif self.failures % _SPLIT_AFTER == 0 and len(batch) > 1:
            self._work.halve(batch)
        elif batch.suspected or (self.failures % _SPLIT_AFTER == 0):
            self._work.rotate()

    def _stand_aside(self, batch: Batch, answer: Answer) -> None:
        """The service works, but not for this batch: it is tried again beside the others."""
        self._tally.retries += 1
        now, aside = time.monotonic(), self._work.aside_of(batch)
        failures = aside.failures + 1 if aside else 1
        due = now + self._store.options.tuning.retries.after(failures, answer.retry_after)
        batch.failed_at = self._work.taken
        if aside is None:
            self._work.put_aside(now=now, due=due)
            return
        aside.failures, aside.due = failures, due
        if len(batch) > 1 and failures % _SPLIT_AFTER == 0:
            self._work.halve(batch)

    def pause(self, answer: Answer) -> None:
        """No request for a while. Under the lock."""
        self.failures += 1
        tuning = self._store.options.tuning
        pauses = tuning.probes if answer.verdict is Verdict.HELD else tuning.retries
        pause = pauses.after(self.failures, answer.retry_after)
        self.not_before = time.monotonic() + pause
        self._may_hurry = not answer.retry_after
        self.hurried = False


def _why(answer: Answer) -> str:
    return f"{answer.reason} ({answer.detail})" if answer.detail else answer.reason

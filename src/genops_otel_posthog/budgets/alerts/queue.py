"""Which alert is sent next, and when: the part of delivery that has no thread and opens no connection.

The ledger keeps every alert until somebody has delivered it, and hands it to one process at a time, for a time (the
claim). So this queue may forget: what does not fit, or is not delivered before its claim ends, is left to the ledger,
which hands it out again.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

from genops_otel_posthog.budgets.alerts.endpoint import DELIVERED, FAILED, Outcome
from genops_otel_posthog.budgets.ledger.protocol import Alert

FIRST_PAUSE_SECONDS = 1.0
"""The longest pause after the first failure; it doubles with each further one."""
LONGEST_PAUSE_SECONDS = 30.0
"""It grows no further, so that each alert is tried at least once while it is claimed."""
LONGEST_RETRY_AFTER_SECONDS = 3_600.0
"""A receiver that wants to be left alone for longer is asked again after this."""
SHORTEST_ATTEMPT_SECONDS = 1.0
"""With less than this of its claim left, an alert is not sent any more."""
_REMEMBERED = 1_024


class AlertCounts(NamedTuple):
    """What became of the alerts that this process was handed, since it started (or was forked).

    ``delivered + failed + returned + waiting`` is how many it was handed; one that was returned and is handed out again
    counts again.

    Attributes:
        delivered: Taken by the receiver, or, where there is none, written to the log.
        failed: Refused by the receiver for good.
        retried: Attempts that failed and were, or will be, repeated.
        returned: Left to the ledger, which hands them out again.
        waiting: Waiting now.
    """

    delivered: int = 0
    failed: int = 0
    retried: int = 0
    returned: int = 0
    waiting: int = 0


class AlertQueue:
    """The alerts that wait, the oldest first. Used under its owner's lock.

    All alerts go to one receiver, so a pause after a failure holds for all of them.

    Args:
        claim_seconds: How long an alert is this process's to deliver.
        capacity: How many wait at most.
        clock: Seconds of a clock that is never set.
        random: 0 ≤ x < 1. A pause is this part of the longest pause ("full jitter",
            https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/), so that many processes do not
            all come back at once.
    """

    def __init__(
        self, claim_seconds: float, capacity: int, clock: Callable[[], float], random: Callable[[], float]
    ) -> None:
        if claim_seconds <= SHORTEST_ATTEMPT_SECONDS:
            raise ValueError(
                f"a claim of {claim_seconds} s leaves no time to deliver an alert; more than "
                f"{SHORTEST_ATTEMPT_SECONDS} s are needed"
            )
        self._claim = claim_seconds
        self._capacity = capacity
        self._clock = clock
        self._random = random
        self._waiting: OrderedDict[str, tuple[Alert, float]] = OrderedDict()
        self._settled: OrderedDict[str, None] = OrderedDict()
        self._unreported: list[str] = []
        self._counts = AlertCounts()
        self._not_before = 0.0
        self._demanded = False
        self._last = math.inf
        self.failures = 0
        """How many attempts have failed in a row."""

    @property
    def counts(self) -> AlertCounts:
        """What became of the alerts so far."""
        return self._counts._replace(waiting=len(self._waiting))

    def add(self, alert: Alert) -> bool:
        """Takes an alert; whether it is one that this process has not met before.

        An alert that was settled already is reported again and not sent again: the ledger has not heard of it yet.
        """
        if alert.id in self._settled:
            self._unreported.append(alert.id)
            return False
        known = alert.id in self._waiting
        if not known and len(self._waiting) >= self._capacity:
            self._return(1)
            return False
        self._waiting[alert.id] = alert, self._clock() + self._claim
        return not known

    def settle(self, alert_id: str, verdict: str) -> None:
        """Notes that nothing more is to be done about an alert, so that the ledger can forget it."""
        if self._waiting.pop(alert_id, None) is None:
            self._return(-1)  # it was given up while its last attempt was under way
        self._settled[alert_id] = None
        if len(self._settled) > _REMEMBERED:
            self._settled.popitem(last=False)
        self._unreported.append(alert_id)
        if verdict == DELIVERED:
            self._counts = self._counts._replace(delivered=self._counts.delivered + 1)
        else:
            self._counts = self._counts._replace(failed=self._counts.failed + 1)

    def drain(self) -> tuple[str, ...]:
        """Ids of the alerts that the ledger can forget, each reported once."""
        ids, self._unreported = tuple(dict.fromkeys(self._unreported)), []
        return ids

    def pause(self) -> float | None:
        """Seconds until there is something to do, 0.0 for sending the next alert; ``None`` when there is nothing."""
        now = self._clock()
        expired = [key for key, (_, until) in self._waiting.items() if until - now <= SHORTEST_ATTEMPT_SECONDS]
        for key in expired:
            del self._waiting[key]
        self._return(len(expired))
        pause = max(0.0, self._not_before - now)
        if not self._waiting or now + pause >= self._last:
            return None
        next_to_expire = min(until for _, until in self._waiting.values())
        return min(pause, next_to_expire - now - SHORTEST_ATTEMPT_SECONDS)

    def next(self) -> tuple[Alert, float]:
        """The alert to send, and for how many seconds that may take. To be asked when :meth:`pause` says 0.0."""
        alert, until = next(iter(self._waiting.values()))
        return alert, min(until, self._last) - self._clock()

    def note(self, alert: Alert, outcome: Outcome) -> None:
        """Takes note of what became of an attempt."""
        if outcome.verdict != FAILED:
            self.failures = 0
            self._not_before = 0.0
            self.settle(alert.id, outcome.verdict)
            return
        if alert.id in self._waiting:
            # A receiver that chokes on one alert may yet take the others.
            self._waiting.move_to_end(alert.id)
        self._counts = self._counts._replace(retried=self._counts.retried + 1)
        longest = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2.0 ** min(self.failures, 10))
        self.failures += 1
        self._demanded = outcome.retry_after is not None
        pause = self._random() * longest if outcome.retry_after is None else outcome.retry_after
        self._not_before = self._clock() + min(pause, LONGEST_RETRY_AFTER_SECONDS)

    def end_at(self, last: float) -> None:
        """What waits is tried at once, unless the receiver wants to be left alone, and nothing after ``last``."""
        self._last = last
        if not self._demanded:
            self._not_before = 0.0

    def abandon(self) -> None:
        """Leaves to the ledger what waits."""
        self._return(len(self._waiting))
        self._waiting.clear()

    def _return(self, count: int) -> None:
        self._counts = self._counts._replace(returned=self._counts.returned + count)

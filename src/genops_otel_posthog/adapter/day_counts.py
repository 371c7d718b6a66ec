"""What an owner's calls have used and cost on each of the last days, as this process saw them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from datetime import date, datetime, timedelta, timezone
from typing import Final

from genops_otel_posthog.forks import start_over_after_fork

DAYS_KEPT: Final = 62
"""Two months, so that a month can be compared with the one before."""

_NS_PER_DAY: Final = 86_400 * 1_000_000_000
_EPOCH: Final = date(1970, 1, 1)


class Day:
    """One day, UTC.

    Attributes:
        cost_nano: What calls cost, nano-USD.
        events: Events that were taken.
        identified_events: Those of them that are billed as identified.
        flags_evaluated: Flags that were read, wherever they were answered.
        flag_requests: Requests to PostHog for that.
        repeated_flag_requests: Those of them that asked what had been asked that day already.
        definition_polls: Downloads of flag definitions.
        recordings: Session recordings.
        llm_events: Events of language models.
        by_event: Events by name, of the names that came first.
    """

    __slots__ = (
        "by_event",
        "cost_nano",
        "definition_polls",
        "events",
        "flag_requests",
        "flags_evaluated",
        "identified_events",
        "llm_events",
        "recordings",
        "repeated_flag_requests",
    )

    def __init__(self) -> None:
        self.cost_nano = self.events = self.identified_events = self.flags_evaluated = self.flag_requests = 0
        self.definition_polls = self.recordings = self.llm_events = self.repeated_flag_requests = 0
        self.by_event: dict[str, int] = {}

    def plus(self, other: Day) -> Day:
        """The sum of two."""
        both = Day()
        for name in Day.__slots__:
            if name != "by_event":
                setattr(both, name, getattr(self, name) + getattr(other, name))
        both.by_event = {
            name: self.by_event.get(name, 0) + other.by_event.get(name, 0) for name in {*self.by_event, *other.by_event}
        }
        return both


class DayCounts:
    """Counts by day. Safe to use from any thread and after a fork: a child counts what it does itself.

    Args:
        today: The present day, UTC.
    """

    MOST_EVENT_NAMES: Final = 500
    MOST_FLAG_READS: Final = 50_000
    """Flags and people that are remembered for a day, to see what is asked again."""

    def __init__(self, today: Callable[[], date] | None = None) -> None:
        self._today = today or (lambda: datetime.now(timezone.utc).date())
        self.start_over()
        start_over_after_fork(self)

    def start_over(self) -> None:
        """Begins with nothing, as a forked process does: its parent tells what was before."""
        self.lock = threading.Lock()
        self._days: dict[int, Day] = {}
        self._asked: tuple[int, set[int]] = (0, set())

    def at(self, time_ns: int) -> Day:
        """The day of an instant, nanoseconds since the epoch. The caller holds the lock."""
        number = time_ns // _NS_PER_DAY
        day = self._days.get(number)
        if day is None:
            day = self._days[number] = Day()
            for old in [each for each in self._days if each <= number - DAYS_KEPT]:
                del self._days[old]
        return day

    def asked(self, time_ns: int, flag_key: str, distinct_id: str) -> None:
        """PostHog was asked for a flag of somebody."""
        number, reader = time_ns // _NS_PER_DAY, hash((flag_key, distinct_id))
        with self.lock:
            if self._asked[0] != number:
                self._asked = (number, set())
            readers = self._asked[1]
            if reader in readers:
                self.at(time_ns).repeated_flag_requests += 1
            elif len(readers) < self.MOST_FLAG_READS:
                readers.add(reader)

    def today(self) -> Day:
        """What there was today."""
        return self._sum([self._number(self._today())])

    def this_month(self) -> Day:
        """What there was in this calendar month."""
        today = self._today()
        return self._between(today.replace(day=1), today)

    def last_days(self, days: int, *, before: int = 0) -> Day:
        """What there was in so many days.

        Args:
            days: How many, 1 to 62.
            before: How many days before today they end.
        """
        last = self._today() - timedelta(days=before)
        return self._between(last - timedelta(days=days - 1), last)

    def _between(self, first: date, last: date) -> Day:
        return self._sum(range(self._number(first), self._number(last) + 1))

    def _sum(self, numbers: Iterable[int]) -> Day:
        total = Day()
        with self.lock:
            for number in numbers:
                day = self._days.get(number)
                if day is not None:
                    total = total.plus(day)
        return total

    @staticmethod
    def _number(day: date) -> int:
        return (day - _EPOCH).days

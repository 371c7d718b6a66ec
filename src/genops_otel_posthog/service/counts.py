"""What became of the calls of a service, counted: nothing that is left out is left out silently."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

from genops_otel_posthog.forks import start_over_after_fork


class ServiceCounts(NamedTuple):
    """What became of the calls so far.

    Attributes:
        accepted: Handed to the SDK, which sends them.
        withheld: Not sent because it was so decided, by reason: ``disabled``, ``no_key``, ``event_list``, ``consent``.
        refused: Not sent though it was meant to be, by reason: ``not_initialised``, ``invalid``, ``queue_full``,
            ``budget``, ``sdk`` (dropped by the SDK or by ``before_send``), ``error``.
        undelivered: Of the accepted ones, those that PostHog had not taken after all retries.
    """

    accepted: int
    withheld: Mapping[str, int]
    refused: Mapping[str, int]
    undelivered: int


class Tally:
    """The counters behind :class:`ServiceCounts`."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, str]] = Counter()
        self.start_over()
        start_over_after_fork(self)

    def start_over(self) -> None:
        """Has a lock that nobody holds; called in a forked process."""
        self._lock = threading.Lock()

    def add(self, outcome: str, reason: str = "", number: int = 1) -> None:
        """Counts."""
        with self._lock:
            self._counts[outcome, reason] += number

    def read(self) -> ServiceCounts:
        """The counts."""
        with self._lock:
            counts = dict(self._counts)

        def by_reason(outcome: str) -> dict[str, int]:
            return {reason: number for (name, reason), number in sorted(counts.items()) if name == outcome}

        return ServiceCounts(
            accepted=counts.get(("accepted", ""), 0),
            withheld=by_reason("withheld"),
            refused=by_reason("refused"),
            undelivered=counts.get(("undelivered", ""), 0),
        )

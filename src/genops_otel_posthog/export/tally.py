"""What became of spans, counted where it is decided, so that nothing is lost without a number that says so.

A span counts once for each event that it was to become, and once if it was to become none. Each of these is in one
state, so at any moment ``ended = filtered + sampled + enqueued + dropped``.
"""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar
from weakref import WeakSet

SAMPLED = "sampled"
"""What became of an event that a part of its kind stands for."""

BUDGET = "budget"
"""Why an event was dropped: a budget refused it."""
INTERNAL_ERROR = "internal_error"
"""Why an event was dropped: this package failed."""


@dataclass(frozen=True)
class SpanAccount:
    """What became of the spans of this process so far.

    Attributes:
        ended: What there was to decide about.
        filtered: Nobody asked for it, or a rule, a list or a flag is against it.
        sampled: Left out because only a part of its kind is kept.
        enqueued: In the outbox.
        dropped: Lost, by reason.
    """

    ended: int = 0
    filtered: int = 0
    sampled: int = 0
    enqueued: int = 0
    dropped: Mapping[str, int] = field(default_factory=dict)

    @property
    def holds(self) -> bool:
        """Whether the numbers add up."""
        return self.ended == self.filtered + self.sampled + self.enqueued + sum(self.dropped.values())


class Tally:
    """Counts. Safe to use from any thread; a forked child starts at nothing, because its parent reports the rest."""

    _every: ClassVar[WeakSet[Tally]] = WeakSet()

    def __init__(self) -> None:
        self._clear()
        Tally._every.add(self)

    def _clear(self) -> None:
        lock = threading.Lock()
        self._acquire, self._release = lock.acquire, lock.release
        self._ended = self._filtered = self._sampled = self._enqueued = 0
        self._dropped: Counter[str] = Counter()

    def add_filtered(self) -> None:
        """A span that nobody asked for: what most of them are."""
        self._acquire()  # `with` would double the time of the lock
        self._ended += 1
        self._filtered += 1
        self._release()

    def add(self, ended: int, *, sampled: int = 0, enqueued: int = 0, dropped: Mapping[str, int]) -> None:
        """Another span, as :class:`SpanAccount` counts it."""
        self._acquire()
        self._ended += ended
        self._sampled += sampled
        self._enqueued += enqueued
        if dropped:
            self._dropped.update(dropped)
        self._release()

    def account(self) -> SpanAccount:
        """The numbers as they are."""
        self._acquire()
        try:
            return SpanAccount(self._ended, self._filtered, self._sampled, self._enqueued, dict(self._dropped))
        finally:
            self._release()

    @classmethod
    def _start_over_after_fork(cls) -> None:
        for tally in list(cls._every):
            tally._clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=Tally._start_over_after_fork)

"""PostHog's last answers: asked again they cost nothing, and in an outage they are better than a guess."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Literal

from genops_otel_posthog.flags.answer import MISSING, Answer, Subject, Unknown
from genops_otel_posthog.forks import start_over_after_fork


class RememberedAnswers:
    """Answers of PostHog's server by flag and subject; the least used are forgotten first. Safe to use from any thread.

    Args:
        fresh: Seconds for which an answer is as good as asking.
        keep: Seconds for which it is better than none.
        limit: Most answers.
        clock: Seconds that never go back.
    """

    def __init__(self, fresh: float, keep: float, limit: int, clock: Callable[[], float]) -> None:
        self._fresh = fresh
        self._keep = max(fresh, keep)
        self._limit = limit
        self._clock = clock
        self._answers: OrderedDict[Hashable, tuple[Answer, float]] = OrderedDict()
        self._missing: dict[str, float] = {}
        self.start_over()
        start_over_after_fork(self)

    def start_over(self) -> None:
        """For a forked process."""
        self._lock = threading.Lock()

    def remember(self, key: str, subject: Subject, found: Answer | Unknown) -> None:
        """Keeps what PostHog said. That it has no such flag holds for every subject; other ignorance is not kept."""
        now = self._clock()
        with self._lock:
            if found is MISSING:
                if len(self._missing) >= self._limit:
                    self._missing.clear()
                self._missing[key] = now
            elif isinstance(found, Answer):
                self._missing.pop(key, None)
                place = (key, subject.identity)
                self._answers[place] = (found, now)
                self._answers.move_to_end(place)
                if len(self._answers) > self._limit:
                    self._answers.popitem(last=False)

    def fresh(self, key: str, subject: Subject) -> Answer | Unknown | None:
        """What was said so lately that nobody need be asked; ``None`` if nothing was."""
        found = self._find(key, subject, self._fresh, "cached")
        if found is not None:
            return found
        missing_since = self._missing.get(key)
        return MISSING if missing_since is not None and self._clock() - missing_since <= self._fresh else None

    def any(self, key: str, subject: Subject) -> Answer | None:
        """What was said last, unless it is too long ago."""
        return self._find(key, subject, self._keep, "stale")

    def _find(self, key: str, subject: Subject, within: float, reason: Literal["cached", "stale"]) -> Answer | None:
        if not self._answers:
            return None
        place = (key, subject.identity)
        with self._lock:
            found = self._answers.get(place)
            if found is None:
                return None
            answer, at = found
            age = self._clock() - at
            if age > self._keep:
                del self._answers[place]
            if age > within:
                return None
            self._answers.move_to_end(place)
        return answer._replace(source="cache", reason=reason, stale_s=max(0.0, age))

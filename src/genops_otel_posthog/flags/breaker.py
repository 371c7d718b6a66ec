"""A breaker: after some failures in a row nobody waits for PostHog any more, until a single probe gets through."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from genops_otel_posthog.forks import start_over_after_fork

FAILURES = 3
PAUSE_SECONDS = 5.0
LONGEST_PAUSE_SECONDS = 60.0


class Breaker:
    """Lets calls through while they succeed. Safe to use from any thread.

    Args:
        failures: Failures in a row that open it.
        pause: Seconds until the first probe; doubled by each probe that fails.
        longest: Most seconds between probes.
        clock: Seconds that never go back.
    """

    def __init__(
        self,
        failures: int = FAILURES,
        pause: float = PAUSE_SECONDS,
        longest: float = LONGEST_PAUSE_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._allowed_failures = failures
        self._first_pause = pause
        self._longest = longest
        self._clock = clock
        self._listeners: list[Callable[[bool], None]] = []
        self._failures = 0
        self._pause = pause
        self._until: float | None = None  # open until then; None while it is closed
        self.start_over()
        start_over_after_fork(self)

    def start_over(self) -> None:
        """For a forked process: the probe of its parent, if there is one, will not come back to it."""
        self._lock = threading.Lock()
        self._probing = False

    def on_change(self, listener: Callable[[bool], None]) -> None:
        """Has a function called with whether the breaker is open now, by the thread that opens or closes it."""
        self._listeners.append(listener)

    @property
    def is_open(self) -> bool:
        """Whether calls are turned away, probes apart."""
        return self._until is not None

    def allows(self) -> bool:
        """Whether a call may be made. One that may must be followed by ``succeeded``, ``failed`` or
        ``withdrawn``."""
        if self._until is None:
            return True
        with self._lock:
            until = self._until  # another thread may have closed it by now
            if until is not None:
                if self._probing or self._clock() < until:
                    return False
                self._probing = True
        return True

    def succeeded(self) -> None:
        """A call was answered."""
        if self._failures == 0 and self._until is None:
            return
        with self._lock:
            was_open = self._until is not None
            self._failures, self._pause, self._until, self._probing = 0, self._first_pause, None, False
        if was_open:
            self._tell(False)

    def failed(self, pause: float | None = None) -> None:
        """A call was not answered.

        Args:
            pause: Seconds that are known to be of no use, such as after a refusal for quota: opens it at once.
        """
        with self._lock:
            self._failures += 1
            was_open, was_probe = self._until is not None, self._probing
            self._probing = False
            if was_open and not was_probe and pause is None:
                return  # a call from before it opened
            if pause is None and not was_open and self._failures < self._allowed_failures:
                return
            if was_probe:
                self._pause = min(self._pause * 2, self._longest)
            self._until = self._clock() + (self._pause if pause is None else pause)
        if not was_open:
            self._tell(True)

    def withdrawn(self) -> None:
        """A call that was allowed has not reached PostHog, so nothing is known of PostHog."""
        with self._lock:
            self._probing = False

    def _tell(self, is_open: bool) -> None:
        for listener in self._listeners:
            listener(is_open)

"""What a session has spent and set aside, and whether it and those around it may spend more."""

from __future__ import annotations

import threading
from decimal import Decimal

from genops_otel_posthog.forks import start_over_after_fork
from genops_otel_posthog.money import nano_from_usd


class SessionSpending:
    """See the module. A session within another spends from both. Safe to use from any thread and after a fork.

    Args:
        session_id: Whose it is.
        session_name: What that is for.
        limit: What it may spend, US dollars; ``None`` for no limit of its own.

    Attributes:
        spent_nano: What its calls have cost, nano-USD. Who adds to it holds ``lock``.
        around: That of the session around it; ``None`` before it begins, and where there is none.
    """

    def __init__(self, session_id: str, session_name: str, limit: Decimal | None) -> None:
        self.session_id = session_id
        self.session_name = session_name
        self.limit = limit
        self.spent_nano = 0
        self.around: SessionSpending | None = None
        self._limit_nano = None if limit is None else nano_from_usd(limit)
        self.start_over()
        start_over_after_fork(self)

    def start_over(self) -> None:
        """Makes the lock anew, in a forked process, whose parent ends the calls that were under way."""
        self.lock = threading.Lock()
        self._aside_nano = 0

    @property
    def is_limited(self) -> bool:
        """Whether it or one around it has a limit."""
        return self._limit_nano is not None or (self.around is not None and self.around.is_limited)

    def set_aside(self, amount_nano: int, *, refuses: bool) -> SessionSpending | None:
        """Sets aside what a call will cost, here and around.

        Args:
            amount_nano: How much, nano-USD.
            refuses: Whether nothing is set aside where it would be more than a limit.

        Returns:
            The innermost whose limit is too small; ``None`` where all have room.
        """
        with self.lock:
            limit = self._limit_nano
            is_over = limit is not None and self.spent_nano + self._aside_nano + amount_nano > limit
            if is_over and refuses:
                return self
            self._aside_nano += amount_nano
        over = None if self.around is None else self.around.set_aside(amount_nano, refuses=refuses)
        if over is not None and refuses:
            with self.lock:
                self._aside_nano -= amount_nano
        return self if is_over else over

    def settle(self, amount_nano: int) -> None:
        """Ends what was set aside; what the call cost has been noted."""
        with self.lock:
            self._aside_nano -= amount_nano
        if self.around is not None:
            self.around.settle(amount_nano)

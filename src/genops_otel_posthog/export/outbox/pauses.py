"""How long to wait before trying again.

Full jitter: any pause between nothing and a limit that doubles, because clients that failed together would otherwise
come back together (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/).
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

MAX_RETRY_AFTER = 900.0
"""Seconds: no service makes this one wait longer, whatever it asks for."""

_MOST_DOUBLINGS = 32


@dataclass(frozen=True)
class Pauses:
    """A growing limit for random pauses.

    Attributes:
        first: Limit of the first pause, seconds.
        longest: Limit of any pause, seconds.
        at_least: What part of the limit a pause has at least; 0 for full jitter.
    """

    first: float = 0.5
    longest: float = 60.0
    at_least: float = 0.0

    def after(
        self, failures: int, retry_after: float | None = None, *, draw: Callable[[float, float], float] = random.uniform
    ) -> float:
        """The pause after so many failures in a row.

        Args:
            failures: From 1 on.
            retry_after: Seconds that the service asked to wait; never less than that, up to :data:`MAX_RETRY_AFTER`.
            draw: A random number between two.
        """
        limit = min(self.longest, self.first * 2 ** min(failures - 1, _MOST_DOUBLINGS))
        pause = draw(self.at_least * limit, limit)
        return max(pause, min(retry_after or 0.0, MAX_RETRY_AFTER))


RETRIES = Pauses()
PROBES = Pauses(first=5.0, longest=900.0, at_least=0.5)
"""While the account is at fault: fewer, because somebody has to act first."""

"""Flags that were read a moment ago need not be asked for again."""

from __future__ import annotations

import json
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from genops_otel_posthog.adapter.results import FlagMetadata
from genops_otel_posthog.errors import GenOpsConfigurationError
from genops_otel_posthog.forks import start_over_after_fork

if TYPE_CHECKING:
    from genops_otel_posthog.adapter.adapter import GenOpsPostHogAdapter

DEFAULT_TTL_SECONDS: Final = 300.0
"""The guide's five minutes."""

MOST_ANSWERS: Final = 10_000


class CachedFeatureFlagEvaluator:
    """Reads flags through an adapter and remembers the answers for a while. Safe to use from any thread.

    What has no answer (PostHog cannot be reached, a budget refuses) is not remembered.

    Args:
        adapter: Who asks.
        cache_ttl: Seconds for which an answer is as good as asking, more than 0.
        max_entries: Answers that are remembered, 1 or more; the one that was used longest ago goes first.
        clock: Seconds that never go back.

    Attributes:
        hits: Reads that were answered from memory.
        misses: Reads that were not.

    Raises:
        GenOpsConfigurationError: A number cannot be used.
    """

    def __init__(
        self,
        adapter: GenOpsPostHogAdapter,
        cache_ttl: float = DEFAULT_TTL_SECONDS,
        max_entries: int = MOST_ANSWERS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if not cache_ttl > 0:
            raise GenOpsConfigurationError(f"cache_ttl={cache_ttl!r} cannot be used: it must be more than 0 seconds")
        if max_entries < 1:
            raise GenOpsConfigurationError(f"max_entries={max_entries!r} cannot be used: it must be 1 or more")
        self.adapter = adapter
        self.cache_ttl = cache_ttl
        self.max_entries = max_entries
        self.hits = self.misses = 0
        self._clock = clock
        self._answers: OrderedDict[object, tuple[float, Any, FlagMetadata]] = OrderedDict()
        self.start_over()
        start_over_after_fork(self)

    def start_over(self) -> None:
        """Makes the lock anew, in a forked process."""
        self._lock = threading.Lock()

    def evaluate_with_cache(
        self,
        flag_key: str,
        distinct_id: str,
        properties: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> tuple[Any, FlagMetadata]:
        """Reads a flag.

        Args:
            flag_key: The flag.
            distinct_id: Whom for.
            properties: What is known of the person; the order does not matter.
            **options: As for :meth:`GenOpsPostHogAdapter.evaluate_feature_flag_with_governance`.

        Returns:
            The value and how it was found; from memory it costs 0 and says ``cached``.

        Raises:
            GenOpsValidationError: An argument cannot be used.
        """
        key: object = (flag_key, distinct_id)
        if properties or options:
            key = (flag_key, distinct_id, _canonical(properties), _canonical(options))
        now = self._clock()
        with self._lock:
            found = self._answers.get(key)
            if found is not None and now < found[0]:
                self._answers.move_to_end(key)
                self.hits += 1
                return found[1], found[2].copy()
        value, metadata = self.adapter.evaluate_feature_flag_with_governance(
            flag_key, distinct_id, properties, **options
        )
        with self._lock:
            self.misses += 1
            if metadata["error"] is None:
                remembered: FlagMetadata = {**metadata, "cost": 0.0, "list_cost": 0.0, "cached": True}
                self._answers[key] = (now + self.cache_ttl, value, remembered)
                self._answers.move_to_end(key)
                if len(self._answers) > self.max_entries:
                    self._answers.popitem(last=False)
            else:
                self._answers.pop(key, None)
        return value, metadata

    def forget(self, flag_key: str | None = None) -> None:
        """Forgets the answers about a flag, or all of them."""
        with self._lock:
            for key in list(self._answers):
                if flag_key is None or (isinstance(key, tuple) and key[0] == flag_key):
                    del self._answers[key]

    def __len__(self) -> int:
        return len(self._answers)


def _canonical(given: Mapping[str, Any] | None) -> str:
    """The same text for equal mappings, whatever the order of their keys."""
    return json.dumps(given or {}, sort_keys=True, default=repr, separators=(",", ":"))

"""PostHog's flag definitions in the database: workers share one download, and a new process starts without PostHog.

The SDK asks an object of this shape before each poll (``posthog.flag_definition_cache``, since version 7.4). It does
not say whether a download succeeded, and after one that failed it does not look here. So this object answers for the
database whenever the database has definitions and nobody may or can fetch newer ones.

A download is billed as ten flag requests if the definitions have changed
(PostHog/posthog on GitHub, ``docs/internal/feature-flags/billing.md``).
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Callable
from typing import Any, Final
from uuid import uuid4

from genops_otel_posthog.flags.breaker import Breaker
from genops_otel_posthog.flags.database.store import FlagStore, StoredDefinitions
from genops_otel_posthog.forks import start_over_after_fork

SDK_POLL_SECONDS: Final = 30.0
"""How often the SDK polls unless it is told otherwise."""


class FlagDefinitionCache:
    """Keeps definitions in a database, for ``Posthog(flag_definition_cache_provider=...)``.

    One process at a time fetches. It keeps the lead as long as it goes on polling; when it has gone, another takes over
    after one and a half polls.

    Args:
        store: The database.
        project_key: Key of the project (``phc_…``). The database gets a hash of it.
        poll_interval: Seconds between the SDK's polls, as the client was told.
        clock: Seconds since the epoch, the same for all processes.
        breaker: When to stop trying PostHog.
    """

    def __init__(
        self,
        store: FlagStore,
        project_key: str,
        *,
        poll_interval: float = SDK_POLL_SECONDS,
        clock: Callable[[], float] = time.time,
        breaker: Breaker | None = None,
    ) -> None:
        self._store = store
        self._project = hashlib.sha256(project_key.encode()).hexdigest()[:16]
        self._lead_for = poll_interval * 1.5
        self._clock = clock
        # A single failure counts: the definitions in the database are as good as what is waited for.
        self._breaker = breaker or Breaker(failures=1, pause=poll_interval, longest=poll_interval * 10)
        self._installed: StoredDefinitions | None = None
        self._has_fetched = False
        self.start_over()
        start_over_after_fork(self)

    def start_over(self) -> None:
        """For a forked process, which has its parent's definitions and is a holder of its own."""
        self._lock = threading.Lock()
        self._holder = uuid4().hex
        self._is_fetching = False

    @property
    def is_stale(self) -> bool:
        """Whether the SDK works with definitions from the database because PostHog cannot be reached."""
        return self._installed is not None and self._breaker.is_open

    @property
    def age_s(self) -> float | None:
        """Seconds since the definitions that were taken from the database had come from PostHog."""
        installed = self._installed
        return None if installed is None else max(0.0, self._clock() - installed.received_at)

    def hold(self, seconds: float) -> bool:
        """Has the SDK use the database, because PostHog gives nothing: used after it refused for quota.

        Args:
            seconds: How long not to ask PostHog.

        Returns:
            Whether there are any flags in the database to use.
        """
        stored = self._store.definitions(self._project)
        if stored is None or not json.loads(stored.document).get("flags"):
            return False
        self._breaker.failed(pause=seconds)
        return True

    # --- what the SDK calls -------------------------------------------------------------------------------------

    def should_fetch_flag_definitions(self) -> bool:
        """Whether this process is to download definitions now."""
        with self._lock:
            if self._is_fetching and not self._has_fetched:
                # It never had any from PostHog, so PostHog cannot have answered "not modified": the download failed.
                self._breaker.failed()
            self._is_fetching = False
            stored = self._store.definitions(self._project)
            if stored is not None and self._installed is None and not self._has_fetched:
                return False  # a start costs nothing: the next poll asks PostHog
            now = self._clock()
            leads = self._store.lead(self._project, self._holder, now=now, until=now + self._lead_for)
            self._is_fetching = stored is None or (leads and self._breaker.allows())
            return self._is_fetching

    def get_flag_definitions(self) -> Any:
        """The definitions in the database, ``None`` if there are none."""
        stored = self._store.definitions(self._project)
        if stored is None:
            return None
        self._installed = stored
        return json.loads(stored.document)

    def on_flag_definitions_received(self, data: Any) -> None:
        """Stores what was downloaded."""
        with self._lock:
            self._is_fetching, self._has_fetched, self._installed = False, True, None
        self._breaker.succeeded()
        self._store.put_definitions(self._project, StoredDefinitions(json.dumps(data), self._clock()))

    def shutdown(self) -> None:
        """Lets another process lead."""
        self._store.resign(self._project, self._holder)

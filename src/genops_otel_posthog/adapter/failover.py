"""Two regions: what the first cannot deliver goes to the second, each event once.

PostHog's SDK sends from a thread of its own, so that no call ever fails for want of a network. Whether a region works
is therefore known by what it delivers: when the SDK gives up events of the primary, they are handed to the secondary
under the uuids they have, and calls go there until the primary gets its next chance.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from opentelemetry.instrumentation.utils import suppress_instrumentation

from genops_otel_posthog.adapter.adapter import GenOpsPostHogAdapter
from genops_otel_posthog.adapter.moments import moment_utc
from genops_otel_posthog.adapter.results import CaptureResult, FlagMetadata
from genops_otel_posthog.adapter.session import PostHogAnalyticsSession
from genops_otel_posthog.errors import GenOpsConfigurationError, GenOpsError
from genops_otel_posthog.forks import start_over_after_fork
from genops_otel_posthog.settings.once import WarnOnce

_logger = logging.getLogger(__name__)
_warn = WarnOnce(_logger)

RETRY_SECONDS: Final = 30.0
"""After so long, the primary gets its next chance."""


class FailoverResult(CaptureResult):
    """What became of an event, and where it went.

    Attributes:
        region: The tag ``region`` of the adapter that took it; ``primary`` or ``secondary`` where it has none.
        ha_role: ``primary`` or ``secondary``.
    """

    region: str
    ha_role: str


class FailoverAdapter:
    """An adapter with a second one to fall back on. Safe to use from any thread.

    A budget that refuses a call refuses it: it is not made through the other region instead. What is handed over was
    paid for when it was captured.

    Args:
        primary: Used as long as it delivers.
        secondary: Used otherwise.
        retry_seconds: How long the primary is left alone after it failed, more than 0.
        clock: Seconds that never go back.

    Attributes:
        handed_over: Events of the primary that the secondary was given.

    Raises:
        GenOpsConfigurationError: The two send to the same host under the same key, or a number cannot be used.
    """

    def __init__(
        self,
        primary: GenOpsPostHogAdapter,
        secondary: GenOpsPostHogAdapter,
        *,
        retry_seconds: float = RETRY_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if not retry_seconds > 0:
            raise GenOpsConfigurationError(f"retry_seconds={retry_seconds!r} cannot be used: it must be more than 0")
        if primary.governed.shared is secondary.governed.shared:
            raise GenOpsConfigurationError(
                f"both adapters send to {primary.posthog_host} under the same key, so that the second is no way out "
                "when the first is down; give one of them another posthog_host (EU and US, or a proxy)"
            )
        self.primary = primary
        self.secondary = secondary
        self.handed_over = 0
        self._retry_seconds = retry_seconds
        self._clock = clock
        self._down_until = float("-inf")
        self.start_over()
        start_over_after_fork(self)
        listeners = getattr(primary.governed.shared, "on_undelivered", None)
        if listeners is None:
            raise GenOpsConfigurationError(
                "the primary uses the client of posthog's module functions, whose errors are its own; give it a client "
                "by making a GenOpsPostHogAdapter"
            )
        # One for two clients, however many such adapters there are: none of the events is to be handed over twice.
        listeners[secondary.governed.shared] = self._hand_over

    def start_over(self) -> None:
        """Makes the lock anew, in a forked process."""
        self._lock = threading.Lock()

    @property
    def active(self) -> GenOpsPostHogAdapter:
        """The one that calls go to now."""
        return self.secondary if self._clock() < self._down_until else self.primary

    def capture_event_with_governance(self, *args: Any, **kwargs: Any) -> FailoverResult:
        """Captures an event; see :meth:`GenOpsPostHogAdapter.capture_event_with_governance`.

        Raises:
            GenOpsBudgetExceededError: A budget refuses it.
            GenOpsValidationError: An argument cannot be used.
        """
        adapter = self.active
        result = adapter.capture_event_with_governance(*args, **kwargs)
        is_lost = result["event_uuid"] is None and not (result["blocked"] or result["sampled"])
        if is_lost and adapter is self.primary and not self.primary.client.disabled:
            self._mark_down()  # its queue is full: nothing leaves it any more
            adapter = self.secondary
            result = adapter.capture_event_with_governance(*args, **kwargs)
        role = "primary" if adapter is self.primary else "secondary"
        return {**result, "region": adapter.tags.get("region", role), "ha_role": role}

    def evaluate_feature_flag_with_governance(self, *args: Any, **kwargs: Any) -> tuple[Any, FlagMetadata]:
        """Reads a flag; where the one cannot be asked, the other is. See
        :meth:`GenOpsPostHogAdapter.evaluate_feature_flag_with_governance`."""
        adapter = self.active
        value, metadata = adapter.evaluate_feature_flag_with_governance(*args, **kwargs)
        if adapter is self.primary and metadata["error"] in _UNREACHED:
            self._mark_down()
            return self.secondary.evaluate_feature_flag_with_governance(*args, **kwargs)
        return value, metadata

    def track_analytics_session(self, *args: Any, **kwargs: Any) -> PostHogAnalyticsSession:
        """A session of the one that calls go to now; see :meth:`GenOpsPostHogAdapter.track_analytics_session`."""
        return self.active.track_analytics_session(*args, **kwargs)

    def flush(self, timeout: float = 10.0) -> bool:
        """Waits until both have sent what they have, at most so many seconds; whether they have."""
        deadline = self._clock() + timeout
        # In this order: what the first gives up goes to the second.
        flushed = [adapter.flush(max(0.0, deadline - self._clock())) for adapter in (self.primary, self.secondary)]
        return all(flushed)

    def _mark_down(self) -> None:
        with self._lock:
            was_up = self._clock() >= self._down_until
            self._down_until = self._clock() + self._retry_seconds
        if was_up:
            _logger.warning(
                "PostHog at %s does not deliver; events go to %s for the next %.0f seconds",
                *(self.primary.posthog_host, self.secondary.posthog_host, self._retry_seconds),
            )

    def _hand_over(self, error: Exception, events: Sequence[Mapping[str, Any]]) -> None:
        """Gives the secondary what the SDK of the primary gives up. Called in a thread of that SDK."""
        self._mark_down()
        client = self.secondary.client
        # They were counted and paid for when they were captured.
        with suppress_instrumentation():
            for event in events:
                try:
                    uuid = client.capture(
                        event["event"],
                        distinct_id=event["distinct_id"],
                        properties=dict(event.get("properties") or {}),
                        timestamp=moment_utc(event["timestamp"]),
                        uuid=event["uuid"],
                    )
                except (GenOpsError, LookupError, TypeError) as problem:
                    _warn("events that cannot be handed over", f"An event cannot be handed over: {problem}")
                    continue
                if uuid is None:
                    _warn("events that the secondary refuses", "The secondary's SDK did not take an event either")
                else:
                    self.handed_over += 1


_UNREACHED: Final = frozenset(
    {"ConnectionError", "ConnectTimeout", "ReadTimeout", "Timeout", "APIError", "SSLError", "ProxyError"}
)

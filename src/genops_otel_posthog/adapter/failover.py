"""Two regions: what the first cannot deliver goes to the second, each event once.

PostHog's SDK sends from a thread of its own, so that no call ever fails for want of a network. Whether a region works
is therefore known by what it delivers: when the SDK gives up events of the primary, they are handed to the secondary
under the uuids they have, and calls go there until the primary gets its next chance.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from opentelemetry.instrumentation.utils import suppress_instrumentation

from genops_otel_posthog.adapter.adapter import GenOpsPostHogAdapter
from genops_otel_posthog.adapter.clients import ModuleClient, SharedClient
from genops_otel_posthog.adapter.moments import moment_utc
from genops_otel_posthog.adapter.results import CaptureResult, FlagMetadata
from genops_otel_posthog.adapter.session import PostHogAnalyticsSession
from genops_otel_posthog.errors import GenOpsConfigurationError
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


class _Detour:
    """The way around one client, over another: whether it is taken now, and what has gone it.

    Args:
        primary: The client that is gone around.
        secondary: The one that is used instead.
    """

    def __init__(self, primary: SharedClient, secondary: SharedClient | ModuleClient) -> None:
        self._hosts = primary, secondary
        self.retry_seconds = RETRY_SECONDS
        self.clock: Callable[[], float] = time.monotonic
        self.handed_over = 0
        self._down_until = float("-inf")
        self.start_over()
        start_over_after_fork(self)

    def start_over(self) -> None:
        """Makes the lock anew, in a forked process."""
        self._lock = threading.Lock()

    @property
    def is_taken(self) -> bool:
        """Whether calls go around now."""
        return self.clock() < self._down_until

    def take(self) -> None:
        """The primary does not deliver; calls go around for a while."""
        with self._lock:
            was_up = not self.is_taken
            self._down_until = self.clock() + self.retry_seconds
        if was_up:
            primary, secondary = self._hosts
            _logger.warning(
                "PostHog at %s does not deliver; events go to %s for the next %.0f seconds",
                *(primary.host, secondary.host, self.retry_seconds),
            )

    def hand_over(self, error: Exception, events: Sequence[Mapping[str, Any]]) -> None:
        """Gives the secondary what the SDK of the primary gives up. Called in a thread of that SDK."""
        self.take()
        client = self._hosts[1].sdk
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
                except Exception as problem:  # it is called by the SDK, which would end its thread
                    _warn("events that cannot be handed over", f"An event cannot be handed over: {problem}")
                    continue
                if uuid is None:
                    _warn("events that the secondary refuses", "The secondary's SDK did not take an event either")
                else:
                    with self._lock:
                        self.handed_over += 1


class FailoverAdapter:
    """An adapter with a second one to fall back on. Safe to use from any thread; cheap to make for each request.

    All that fall back from one client on another know of the same outages.

    A budget that refuses a call refuses it: it is not made through the other region instead. What is handed over was
    paid for when it was captured.

    Args:
        primary: Used as long as it delivers.
        secondary: Used otherwise.
        retry_seconds: How long the primary is left alone after it failed, more than 0.
        clock: Seconds that never go back.

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
        line = primary.governed.shared
        if not isinstance(line, SharedClient):
            raise GenOpsConfigurationError(
                "the primary uses the client of posthog's module functions, whose errors are its own; give it a client "
                "by making a GenOpsPostHogAdapter"
            )
        self.primary = primary
        self.secondary = secondary
        # One for two clients, however many such adapters there are: none of the events is to be handed over twice.
        self._detour = _detour(line, secondary.governed.shared)
        self._detour.retry_seconds, self._detour.clock = retry_seconds, clock

    @property
    def handed_over(self) -> int:
        """Events of the primary's client that the secondary's was given."""
        return self._detour.handed_over

    @property
    def active(self) -> GenOpsPostHogAdapter:
        """The one that calls go to now."""
        return self.secondary if self._detour.is_taken else self.primary

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
            self._detour.take()  # its queue is full: nothing leaves it any more
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
            self._detour.take()
            return self.secondary.evaluate_feature_flag_with_governance(*args, **kwargs)
        return value, metadata

    def track_analytics_session(self, *args: Any, **kwargs: Any) -> PostHogAnalyticsSession:
        """A session of the one that calls go to now; see :meth:`GenOpsPostHogAdapter.track_analytics_session`.

        Calls of this adapter join it by ``session_id=`` wherever they go.
        """
        session = self.active.track_analytics_session(*args, **kwargs)
        for adapter in (self.primary, self.secondary):
            adapter.governed.sessions[session.session_id] = session
        return session

    def flush(self, timeout: float = 10.0) -> bool:
        """Waits until both have sent what they have, at most so many seconds; whether they have."""
        deadline = time.monotonic() + timeout
        # In this order: what the first gives up goes to the second.
        flushed = [adapter.flush(max(0.0, deadline - time.monotonic())) for adapter in (self.primary, self.secondary)]
        return all(flushed)


_lock = threading.Lock()


def _detour(primary: SharedClient, secondary: SharedClient | ModuleClient) -> _Detour:
    with _lock:
        known = primary.on_undelivered.get(secondary)
        detour = getattr(known, "__self__", None)
        if not isinstance(detour, _Detour):
            detour = _Detour(primary, secondary)
            primary.on_undelivered[secondary] = detour.hand_over
        return detour


def _after_fork_in_child() -> None:
    global _lock
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


_UNREACHED: Final = frozenset(
    {"ConnectionError", "ConnectTimeout", "ReadTimeout", "Timeout", "APIError", "SSLError", "ProxyError"}
)

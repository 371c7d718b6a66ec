"""The service's connection to PostHog: the SDK's client from its start to its stop, or the reason why there is none."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from genops_otel_posthog.acceptance import masked_key
from genops_otel_posthog.adapter.clients import SharedClient, require_supported_sdk
from genops_otel_posthog.errors import GenOpsConfigurationError
from genops_otel_posthog.forks import start_over_after_fork
from genops_otel_posthog.service.admission import Admission, Consent, has_agreed, privacy_from_environment
from genops_otel_posthog.service.configuration import PostHogServiceConfig, checked, config_from
from genops_otel_posthog.service.counts import Tally
from genops_otel_posthog.service.debugging import debug_as_asked
from genops_otel_posthog.settings.once import WarnOnce

if TYPE_CHECKING:
    from posthog import Posthog

_logger = logging.getLogger(__name__)
_warn = WarnOnce(_logger)

Send = Callable[["Posthog", Admission], "str | None"]
"""Hands something to the SDK, and returns the uuid of the event that the SDK took, if it took it."""

_IDLE: Final = ("disabled", "no_key")


class Connection:
    """A client that is made, used and shut down; what became of its use is counted.

    Args:
        consent: Asked before anything about anybody is sent.

    Attributes:
        state: ``new``, ``ready``, ``disabled``, ``no_key`` or ``stopped``.
        client: The SDK's, while ``ready``.
        tally: What became of what was told.
    """

    def __init__(self, consent: Consent | None) -> None:
        self.state = "new"
        self.client: Posthog | None = None
        self._waiting: SharedClient | None = None
        self._config: PostHogServiceConfig | None = None
        self._is_forked = False
        self.tally = Tally()
        self._consent = consent
        self._admission: Admission | None = None
        self._lock = threading.Lock()
        start_over_after_fork(self)

    def start_over(self) -> None:
        """Has a lock that nobody holds, and perhaps needs another client; called in a forked process."""
        self._lock = threading.Lock()
        # Newer versions of the SDK make their threads anew. With older ones nobody would send.
        self._is_forked = self.client is not None and not hasattr(self.client, "_reinit_after_fork")

    @property
    def is_started(self) -> bool:
        """Whether it has been started and not been stopped."""
        return self.state == "ready" or self.state in _IDLE

    def ask(self, consent: Consent | None) -> None:
        """Asks somebody else for consent from now on, ``None`` for nobody."""
        self._consent = consent
        if self._admission is not None:
            self._admission.consent = consent

    def has_agreed(self, distinct_id: str | None, event: str) -> bool:
        """Whether a person has agreed to an event; that they have not is counted."""
        agreed = has_agreed(self._consent, distinct_id, event)
        if not agreed:
            self.tally.add("withheld", "consent")
        return agreed

    def start(self, given: PostHogServiceConfig | Mapping[str, Any] | None, keywords: Mapping[str, Any]) -> bool:
        """Makes the client, unless it is switched off or has no key; says whether nothing went wrong."""
        with self._lock:
            if self.is_started:
                _logger.debug("PostHog service: it has been started before")
                return True
            try:
                config = config_from(given, keywords)
                problems = config.problems() if config.api_key else []  # to have no key is no failure
                if problems:
                    raise GenOpsConfigurationError("\n".join(problems))
                self._admission = Admission(privacy_from_environment(os.environ), self._consent)
                debug_as_asked()
                self._start(config)
            except GenOpsConfigurationError as problem:
                _logger.error("PostHog service: it is not started. %s", problem)
                return False
            return True

    def _start(self, config: PostHogServiceConfig) -> None:
        if not config.is_enabled:
            _logger.info("PostHog service: it is switched off and sends nothing")
            self.state = "disabled"
        elif not config.api_key:
            _logger.warning(
                "PostHog service: it is enabled and has no key, so it runs in mock mode and sends nothing. "
                "Set POSTHOG_API_KEY=phc_…, or pass api_key"
            )
            self.state = "no_key"
        else:
            self._config = checked(config)
            self._make_client(self._config)
            self.state = "ready"
            debug_as_asked()  # a new client sets the level of the SDK's logger
            _logger.info("PostHog service: it sends to %s, key %s", config.host, masked_key(config.api_key))

    def _make_client(self, config: PostHogServiceConfig) -> None:
        self._waiting = self._new_client(config)
        self.client = self._waiting.sdk

    def _start_after_fork(self) -> None:
        with self._lock:
            if self._is_forked and self._config is not None:
                self._make_client(self._config)
                self._is_forked = False

    def _new_client(self, config: PostHogServiceConfig) -> SharedClient:
        require_supported_sdk()
        from posthog import Posthog

        # Shared with nobody, because it is set up as this service was told; but waited for and ended like the others.
        client = SharedClient(
            lambda on_error: Posthog(
                config.api_key or "",
                host=config.host,
                flush_at=config.flush_at,
                flush_interval=config.flush_interval / 1000,
                max_queue_size=config.max_queue_size,
                max_retries=config.max_retries,
                timeout=config.timeout,
                on_error=on_error,
            ),
            config.host,
        )
        client.on_undelivered["service"] = self._undelivered
        return client

    def _undelivered(self, error: Exception, batch: Sequence[Mapping[str, Any]]) -> None:
        """Called by the SDK's sender when it has given a batch up."""
        self.tally.add("undelivered", number=len(batch))
        _warn(
            "delivery",
            f"PostHog has not taken events after all retries ({type(error).__name__}). The application goes on; "
            "counts().undelivered says how many",
        )

    def tell(self, event: str, distinct_id: str | None, send: Send) -> bool:
        """Hands something to the SDK if it may be; ``True`` also when it may not.

        Raises:
            GenOpsValidationError: What is told is not acceptable.
        """
        if self._is_forked:
            self._start_after_fork()
        client, admission = self.client, self._admission
        if self.state in _IDLE:
            self.tally.add("withheld", self.state)
            return True
        if client is None or admission is None:
            self.tally.add("refused", "not_initialised")
            self._remark_on_no_start()
            return False
        withheld = admission.withheld(event, distinct_id)
        if withheld is not None:
            self.tally.add("withheld", withheld)
            return True
        was_full = client.queue.full()
        if send(client, admission) is not None:
            self.tally.add("accepted")
            return True
        # The SDK does not say why. Somebody may have made room since.
        reason = "queue_full" if was_full or client.queue.full() else "sdk"
        self.tally.add("refused", reason)
        _warn("what is refused", f"PostHog's SDK did not take an event ({reason}); counts().refused says how many")
        return False

    def flush(self, seconds: float) -> bool:
        """Sends what waits; whether PostHog has taken everything in time."""
        if self._is_forked:
            self._start_after_fork()
        client = self._waiting
        if client is None:
            if self.state not in _IDLE:
                self._remark_on_no_start()
            return self.state in _IDLE
        lost_before = self.tally.read().undelivered
        return client.flush(seconds) and self.tally.read().undelivered == lost_before

    def stop(self, seconds: float) -> bool:
        """Sends what waits and lets the client go; whether PostHog has taken everything in time."""
        if self._is_forked:
            self._start_after_fork()
        with self._lock:
            client, self._waiting, self.client = self._waiting, None, None
            self.state = "stopped"
        lost_before = self.tally.read().undelivered
        return client is None or (client.end(seconds) and self.tally.read().undelivered == lost_before)

    def _remark_on_no_start(self) -> None:
        _warn("the start", "PostHog service: it is not running, so nothing is sent; call initialize() first")

"""PostHog as a source of flags: evaluated here where the SDK has the definitions, else asked of the server.

Nothing here waits for the network. What needs it runs on a worker, and whoever wants to wait does so on the future.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final

from opentelemetry.instrumentation.utils import suppress_instrumentation

from genops_otel_posthog.flags.answer import Answer, Source, Subject, Unknown
from genops_otel_posthog.flags.breaker import Breaker
from genops_otel_posthog.flags.database.store import FlagStoreError
from genops_otel_posthog.flags.definitions import FlagDefinitionCache
from genops_otel_posthog.flags.remembered import RememberedAnswers
from genops_otel_posthog.flags.remote import REFUSED_SECONDS, Failure, ask_posthog, semantic_reason
from genops_otel_posthog.flags.workers import Workers
from genops_otel_posthog.settings.once import WarnOnce

FRESH_SECONDS: Final = 30.0
"""How long an answer of the server is as good as asking: the SDK polls definitions as often as that."""

KEEP_SECONDS: Final = 3600.0
REMEMBERED: Final = 10_000

_warn = WarnOnce(logging.getLogger(__name__))


class PostHogSource:
    """A PostHog client that is asked for flags.

    Args:
        client: A ``posthog.Posthog``, with a secret key if it is to evaluate locally.
        workers: Whose threads ask.
        timeout: Seconds to wait for the server.
        breaker: When to stop asking it.
        definitions: What was given to the client as ``flag_definition_cache_provider``.
        fresh: Seconds for which an answer of the server is used again.
        keep: Seconds for which it is kept for an outage.
        clock: Seconds that never go back.
    """

    def __init__(
        self,
        client: Any,
        workers: Workers,
        *,
        timeout: float,
        breaker: Breaker | None = None,
        definitions: FlagDefinitionCache | None = None,
        fresh: float = FRESH_SECONDS,
        keep: float = KEEP_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.client = client
        self.breaker = breaker or Breaker(clock=clock)
        self.remembered = RememberedAnswers(fresh, keep, REMEMBERED, clock)
        self._workers = workers
        self._timeout = timeout
        self._definitions = definitions
        self._loading = Breaker(failures=1, clock=clock)
        self._load: Future[None] | None = None

    # --- local --------------------------------------------------------------------------------------------------

    def preparation(self) -> Future[None] | None:
        """The loading of definitions that is under way, begun now if need be. The SDK would do it in the caller's
        thread, and wait for up to ten seconds."""
        client = self.client
        if client.disabled or not client.personal_api_key or client.feature_flags is not None:
            return None
        if self._load is not None and not self._load.done():
            return self._load
        if not self._loading.allows():
            return None
        self._load = self._workers.submit(self._load_definitions)
        if self._load is None:
            self._loading.failed()
        return self._load

    @property
    def is_prepared(self) -> bool:
        """Whether definitions are loaded, if this client evaluates locally."""
        return not self.client.personal_api_key or self.client.feature_flags is not None

    def local(self, key: str, subject: Subject, *, unseen: bool = False) -> Answer | Unknown:
        """The flag by the definitions at hand.

        Args:
            key: The flag.
            subject: Whom for.
            unseen: Whether instrumentation is not to see it.
        """
        client = self.client
        if client.disabled:
            return Unknown("disabled", is_failure=False)
        if not client.personal_api_key:
            return Unknown("no_local_evaluation", is_failure=False)
        if client.feature_flags is None:
            return Unknown("definitions_not_loaded")
        definition = (client.feature_flags_by_key or {}).get(key)
        if definition is None:
            if not client.feature_flags and self._definitions is not None:
                self._restore_definitions(self._definitions)
            return Unknown("not_defined", is_failure=False)
        quietly: AbstractContextManager[None] = suppress_instrumentation() if unseen else nullcontext()  # type: ignore[assignment,unused-ignore]  # annotated differently by versions of OpenTelemetry
        try:
            with quietly:
                result = client.get_feature_flag_result(
                    key,
                    subject.distinct_id,
                    groups=subject.all_groups,
                    person_properties=dict(subject.person_properties),
                    group_properties={kind: dict(each) for kind, each in subject.group_properties.items()},
                    only_evaluate_locally=True,
                    send_feature_flag_events=False,
                )
        except Exception as error:
            return Unknown(f"local_{type(error).__name__}")
        if result is None:
            return Unknown("local_evaluation_inconclusive", is_failure=False)
        is_stale = self._definitions is not None and self._definitions.is_stale
        source: Source = "cache" if is_stale else "posthog_local"
        return Answer(
            key=key,
            enabled=bool(result.enabled),
            source=source,
            variant=result.variant,
            payload=result.payload,
            version=definition.get("version"),
            reason="stale" if is_stale else semantic_reason(bool(result.enabled), result.variant),
            detail="evaluated locally",
            stale_s=self._definitions.age_s if is_stale and self._definitions is not None else None,
            flag_id=definition.get("id"),
        )

    def _load_definitions(self) -> None:
        try:
            self.client.load_feature_flags()
        except Exception as problem:  # the SDK raises in its debug mode only
            _warn("flag definitions", f"PostHog's flag definitions could not be loaded: {type(problem).__name__}")
        if self.client.feature_flags is None:
            self._loading.failed()
        else:
            self._loading.succeeded()

    def _restore_definitions(self, definitions: FlagDefinitionCache) -> None:
        """The SDK drops its definitions when PostHog refuses them (key, quota). Those in the database still serve."""
        if self._loading.allows():

            def restore() -> None:
                try:
                    if definitions.hold(REFUSED_SECONDS):
                        self._load_definitions()
                except FlagStoreError as problem:
                    _warn("flag definitions", str(problem))
                if self.client.feature_flags:
                    self._loading.succeeded()
                else:
                    self._loading.failed(pause=REFUSED_SECONDS)

            self._load = self._workers.submit(restore)
            if self._load is None:
                self._loading.failed()

    # --- remote -------------------------------------------------------------------------------------------------

    def ask(self, key: str, subject: Subject) -> Request | Unknown:
        """Begins a request to the server, unless it is known to be of no use."""
        if self.client.disabled:
            return Unknown("disabled", is_failure=False)
        if not self.breaker.allows():
            return Unknown("breaker_open")
        request = Request(self.breaker)

        def work() -> Answer | Unknown:
            found = ask_posthog(self.client, key, subject, self._timeout)
            if isinstance(found, Failure):
                request.settle(found)
                return found.unknown
            self.remembered.remember(key, subject, found)
            request.settle(None)
            return found

        future = self._workers.submit(work)
        if future is None:
            request.settle(Failure(Unknown("busy"), counts=False))
            return Unknown("busy")
        request.future = future
        return request


class Request:
    """A request under way. Whoever is first, the answer or the one who gave up waiting, tells the breaker."""

    future: Future[Answer | Unknown]

    def __init__(self, breaker: Breaker) -> None:
        self._breaker = breaker
        self._unsettled = threading.Semaphore()

    def settle(self, failure: Failure | None) -> None:
        """Says how it went, once."""
        if not self._unsettled.acquire(blocking=False):
            return
        if failure is None:
            self._breaker.succeeded()
        elif failure.counts:
            self._breaker.failed(failure.pause)
        else:
            self._breaker.withdrawn()

    def give_up(self) -> Unknown:
        """For who has waited long enough. What arrives later is remembered all the same."""
        late = Unknown("timeout")
        self.settle(Failure(late))
        return late

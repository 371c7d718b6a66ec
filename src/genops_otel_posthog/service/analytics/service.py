"""The analytics service: tells PostHog what users do, and keeps it in a store. Each works without the other."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final, TypeVar

from genops_otel_posthog.errors import GenOpsConfigurationError, GenOpsValidationError
from genops_otel_posthog.service.analytics.opening import open_analytics_store
from genops_otel_posthog.service.analytics.patterns import LOOKED_AT, behavior_patterns
from genops_otel_posthog.service.analytics.records import (
    RECORDS,
    BehaviorPattern,
    CognitiveState,
    SessionAnalytics,
    UserInteraction,
)
from genops_otel_posthog.service.analytics.store import AnalyticsStore, AnalyticsStoreError
from genops_otel_posthog.service.analytics.tracking import Tracking
from genops_otel_posthog.service.moments import utc_now
from genops_otel_posthog.service.posthog_service import PATIENCE_SECONDS, PostHogService
from genops_otel_posthog.settings import Settings
from genops_otel_posthog.settings.once import WarnOnce

_logger = logging.getLogger(__name__)
_warn = WarnOnce(_logger)
_T = TypeVar("_T")

KEPT_DAYS: Final = 30


class AnalyticsService:
    """What users do, as events of PostHog and as records of a store.

    Every method is there twice: ``await analytics.track_interaction(…)`` and ``analytics.track_interaction_sync(…)``.
    The asynchronous one waits for a store in a thread. What they are told, they take as one dictionary, in which names
    may be written as in JavaScript (``userId``), or as keywords.

    Tracking never raises. It returns whether what is switched on (PostHog, the store) took it; an event goes to PostHog
    whatever becomes of the record, and the other way round. Getters raise :class:`~.store.AnalyticsStoreError` when the
    store cannot be used, because no answer and nothing known are not the same.

    Args:
        posthog: Sends the events; ``None`` for no events.
        store: Keeps the records; ``None`` for none, until :meth:`initialize` opens one.
        strict: Whether unknown types of interactions and unknown modes are refused, and not only warned of.
        camel_case: Whether properties of events are named as in JavaScript: ``sessionId``. By default they have the
            names that the exporter gives them: ``session_id``.
        clock: Tells the time, aware UTC.
    """

    def __init__(
        self,
        posthog: PostHogService | None = None,
        store: AnalyticsStore | None = None,
        *,
        strict: bool = False,
        camel_case: bool = False,
        clock: Callable[[], datetime] | None = None,
    ) -> None:
        self._tracking = Tracking(posthog, store, strict, camel_case, clock or utc_now)

    @property
    def posthog(self) -> PostHogService | None:
        """What sends the events."""
        return self._tracking.posthog

    @property
    def store(self) -> AnalyticsStore | None:
        """What keeps the records."""
        return self._tracking.store

    # --- starting and stopping ----------------------------------------------------------------------------------

    def initialize_sync(self, store: AnalyticsStore | str | None = None) -> bool:
        """Opens the store and finds out whether it can be used.

        Args:
            store: A store, or the URL of one; ``GENOPS_ANALYTICS_URL`` when not given, and no store when that is not
                given either.

        Returns:
            Whether what is to be used can be used. The log says why not; events go to PostHog all the same.
        """
        try:
            if store is None and self.store is None:
                store = _url_of_environment()
            if store is not None:
                self._tracking.store = open_analytics_store(store) if isinstance(store, str) else store
            if self.store is not None:
                self.store.prepare()
        except (GenOpsConfigurationError, AnalyticsStoreError) as problem:
            _logger.error("Analytics service: nothing is kept. %s", problem)
            return False
        return True

    async def initialize(self, store: AnalyticsStore | str | None = None) -> bool:
        """As :meth:`initialize_sync`, in a thread."""
        return await asyncio.to_thread(self.initialize_sync, store)

    def disconnect_sync(self, timeout: float = PATIENCE_SECONDS) -> bool:
        """Closes the store and stops the PostHog service, which sends what waits."""
        store, self._tracking.store = self.store, None
        if store is not None:
            store.close()
        return self.posthog is None or self.posthog.shutdown_sync(timeout)

    async def disconnect(self, timeout: float = PATIENCE_SECONDS) -> bool:
        """As :meth:`disconnect_sync`, in a thread."""
        return await asyncio.to_thread(self.disconnect_sync, timeout)

    # --- tracking -----------------------------------------------------------------------------------------------

    def track_interaction_sync(self, interaction: Mapping[str, Any] | None = None, /, **told: Any) -> bool:
        """Something a user did: becomes ``interaction_{type}``.

        Args:
            interaction: The fields of a :class:`~.records.UserInteraction`; ``type`` may stand for
                ``interaction_type``.
            **told: The same as keywords.
        """

        return self._guarded("an interaction", lambda: self._tracking.interaction(interaction, told))

    async def track_interaction(self, interaction: Mapping[str, Any] | None = None, /, **told: Any) -> bool:
        """As :meth:`track_interaction_sync`."""
        return await self._apart(lambda: self.track_interaction_sync(interaction, **told))

    def track_session_start_sync(self, session: Mapping[str, Any] | None = None, /, **told: Any) -> bool:
        """A session that begins: becomes ``session_started``. Whose it is need not be said again.

        Args:
            session: The fields of a :class:`~.records.SessionAnalytics`.
            **told: The same as keywords.
        """

        return self._guarded("the start of a session", lambda: self._tracking.session_start(session, told))

    async def track_session_start(self, session: Mapping[str, Any] | None = None, /, **told: Any) -> bool:
        """As :meth:`track_session_start_sync`."""
        return await self._apart(lambda: self.track_session_start_sync(session, **told))

    def update_session_sync(self, session_id: str, updates: Mapping[str, Any] | None = None, /, **told: Any) -> bool:
        """News of a session: becomes ``session_updated``, whatever of it is told. 0 is a value.

        Args:
            session_id: The session.
            updates: Fields of a :class:`~.records.SessionAnalytics`.
            **told: The same as keywords.
        """

        return self._guarded("news of a session", lambda: self._tracking.session_update(session_id, updates, told))

    async def update_session(self, session_id: str, updates: Mapping[str, Any] | None = None, /, **told: Any) -> bool:
        """As :meth:`update_session_sync`."""
        return await self._apart(lambda: self.update_session_sync(session_id, updates, **told))

    def track_cognitive_state_sync(self, state: Mapping[str, Any] | None = None, /, **told: Any) -> bool:
        """A change of how somebody works: becomes ``cognitive_state_change``.

        Args:
            state: The fields of a :class:`~.records.CognitiveState`.
            **told: The same as keywords.
        """

        return self._guarded("a cognitive state", lambda: self._tracking.cognitive_state(state, told))

    async def track_cognitive_state(self, state: Mapping[str, Any] | None = None, /, **told: Any) -> bool:
        """As :meth:`track_cognitive_state_sync`."""
        return await self._apart(lambda: self.track_cognitive_state_sync(state, **told))

    # --- asking -------------------------------------------------------------------------------------------------

    def get_user_interactions_sync(self, user_id: str, limit: int = 100) -> list[UserInteraction]:
        """What a user did, the latest first; nothing without a store.

        Raises:
            AnalyticsStoreError: The store cannot be used.
        """
        return [] if self.store is None else self.store.find(UserInteraction, user_id, _limit(limit))

    async def get_user_interactions(self, user_id: str, limit: int = 100) -> list[UserInteraction]:
        """As :meth:`get_user_interactions_sync`."""
        return await self._apart(lambda: self.get_user_interactions_sync(user_id, limit))

    def get_session_analytics_sync(self, session_id: str) -> SessionAnalytics | None:
        """What is known of a session.

        Raises:
            AnalyticsStoreError: The store cannot be used.
        """
        return None if self.store is None else self.store.get(SessionAnalytics, session_id)

    async def get_session_analytics(self, session_id: str) -> SessionAnalytics | None:
        """As :meth:`get_session_analytics_sync`."""
        return await self._apart(lambda: self.get_session_analytics_sync(session_id))

    def get_cognitive_state_history_sync(self, user_id: str, limit: int = 50) -> list[CognitiveState]:
        """The states of a user, the latest first; nothing without a store.

        Raises:
            AnalyticsStoreError: The store cannot be used.
        """
        return [] if self.store is None else self.store.find(CognitiveState, user_id, _limit(limit))

    async def get_cognitive_state_history(self, user_id: str, limit: int = 50) -> list[CognitiveState]:
        """As :meth:`get_cognitive_state_history_sync`."""
        return await self._apart(lambda: self.get_cognitive_state_history_sync(user_id, limit))

    def identify_behavior_patterns_sync(self, user_id: str) -> list[BehaviorPattern]:
        """The habits that show in the latest 1,000 interactions of a user; they are kept, too.

        More than 5 switches of the mode are one, more than 10 uses of one component another.

        Raises:
            AnalyticsStoreError: The store cannot be used.
        """
        if self.store is None:
            return []
        found = behavior_patterns(user_id, self.store.find(UserInteraction, user_id, LOOKED_AT), self._tracking.clock())
        for pattern in found:
            self.store.put(pattern)
        return found

    async def identify_behavior_patterns(self, user_id: str) -> list[BehaviorPattern]:
        """As :meth:`identify_behavior_patterns_sync`."""
        return await self._apart(lambda: self.identify_behavior_patterns_sync(user_id))

    def get_behavior_patterns_sync(self, user_id: str, limit: int = 100) -> list[BehaviorPattern]:
        """The habits of a user that were found before, the latest first.

        Raises:
            AnalyticsStoreError: The store cannot be used.
        """
        return [] if self.store is None else self.store.find(BehaviorPattern, user_id, _limit(limit))

    async def get_behavior_patterns(self, user_id: str, limit: int = 100) -> list[BehaviorPattern]:
        """As :meth:`get_behavior_patterns_sync`."""
        return await self._apart(lambda: self.get_behavior_patterns_sync(user_id, limit))

    # --- forgetting ---------------------------------------------------------------------------------------------

    def cleanup_old_data_sync(self, days: float = KEPT_DAYS) -> int:
        """Forgets what is older than so many days: interactions, states, sessions nothing was told of, habits not seen.

        Returns:
            How many records were forgotten.

        Raises:
            GenOpsValidationError: ``days`` is negative.
            AnalyticsStoreError: The store cannot be used.
        """
        if not days >= 0:
            raise GenOpsValidationError(f"days is 0 or more, not {days!r:.40}")
        store, moment = self.store, self._tracking.clock() - timedelta(days=days)
        return 0 if store is None else sum(store.remove_before(kind, moment) for kind in RECORDS)

    async def cleanup_old_data(self, days: float = KEPT_DAYS) -> int:
        """As :meth:`cleanup_old_data_sync`."""
        return await self._apart(lambda: self.cleanup_old_data_sync(days))

    def forget_user_sync(self, user_id: str) -> int:
        """Forgets every record of a user. PostHog has to be asked by itself.

        Returns:
            How many records were forgotten.

        Raises:
            AnalyticsStoreError: The store cannot be used.
        """
        return 0 if self.store is None else sum(self.store.remove_user(kind, user_id) for kind in RECORDS)

    async def forget_user(self, user_id: str) -> int:
        """As :meth:`forget_user_sync`."""
        return await self._apart(lambda: self.forget_user_sync(user_id))

    # --- how ----------------------------------------------------------------------------------------------------

    async def _apart(self, work: Callable[[], _T]) -> _T:
        """In a thread where the store waits for a disk or the network, else at once."""
        return await asyncio.to_thread(work) if self.store is not None and self.store.waits else work()

    def _guarded(self, what: str, work: Callable[[], bool]) -> bool:
        try:
            return work()
        except GenOpsValidationError as problem:
            _warn(what, f"Analytics service: {what} is not taken. {problem}")
        except Exception as error:  # tracking never interrupts the application; a text could repeat what it was told
            _warn(what, f"Analytics service: {what} is not taken: {type(error).__name__}")
        return False


def _url_of_environment() -> str | None:
    return Settings.from_environ({"GENOPS_ANALYTICS_URL": os.environ.get("GENOPS_ANALYTICS_URL", "")}).analytics_url


def _limit(limit: object) -> int:
    if not isinstance(limit, int) or isinstance(limit, bool) or limit < 0:
        raise GenOpsValidationError(f"limit is a whole number, 0 or more, not {limit!r:.40}")
    return limit

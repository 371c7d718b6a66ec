"""From what an application tells to an event of PostHog and a record of the store. Each is made without the other."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from genops_otel_posthog.errors import GenOpsValidationError
from genops_otel_posthog.export.interactions import COGNITIVE_MODES, INTERACTION_TYPES, check_known
from genops_otel_posthog.export.rules.analytics import PROPERTIES
from genops_otel_posthog.export.rules.recent import Recent
from genops_otel_posthog.service.analytics.records import (
    CognitiveState,
    Record,
    SessionAnalytics,
    UserInteraction,
    names_of,
    told_values,
)
from genops_otel_posthog.service.analytics.store import AnalyticsStore, AnalyticsStoreError
from genops_otel_posthog.service.fields import camel_case, merged_fields
from genops_otel_posthog.service.moments import iso
from genops_otel_posthog.service.posthog_service import PostHogService
from genops_otel_posthog.settings.once import WarnOnce

_warn = WarnOnce(logging.getLogger(__name__))

DEFAULT_MODE: Final = "executive"
_NOBODY: Final = ""

Told = Mapping[str, Any]


@dataclass
class Tracking:
    """Tells and keeps. Remembers whose session is whose.

    Attributes:
        posthog: Sends the events, once it is started; ``None`` for no events.
        store: Keeps the records; ``None`` for none.
        strict: Whether unknown types and modes are refused.
        camel_case: Whether properties of events are named as in JavaScript.
        clock: The time, aware UTC.
    """

    posthog: PostHogService | None
    store: AnalyticsStore | None
    strict: bool
    camel_case: bool
    clock: Callable[[], datetime]

    def __post_init__(self) -> None:
        self._users: Recent[str, str] = Recent()

    def interaction(self, given: Told | None, keywords: Told) -> bool:
        """Something a user did.

        Raises:
            GenOpsValidationError: It cannot be taken as it is told.
        """
        values = self._values("an interaction", UserInteraction, given, keywords, {"type": "interaction_type"})
        check_known("interaction", _required(values, "interaction_type"), INTERACTION_TYPES, strict=self.strict)
        values["user_id"] = self._user(values)
        record = UserInteraction(**{"timestamp": self.clock(), **values})
        return self._told(f"interaction_{record.interaction_type}", "interaction", record, record.timestamp)

    def session_start(self, given: Told | None, keywords: Told) -> bool:
        """A session that begins.

        Raises:
            GenOpsValidationError: It cannot be taken as it is told.
        """
        values = self._values("a session", SessionAnalytics, given, keywords)
        _required(values, "session_id")
        values["user_id"] = self._user(values)
        now = self.clock()
        began = {"start_time": now, "most_used_mode": DEFAULT_MODE, "total_interactions": 0, "mode_transitions": 0}
        record = SessionAnalytics(**{"updated_at": now, **began, **values})
        return self._told("session_started", "session_started", record, record.start_time)

    def session_update(self, session_id: str, given: Told | None, keywords: Told) -> bool:
        """News of a session.

        Raises:
            GenOpsValidationError: It cannot be taken as it is told.
        """
        values = self._values("news of a session", SessionAnalytics, given, {**keywords, "session_id": session_id})
        _required(values, "session_id")
        values["user_id"] = user = self._user(values)
        values["updated_at"] = self.clock()
        record = SessionAnalytics(**values)
        changes = {name: value for name, value in values.items() if name != "session_id"}
        if user is None:
            del changes["user_id"]  # not to be known here does not make it nobody's
        return self._told("session_updated", "session_updated", record, None, changes)

    def cognitive_state(self, given: Told | None, keywords: Told) -> bool:
        """A change of how somebody works.

        Raises:
            GenOpsValidationError: It cannot be taken as it is told.
        """
        values = self._values("a cognitive state", CognitiveState, given, keywords)
        check_known("cognitive mode", _required(values, "cognitive_mode"), COGNITIVE_MODES, strict=self.strict)
        values["user_id"] = self._user(values)
        record = CognitiveState(**{"timestamp": self.clock(), **values})
        return self._told("cognitive_state_change", "cognitive_state_change", record, record.timestamp)

    # --- whose it is --------------------------------------------------------------------------------------------

    def _values(
        self,
        what: str,
        kind: type[Any],
        given: Mapping[str, Any] | None,
        keywords: Mapping[str, Any],
        also_called: Mapping[str, str] | None = None,
    ) -> dict[str, Any]:
        names = [name for name in names_of(kind) if name not in ("id", "updated_at")]
        told = merged_fields(what, given, keywords, [*names, *(also_called or {})])
        for alias, name in (also_called or {}).items():
            if alias in told:
                told.setdefault(name, told.pop(alias))
        return told_values(told)

    def _user(self, values: Mapping[str, Any]) -> str | None:
        """Whose it is: who is named, else whose session it is, as far as this process or the store knows."""
        user: str | None = values.get("user_id")
        session = values.get("session_id")
        if session is None:
            return user
        if user is not None:
            self._users.put(session, user)
            return user
        known = self._users.get(session)
        if known is None:
            known = self._user_in_store(session)
            if known is not None:
                self._users.put(session, known)
        return known or None

    def _user_in_store(self, session: str) -> str | None:
        """Whose session it is as the store knows, ``""`` for nobody's, ``None`` when it cannot be asked."""
        if self.store is None:
            return _NOBODY
        try:
            found = self.store.get(SessionAnalytics, session)
        except AnalyticsStoreError as problem:
            _warn("the store", str(problem))
            return None
        return _NOBODY if found is None or found.user_id is None else found.user_id

    # --- what becomes of it -------------------------------------------------------------------------------------

    def _told(
        self,
        event: str,
        kind: str,
        record: Record,
        moment: datetime | None,
        changes: dict[str, Any] | None = None,
    ) -> bool:
        """Sends and keeps; whether what is switched on took it."""
        if self.posthog is not None and not self.posthog.has_consent(record.user_id, event):
            return True  # what is not told is not kept either
        posthog = self.posthog if self.posthog is not None and self.posthog.is_initialized else None
        if posthog is None and self.store is None:
            _warn("nobody", "Analytics service: there is neither PostHog nor a store, so what is told is lost")
            return False
        sent = posthog is None or posthog.capture_sync(
            event, record.user_id, self._properties(kind, record, moment), timestamp=moment
        )
        return self._kept(record, changes) and sent

    def _properties(self, kind: str, record: Record, moment: datetime | None) -> dict[str, Any]:
        told = {
            name: _as_property(moment if name == "timestamp" else getattr(record, name)) for name in PROPERTIES[kind]
        }
        return {camel_case(name): value for name, value in told.items()} if self.camel_case else told

    def _kept(self, record: Record, changes: dict[str, Any] | None) -> bool:
        if self.store is None:
            return True
        try:
            if changes is None:
                self.store.put(record)
            else:
                self.store.change(type(record), getattr(record, record.KEY), changes)
        except AnalyticsStoreError as problem:
            _warn("the store", f"Analytics service: what was told is not kept. {problem}")
            return False
        return True


def _required(values: Told, name: str) -> str:
    if name not in values:
        raise GenOpsValidationError(f"{name} is missing")
    value: str = values[name]
    return value


def _as_property(value: Any) -> Any:
    return iso(value) if isinstance(value, datetime) else list(value) if isinstance(value, tuple) else value

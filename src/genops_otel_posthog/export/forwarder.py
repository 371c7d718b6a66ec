"""Calls to RudderStack as events of an outbox: identify, track, group, and events that others have made.

Each becomes an event in PostHog's form, which the outbox delivers to RudderStack as it does all others.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timezone
from typing import Any, Final, Protocol
from uuid import uuid4

from genops_otel_posthog import semconv
from genops_otel_posthog.export.correlation import anonymous_id
from genops_otel_posthog.export.destinations.rudderstack_mapping import message_id_of, to_message
from genops_otel_posthog.export.rules.plain import Plain
from genops_otel_posthog.export.text import text
from genops_otel_posthog.settings.once import WarnOnce

_logger = logging.getLogger(__name__)
_warn = WarnOnce(_logger, limit=20)

NOBODY: Final = "anonymous"
"""The user of an event that names none, where not even a trace tells events of different people apart."""

#: What ``context`` may say, and the property that says it to PostHog.
CONTEXT_PROPERTIES: Final = {
    "workspace_id": semconv.PROPERTY_WORKSPACE_ID,
    "organization_id": semconv.PROPERTY_ORGANIZATION_ID,
    "trace_id": semconv.PROPERTY_TRACE_ID,
    "ip": "$ip",
    "user_agent": "$useragent",
    "locale": "$locale",
}
#: The same in the spelling of RudderStack's own context.
_OTHER_SPELLINGS: Final = {
    "workspaceId": "workspace_id",
    "organizationId": "organization_id",
    "traceId": "trace_id",
    "groupId": "group_id",
    "userAgent": "user_agent",
}
#: Events about agents that a table of them forwards only for people and workspaces that are known.
_OF_SOMEBODY: Final = frozenset({"agent_execution"})


class _Queue(Protocol):
    """What is needed of an :class:`~.outbox.Outbox`."""

    def append(self, body: bytes, importance: str = "normal") -> bool: ...


def _utc_now() -> datetime:
    return datetime.now(timezone.utc)


class Forwarder:
    """Puts calls into an outbox.

    No method raises for what it is given: what cannot be said is left out, and a warning says so once.

    Args:
        outbox: Where they go; one of its destinations is RudderStack.
        trace_id: The trace that is current, 32 hexadecimal digits, for calls that name none.
        clock: The time, aware.
    """

    def __init__(
        self,
        outbox: _Queue,
        *,
        trace_id: Callable[[], str | None] = lambda: None,
        clock: Callable[[], datetime] = _utc_now,
    ) -> None:
        self._outbox = outbox
        self._trace_id = trace_id
        self._clock = clock

    def identify(
        self, user_id: str, traits: Mapping[str, Any] | None = None, context: Mapping[str, Any] | None = None
    ) -> bool:
        """Tells who a user is.

        Args:
            user_id: The user.
            traits: What is known of them.
            context: See :data:`CONTEXT_PROPERTIES`, and ``group_id``.

        Returns:
            Whether the outbox took it.
        """
        return self._put("$identify", user_id, {"$set": _object(traits)}, context)

    def track(
        self,
        user_id: str,
        event: str,
        properties: Mapping[str, Any] | None = None,
        context: Mapping[str, Any] | None = None,
    ) -> bool:
        """Tells what a user did. Arguments and result as for :meth:`identify`."""
        return self._put(event, user_id, _object(properties), context)

    def group(
        self,
        user_id: str,
        group_id: str,
        traits: Mapping[str, Any] | None = None,
        context: Mapping[str, Any] | None = None,
    ) -> bool:
        """Tells to which group a user belongs.

        Args:
            user_id: The user.
            group_id: The group.
            traits: What is known of it. Its kind is ``groupType`` among them, ``workspace`` when not given.
            context: As for :meth:`identify`.

        Returns:
            Whether the outbox took it.
        """
        known = _object(traits)
        kind = known.pop("groupType", None) or known.pop("group_type", None) or "workspace"
        properties = {"$group_type": kind, "$group_key": group_id, "$group_set": known}
        return self._put("$groupidentify", user_id, properties, context)

    def forward_posthog_event(self, event: Mapping[str, Any]) -> bool:
        """Forwards an event that PostHog has got from somebody else.

        Args:
            event: ``event``, ``user_id`` (or ``distinct_id``), ``properties`` and, where they are known, ``uuid`` and
                ``timestamp``. With the same uuid, or the same ``execution_id`` and name, it is the same message however
                often and from wherever it comes.

        Returns:
            Whether the outbox took it.
        """
        return self._append(_with_source(_posthog_event(event), "posthog"))

    def forward_database_event(
        self,
        event_type: str,
        *,
        user_id: str | None = None,
        workspace_id: str | None = None,
        organization_id: str | None = None,
        properties: Mapping[str, Any] | None = None,
        trace_id: str | None = None,
        uuid: str | None = None,
        timestamp: datetime | str | None = None,
    ) -> bool:
        """Forwards a row of a database of events.

        Args:
            event_type: The event's name.
            user_id: The user; without one the event is anonymous, one person for each trace.
            workspace_id: The workspace.
            organization_id: The organisation.
            properties: The rest.
            trace_id: The trace, 32 hexadecimal digits.
            uuid: The row's key, which makes it the same message however often it is forwarded.
            timestamp: When it happened; now when not given.

        Returns:
            Whether the outbox took it.
        """
        given = {"workspace_id": workspace_id, "organization_id": organization_id, "trace_id": trace_id}
        event = {
            "event": event_type,
            "distinct_id": user_id,
            "uuid": uuid,
            "timestamp": timestamp.isoformat() if isinstance(timestamp, datetime) else timestamp,
            "properties": {**_object(properties), **{name: value for name, value in given.items() if value}},
        }
        return self._append(_with_source(event, "database"))

    def forward_rows(self, events: Iterable[Mapping[str, Any]]) -> int:
        """Forwards events that were read from a database.

        Those about agents are forwarded for users and workspaces that are known, and for nobody else.

        Args:
            events: As :meth:`~.destinations.database.DatabaseDestination.events` yields them.

        Returns:
            How many the outbox took.
        """
        taken = 0
        for event in events:
            properties = _object(event.get("properties"))
            is_known = event.get("distinct_id") and properties.get(semconv.PROPERTY_WORKSPACE_ID)
            is_known = is_known and properties.get("$process_person_profile") is not False
            if event.get("event") not in _OF_SOMEBODY or is_known:
                taken += self._append(_with_source(dict(event), "database"))
        return taken

    def _put(self, name: str, user_id: str, properties: dict[str, Any], context: Mapping[str, Any] | None) -> bool:
        for given, value in _object(context).items():
            word = _OTHER_SPELLINGS.get(given, given)
            if word == "group_id":
                properties.setdefault("$groups", {"workspace": value})
            elif word in CONTEXT_PROPERTIES:
                properties.setdefault(CONTEXT_PROPERTIES[word], value)
            else:
                known = ", ".join([*CONTEXT_PROPERTIES, "group_id"])
                _warn("context", f"The context of a call to RudderStack cannot have {given!r}; it can have {known}")
        return self._append({"event": name, "distinct_id": user_id, "properties": properties})

    def _append(self, event: dict[str, Any]) -> bool:
        name = event.get("event")
        if not isinstance(name, str) or not name:
            _warn("name", f"An event for RudderStack needs a name, and {type(name).__name__} is none; it is not sent")
            return False
        properties, _ = Plain().properties(_object(event.get("properties")), text)
        trace_id = properties.get(semconv.PROPERTY_TRACE_ID) or properties.get(semconv.PROPERTY_DOLLAR_TRACE_ID)
        if not trace_id:
            trace_id = self._trace_id()
            if trace_id:
                properties[semconv.PROPERTY_TRACE_ID] = trace_id
        user = str(event.get("distinct_id") or "").strip()
        if not user:
            user = anonymous_id(str(trace_id)) if trace_id else NOBODY
            properties["$process_person_profile"] = False
        final = {"event": name, "distinct_id": user, "timestamp": event.get("timestamp"), "properties": properties}
        # What says neither when it happened nor in which execution is something that happened once more.
        told = final if final["timestamp"] or properties.get("execution_id") else {**final, "call": str(uuid4())}
        final["uuid"] = str(event.get("uuid") or message_id_of(told))
        final["timestamp"] = str(final["timestamp"] or self._clock().astimezone(timezone.utc).isoformat())
        return self._outbox.append(json.dumps(final, ensure_ascii=False, separators=(",", ":")).encode())


def map_posthog_event(event: Mapping[str, Any]) -> dict[str, Any]:
    """What RudderStack is told of an event.

    Args:
        event: ``event``, ``user_id`` (or ``distinct_id``), ``properties``, and ``uuid`` and ``timestamp`` if known.

    Returns:
        ``event``, ``userId``, ``properties`` with ``trace_id`` and ``execution_id``, ``context`` with ``groupId``,
        ``traits`` (``organizationId``, ``workspaceId``) and ``traceId``, ``timestamp``, and what else a message has.
    """
    made = _posthog_event(event)
    message = to_message({**made, "timestamp": made["timestamp"] or _utc_now().isoformat()})
    if "properties" in message:
        for name in (semconv.PROPERTY_TRACE_ID, "execution_id"):
            message["properties"].setdefault(name, None)
    return message


def _posthog_event(given: Mapping[str, Any]) -> dict[str, Any]:
    user = next((given[name] for name in ("distinct_id", "user_id", "userId") if given.get(name)), None)
    timestamp = given.get("timestamp")
    return {
        "event": given.get("event"),
        "distinct_id": user,
        "uuid": given.get("uuid"),
        "timestamp": timestamp.isoformat() if isinstance(timestamp, datetime) else timestamp,
        "properties": _object(given.get("properties")),
    }


def _with_source(event: dict[str, Any], source: str) -> dict[str, Any]:
    """Says where the event came from, unless it has a source of its own, as a blocked prompt has."""
    return {**event, "properties": {"source": source, **_object(event.get("properties"))}}


def _object(given: object) -> dict[str, Any]:
    """A copy; empty for what is none, which is remarked on."""
    if isinstance(given, Mapping):
        return dict(given)
    if given is not None:
        _warn("object", f"Properties, traits and context are mappings; a {type(given).__name__} is left out")
    return {}

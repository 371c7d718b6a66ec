"""Product analytics told as spans: what users do, their sessions, how they work."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from typing import Any

from genops_otel_posthog import semconv
from genops_otel_posthog.errors import GenOpsValidationError
from genops_otel_posthog.export import names
from genops_otel_posthog.export.telling import tell

_logger = logging.getLogger(__name__)

INTERACTION_TYPES = ("click", "hover", "scroll", "keypress", "navigation", "mode_switch", "component_interaction")
"""What a user can do in :func:`track_interaction`."""

COGNITIVE_MODES = ("executive", "technical", "creative", "adaptive")
"""The modes of :func:`track_cognitive_state_change`."""


def track_interaction(
    kind: str,
    *,
    user_id: str | None = None,
    session_id: str | None = None,
    component: str | None = None,
    page: str | None = None,
    coordinates: Mapping[str, float] | None = None,
    duration: float | None = None,
    metadata: Mapping[str, Any] | None = None,
    timestamp: str | None = None,
    strict: bool = False,
) -> None:
    """Something a user did: becomes ``interaction_{kind}``.

    Args:
        kind: One of :data:`INTERACTION_TYPES`.
        user_id: Who did it.
        session_id: In which session.
        component: On which component.
        page: On which page.
        coordinates: ``{"x": …, "y": …}``.
        duration: Milliseconds.
        metadata: Anything else that is JSON.
        timestamp: When, ISO 8601; now where it is not given.
        strict: Refuse another kind; otherwise it is told with a warning.

    Raises:
        GenOpsValidationError: The kind is another, and ``strict``.
    """
    check_known("interaction", kind, INTERACTION_TYPES, strict=strict)
    _analyse(
        "interaction",
        {
            "component": component,
            "page": page,
            "coordinates": coordinates,
            "duration": duration,
            "metadata": metadata,
            "timestamp": timestamp,
        },
        user_id,
        session_id,
        {names.INTERACTION_TYPE: kind},
    )


def track_session_started(
    session_id: str, *, user_id: str | None = None, start_time: str | None = None, most_used_mode: str = "executive"
) -> None:
    """A session that begins: becomes ``session_started``. Updates of it need not say whose it is.

    Args:
        session_id: The session.
        user_id: Whose it is.
        start_time: When it began, ISO 8601; now where it is not given.
        most_used_mode: The mode it begins in.
    """
    _analyse("session_started", {"start_time": start_time, "most_used_mode": most_used_mode}, user_id, session_id)


def track_session_updated(
    session_id: str,
    *,
    user_id: str | None = None,
    end_time: str | None = None,
    duration: float | None = None,
    productivity_score: float | None = None,
    mode_transitions: int | None = None,
    total_interactions: int | None = None,
) -> None:
    """News of a session: becomes ``session_updated``, whatever of it is given. 0 is a value.

    Args:
        session_id: The session.
        user_id: Whose it is; remembered from its start in this process where it is not given.
        end_time: When it ended, ISO 8601.
        duration: Milliseconds.
        productivity_score: As the application measures it.
        mode_transitions: How often the mode changed.
        total_interactions: How many interactions it had.
    """
    values = {
        "end_time": end_time,
        "duration": duration,
        "productivity_score": productivity_score,
        "mode_transitions": mode_transitions,
        "total_interactions": total_interactions,
    }
    _analyse("session_updated", values, user_id, session_id)


def track_cognitive_state_change(
    cognitive_mode: str,
    *,
    user_id: str | None = None,
    session_id: str | None = None,
    confidence: float | None = None,
    context: str | None = None,
    triggers: Sequence[str] = (),
    metadata: Mapping[str, Any] | None = None,
    timestamp: str | None = None,
    strict: bool = False,
) -> None:
    """A change of how somebody works: becomes ``cognitive_state_change``.

    Args:
        cognitive_mode: One of :data:`COGNITIVE_MODES`.
        user_id: Whose.
        session_id: In which session.
        confidence: How sure that is, 0 to 1.
        context: What was going on.
        triggers: What brought it about.
        metadata: Anything else that is JSON.
        timestamp: When, ISO 8601; now where it is not given.
        strict: As in :func:`track_interaction`.

    Raises:
        GenOpsValidationError: The mode is another, and ``strict``.
    """
    check_known("cognitive mode", cognitive_mode, COGNITIVE_MODES, strict=strict)
    values = {
        "cognitive_mode": cognitive_mode,
        "confidence": confidence,
        "context": context,
        "triggers": tuple(triggers),
        "metadata": metadata,
        "timestamp": timestamp,
    }
    _analyse("cognitive_state_change", values, user_id, session_id)


def _analyse(
    event: str,
    values: Mapping[str, Any],
    user_id: str | None,
    session_id: str | None,
    more: Mapping[str, Any] | None = None,
) -> None:
    attributes = {
        names.ANALYTICS_EVENT: event,
        semconv.GENOPS_USER_ID: user_id,
        names.ANALYTICS_SESSION_ID: session_id,
        **(more or {}),
        **{names.ANALYTICS_PREFIX + name: _as_attribute(value) for name, value in values.items()},
    }
    tell(event, attributes)


def _as_attribute(value: Any) -> Any:
    # Backends index flat values only, so nested ones are texts of JSON.
    return json.dumps(value, default=str) if isinstance(value, Mapping) else value


def check_known(what: str, value: str, known: Sequence[str], *, strict: bool) -> None:
    """Says that a value is none of the known ones.

    Raises:
        GenOpsValidationError: It is none, and ``strict``; otherwise that is a warning.
    """
    if value in known:
        return
    problem = f"{value!r} is not a known {what}; known are {', '.join(known)}"
    if strict:
        raise GenOpsValidationError(problem)
    _logger.warning("%s. It is told as it is", problem)

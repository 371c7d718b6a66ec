"""Events that PostHog will refuse, cut, or strip of their person: said once per problem, where a developer looks.

The event is handed to the SDK all the same: whether to send it is not for us to decide.
"""

from __future__ import annotations

import logging

from genops_otel_posthog.acceptance import distinct_id_problem, event_name_problem, project_key_problem
from genops_otel_posthog.settings.once import WarnOnce

_warn_once = WarnOnce(logging.getLogger(__name__))

_MOST_FINE_NAMES = 4096
_fine_names: set[object] = set()


def remark_on_event(name: object, distinct_id: object) -> None:
    """Logs, once per problem, what PostHog will not do with an event of this name and distinct id.

    The message names the event but never the distinct id, which may identify a person.
    """
    if not isinstance(name, str) or name not in _fine_names:
        problem = event_name_problem(name)
        if problem is not None:
            _warn_once("event names", f"Event name {str(name)[:60]!r}: {problem}")
        elif len(_fine_names) < _MOST_FINE_NAMES:
            _fine_names.add(name)
    if isinstance(distinct_id, str) and (problem := distinct_id_problem(distinct_id)) is not None:
        _warn_once(
            "distinct ids",
            f"Event {str(name)[:60]!r} has a distinct id that PostHog does not treat as a person's: {problem}",
        )


def remark_on_key(key: object) -> None:
    """Logs, once, what is wrong with a project key; never the key."""
    if isinstance(key, str) and key and (problem := project_key_problem(key)) is not None:
        _warn_once("project keys", f"PostHog project key: {problem}")

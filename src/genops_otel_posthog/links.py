"""Links into PostHog's web application, for whoever looks at a span and wants to see the event or the person.

Source of the paths: PostHog/posthog on GitHub, ``frontend/src/scenes/urls.ts``, ``event`` and ``personByDistinctId``.
"""

from __future__ import annotations

from urllib.parse import quote


def event_link(project_url: str, uuid: str, timestamp: str) -> str:
    """Link to an event.

    Args:
        project_url: ``https://eu.posthog.com/project/4711``.
        uuid: Of the event.
        timestamp: Of the event, ISO 8601; PostHog looks for the event around it.
    """
    return f"{project_url}/events/{quote(uuid, safe='')}/{quote(timestamp, safe='')}"


def person_link(project_url: str, distinct_id: str) -> str:
    """Link to a person. It holds the distinct id, which is personal data.

    Args:
        project_url: ``https://eu.posthog.com/project/4711``.
        distinct_id: Any of the person.
    """
    return f"{project_url}/person/{quote(distinct_id, safe='')}"

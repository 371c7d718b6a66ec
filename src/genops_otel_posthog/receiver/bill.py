"""What PostHog would bill for everything received: the yardstick for our own estimate.

PostHog counts an event once however often it was delivered: duplicates are those with the same day, name, distinct id
and uuid. Flag requests are counted for each request.

Source: PostHog/posthog on GitHub, ``posthog/tasks/usage_report.py``.
"""

from __future__ import annotations

import sqlite3
from datetime import datetime
from typing import Any

from genops_otel_posthog.pricing.billing import charges_for_event
from genops_otel_posthog.receiver.store import Transaction, iso

_EVENTS = """
    SELECT event, identified, grouped, count(*) FROM (
        SELECT event, max(person_mode <> 'propertyless') AS identified, max(grouped) AS grouped
        FROM events
        WHERE outcome = 'accepted' AND (:token IS NULL OR token = :token) AND timestamp >= :start AND timestamp < :end
          -- answers to a survey that belongs to a product tour are free
          AND NOT (event = 'survey sent' AND json_type(properties, '$."$product_tour_id"') IS NOT NULL)
        GROUP BY token, substr(timestamp, 1, 10), event, distinct_id, uuid
    ) GROUP BY event, identified, grouped ORDER BY event
"""
_DUPLICATES = """
    SELECT coalesce(sum(copies - 1), 0) FROM (
        SELECT count(*) AS copies FROM events
        WHERE outcome = 'accepted' AND (:token IS NULL OR token = :token) AND timestamp >= :start AND timestamp < :end
        GROUP BY token, substr(timestamp, 1, 10), event, distinct_id, uuid
    )
"""
_FLAGS = """
    SELECT kind, status, count(*), sum(units) FROM flag_requests
    WHERE (:token IS NULL OR token = :token) AND at >= :start AND at < :end
    GROUP BY kind, status ORDER BY kind, status
"""
_EARLIER_THAN_ANY, _LATER_THAN_ANY = "", "~"  # as text, which is how moments are kept


def bill(
    connection: sqlite3.Connection | Transaction,
    *,
    token: str | None = None,
    group_analytics: bool = False,
    start: datetime | None = None,
    end: datetime | None = None,
) -> dict[str, Any]:
    """The bill in units.

    Args:
        connection: to read from.
        token: only this project key; ``None`` for all.
        group_analytics: whether the organisation has the group analytics add-on.
        start: count what happened from then on: events by their timestamp, flag requests by their arrival.
        end: count what happened before then.

    Returns:
        ``meters``: units by meter, without those that are zero. ``events``: by event name, how many were counted and
        how many of them as identified. ``duplicates``: accepted copies that are not billed. ``flag_requests``: number
        and units by kind and status, such as ``definitions 304``.
    """
    parameters = {
        "token": token,
        "start": _EARLIER_THAN_ANY if start is None else iso(start),
        "end": _LATER_THAN_ANY if end is None else iso(end),
    }
    meters: dict[str, int] = {}
    events: dict[str, dict[str, int]] = {}
    for event, identified, grouped, count in connection.execute(_EVENTS, parameters):
        line = events.setdefault(event, {"counted": 0, "identified": 0})
        line["counted"] += count
        line["identified"] += count if identified else 0
        for charge in charges_for_event(
            event, identified=bool(identified), grouped=bool(grouped), group_analytics=group_analytics
        ):
            meters[charge.meter] = meters.get(charge.meter, 0) + charge.units * count
    flag_requests: dict[str, dict[str, int]] = {}
    for kind, status, count, units in connection.execute(_FLAGS, parameters):
        flag_requests[f"{kind} {status}"] = {"requests": count, "units": units}
        if units:
            meters["feature_flag_requests"] = meters.get("feature_flag_requests", 0) + units
    duplicates: int = connection.execute(_DUPLICATES, parameters).fetchone()[0]
    return {"meters": meters, "events": events, "duplicates": duplicates, "flag_requests": flag_requests}

"""The time, and the form in which it travels."""

from __future__ import annotations

from datetime import datetime, timezone


def utc_now() -> datetime:
    """The time, aware UTC."""
    return datetime.now(timezone.utc)


def iso(moment: datetime) -> str:
    """ISO 8601 in UTC, to the microsecond."""
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")

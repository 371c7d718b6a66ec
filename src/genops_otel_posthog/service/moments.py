"""A moment in the forms in which applications have it, as aware UTC."""

from __future__ import annotations

import math
from datetime import datetime, timezone
from typing import TypeAlias

from genops_otel_posthog.errors import GenOpsValidationError

Moment: TypeAlias = "datetime | str | float"
"""A ``datetime``, ISO 8601, or seconds since the epoch. A time without a zone is UTC."""


def utc_now() -> datetime:
    """The time, aware UTC."""
    return datetime.now(timezone.utc)


def utc(moment: Moment) -> datetime:
    """A moment as aware UTC.

    Raises:
        GenOpsValidationError: It is none.
    """
    try:
        if isinstance(moment, str):
            # Python 3.10 does not know the Z of ISO 8601.
            moment = datetime.fromisoformat(moment[:-1] + "+00:00" if moment.endswith(("Z", "z")) else moment)
        elif isinstance(moment, (int, float)) and not isinstance(moment, bool) and math.isfinite(moment):
            return datetime.fromtimestamp(moment, timezone.utc)
        if isinstance(moment, datetime):
            aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=timezone.utc)
            return aware.astimezone(timezone.utc)
    except (ValueError, OverflowError, OSError):
        pass
    raise GenOpsValidationError(
        f"a time is a datetime, ISO 8601 such as 2026-01-02T03:04:05Z, or seconds since the epoch, not {moment!r:.60}"
    )


def iso(moment: datetime) -> str:
    """The form in which a moment travels: ISO 8601 in UTC, to the microsecond."""
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")

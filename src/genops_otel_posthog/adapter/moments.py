"""When something happened, in whichever form an application says it."""

from __future__ import annotations

import math
from datetime import datetime, timezone
from typing import TypeAlias

from genops_otel_posthog.errors import GenOpsValidationError

Moment: TypeAlias = "datetime | float | int | str"
"""A date and time, seconds since the epoch, or ISO 8601."""


def moment_utc(given: object) -> datetime:
    """An instant as an aware date and time in UTC. A time without an offset is taken for UTC.

    Raises:
        GenOpsValidationError: It is not one.
    """
    try:
        if isinstance(given, datetime):
            found = given
        elif isinstance(given, str):
            found = datetime.fromisoformat(given.replace("Z", "+00:00").replace("z", "+00:00"))
        elif isinstance(given, bool) or not isinstance(given, (int, float)) or not math.isfinite(given):
            raise ValueError("neither a date and time, nor seconds since the epoch, nor ISO 8601")
        else:
            return datetime.fromtimestamp(given, timezone.utc)
        return found.replace(tzinfo=timezone.utc) if found.tzinfo is None else found.astimezone(timezone.utc)
    except (ValueError, OverflowError, OSError) as problem:
        raise GenOpsValidationError(
            f"timestamp {str(given)[:40]!r} cannot be used: {problem}; give a datetime, seconds since the epoch, or "
            "2026-11-29T12:00:00Z"
        ) from None

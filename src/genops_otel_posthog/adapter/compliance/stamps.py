"""What an event says about how long it may be kept and what kind of data it holds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta, timezone
from typing import Any, Final

from genops_otel_posthog import semconv
from genops_otel_posthog.adapter.compliance.obligations import Obligations

_DAY: Final = 86_400


class Stamps:
    """The properties that obligations put on events; made once a day.

    Args:
        obligations: What is in force.
        clock: Seconds since 1970.
    """

    def __init__(self, obligations: Obligations, clock: Callable[[], float]) -> None:
        self._obligations = obligations
        self._clock = clock
        self._made: tuple[int, Mapping[str, Any]] = (-1, {})

    def today(self) -> Mapping[str, Any]:
        """Those of an event that is made now."""
        today = int(self._clock()) // _DAY
        day, made = self._made
        if day != today:
            made = self._make(today)
            self._made = (today, made)
        return made

    def _make(self, today: int) -> Mapping[str, Any]:
        obligations, made = self._obligations, dict[str, Any]()
        if obligations.retention_days is not None:
            last = datetime.fromtimestamp(today * _DAY, timezone.utc).date() + timedelta(obligations.retention_days)
            made[semconv.PROPERTY_GENOPS_DATA_RETENTION_DAYS] = obligations.retention_days
            made[semconv.PROPERTY_GENOPS_DELETE_AFTER] = last.isoformat()
        if obligations.classification is not None:
            made[semconv.PROPERTY_GENOPS_DATA_CLASSIFICATION] = obligations.classification
        if "hipaa" in obligations.frameworks:
            made["$geoip_disable"] = True  # PostHog would add the place that belongs to the sender's address
        return made

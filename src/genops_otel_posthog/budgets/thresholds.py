"""Thresholds of budgets, from the grammar in which people write them.

``daily:80,weekly:90,monthly:95`` is the guide's; a budget's own thresholds leave out the period: ``80``,
``95:critical``, ``100:critical:forecast``. That 100 percent are spent is always told, so it need not be written.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal

from genops_otel_posthog.budgets.ledger.protocol import Threshold
from genops_otel_posthog.budgets.periods import PeriodKind
from genops_otel_posthog.settings.alert_thresholds import (
    FORECAST,
    MAX_PERCENT,
    SEVERITIES,
    Level,
    distinct_levels,
    parse_alert_thresholds,
    parse_level,
    percent_text,
)


def thresholds_by_period(text: str) -> Mapping[PeriodKind, tuple[Threshold, ...]]:
    """The thresholds of each period in a text like ``GENOPS_ALERT_THRESHOLDS``, the lowest first.

    Raises:
        ValueError: The text is not ``period:pct[:severity][:forecast],…``.
    """
    return {PeriodKind(period): _of_levels(levels) for period, levels in parse_alert_thresholds(text).items()}


def thresholds_of_one(given: Iterable[Threshold | Decimal | int | float | str] | str) -> tuple[Threshold, ...]:
    """The thresholds of one budget, the lowest first.

    Args:
        given: Percentages (``80``), texts (``"95:critical:forecast"``) and thresholds; or a text with commas.

    Raises:
        ValueError: One of them is something else, or given twice.
    """
    items = given.split(",") if isinstance(given, str) else given
    return _of_levels(distinct_levels([_level(item) for item in items]))


def threshold_text(threshold: Threshold) -> str:
    """A threshold as people write it, its severity always with it: ``80:warning``, ``100:critical:forecast``."""
    text = f"{percent_text(threshold.basis_points)}:{threshold.severity}"
    return f"{text}:{FORECAST}" if threshold.forecast else text


def _level(item: Threshold | Decimal | int | float | str) -> Level:
    if not isinstance(item, Threshold):
        return parse_level(str(item))
    if not 0 < item.basis_points <= MAX_PERCENT * 100 or item.severity not in SEVERITIES:
        raise ValueError(
            f"{item!r} needs basis points from 1 to {MAX_PERCENT * 100:,} and a severity: {', '.join(SEVERITIES)}"
        )
    return Level(item.basis_points, item.severity, item.forecast)


def _of_levels(levels: Iterable[Level]) -> tuple[Threshold, ...]:
    return tuple(Threshold(level.basis_points, level.forecast, level.severity) for level in levels)

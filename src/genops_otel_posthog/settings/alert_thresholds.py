"""The grammar of alert thresholds: ``daily:80,weekly:90,monthly:95``.

Each is a period, a percentage of the period's budget and, if wanted, a severity and the word ``forecast``: then it is
about what the period will have cost at its end, and not about what has been spent.

Percentages, periods and severities are those that GenOps' budget resource knows (50 info, 80 warning, 95 critical).
"""

from __future__ import annotations

import re
from decimal import Decimal
from itertools import pairwise
from typing import Final, NamedTuple

#: The period that a word stands for.
PERIOD_WORDS: Final = {
    "daily": "day",
    "weekly": "week",
    "monthly": "month",
    "quarterly": "quarter",
    "custom": "custom",
}
SEVERITIES: Final = ("info", "warning", "critical")
FORECAST: Final = "forecast"

MAX_PERCENT: Final = 1_000
"""Ten times the budget; beyond it, somebody has written an amount."""

_PERCENT = re.compile(r"[0-9]{1,4}(\.[0-9]{1,2})?")
_WARNING_FROM, _CRITICAL_FROM = 8_000, 9_500


class Level(NamedTuple):
    """A part of a budget that is worth an alert.

    Attributes:
        basis_points: Part of the limit in ten-thousandths.
        severity: One of :data:`SEVERITIES`.
        forecast: Whether it is about the forecast of the period.
    """

    basis_points: int
    severity: str
    forecast: bool


def parse_level(text: str) -> Level:
    """A level written as ``pct[:severity][:forecast]``.

    Without a severity it is ``info`` below 80 percent, ``warning`` below 95 and ``critical`` from there on.

    Raises:
        ValueError: It is written otherwise.
    """
    percent, *words = (word.strip().lower() for word in text.split(":"))
    shown = repr(text.strip()[:40])
    if not _PERCENT.fullmatch(percent):
        raise ValueError(f"{shown} does not begin with a percentage like 80 or 99.5")
    basis_points = int(Decimal(percent) * 100)
    if not 0 < basis_points <= MAX_PERCENT * 100:
        raise ValueError(f"{shown} does not begin with a percentage above 0 and up to {MAX_PERCENT:,}")
    severity = words.pop(0) if words and words[0] in SEVERITIES else _usual_severity(basis_points)
    forecast = words == [FORECAST]
    if words and not forecast:
        raise ValueError(
            f"{shown} must be a percentage, then perhaps one of {', '.join(SEVERITIES)}, then perhaps {FORECAST}, "
            "joined by colons"
        )
    return Level(basis_points, severity, forecast)


def parse_alert_thresholds(text: str) -> dict[str, tuple[Level, ...]]:
    """The levels of each period, lowest first, by ``day``, ``week``, ``month``, ``quarter`` and ``custom``.

    Raises:
        ValueError: An item is not ``period:pct[:severity][:forecast]``, or a level is given twice for a period.
    """
    items = [item.strip() for item in text.split(",")]
    by_period: dict[str, list[Level]] = {}
    for item in filter(None, items):
        word, _, level = item.partition(":")
        period = PERIOD_WORDS.get(word.strip().lower())
        if period is None:
            raise ValueError(f"{item[:40]!r} does not begin with one of {', '.join(PERIOD_WORDS)} and a colon")
        by_period.setdefault(period, []).append(parse_level(level))
    if not by_period:
        raise ValueError("it names no threshold")
    return {period: distinct_levels(levels) for period, levels in by_period.items()}


def distinct_levels(levels: list[Level]) -> tuple[Level, ...]:
    """The levels, lowest first.

    Raises:
        ValueError: One is given twice, with the same severity or with another.
    """
    ordered = sorted(levels, key=lambda level: (level.basis_points, level.forecast))
    for one, other in pairwise(ordered):
        if (one.basis_points, one.forecast) == (other.basis_points, other.forecast):
            about = "the forecast of " if one.forecast else ""
            raise ValueError(f"{about}{percent_text(one.basis_points)} percent is given twice for one period")
    return tuple(ordered)


def percent_text(basis_points: int) -> str:
    """``95``, ``99.5``."""
    return (
        f"{Decimal(basis_points) / 100:f}".rstrip("0").rstrip(".") if basis_points % 100 else str(basis_points // 100)
    )


def _usual_severity(basis_points: int) -> str:
    if basis_points >= _CRITICAL_FROM:
        return "critical"
    return "warning" if basis_points >= _WARNING_FROM else "info"

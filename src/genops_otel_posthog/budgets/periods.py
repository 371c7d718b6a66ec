"""Periods of budgets: days, weeks, months, quarters and spans of N days, in a time zone.

A period begins where its first date begins in the time zone and ends where the next one begins, so that no instant lies
in two periods of a budget and none in no period. Nothing is ever added to an instant: a day has 23, 24 or 25 hours, and
it is the calendar that knows. A local midnight that occurs twice counts the first time; one that is skipped is the
instant of the jump; a date that a country skipped as a whole (Samoa, 30 December 2011) has no period.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from enum import Enum
from typing import NamedTuple
from zoneinfo import ZoneInfo

from genops_otel_posthog.budgets.ledger.protocol import Window

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_MILLISECOND = timedelta(milliseconds=1)


class PeriodKind(str, Enum):
    """How often a budget starts anew."""

    DAY = "day"
    """A calendar day."""
    WEEK = "week"
    """An ISO week: Monday to Sunday."""
    MONTH = "month"
    """A calendar month."""
    QUARTER = "quarter"
    """Three calendar months, from January on."""
    CUSTOM = "custom"
    """A number of days, counted from an anchor date in both directions."""

    def __str__(self) -> str:
        return self.value


def instant_ms(moment: date | datetime, zone: ZoneInfo) -> int:
    """The instant of a moment, in milliseconds since the epoch.

    Args:
        moment: A date, for its first instant; a time with an offset; or a time of day in ``zone``.
        zone: The time zone of a moment that has none.
    """
    if not isinstance(moment, datetime):
        moment = datetime(moment.year, moment.month, moment.day)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=zone)
    return (moment - _EPOCH) // _MILLISECOND


def window_at(
    kind: PeriodKind, zone: ZoneInfo, now_ms: int, *, anchor: date | None = None, days: int | None = None
) -> Window:
    """The period that an instant lies in.

    Args:
        kind: The kind of period.
        zone: The time zone whose dates count.
        now_ms: The instant, in milliseconds since the epoch.
        anchor: The first date of one of the periods; for custom periods only.
        days: How long they are; for custom periods only.

    Raises:
        ValueError: The period is custom, and ``anchor`` or ``days`` is missing.
    """
    if kind is PeriodKind.CUSTOM and (anchor is None or not days):
        raise ValueError("a custom period needs the anchor, a date, and the number of days")
    calendar = _Calendar(kind, anchor or date.min, days or 1)
    first = calendar.first_date((_EPOCH + now_ms * _MILLISECOND).astimezone(zone).date())
    # Where a midnight occurs twice, the clock shows a date again whose period is over; so the instants decide.
    while now_ms < instant_ms(first, zone):
        first = calendar.first_date(first - timedelta(days=1))
    following = calendar.next_first_date(first)
    while now_ms >= instant_ms(following, zone):
        first, following = following, calendar.next_first_date(following)
    return Window(calendar.id_of(first), instant_ms(first, zone), instant_ms(following, zone))


def windows_around(
    kind: PeriodKind, zone: ZoneInfo, now_ms: int, *, anchor: date | None = None, days: int | None = None
) -> tuple[Window, Window]:
    """The period that an instant lies in and the one after it; see :func:`window_at`."""
    current = window_at(kind, zone, now_ms, anchor=anchor, days=days)
    return current, window_at(kind, zone, current.end_ms, anchor=anchor, days=days)


class _Calendar(NamedTuple):
    """The dates on which periods of one kind begin."""

    kind: PeriodKind
    anchor: date
    days: int

    def first_date(self, day: date) -> date:
        """The first date of the period that a date belongs to."""
        if self.kind is PeriodKind.DAY:
            return day
        if self.kind is PeriodKind.WEEK:
            return day - timedelta(days=day.weekday())
        if self.kind is PeriodKind.MONTH:
            return day.replace(day=1)
        if self.kind is PeriodKind.QUARTER:
            return date(day.year, day.month - (day.month - 1) % 3, 1)
        return day - timedelta(days=(day - self.anchor).days % self.days)

    def next_first_date(self, first: date) -> date:
        """The first date of the period after the one that begins on ``first``."""
        if self.kind is PeriodKind.DAY:
            return first + timedelta(days=1)
        if self.kind is PeriodKind.WEEK:
            return first + timedelta(days=7)
        if self.kind is PeriodKind.CUSTOM:
            return first + timedelta(days=self.days)
        months = first.year * 12 + first.month - 1 + (1 if self.kind is PeriodKind.MONTH else 3)
        return date(months // 12, months % 12 + 1, 1)

    def id_of(self, first: date) -> str:
        """The id of the period that begins on ``first``, as :class:`Window` documents it."""
        if self.kind is PeriodKind.WEEK:
            year, week, _ = first.isocalendar()
            return f"w:{year}-W{week:02}"
        if self.kind is PeriodKind.MONTH:
            return f"m:{first.isoformat()[:7]}"
        if self.kind is PeriodKind.QUARTER:
            return f"q:{first.year}-Q{(first.month + 2) // 3}"
        return f"{'d' if self.kind is PeriodKind.DAY else 'c'}:{first.isoformat()}"

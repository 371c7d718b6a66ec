"""Dates and times of a configuration, which are written as such in TOML and Python, and as text in JSON."""

from __future__ import annotations

import contextlib
from datetime import date, datetime
from typing import Final

# Nobody plans for other years, and beyond them a day more is an overflow in one time zone or another.
_FIRST_YEAR: Final = 1971
_LAST_YEAR: Final = 2999
_LENGTH_OF_A_DATE = len("2026-11-27")


def only_date(value: object) -> date:
    """A date, also as text (``2026-11-27``).

    Raises:
        ValueError: It is something else; a time is not a date.
    """
    found = date_or_time(value)
    if isinstance(found, datetime):
        raise ValueError("is a time and not a date; write it like 2026-11-27")
    return found


def date_or_time(value: object) -> date | datetime:
    """A date or a time, also as text (``2026-11-27``, ``2026-11-27T18:00:00+01:00``).

    Raises:
        ValueError: It is neither.
    """
    if isinstance(value, str):
        # Python 3.10 does not read the Z of UTC.
        text = value.strip().replace("Z", "+00:00")
        with contextlib.suppress(ValueError):
            value = date.fromisoformat(text) if len(text) <= _LENGTH_OF_A_DATE else datetime.fromisoformat(text)
    if not isinstance(value, date):
        raise ValueError("is neither a date nor a time; write it like 2026-11-27 or 2026-11-27T18:00:00+01:00")
    if not _FIRST_YEAR <= value.year <= _LAST_YEAR:
        raise ValueError(f"is not within the years {_FIRST_YEAR} to {_LAST_YEAR}")
    return value

"""Names of time zones, and which one was meant by a name that is none.

Only names of the IANA database: ``Europe/Berlin`` says when its days begin, in summer and winter and in years past. An
offset like ``+01:00`` does not, and ``localtime`` says something else on every machine.
"""

from __future__ import annotations

import difflib
from zoneinfo import ZoneInfo, available_timezones

# Directories and links of some systems beside the names proper; `right` counts leap seconds, which no clock here does.
_NOT_IANA = ("localtime", "posix", "posixrules", "right")
_MOST_SUGGESTED = 3


def time_zone(name: str) -> str:
    """The name of a time zone.

    Raises:
        ValueError: There is no such time zone. The message names those that may have been meant.
    """
    try:
        if name.split("/")[0] not in _NOT_IANA:
            ZoneInfo(name)
            return name
    except (LookupError, ValueError, OSError):
        # ZoneInfoNotFoundError is a LookupError; a path out of the database is a ValueError; a directory an OSError.
        pass
    raise ValueError(f"{name[:60]!r} is not a time zone; {_meant(name)}")


def _meant(name: str) -> str:
    by_lower = {zone.lower(): zone for zone in sorted(available_timezones()) if zone.split("/")[0] not in _NOT_IANA}
    wanted = name[:60].lower().replace(" ", "_")
    if wanted in by_lower:
        close = [by_lower[wanted]]
    else:
        # People know the city (`berlin`) or misspell one part (`Europe/Berln`).
        city = wanted.split("/")[-1]
        close = [zone for lower, zone in by_lower.items() if city and city == lower.split("/")[-1] and "/" in zone]
        close = close or [by_lower[lower] for lower in difflib.get_close_matches(wanted, by_lower, n=_MOST_SUGGESTED)]
    if close:
        return f"did you mean {' or '.join(close[:_MOST_SUGGESTED])}?"
    return "write a name of the IANA database, like Europe/Berlin, America/New_York or UTC"

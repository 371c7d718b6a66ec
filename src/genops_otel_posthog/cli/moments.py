"""Moments, which a ledger counts in milliseconds, as texts in a time zone."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone, tzinfo

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def moment(ms: int, zone: tzinfo) -> datetime:
    """Milliseconds since the epoch as a time in a zone."""
    return (_EPOCH + timedelta(milliseconds=ms)).astimezone(zone)


def instant_text(ms: int, zone: tzinfo) -> str:
    """A moment for programs: ``2026-11-22T18:00:00+01:00``."""
    return moment(ms, zone).isoformat()


def moment_text(ms: int, zone: tzinfo) -> str:
    """A moment for people: ``Sun 2026-11-22 18:00``."""
    return f"{moment(ms, zone):%a %Y-%m-%d %H:%M}"


def clock_text(ms: int, zone: tzinfo) -> str:
    """A moment for people who look for a second: ``2026-11-22 18:00:07``."""
    return f"{moment(ms, zone):%Y-%m-%d %H:%M:%S}"

"""Periods: where they begin and end, in every time zone."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from itertools import pairwise
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genops_otel_posthog.budgets.ledger.protocol import Window
from genops_otel_posthog.budgets.periods import PeriodKind, instant_ms, window_at, windows_around

DAY, WEEK, MONTH, QUARTER, CUSTOM = PeriodKind
HOUR_MS = 3_600_000
ANCHOR, DAYS = date(2026, 1, 15), 14

# Midnights that are skipped (Cairo, Havana, Santiago, Beirut, Asuncion) or occur twice (Havana, St John's until 2011,
# Azores), dates that do not exist (Apia, Fakaofo), half hours (Lord Howe), odd offsets, the two ends of the world.
ODD_ZONES = (
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "America/Havana",
    "America/Santiago",
    "America/St_Johns",
    "America/Asuncion",
    "America/Sao_Paulo",
    "Africa/Cairo",
    "Africa/Casablanca",
    "Asia/Beirut",
    "Asia/Gaza",
    "Asia/Kathmandu",
    "Asia/Pyongyang",
    "Asia/Tehran",
    "Atlantic/Azores",
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "Pacific/Fakaofo",
    "Pacific/Kiritimati",
    "Pacific/Chatham",
    "Etc/GMT+12",
)


def ms(text):
    return int(datetime.fromisoformat(text).timestamp() * 1000)


def at(kind, zone, text, **custom):
    return window_at(kind, ZoneInfo(zone), ms(text), **custom)


def hours(window):
    return (window.end_ms - window.start_ms) / HOUR_MS


def period_options(kind):
    return {"anchor": ANCHOR, "days": DAYS} if kind is CUSTOM else {}


def tiled(kind, zone, start_ms, end_ms):
    """The periods from one instant to another, each found from the end of the one before."""
    windows = [window_at(kind, zone, start_ms, **period_options(kind))]
    while windows[-1].end_ms < end_ms:
        windows.append(window_at(kind, zone, windows[-1].end_ms, **period_options(kind)))
    return windows


@pytest.mark.parametrize(
    ("kind", "window"),
    [
        (DAY, Window("d:2026-03-29", ms("2026-03-29T00:00+00:00"), ms("2026-03-30T00:00+00:00"))),
        (WEEK, Window("w:2026-W13", ms("2026-03-23T00:00+00:00"), ms("2026-03-30T00:00+00:00"))),
        (MONTH, Window("m:2026-03", ms("2026-03-01T00:00+00:00"), ms("2026-04-01T00:00+00:00"))),
        (QUARTER, Window("q:2026-Q1", ms("2026-01-01T00:00+00:00"), ms("2026-04-01T00:00+00:00"))),
        (CUSTOM, Window("c:2026-03-26", ms("2026-03-26T00:00+00:00"), ms("2026-04-09T00:00+00:00"))),
    ],
)
def test_each_kind_of_period_has_its_bounds_and_its_id(kind, window):
    assert at(kind, "UTC", "2026-03-29T12:00+00:00", **period_options(kind)) == window


@pytest.mark.parametrize("kind", PeriodKind)
@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "America/St_Johns", "Pacific/Apia"])
def test_a_period_holds_its_first_instant_and_not_its_end(kind, zone):
    window = at(kind, zone, "2026-11-04T10:00+00:00", **period_options(kind))
    find = lambda instant: window_at(kind, ZoneInfo(zone), instant, **period_options(kind))  # noqa: E731
    assert find(window.start_ms) == find(window.end_ms - 1) == window
    assert find(window.start_ms - 1).end_ms == window.start_ms
    assert find(window.end_ms).start_ms == window.end_ms


def test_a_period_is_that_of_the_time_zone_and_not_of_utc():
    instant = "2026-01-31T23:30+00:00"
    assert at(MONTH, "UTC", instant).id == "m:2026-01"
    assert at(MONTH, "Europe/Berlin", instant).id == "m:2026-02"
    assert at(DAY, "America/New_York", instant) == Window(
        "d:2026-01-31", ms("2026-01-31T00:00-05:00"), ms("2026-02-01T00:00-05:00")
    )


@pytest.mark.parametrize(
    ("zone", "day", "length"),
    [
        ("Europe/Berlin", "2026-03-29", 23),
        ("Europe/Berlin", "2026-10-25", 25),
        ("America/New_York", "2026-03-08", 23),
        ("America/New_York", "2026-11-01", 25),
        ("Australia/Lord_Howe", "2026-10-04", 23.5),
        ("Africa/Cairo", "2026-04-24", 23),
        ("Europe/Berlin", "2026-06-15", 24),
    ],
)
def test_a_day_has_the_hours_that_its_clocks_say(zone, day, length):
    window = at(DAY, zone, f"{day}T12:00+00:00")
    assert (window.id, hours(window)) == (f"d:{day}", length)


def test_a_day_whose_midnight_is_skipped_begins_with_the_jump():
    window = at(DAY, "Africa/Cairo", "2026-04-24T12:00+00:00")
    start = datetime.fromtimestamp(window.start_ms / 1000, ZoneInfo("Africa/Cairo"))
    assert start.isoformat() == "2026-04-24T01:00:00+03:00"


def test_a_day_whose_midnight_occurs_twice_begins_with_the_first():
    # At 00:01 on 7 November 2010 the clocks of Newfoundland went back to 23:01 on the 6th.
    zone = ZoneInfo("America/St_Johns")
    sixth, seventh = windows_around(DAY, zone, ms("2010-11-06T12:00-02:30"))
    assert seventh.start_ms == ms("2010-11-07T00:00-02:30")
    again_the_sixth = ms("2010-11-06T23:30-03:30")
    assert datetime.fromtimestamp(again_the_sixth / 1000, zone).date() == date(2010, 11, 6)
    assert window_at(DAY, zone, again_the_sixth) == seventh
    assert (hours(sixth), hours(seventh)) == (24, 25)


def test_a_date_that_a_country_skipped_has_no_period():
    zone = ZoneInfo("Pacific/Apia")
    before, after = windows_around(DAY, zone, ms("2011-12-29T12:00-10:00"))
    assert (before.id, after.id) == ("d:2011-12-29", "d:2011-12-31")
    assert before.end_ms == after.start_ms
    assert hours(at(WEEK, "Pacific/Apia", "2011-12-29T12:00-10:00")) == 6 * 24


@pytest.mark.parametrize(
    ("day", "week", "monday"),
    [
        ("2026-01-01", "w:2026-W01", "2025-12-29"),
        ("2027-01-01", "w:2026-W53", "2026-12-28"),
        ("2027-01-04", "w:2027-W01", "2027-01-04"),
    ],
)
def test_a_week_begins_on_monday_and_is_numbered_as_iso_8601_does(day, week, monday):
    window = at(WEEK, "UTC", f"{day}T12:00+00:00")
    assert (window.id, window.start_ms) == (week, ms(f"{monday}T00:00+00:00"))


@pytest.mark.parametrize(
    ("now", "first"),
    [
        ("2026-01-15T00:00+00:00", "2026-01-15"),
        ("2026-01-14T23:59+00:00", "2026-01-01"),
        ("2025-12-31T00:00+00:00", "2025-12-18"),
        ("2036-02-29T00:00+00:00", "2036-02-28"),
    ],
)
def test_custom_periods_go_on_in_both_directions_from_the_anchor(now, first):
    window = at(CUSTOM, "UTC", now, anchor=ANCHOR, days=DAYS)
    assert (window.id, hours(window)) == (f"c:{first}", DAYS * 24)


@pytest.mark.parametrize("options", [{}, {"anchor": ANCHOR}, {"days": 14}, {"anchor": ANCHOR, "days": 0}])
def test_a_custom_period_needs_an_anchor_and_a_number_of_days(options):
    with pytest.raises(ValueError, match="a custom period needs the anchor, a date, and the number of days"):
        at(CUSTOM, "UTC", "2026-01-15T00:00+00:00", **options)


@pytest.mark.parametrize(
    ("moment", "instant"),
    [
        (date(2026, 3, 29), "2026-03-29T00:00+01:00"),
        (datetime(2026, 3, 29, 18), "2026-03-29T18:00+02:00"),
        (datetime(2026, 3, 29, 18, tzinfo=timezone.utc), "2026-03-29T18:00+00:00"),
    ],
)
def test_a_moment_without_a_time_zone_is_one_in_the_time_zone(moment, instant):
    assert instant_ms(moment, ZoneInfo("Europe/Berlin")) == ms(instant)


@settings(deadline=None)  # a shared machine may pause at any example
@given(
    kind=st.sampled_from(PeriodKind),
    name=st.sampled_from(ODD_ZONES),
    now_ms=st.integers(ms("1995-01-01T00:00+00:00"), ms("2100-01-01T00:00+00:00")),
)
def test_every_instant_lies_in_the_present_period_and_the_next_one_follows_it(kind, name, now_ms):
    current, following = windows_around(kind, ZoneInfo(name), now_ms, **period_options(kind))
    assert current.start_ms <= now_ms < current.end_ms == following.start_ms < following.end_ms
    assert current.id < following.id


@pytest.mark.parametrize("name", ODD_ZONES)
def test_days_tile_the_years_in_odd_time_zones(name):
    check_tiles(ZoneInfo(name), DAY, 2010, 2012)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("kind", PeriodKind)
def test_periods_tile_the_years_in_all_time_zones(kind):
    for name in sorted(available_timezones()):
        check_tiles(ZoneInfo(name), kind, 2010, 2012)
        check_tiles(ZoneInfo(name), kind, 2024, 2030)


def check_tiles(zone, kind, first_year, last_year):
    windows = tiled(kind, zone, *(ms(f"{year}-01-01T00:00+00:00") for year in (first_year, last_year + 1)))
    assert all(one.end_ms == other.start_ms and one.id < other.id for one, other in pairwise(windows)), zone.key
    days = {DAY: (1, 1), WEEK: (7, 7), MONTH: (28, 31), QUARTER: (90, 92), CUSTOM: (DAYS, DAYS)}[kind]
    assert all(days[0] * 24 - 3 <= hours(window) <= days[1] * 24 + 3 for window in windows if "2011-" not in window.id)
    assert sum(hours(window) for window in windows) == (windows[-1].end_ms - windows[0].start_ms) / HOUR_MS
    # Found from its middle and from both of its ends, a period is the same.
    for window in windows[:: max(1, len(windows) // 50)]:
        for instant in (window.start_ms, (window.start_ms + window.end_ms) // 2, window.end_ms - 1):
            assert window_at(kind, zone, instant, **period_options(kind)) == window
    if kind is DAY:
        calendar_days = (date(last_year, 12, 31) - date(first_year, 1, 1)) // timedelta(days=1)
        assert abs(len(windows) - calendar_days) <= 3

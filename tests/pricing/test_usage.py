"""Month-to-date usage, and how people write it."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from datetime import datetime, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genops_otel_posthog.errors import GenOpsConfigurationError
from genops_otel_posthog.pricing.usage import BillingMonth, InProcessUsage, parse_units, parse_usage_to_date


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=timezone.utc).timestamp()


class Clock:
    def __init__(self, text: str) -> None:
        self.set(text)

    def set(self, text: str) -> None:
        self.seconds = at(text)

    def __call__(self) -> float:
        return self.seconds


def test_counting_answers_with_what_was_used_before():
    usage = InProcessUsage()
    assert [usage.add("events", 2), usage.add("events", 3), usage.add("recordings", 1)] == [0, 2, 0]
    assert (usage.used("events"), usage.used("recordings"), usage.used("exceptions")) == (5, 1, 0)


def test_several_meters_are_counted_in_one_step():
    usage = InProcessUsage({"events": 10})
    assert usage.add_all([("events", 1), ("identified_events", 1)]) == [10, 0]
    assert (usage.used("events"), usage.used("identified_events")) == (11, 1)


def test_usage_starts_with_what_the_organisation_had_used():
    usage = InProcessUsage({"events": 999_999})
    assert usage.add("events", 1) == 999_999


def test_what_was_given_as_the_start_is_not_changed():
    start = {"events": 1}
    InProcessUsage(start).add("events", 1)
    assert start == {"events": 1}


def test_a_new_month_starts_at_nothing_at_midnight_utc():
    clock = Clock("2026-11-30T23:59:59")
    usage = InProcessUsage({"events": 5}, clock)
    clock.set("2026-12-01T00:00:00")
    assert usage.used("events") == 0
    assert usage.add("events", 1) == 0


def test_the_start_belongs_to_its_month_only():
    clock = Clock("2026-12-15T00:00:00")
    usage = InProcessUsage({"events": 5}, clock)
    clock.set("2027-01-01T00:00:00")
    assert usage.add_all([("events", 1)]) == [0]


def test_a_clock_that_is_set_back_over_midnight_finds_its_month_again():
    clock = Clock("2026-11-30T23:59:59")
    usage = InProcessUsage({"events": 5}, clock)
    clock.set("2026-12-01T00:00:01")
    usage.add("events", 1)
    clock.set("2026-11-30T23:59:58")
    assert usage.used("events") == 5


def test_a_process_that_runs_for_years_keeps_the_last_two_months_only():
    clock = Clock("2026-01-15T00:00:00")
    usage = InProcessUsage(clock=clock)
    for month in range(1, 13):
        clock.set(f"2026-{month:02}-15T00:00:00")
        usage.add("events", month)
    clock.set("2026-11-15T00:00:00")
    assert usage.used("events") == 11
    clock.set("2026-10-15T00:00:00")
    assert usage.used("events") == 0


@pytest.mark.parametrize(
    ("moment", "month", "first", "next_first"),
    [
        ("2026-11-22T12:00:00", "2026-11", "2026-11-01", "2026-12-01"),
        ("2026-12-31T23:59:59", "2026-12", "2026-12-01", "2027-01-01"),
        ("2028-02-29T00:00:00", "2028-02", "2028-02-01", "2028-03-01"),
    ],
)
def test_a_billing_month_is_a_calendar_month_in_utc(moment: str, month: str, first: str, next_first: str):
    assert BillingMonth.at(at(moment)) == (month, at(first), at(next_first))


def test_threads_that_count_at_once_get_places_without_gap_or_overlap():
    usage, places = InProcessUsage(), []

    def count() -> None:
        mine = [usage.add("events", 3) for _ in range(500)]
        places.extend(mine)

    threads = [threading.Thread(target=count) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(places) == list(range(0, 3 * 8 * 500, 3))
    assert usage.used("events") == 3 * 8 * 500


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_child_of_a_fork_counts_although_a_thread_was_counting_at_that_moment():
    code = """
import os
from genops_otel_posthog.pricing.usage import InProcessUsage
usage = InProcessUsage({"events": 5})
usage._lock.acquire()  # as another thread would hold it
child = os.fork()
if child == 0:
    os._exit(usage.add("events", 1))
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert (run.stdout, run.stderr) == ("5\n", "")


@pytest.mark.parametrize(
    ("start", "reason"), [({"evnts": 1}, "did you mean events"), ({"events": -1}, "never negative")]
)
def test_a_start_that_cannot_be_is_refused(start: dict[str, int], reason: str):
    with pytest.raises(GenOpsConfigurationError, match=reason):
        InProcessUsage(start)


@pytest.mark.parametrize(
    ("text", "units"),
    [
        ("0", 0),
        ("250000", 250_000),
        ("250_000", 250_000),
        ("250k", 250_000),
        ("1.5M", 1_500_000),
        ("3m", 3_000_000),
        ("2B", 2_000_000_000),
        (" 7 ", 7),
        ("0.001k", 1),
    ],
)
def test_units_are_read_as_people_write_them(text: str, units: int):
    assert parse_units(text) == units


@pytest.mark.parametrize("text", ["", "-1", "3x", "1e6", "1__0", "1,000", "k", "1.5", "0.0001k", "٣"])
def test_what_is_no_number_of_units_is_refused(text: str):
    with pytest.raises(ValueError, match="number"):
        parse_units(text)


@given(st.integers(0, 10**15))
def test_any_whole_number_is_read_exactly(units: int):
    assert parse_units(str(units)) == parse_units(f"{units:_}") == units


def test_usage_to_date_is_read_by_meter():
    text = " events=900000, feature_flag_requests = 10_000,llm_events=1.5k,"
    assert parse_usage_to_date(text) == {"events": 900_000, "feature_flag_requests": 10_000, "llm_events": 1_500}


def test_no_usage_to_date_is_none():
    assert parse_usage_to_date("") == {}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("evnts=1", "'evnts' is not a meter; did you mean events?"),
        ("flags=1", "'flags' is not a meter; did you mean feature_flag_requests?"),
        ("events", "'events' is not meter=units"),
        ("events=", "events: '' is not a number of units"),
        ("events=-5", "events is -5, and usage is never negative"),
        ("events=1,events=2", "events is given twice"),
        ("events=1.5", "events: '1.5' is not a whole number of units"),
        ("=5", "'' is not a meter"),
    ],
)
def test_wrong_usage_to_date_is_refused_with_the_reason_and_an_example(text: str, reason: str):
    with pytest.raises(GenOpsConfigurationError) as refused:
        parse_usage_to_date(text, origin="GENOPS_USAGE_TO_DATE")
    message = str(refused.value)
    assert message.startswith(f"GENOPS_USAGE_TO_DATE={text!r}: {reason}")
    assert message.endswith("(write it like events=900000,feature_flag_requests=10)")

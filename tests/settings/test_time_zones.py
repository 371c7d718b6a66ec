"""Which names are time zones, and which one was meant by a name that is none."""

from __future__ import annotations

from zoneinfo import available_timezones

import pytest

from genops_otel_posthog.settings.time_zones import time_zone


def refusal(name):
    with pytest.raises(ValueError, match="is not a time zone") as caught:
        time_zone(name)
    return str(caught.value)


@pytest.mark.parametrize("name", ["UTC", "Europe/Berlin", "America/Argentina/Buenos_Aires", "EST5EDT", "Etc/GMT+5"])
def test_a_name_of_the_iana_database_is_a_time_zone(name):
    assert time_zone(name) == name


def test_every_name_that_is_there_is_one_but_what_differs_from_machine_to_machine():
    refused = {"localtime"}
    assert all(time_zone(name) == name for name in available_timezones() - refused)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("Europe/Berln", "did you mean Europe/Berlin"),
        ("europe/berlin", "did you mean Europe/Berlin?"),
        ("Berlin", "did you mean Europe/Berlin?"),
        ("new york", "did you mean America/New_York"),
        ("Amerika/New_York", "did you mean America/New_York"),
        ("utc+1", "did you mean "),
    ],
)
def test_a_name_that_is_none_is_refused_with_the_one_that_was_meant(name, meant):
    assert meant in refusal(name)


@pytest.mark.parametrize(
    "name", ["+01:00", "", "/etc/localtime", "../../etc/passwd", "localtime", "Europe", "a\0b", "é" * 300]
)
def test_what_is_not_the_same_on_every_machine_is_refused(name):
    assert len(refusal(name)) < 200


@pytest.mark.parametrize("name", ["right/UTC", "posix/Europe/Berlin"])
def test_other_tables_than_the_usual_one_are_refused(name):
    refusal(name)

"""Names that are not ours, and which of ours was meant."""

from __future__ import annotations

import pytest

from genops_otel_posthog.settings.names import KNOWN, foreign_names, meant_name


@pytest.mark.parametrize("name", sorted(KNOWN))
def test_a_name_of_ours_is_not_foreign(name: str):
    assert list(foreign_names({name: "x"})) == []


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("GENOPS_TAEM", "GENOPS_TEAM"),
        ("GENOPS_DAILY_BUDGET", "GENOPS_DAILY_BUDGET_LIMIT"),
        ("genops_team", "GENOPS_TEAM"),
        ("GENOP_TEAM", "GENOPS_TEAM"),
        ("POSTHOG_API_KEYS", "POSTHOG_API_KEY"),
        ("POSTHOG_KEY", "POSTHOG_API_KEY"),
        ("POSTHOG_API_HOST", "POSTHOG_HOST"),
        ("RUDDERSTACK_WRITEKEY", "RUDDERSTACK_WRITE_KEY"),
        ("RUDDERSTACK_DATAPLANE_URL", "RUDDERSTACK_DATA_PLANE_URL"),
    ],
)
def test_a_name_that_is_close_was_meant(name: str, meant: str):
    assert [tuple(found) for found in foreign_names({name: "x"})] == [(name, meant)]


@pytest.mark.parametrize(
    "name",
    [
        "POSTGRES_HOST",
        "POSTHOG_DEBUG",
        "POSTHOG_PROJECT_ID",
        "HOST",
        "API_KEY",
        "OTEL_SERVICE_NAME",
        "DATABASE_URL",
        "debug",
    ],
)
def test_what_others_read_is_none_of_ours(name: str):
    assert list(foreign_names({name: "x"})) == []


def test_an_unknown_name_of_ours_is_told_though_nothing_is_close():
    assert [tuple(found) for found in foreign_names({"GENOPS_ZZZZ": "x"})] == [("GENOPS_ZZZZ", None)]


def test_somebody_else_s_name_is_left_alone_where_ours_is_set_too():
    assert list(foreign_names({"POSTHOG_KEY": "x", "POSTHOG_API_KEY": "y"})) == []


def test_a_blank_value_is_not_given():
    assert list(foreign_names({"GENOPS_TAEM": " "})) == []


def test_a_name_without_anything_close_has_no_meaning():
    assert meant_name("PATH") is None

"""The grammar of ``GENOPS_ALERT_THRESHOLDS``."""

from __future__ import annotations

import pytest

from genops_otel_posthog.settings.alert_thresholds import Level, parse_alert_thresholds, parse_level, percent_text


def refusal(text):
    with pytest.raises(ValueError, match=r"\w") as caught:
        parse_alert_thresholds(text)
    return str(caught.value)


@pytest.mark.requirement("D-19")
def test_thresholds_are_levels_by_period():
    assert parse_alert_thresholds("daily:80,weekly:90,monthly:95,daily:50:info,monthly:100:critical:forecast") == {
        "day": (Level(5_000, "info", False), Level(8_000, "warning", False)),
        "week": (Level(9_000, "warning", False),),
        "month": (Level(9_500, "critical", False), Level(10_000, "critical", True)),
    }


@pytest.mark.parametrize(
    ("percent", "severity"),
    [
        ("1", "info"),
        ("50", "info"),
        ("79.99", "info"),
        ("80", "warning"),
        ("94", "warning"),
        ("95", "critical"),
        ("100", "critical"),
        ("120", "critical"),
    ],
)
def test_a_level_without_severity_has_that_of_its_range(percent, severity):
    assert parse_level(percent).severity == severity


@pytest.mark.parametrize(
    ("text", "level"),
    [
        ("80:forecast", Level(8_000, "warning", True)),
        ("80:info:forecast", Level(8_000, "info", True)),
        (" 99.5 : Critical ", Level(9_950, "critical", False)),
        ("1000", Level(100_000, "critical", False)),
    ],
)
def test_a_level_is_a_percentage_with_a_severity_and_the_word_forecast(text, level):
    assert parse_level(text) == level


def test_blanks_case_and_empty_items_do_not_matter():
    assert parse_alert_thresholds(" Daily : 80 ,, quarterly:50,custom:10,") == {
        "day": (Level(8_000, "warning", False),),
        "quarter": (Level(5_000, "info", False),),
        "custom": (Level(1_000, "info", False),),
    }


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("hourly:80", "'hourly:80' does not begin with one of daily, weekly, monthly, quarterly, custom and a colon"),
        ("80", "'80' does not begin with one of daily, weekly, monthly, quarterly, custom and a colon"),
        ("daily", "'' does not begin with a percentage like 80 or 99.5"),
        ("daily:80%", "'80%' does not begin with a percentage like 80 or 99.5"),
        ("daily:0.8.1", "'0.8.1' does not begin with a percentage like 80 or 99.5"),
        ("daily:0", "'0' does not begin with a percentage above 0 and up to 1,000"),
        ("daily:1001:info", "'1001:info' does not begin with a percentage above 0 and up to 1,000"),
        (
            "daily:80:fatal",
            "'80:fatal' must be a percentage, then perhaps one of info, warning, critical, then perhaps forecast, "
            "joined by colons",
        ),
        (
            "daily:80:forecast:info",
            "'80:forecast:info' must be a percentage, then perhaps one of info, warning, critical, then perhaps "
            "forecast, joined by colons",
        ),
        ("daily:80,daily:80", "80 percent is given twice for one period"),
        ("daily:99.5:info,daily:99.5", "99.5 percent is given twice for one period"),
        ("daily:100:forecast,daily:100:info:forecast", "the forecast of 100 percent is given twice for one period"),
        (" , ", "it names no threshold"),
    ],
)
def test_another_form_is_refused_with_the_item_and_the_reason(text, reason):
    assert refusal(text) == reason


def test_the_same_level_may_be_given_for_what_is_spent_and_for_the_forecast():
    assert len(parse_alert_thresholds("daily:100,daily:100:forecast")["day"]) == 2


@pytest.mark.parametrize(
    ("basis_points", "text"), [(8_000, "80"), (9_950, "99.5"), (9_999, "99.99"), (100_000, "1000")]
)
def test_a_level_is_shown_as_it_is_written(basis_points, text):
    assert percent_text(basis_points) == text

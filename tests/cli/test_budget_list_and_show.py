"""``genops-posthog budget list`` and ``show``."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from genops_otel_posthog.budgets.budget import Budget
from genops_otel_posthog.cli import main

CHECKOUT = Budget("checkout-daily", 20, scope={"team": "checkout"}, policy="enforced", thresholds=[50, "80:critical"])
EVENTS = Budget("org-events", 5_000_000, "month", meter="events")
CONFIGURED = """
[[budget]]
id = "checkout-daily"
limit = 20
scope = { team = "checkout" }
policy = "enforced"
thresholds = [50, "80:critical"]
"""


def by_id(document: Any) -> dict[str, Any]:
    return {budget["id"]: budget for budget in document["budgets"]}


# list


def test_a_budget_is_listed_with_what_is_spent_leased_left_and_forecast(house: Any):
    house.spend(CHECKOUT, 200_000, lease=1_500_000_000)
    assert house.document("budget", "list") == {
        "budgets": [
            {
                "id": "checkout-daily",
                "scope": {"team": "checkout"},
                "unit": "USD",
                "policy": "enforced",
                "configured": False,
                "period": {
                    "kind": "day",
                    "id": "d:2026-11-22",
                    "start": "2026-11-22T00:00:00+00:00",
                    "end": "2026-11-23T00:00:00+00:00",
                    "time_zone": "UTC",
                },
                "limit": "20",
                "configured_limit": "20",
                "changed_limit": None,
                "refuses_from": "20",
                "spent": "10",
                "overdraft": "0",
                "leased": "1.5",
                "held": "0",
                "left": "10",
                "utilization": 0.5,
                "forecast": "20",
            }
        ]
    }


def test_the_list_for_people_has_the_same_figures(house: Any):
    house.spend(CHECKOUT, 200_000, lease=1_500_000_000)
    [line] = [line for line in house.text("budget", "list").splitlines() if "checkout-daily" in line]
    assert line.split() == [
        *("checkout-daily", "team=checkout", "US", "dollars", "$10.00", "$20.00", "50", "%", "$1.50", "$10.00"),
        *("$20.00", "Mon", "2026-11-23", "00:00"),
    ]


def test_a_configured_budget_that_nobody_has_spent_from_is_listed(house: Any, configure: Callable[[str], None]):
    configure(CONFIGURED)
    [budget] = house.document("budget", "list")["budgets"]
    assert (budget["id"], budget["configured"], budget["spent"], budget["left"]) == ("checkout-daily", True, "0", "20")
    assert budget["refuses_from"] == "20"


def test_budgets_of_the_configuration_and_of_the_ledger_are_listed_once_and_by_id(
    house: Any, configure: Callable[[str], None]
):
    configure(CONFIGURED)
    house.spend(EVENTS, 10)
    house.spend(CHECKOUT, 10)
    budgets = house.document("budget", "list")["budgets"]
    assert [(budget["id"], budget["configured"]) for budget in budgets] == [
        ("checkout-daily", True),
        ("org-events", False),
    ]


def test_a_budget_of_a_meter_is_shown_in_its_units(house: Any):
    house.spend(EVENTS, 1_234_567)
    budget = by_id(house.document("budget", "list"))["org-events"]
    assert (budget["unit"], budget["spent"], budget["limit"]) == ("events", "1234567", "5000000")
    assert " ".join(house.text("budget", "list").split()).count("events 1,234,567 5,000,000 24.69 %") == 1


def test_a_period_begins_and_ends_by_the_budgets_time_zone(house: Any):
    house.spend(Budget("kathmandu", 1, time_zone="Asia/Kathmandu"), 1)
    period = by_id(house.document("budget", "list"))["kathmandu"]["period"]
    assert period == {
        "kind": "day",
        "id": "d:2026-11-22",
        "start": "2026-11-22T00:00:00+05:45",
        "end": "2026-11-23T00:00:00+05:45",
        "time_zone": "Asia/Kathmandu",
    }


def test_nothing_is_forecast_in_the_first_tenth_of_a_period(house: Any, clock: Any):
    clock.set("2026-11-22T02:23")
    house.spend(CHECKOUT, 1000)
    assert by_id(house.document("budget", "list"))["checkout-daily"]["forecast"] is None
    clock.set("2026-11-22T02:24")
    assert by_id(house.document("budget", "list"))["checkout-daily"]["forecast"] == "0.5"


def test_what_critical_events_spent_past_the_limit_is_shown_apart_and_in_what_is_spent(house: Any):
    house.spend(CHECKOUT, 400_000, past_the_limit=20_000)
    budget = by_id(house.document("budget", "list"))["checkout-daily"]
    assert (budget["spent"], budget["overdraft"], budget["left"], budget["utilization"]) == ("21", "1", "0", 1.05)


def test_of_a_limit_of_zero_there_is_no_part(house: Any):
    house.spend(Budget("frozen", 0), 0)
    assert by_id(house.document("budget", "list"))["frozen"]["utilization"] is None
    assert "–" in house.text("budget", "list")


def test_a_budget_that_was_spent_from_yesterday_stands_at_nothing_today(house: Any, clock: Any):
    house.spend(CHECKOUT, 400_000)
    clock.set("2026-11-23T12:00")
    budget = by_id(house.document("budget", "list"))["checkout-daily"]
    assert (budget["period"]["id"], budget["spent"], budget["limit"]) == ("d:2026-11-23", "0", "20")


def test_the_limits_of_the_environment_are_listed(house: Any, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("GENOPS_DAILY_BUDGET_LIMIT", "12.50")
    [budget] = house.document("budget", "list")["budgets"]
    assert (budget["limit"], budget["period"]["kind"], budget["refuses_from"]) == ("12.5", "day", None)


def test_without_any_budget_it_is_said_how_to_get_one(house: Any):
    assert "GENOPS_DAILY_BUDGET_LIMIT" in house.text("budget", "list")
    assert house.document("budget", "list") == {"budgets": []}


# show


def test_a_budget_in_detail_has_its_thresholds_and_which_are_reached(house: Any):
    house.spend(CHECKOUT, 200_000)
    assert house.document("budget", "show", "checkout-daily")["thresholds"] == [
        {"percent": 50.0, "severity": "info", "forecast": False, "reached": True},
        {"percent": 80.0, "severity": "critical", "forecast": False, "reached": False},
        {"percent": 100.0, "severity": "critical", "forecast": False, "reached": False},
    ]


def test_a_forecast_threshold_is_reached_by_the_forecast(house: Any):
    house.spend(Budget("b", 20, thresholds=["100:critical:forecast"]), 200_000)
    thresholds = house.document("budget", "show", "b")["thresholds"]
    assert [(one["forecast"], one["reached"]) for one in thresholds] == [(False, False), (True, True)]


def test_a_budget_that_names_no_threshold_has_the_usual_ones(house: Any):
    house.spend(Budget("b", 20), 1)
    thresholds = house.document("budget", "show", "b")["thresholds"]
    assert [(one["percent"], one["severity"]) for one in thresholds] == [
        (80.0, "warning"),
        (95.0, "critical"),
        (100.0, "critical"),
    ]


def test_past_periods_are_shown_the_newest_first(house: Any, clock: Any):
    for day, events in (("20", 100_000), ("21", 500_000), ("22", 1)):
        clock.set(f"2026-11-{day}T12:00")
        house.spend(CHECKOUT, events)
    past = house.document("budget", "show", "checkout-daily")["past_periods"]
    assert [(period["id"], period["spent"], period["limit"]) for period in past] == [
        ("d:2026-11-21", "25", "20"),
        ("d:2026-11-20", "5", "20"),
    ]
    text = house.text("budget", "show", "checkout-daily")
    assert text.index("d:2026-11-21") < text.index("d:2026-11-20")


def test_a_budget_in_detail_for_people(house: Any):
    house.spend(CHECKOUT, 200_000, lease=1_500_000_000)
    lines = [" ".join(line.split()) for line in house.text("budget", "show", "checkout-daily").splitlines()]
    for line in (
        "Whose team=checkout",
        "Period d:2026-11-22, until Mon 2026-11-23 00:00 (UTC)",
        "Refuses from $20.00",
        "Spent $10.00 (50 %)",
        "lent to processes $1.50",
        "At the period's end $20.00, as it goes on",
        "It is not configured here; this is what the ledger knows.",
        "50 % what is spent info yes",
    ):
        assert line in lines


@pytest.mark.parametrize("command", [("show",), ("set", "--limit", "1", "--reason", "r"), ("override",), ("journal",)])
def test_an_id_that_does_not_exist_suggests_the_nearest(house: Any, command: tuple[str, ...]):
    house.spend(CHECKOUT, 1)
    house.spend(EVENTS, 1)
    result = house.run("budget", command[0], "chekout-dayly", *command[1:])
    assert result.exit_code == 2
    assert "there is no budget 'chekout-dayly'; did you mean checkout-daily?" in result.output


def test_an_id_that_is_near_to_none_lists_what_there_is(house: Any):
    assert "there is no budget 'x'; none is known" in house.text("budget", "show", "x", exit_code=2)
    house.spend(CHECKOUT, 1)
    assert "there is no budget 'x'; there are checkout-daily" in house.text("budget", "show", "x", exit_code=2)


def test_a_budget_that_a_newer_version_wrote_does_not_hide_the_others(house: Any):
    house.spend(CHECKOUT, 1)
    newer = Budget("b", 1)
    object.__setattr__(newer, "_definition", newer.definition().replace('"day"', '"fortnight"'))
    house.spend(newer, 1)
    result = house.run("budget", "list", "--json")
    assert [budget["id"] for budget in json.loads(result.stdout)["budgets"]] == ["checkout-daily"]
    assert "budget 'b' in a form that this version cannot read; update" in result.stderr
    assert "fortnight" in house.text("budget", "show", "b", exit_code=1)


# the ledger


def test_a_ledger_in_memory_cannot_be_looked_into():
    result = CliRunner().invoke(main, ["budget", "list", "--ledger", "memory://"])
    assert result.exit_code == 2
    assert "belongs to its process" in result.output


def test_a_ledger_file_that_is_not_there_is_not_made_by_looking(tmp_path: Path):
    path = tmp_path / "typo.sqlite3"
    result = CliRunner().invoke(main, ["budget", "list", "--ledger", f"sqlite://{path}"])
    assert result.exit_code == 2
    assert f"there is no ledger at {path}" in result.output
    assert not path.exists()


def test_a_url_that_is_none_is_wrong_use():
    result = CliRunner().invoke(main, ["budget", "list", "--ledger", "postgres://host"])
    assert result.exit_code == 2
    assert "does not begin with one of sqlite://" in result.output


def test_a_damaged_ledger_is_a_problem_and_no_traceback(tmp_path: Path):
    path = tmp_path / "damaged.sqlite3"
    path.write_bytes(b"this is no database, whatever its name says. " * 100)
    result = CliRunner().invoke(main, ["budget", "list", "--ledger", f"sqlite://{path}"])
    assert result.exit_code == 1
    assert result.output.startswith("Error: ")
    assert path.read_bytes().startswith(b"this is no database")


def test_the_ledger_of_the_settings_is_used(house: Any, monkeypatch: pytest.MonkeyPatch):
    house.spend(CHECKOUT, 1)
    monkeypatch.setenv("GENOPS_LEDGER_URL", house.url)
    result = CliRunner().invoke(main, ["budget", "list"])
    assert (result.exit_code, "checkout-daily" in result.output) == (0, True)


def test_a_budgets_file_that_cannot_be_read_is_wrong_use(house: Any, configure: Callable[[str], None]):
    configure("[[budget]]\nlimit = 20\n")
    assert "id" in house.text("budget", "list", exit_code=2)

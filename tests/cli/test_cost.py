"""``genops-posthog cost``."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from decimal import Decimal
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from genops_otel_posthog.cli import main
from genops_otel_posthog.cli.cost_options import at_this_rate
from genops_otel_posthog.errors import GenOpsConfigurationError


def cost(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["cost", *arguments])


def document(*arguments: str, exit_code: int = 0):
    result = cost(*arguments, "--json")
    assert result.exit_code == exit_code, result.output
    return json.loads(result.output)


def totals(*arguments: str) -> dict[str, str]:
    return {case["name"]: case["total"] for case in document("compare", *arguments)["cases"]}


# estimate


def test_estimate_prices_volumes_as_people_write_them():
    result = document("estimate", "--events", "3M", "--identified", "1.5M", "--flags", "250k", "--recordings", "20_000")
    assert {meter["meter"]: meter["cost"] for meter in result["meters"]} == {
        "events": "84.3",
        "identified_events": "99",
        "feature_flag_requests": "0",
        "recordings": "67.5",
    }
    assert (result["total"], result["list_total"], result["currency"]) == ("250.8", "572", "USD")
    assert result["price_book"] == {"name": "posthog-2026-07-22", "effective_from": "2026-07-22"}


def test_estimate_says_for_each_meter_where_it_stands():
    [events] = document("estimate", "--events", "3M")["meters"]
    assert events["tier"] == {"number": 3, "of": 7, "above": 2_000_000, "up_to": 15_000_000}
    assert (events["list_price"], events["next_unit_price"]) == ("0.00005", "0.0000343")
    assert (events["free_units"], events["free_units_left"]) == (1_000_000, 0)


def test_estimate_comes_on_top_of_what_the_month_has_seen():
    result = document("estimate", "--events", "1M", "--usage-to-date", "events=1.5M")
    assert (result["total"], result["meters"][0]["used_before"]) == ("42.15", 1_500_000)


def test_estimate_prices_any_meter_by_name():
    result = document("estimate", "--usage", "rows_synced=20M,logs_mb_ingested=100k")
    assert [meter["cost"] for meter in result["meters"]] == ["235", "22.5"]


def test_estimate_with_identified_events_only_takes_them_as_all_events():
    result = document("estimate", "--identified", "2M")
    assert [(meter["meter"], meter["units"]) for meter in result["meters"]] == [
        ("events", 2_000_000),
        ("identified_events", 2_000_000),
    ]
    assert result["total"] == "248"


def test_estimate_counts_identified_events_for_the_group_add_on():
    assert document("estimate", "--identified", "2M", "--group-analytics")["total"] == "319"


def test_estimate_takes_the_group_add_on_from_the_settings(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("GENOPS_GROUP_ANALYTICS", "true")
    assert document("estimate", "--identified", "2M")["total"] == "319"
    assert document("estimate", "--identified", "2M", "--no-group-analytics")["total"] == "248"


def test_estimate_takes_the_price_book_from_the_settings(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("GENOPS_PRICE_BOOK", "genops-guide")
    assert document("estimate", "--recordings", "10k")["total"] == "0.355"
    assert document("estimate", "--recordings", "10k", "--price-book", "posthog-2026-07-22")["total"] == "25"


def test_estimate_takes_a_book_of_your_own(tmp_path: Path):
    book = tmp_path / "acme.yaml"
    book.write_text(
        "name: acme\neffective_from: 2026-01-01\ncurrency: USD\nsources: [contract]\nrates:\n"
        '  events: {unit: event, tiers: [{up_to: null, price: "0.00001"}]}\n',
        encoding="utf-8",
    )
    assert document("estimate", "--events", "3M", "--price-book", str(book))["total"] == "30"


def test_estimate_shows_people_a_table():
    output = cost("estimate", "--events", "3M", "--flags", "250k").output
    assert "Price book posthog-2026-07-22" in output
    for cell in ("events", "3,000,000", "$84.30", "$150.00", "$0.0000343", "3 of 7: 2M to 15M", "750,000 of 1,000,000"):
        assert cell in output


def test_estimate_with_a_meter_that_has_no_price_is_a_problem_found_and_never_0():
    result = document("estimate", "--events", "3M", "--exceptions", "5", "--price-book", "genops-guide", exit_code=1)
    assert (result["unpriced"], [meter["meter"] for meter in result["meters"]]) == (["exceptions"], ["events"])
    shown = cost("estimate", "--events", "3M", "--exceptions", "5", "--price-book", "genops-guide")
    assert shown.exit_code == 1
    assert "$75.00 and the unknown" in shown.output
    assert "genops-guide has no price for exceptions" in shown.output


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ([], "there is nothing to price"),
        (["--events", "3x"], "'3x' is not a number of units"),
        (["--events", "5", "--identified", "6"], "6 of 5 events cannot be identified"),
        (["--events", "5", "--usage", "events=6"], "events is given twice"),
        (["--usage", "evnts=6"], "did you mean events?"),
        (["--events", "5", "--usage-to-date", "events"], "--usage-to-date='events': 'events' is not meter=units"),
        (["--events", "5", "--price-book", "posthog-2026"], "there is no price book 'posthog-2026'"),
        (["--evnts", "5"], "No such option"),
    ],
)
def test_estimate_refuses_wrong_use_with_the_reason(arguments: list[str], reason: str):
    result = cost("estimate", *arguments)
    assert result.exit_code == 2
    assert reason in result.output


def test_a_bad_price_book_is_refused_with_its_lines(tmp_path: Path):
    book = tmp_path / "acme.yaml"
    book.write_text("name: acme\nraets: {}\n", encoding="utf-8")
    result = cost("estimate", "--events", "1", "--price-book", str(book))
    assert result.exit_code == 2
    assert f"{book}:2: unknown key `raets` in the price book; did you mean rates?" in result.output


# forecast


def test_forecast_prices_each_month_of_each_scenario():
    result = document("forecast", "--events", "1M", "--growth", "0,100%", "--months", "3", "--start", "2026-11")
    assert [[month["cost"] for month in scenario["months"]] for scenario in result["scenarios"]] == [
        ["0", "0", "0"],
        ["0", "50", "118.6"],
    ]
    assert [month["month"] for month in result["scenarios"][0]["months"]] == ["2026-11", "2026-12", "2027-01"]
    assert result["scenarios"][1]["total_with_buffer"] == "202.32"


def test_forecast_has_the_four_scenarios_of_the_guide_by_default():
    result = document("forecast", "--events", "1M", "--months", "1")
    assert [scenario["growth"] for scenario in result["scenarios"]] == ["0.05", "0.1", "0.2", "0.35"]


@pytest.mark.parametrize("seasonal", [["--seasonal"], ["--seasonal", "0.9,1.1,0.95,1.25"]])
def test_forecast_follows_the_seasons(seasonal: list[str]):
    result = document("forecast", "--events", "1M", "--growth", "0", "--months", "3", "--start", "2026-11", *seasonal)
    assert [month["usage"]["events"] for month in result["scenarios"][0]["months"]] == [1_000_000, 1_000_000, 720_000]


def test_forecast_says_when_a_meter_enters_its_next_tier():
    arguments = ["--flags", "800k", "--growth", "20", "--start", "2026-11"]
    points = document("forecast", *arguments)["scenarios"][0]["break_points"]
    assert points[0] == {
        "meter": "feature_flag_requests",
        "volume": 1_000_000,
        "month": "2027-01",
        "price_before": "0",
        "price_after": "0.0001",
    }
    assert points[-1]["month"] is None


def test_forecast_suggests_limits_and_thresholds():
    arguments = ["--events", "3M", "--growth", "0", "--months", "1", "--start", "2026-11", "--buffer", "0"]
    assert document("forecast", *arguments)["scenarios"][0]["suggested_limits"] == {
        "daily": "5",
        "weekly": "35",
        "monthly": "84.3",
        "thresholds": "daily:100,weekly:100,monthly:100",
    }


def test_forecast_shows_people_tables():
    output = cost("forecast", "--flags", "800k", "--growth", "5,20", "--start", "2026-11").output
    for cell in ("2027-10", "+5 % a month", "+20 % a month", "With 20 % buffer", "GENOPS_MONTHLY_BUDGET_LIMIT"):
        assert cell in output


def test_forecast_of_a_cost_without_volumes_grows_it_as_it_is():
    [scenario] = document("forecast", "--monthly-cost", "125.5", "--growth", "10")["scenarios"]
    assert Decimal(scenario["months"][11]) == Decimal("125.5") * Decimal("1.1") ** 11
    assert Decimal(scenario["total_with_buffer"]) == Decimal(scenario["total"]) * Decimal("1.2")
    assert "$138.05" in cost("forecast", "--monthly-cost", "$125.5", "--growth", "10").output


def test_a_month_goes_on_at_the_rate_of_its_usage_to_date():
    now = datetime(2026, 11, 11, tzinfo=timezone.utc)  # ten of thirty days
    assert at_this_rate({"events": 1_000_000}, now) == {"events": 3_000_000}


def test_a_month_of_a_few_hours_is_too_little_to_forecast_from():
    with pytest.raises(GenOpsConfigurationError, match="less than a day old"):
        at_this_rate({"events": 1}, datetime(2026, 11, 1, 23, tzinfo=timezone.utc))


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ([], "give either volumes"),
        (["--events", "1", "--monthly-cost", "5"], "give either volumes"),
        (["--events", "1", "--growth", "5,x"], "'5,x' is not a list of percents"),
        (["--events", "1", "--growth", "-100"], "leaves nothing"),
        (["--events", "1", "--months", "0"], "--months"),
        (["--events", "1", "--buffer", "1,2"], "more than one percentage"),
        (["--events", "1", "--seasonal", "1,2"], "is not one factor for each quarter"),
        (["--events", "1", "--start", "soon"], "--start"),
        (["--monthly-cost", "much"], "'much' is not an amount of US dollars"),
        (["--exceptions", "1", "--price-book", "genops-guide"], "has no price for exceptions"),
    ],
)
def test_forecast_refuses_wrong_use_with_the_reason(arguments: list[str], reason: str):
    result = cost("forecast", *arguments)
    assert result.exit_code == 2
    assert reason in result.output


# compare


def test_compare_shows_what_a_change_of_prices_does():
    books = ["--price-book", "posthog-2025-10-20", "--price-book", "posthog-2026-07-22"]
    assert totals("--llm", "300k", *books) == {"posthog-2025-10-20": "12", "posthog-2026-07-22": "40"}


def test_compare_shows_what_identifying_costs():
    assert totals("--events", "5M", "--identified", "2M", "--identity") == {
        "all anonymous": "152.9",
        "as given": "350.9",
        "all identified": "560",
    }


def test_compare_counts_the_group_add_on_with_the_identity():
    assert totals("--events", "2M", "--identified", "2M", "--group-analytics", "--identity") == {
        "all anonymous": "50",
        "as given": "319",
        "all identified": "319",
    }


def test_compare_shows_what_a_scenario_costs():
    scenario = ["--scenario", "launch: events=20M, feature_flag_requests=3M", "--scenario", "small:events=1M"]
    assert totals("--events", "5M", *scenario) == {"now": "152.9", "launch": "788.4", "small": "0"}


def test_compare_starts_from_the_usage_to_date():
    assert totals("--events", "1M", "--usage-to-date", "events=1M", "--scenario", "x:events=2M") == {
        "now": "50",
        "x": "84.3",
    }


def test_compare_gives_the_difference_to_the_first_case():
    cases = document("compare", "--events", "2M", "--identity")["cases"]
    assert [case["difference"] for case in cases] == ["0", "0", "198"]


def test_compare_calls_a_difference_to_the_unknown_unknown():
    books = ["--price-book", "posthog-2024-08-01", "--price-book", "posthog-2026-07-22"]
    cases = document("compare", "--llm", "300k", "--events", "2M", *books, exit_code=1)["cases"]
    assert [case["difference"] for case in cases] == [None, None]
    output = cost("compare", "--llm", "300k", "--events", "2M", *books).output
    assert "unknown" in output


def test_compare_shows_people_a_column_for_each_case():
    output = cost("compare", "--events", "5M", "--identified", "2M", "--identity").output
    for cell in ("all anonymous", "as given", "all identified", "$198.00 for 2M", "+$198.00 (+129%)"):
        assert cell in output


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--events", "1"], "give one thing to compare"),
        (["--events", "1", "--price-book", "genops-guide"], "give one thing to compare"),
        (["--events", "1", "--identity", "--scenario", "a:events=1"], "give one thing to compare"),
        (["--identity"], "there is nothing to price"),
        (["--flags", "1", "--identity"], "give --events"),
        (["--events", "1", "--scenario", "events=1"], "is not NAME:METER=UNITS"),
        (["--events", "1", "--scenario", "a:evnts=1"], "--scenario a='evnts=1': 'evnts' is not a meter"),
        (["--events", "1", "--scenario", "a:identified_events=2"], "2 of 1 events cannot be identified"),
    ],
)
def test_compare_refuses_wrong_use_with_the_reason(arguments: list[str], reason: str):
    result = cost("compare", *arguments)
    assert result.exit_code == 2
    assert reason in result.output

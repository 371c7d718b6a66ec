"""What alerts say: how much is spent, never how much is left, in the budget's own unit and time zone."""

from __future__ import annotations

import decimal
from collections.abc import Callable

import pytest

from genops_otel_posthog.budgets.alerts.wording import Statement
from genops_otel_posthog.budgets.ledger.protocol import Alert

MakeAlert = Callable[..., Alert]


def test_a_threshold_says_how_much_is_spent_and_what_remains_until_when(alert: MakeAlert):
    assert Statement.of(alert()).message == (
        "Budget checkout: 82.05 % of the daily budget is spent. Spent: $16.41 of $20.00, threshold 80 %. "
        "Remaining until 2026-03-30 00:00 (Europe/Berlin): $3.59."
    )


def test_a_spent_budget_says_so(alert: MakeAlert):
    assert Statement.of(alert(basis_points=10_000, spent=20_010_000_000)).message == (
        "Budget checkout: the daily budget is spent, 100.05 % of it. Spent: $20.01 of $20.00, threshold 100 %. "
        "Remaining until 2026-03-30 00:00 (Europe/Berlin): nothing."
    )


def test_a_forecast_says_what_will_be_spent(alert: MakeAlert):
    assert Statement.of(alert(forecast=True, basis_points=10_000)).message == (
        "Budget checkout: 100 % of the daily budget will be spent by the end of its period, if spending goes on as it "
        "did on average. Spent: $16.41 of $20.00, threshold 100 %. "
        "Remaining until 2026-03-30 00:00 (Europe/Berlin): $3.59."
    )


def test_a_forecast_that_has_come_true_is_none_any_more(alert: MakeAlert):
    summary = Statement.of(alert(forecast=True, basis_points=10_000, spent=20_000_000_000)).summary
    assert summary == "Budget checkout: the daily budget is spent, 100 % of it"


def test_a_budget_of_units_speaks_of_units(alert: MakeAlert):
    counted = alert({"meter": "feature_flag_requests"}, limit=2_000, spent=1_640, period="m:2026-03")
    assert Statement.of(counted).message == (
        "Budget checkout: 82 % of the monthly budget is spent. Spent: 1,640 feature_flag_requests of 2,000 "
        "feature_flag_requests, threshold 80 %. Remaining until 2026-03-30 00:00 (Europe/Berlin): 360 "
        "feature_flag_requests."
    )


@pytest.mark.parametrize(
    ("period", "noun"),
    [
        ("d:2026-03-29", "daily budget"),
        ("w:2026-W13", "weekly budget"),
        ("m:2026-03", "monthly budget"),
        ("q:2026-Q1", "quarterly budget"),
        ("c:2026-03-15", "budget"),
    ],
)
def test_every_kind_of_period_has_its_word(alert: MakeAlert, period: str, noun: str):
    assert Statement.of(alert(period=period)).summary == f"Budget checkout: 82.05 % of the {noun} is spent"


def test_a_budget_that_is_not_spent_is_never_said_to_be_at_100_percent(alert: MakeAlert):
    almost = alert(spent=19_999_999_999)
    assert Statement.of(almost).summary == "Budget checkout: 99.99 % of the daily budget is spent"


def test_a_limit_of_nothing_has_no_percentage(alert: MakeAlert):
    said = Statement.of(alert(limit=0))
    assert said.utilization is None
    assert said.summary == "Budget checkout: the daily budget is spent, its limit is $0.00"


def test_a_time_zone_that_this_machine_does_not_know_is_shown_in_utc(alert: MakeAlert):
    assert Statement.of(alert({"time_zone": "Mars/Olympus"})).shown_end == "2026-03-29 22:00 (UTC)"


def test_amounts_are_exact_whatever_precision_the_application_computes_with(alert: MakeAlert):
    with decimal.localcontext() as context:
        context.prec = 2
        said = Statement.of(alert(spent=16_410_000_001))
        assert said.shown(said.alert.spent) == "$16.410000001"
        assert said.exact(said.remaining) == decimal.Decimal("3.589999999")


def test_a_name_cannot_forge_a_line(alert: MakeAlert):
    assert "\n" not in Statement.of(alert(budget="a\nERROR all is lost\x1b[31m")).message


@pytest.mark.parametrize(
    "definition",
    ["", "[]", '"checkout"', '{"scope": ["team"]}', '{"meter": 5}', '{"scope": {"team": 5}}'],
)
def test_a_definition_that_cannot_be_read_is_an_error(alert: MakeAlert, definition: str):
    with pytest.raises(ValueError, match="its definition cannot be read"):
        Statement.of(alert(definition))

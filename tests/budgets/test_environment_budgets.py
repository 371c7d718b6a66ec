"""The budgets that environment variables give."""

from __future__ import annotations

from decimal import Decimal

import pytest

from genops_otel_posthog.attribution import Attribution
from genops_otel_posthog.budgets.budget import Budget
from genops_otel_posthog.budgets.environment_budgets import budget_id, settings_budgets, warn_once
from genops_otel_posthog.budgets.ledger.protocol import Threshold
from genops_otel_posthog.budgets.periods import PeriodKind
from genops_otel_posthog.settings import Settings


@pytest.fixture(autouse=True)
def new_process():
    """Nothing has been remarked on."""
    warn_once.forget()


def budgets(**environ):
    return settings_budgets(Settings.from_environ({f"GENOPS_{name}": value for name, value in environ.items()}))


def test_each_limit_is_a_budget():
    assert budgets(DAILY_BUDGET_LIMIT="20", WEEKLY_BUDGET_LIMIT="120", MONTHLY_BUDGET_LIMIT="412.50") == (
        Budget("daily", 20, "day"),
        Budget("weekly", 120, "week"),
        Budget("monthly", "412.5", "month"),
    )


def test_a_limit_belongs_to_the_owner_that_the_environment_names():
    (budget,) = budgets(
        DAILY_BUDGET_LIMIT="20",
        TEAM="checkout",
        PROJECT=" web-shop ",
        ENVIRONMENT="production",
        CUSTOMER_ID="acme",
        COST_CENTER="cc-1",
        FEATURE="refund",
    )
    assert budget.id == "daily:team=checkout,project=web-shop,environment=production,customer_id=acme"
    owner = {"team": "checkout", "project": "web-shop", "environment": "production", "customer_id": "acme"}
    assert budget.scope == owner
    assert budget.matches(Attribution(**owner, feature="another"))
    assert not budget.matches(Attribution(**{**owner, "customer_id": "other"}))


def test_processes_of_the_same_owner_have_the_same_budget_and_others_have_another():
    (one,) = budgets(DAILY_BUDGET_LIMIT="20", TEAM="checkout")
    (same,) = budgets(DAILY_BUDGET_LIMIT="20", TEAM="checkout ", FEATURE="x")
    (other,) = budgets(DAILY_BUDGET_LIMIT="20", TEAM="search")
    assert one == same
    assert one.id != other.id


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"team": "a,project=b"}, {"team": "a", "project": "b"}),
        ({"team": "a%2Cb"}, {"team": "a,b"}),
        ({"team": "x" * 250}, {"team": "x" * 251}),
    ],
)
def test_different_owners_never_share_an_id(one, other):
    assert budget_id(PeriodKind.DAY, one) != budget_id(PeriodKind.DAY, other)
    assert Budget(budget_id(PeriodKind.DAY, one), 1, scope=one).scope == one


def test_what_the_time_zone_and_the_thresholds_of_the_environment_say_applies():
    (budget,) = budgets(
        DAILY_BUDGET_LIMIT="20", BUDGET_TIME_ZONE="Europe/Berlin", ALERT_THRESHOLDS="daily:80,daily:100:forecast"
    )
    assert budget.time_zone == "Europe/Berlin"
    assert budget.thresholds == (
        Threshold(8_000, severity="warning"),
        Threshold(10_000, forecast=True, severity="critical"),
    )


@pytest.mark.parametrize(("share", "limit"), [("1/3", "6.666666666"), ("0.5", "10"), ("1", "20")])
def test_a_share_of_the_limits_is_rounded_down_so_that_all_shares_are_never_more_than_the_whole(share, limit):
    (budget,) = budgets(DAILY_BUDGET_LIMIT="20", BUDGET_SHARE=share)
    assert budget.limit == Decimal(limit)


def test_a_threshold_of_the_week_without_its_limit_takes_seven_days_for_alerts_only_and_says_so_once(caplog):
    for _ in range(2):
        daily, weekly = budgets(DAILY_BUDGET_LIMIT="20", TEAM="checkout", ALERT_THRESHOLDS="daily:80,weekly:90")
    assert (daily.limit, weekly.limit) == (20, 140)
    assert (weekly.id, weekly.period) == ("weekly:team=checkout", "week")
    assert weekly.policy == "advisory"
    assert weekly.thresholds == (Threshold(9_000, severity="warning"),)
    assert [record.message for record in caplog.records] == [
        "GENOPS_ALERT_THRESHOLDS has thresholds for the week and GENOPS_WEEKLY_BUDGET_LIMIT is not given: 7 times the "
        "daily limit, $140.00, is used for alerts. Nothing is refused because of it"
    ]


@pytest.mark.parametrize(
    "environ",
    [
        {"DAILY_BUDGET_LIMIT": "20", "WEEKLY_BUDGET_LIMIT": "100", "ALERT_THRESHOLDS": "weekly:90"},
        {"DAILY_BUDGET_LIMIT": "20", "ALERT_THRESHOLDS": "daily:90"},
        {"MONTHLY_BUDGET_LIMIT": "20", "ALERT_THRESHOLDS": "weekly:90"},
    ],
)
def test_no_week_is_derived_where_there_is_one_or_none_is_asked_for(environ):
    assert all(budget.policy is None for budget in budgets(**environ))


def test_no_week_is_derived_where_other_budgets_have_one():
    settings = Settings.from_environ({"GENOPS_DAILY_BUDGET_LIMIT": "20", "GENOPS_ALERT_THRESHOLDS": "weekly:90"})
    assert [budget.id for budget in settings_budgets(settings, has_weekly=True)] == ["daily"]

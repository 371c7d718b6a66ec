"""A budget: what it may be, what it refuses to be, whose calls it pays for."""

from __future__ import annotations

import copy
import json
import pickle
from dataclasses import FrozenInstanceError, replace
from datetime import date, datetime, timezone
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genops_otel_posthog.attribution import Attribution
from genops_otel_posthog.budgets.budget import Budget, BudgetPolicy
from genops_otel_posthog.budgets.ledger.protocol import Override, Threshold
from genops_otel_posthog.budgets.override import DatedOverride
from genops_otel_posthog.budgets.periods import PeriodKind
from genops_otel_posthog.errors import GenOpsConfigurationError

ADVISORY, ENFORCED, STRICT = BudgetPolicy
ONE_DAY = DatedOverride(50, date(2026, 11, 27), date(2026, 11, 27))


def ms(text):
    return int(datetime.fromisoformat(text).timestamp() * 1000)


def refusal(**given):
    with pytest.raises(GenOpsConfigurationError) as caught:
        Budget(**{"id": "checkout", "limit": 20, **given})
    message = str(caught.value)
    assert message.startswith("budget 'checkout': ")
    return message.removeprefix("budget 'checkout': ")


def everything():
    return Budget(
        "checkout",
        "412.50",
        "custom",
        scope={"team": "checkout", "project": "web-shop"},
        time_zone="Europe/Berlin",
        policy="enforced",
        thresholds=[50, "95:critical", "100:critical:forecast"],
        grace_percent="2.5",
        anchor="2026-01-05",
        days=14,
        starts=date(2026, 1, 1),
        ends=date(2026, 12, 31),
        overrides=[
            DatedOverride("50.5", date(2026, 11, 27), date(2026, 11, 30), "sale"),
            DatedOverride(-10, datetime(2026, 12, 24, 18), datetime(2026, 12, 25, 6, tzinfo=timezone.utc)),
        ],
        hold=True,
    )


def test_a_budget_needs_an_id_and_a_limit_and_is_then_the_organisations_day_in_utc():
    budget = Budget("all", 20)
    assert (budget.limit, budget.amount, budget.meter) == (20, 20_000_000_000, None)
    assert (budget.period, budget.time_zone, budget.scope) == (PeriodKind.DAY, "UTC", {})
    assert (budget.policy, budget.thresholds, budget.overrides, budget.hold) == (None, (), (), False)


@pytest.mark.parametrize("limit", [12.5, "12.50", Decimal("12.5"), "1.25e1"])
def test_a_limit_is_us_dollars_exactly(limit):
    budget = Budget("b", limit)
    assert (budget.limit, budget.amount) == (Decimal("12.5"), 12_500_000_000)
    assert str(budget.limit) == "12.5"


def test_a_limit_may_be_units_of_a_meter():
    budget = Budget("b", 1_200, meter="events")
    assert (budget.limit, budget.amount) == (1_200, 1_200)
    assert budget.shown(budget.amount) == "1,200 events"
    assert budget.as_decimal(1_200) == Decimal(1_200)


def test_a_limit_of_nothing_is_a_limit():
    assert Budget("b", 0).amount == 0


@pytest.mark.parametrize(
    ("limit", "reason"),
    [
        (-5, "limit -5 is negative; a limit is 0 (nothing may be spent) or more"),
        ("20 USD", "limit '20 USD' is not a number; write it like 20 or 12.50"),
        (True, "limit True is not a number; write it like 20 or 12.50"),
        (float("nan"), "limit nan is not an amount; write a number like 20 or 12.50"),
        (
            Decimal("0.0000000001"),
            "limit 0.0000000001 USD is not a whole number of nano-USD; round it to nine decimals",
        ),
        (0.1 + 0.2, "limit 0.30000000000000004 USD is not a whole number of nano-USD; round it to nine decimals"),
    ],
)
def test_a_limit_that_is_no_amount_is_refused(limit, reason):
    assert refusal(limit=limit) == reason


def test_half_a_unit_is_refused():
    assert refusal(limit="0.5", meter="events") == "limit '0.5' is not a whole number of events"


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"meter": "flags"}, "meter 'flags' cannot be counted: 'flags' is not a meter; did you mean"),
        ({"period": "hour"}, "period 'hour' is not one of day, week, month, quarter, custom"),
        ({"period": 7}, "period 7 is not one of day, week, month, quarter, custom"),
        (
            {"time_zone": "Europe/Berln"},
            "time_zone 'Europe/Berln' cannot be used: 'Europe/Berln' is not a time zone; did",
        ),
        ({"time_zone": None}, "time_zone None is not a text; write a name of the IANA database, like Europe/Berlin"),
        ({"policy": "lenient"}, "policy 'lenient' cannot be used: it must be one of advisory, enforced, strict"),
        ({"policy": 1}, "policy 1 is not one of advisory, enforced, strict"),
        ({"thresholds": ["80%"]}, "thresholds ['80%'] cannot be used: '80%' does not begin with a percentage"),
        ({"thresholds": 80}, "thresholds 80 is not a list like [80, '95:critical', '100:critical:forecast']"),
        ({"grace_percent": 101}, "grace_percent 101 is not a percentage from 0 to 100, with up to two decimals"),
        ({"grace_percent": "0.001"}, "grace_percent '0.001' is not a percentage from 0 to 100, with up to two"),
        ({"strict_percent": 0}, "strict_percent 0 is not a percentage from 0.01 to 100, with up to two decimals"),
        ({"strict_percent": "most"}, "strict_percent 'most' is not a number; write it like 20 or 12.50"),
        ({"starts": "soon"}, "starts 'soon' is neither a date nor a time; write it like 2026-11-27"),
        ({"ends": datetime(2026, 1, 1)}, "ends datetime.datetime(2026, 1, 1, 0, 0) is a time and not a date; write"),
        ({"ends": "9999-12-31"}, "ends '9999-12-31' is not within the years 1971 to 2999"),
        ({"starts": "2026-02-01", "ends": "2026-01-31"}, "ends 2026-01-31 is before starts 2026-02-01"),
        ({"overrides": [5]}, "overrides [5] is not a list of overrides; write DatedOverride(amount, starts, until"),
        ({"overrides": ONE_DAY}, "overrides DatedOverride(amount=Decimal('50')"),
        ({"hold": "yes"}, "hold 'yes' is neither true nor false"),
        ({"period": "custom", "days": 0, "anchor": "2026-01-01"}, "days 0 is not a whole number from 1 to 366"),
    ],
)
def test_a_value_that_cannot_be_is_refused_with_its_field_and_what_to_write(given, reason):
    assert refusal(**given).startswith(reason)


@pytest.mark.parametrize("budget_id", ["", "  ", None, 5])
def test_a_budget_without_an_id_is_refused(budget_id):
    with pytest.raises(GenOpsConfigurationError, match="a budget needs an id, which is a text like 'checkout-daily'"):
        Budget(budget_id, 20)


@pytest.mark.parametrize("budget_id", [" checkout", "a\nb", "x" * 201])
def test_an_id_that_is_not_fit_for_metrics_and_keys_is_refused(budget_id):
    with pytest.raises(GenOpsConfigurationError, match="an id has up to 200 printable characters and no blank at its"):
        Budget(budget_id, 20)


@pytest.mark.parametrize(("word", "kind"), [("daily", "day"), ("Month", "month"), (PeriodKind.WEEK, "week")])
def test_a_period_may_be_written_as_an_adverb(word, kind):
    assert Budget("b", 1, word).period == kind


def test_a_period_and_a_policy_are_shown_as_they_are_written():
    budget = Budget("b", 1, policy=ENFORCED)
    assert f"{budget.period} {budget.policy}" == "day enforced"


@pytest.mark.parametrize(
    "given", [{"period": "custom"}, {"period": "custom", "days": 14}, {"anchor": date(2026, 1, 1)}, {"days": 14}]
)
def test_a_custom_period_has_anchor_and_days_and_no_other_has(given):
    assert refusal(**given).startswith(
        "a custom period has an anchor, the first day of one of its periods, and days, its length; other periods have "
        "neither. Given are period "
    )


def test_a_policy_of_the_guide_is_taken_by_its_other_name():
    assert Budget("b", 1, policy="standard").policy is ENFORCED


def test_thresholds_are_taken_as_people_write_them():
    assert Budget("b", 1, thresholds=[80, "95:critical"]).thresholds == (
        Threshold(8_000, severity="warning"),
        Threshold(9_500, severity="critical"),
    )


# Scope


@pytest.mark.parametrize(
    ("scope", "owner", "matches"),
    [
        ({}, {}, True),
        ({}, {"team": "checkout"}, True),
        ({"team": "checkout"}, {"team": "checkout", "project": "web"}, True),
        ({"team": "checkout"}, {"team": "Checkout"}, False),
        ({"team": "checkout"}, {}, False),
        ({"team": "checkout", "project": "web"}, {"team": "checkout"}, False),
        ({"customer_id": 1042}, {"customer_id": "1042"}, True),
        ({"team": " checkout "}, {"team": "checkout"}, True),
        (
            {"environment": "production", "cost_center": "cc-1", "feature": "refund"},
            {"environment": "production", "cost_center": "cc-1", "feature": "refund", "team": "x"},
            True,
        ),
    ],
)
def test_a_budget_pays_for_the_owners_that_have_all_values_of_its_scope(scope, owner, matches):
    assert Budget("b", 1, scope=scope).matches(Attribution(**owner)) is matches


@pytest.mark.parametrize(
    ("scope", "reason"),
    [
        ({"tema": "x"}, "scope {'tema': 'x'} names 'tema', which no budget can be limited to; did you mean team?"),
        (
            {"platform": "x"},
            "scope {'platform': 'x'} names 'platform', which no budget can be limited to; known are team,",
        ),
        ({"team": None}, "scope {'team': None} names no team; write one, or leave team out for all"),
        ({"team": " "}, "scope {'team': ' '} names no team; write one, or leave team out for all"),
        ({"team": ["a", "b"]}, "scope {'team': ['a', 'b']} names no team; write one, or leave team out for all"),
        ("team=checkout", "scope 'team=checkout' is not a mapping of fields to values, like team = 'checkout'"),
    ],
)
def test_a_scope_never_means_more_than_what_it_says(scope, reason):
    assert refusal(scope=scope).startswith(reason)


def test_whose_budget_it_is_can_be_shown():
    assert Budget("b", 1, scope={"project": "web", "team": "shop"}).whose == "team=shop,project=web"
    assert Budget("b", 1).whose == "the whole organisation"


# Policy


@pytest.mark.parametrize(
    ("given", "general", "cap"),
    [
        ({}, ADVISORY, None),
        ({}, ENFORCED, 10_000),
        ({}, STRICT, 9_500),
        ({"grace_percent": 5}, ENFORCED, 10_500),
        ({"grace_percent": 5}, ADVISORY, None),
        ({"grace_percent": 5}, STRICT, 9_500),
        ({"grace_percent": "0.25"}, ENFORCED, 10_025),
        ({"strict_percent": 90}, STRICT, 9_000),
        ({"strict_percent": 90}, ENFORCED, 10_000),
        ({"policy": ADVISORY}, STRICT, None),
        ({"policy": ENFORCED}, ADVISORY, 10_000),
        ({"policy": STRICT}, ADVISORY, 9_500),
    ],
)
def test_calls_are_admitted_up_to_what_the_policy_says(given, general, cap):
    assert Budget("b", 1, **given).cap_basis_points(general) == cap


@pytest.mark.parametrize("policy", [ADVISORY, STRICT])
def test_grace_without_enforcement_is_refused(policy):
    assert refusal(policy=policy, grace_percent=5) == (
        f"grace_percent 5 is for policy enforced, and the policy is {policy.value}; leave it out, or write policy "
        "enforced"
    )


def test_grace_together_with_a_strict_part_is_refused():
    assert refusal(grace_percent=5, strict_percent=90) == (
        "grace_percent 5 lets calls past the limit and strict_percent 90 refuses them before it; keep one of the two"
    )


# Time


def test_periods_are_those_of_its_time_zone():
    current, following = Budget("b", 1, time_zone="Europe/Berlin").windows_around(ms("2026-03-28T23:30+00:00"))
    assert current == ("d:2026-03-29", ms("2026-03-29T00:00+01:00"), ms("2026-03-30T00:00+02:00"))
    assert following.id == "d:2026-03-30"


def test_custom_periods_are_counted_from_the_anchor():
    budget = Budget("b", 1, "custom", anchor=date(2026, 1, 5), days=14)
    assert [window.id for window in budget.windows_around(ms("2026-01-20T00:00+00:00"))] == [
        "c:2026-01-19",
        "c:2026-02-02",
    ]


@pytest.mark.parametrize(
    ("instant", "applies"),
    [
        ("2026-10-31T22:59:59+00:00", False),
        ("2026-10-31T23:00:00+00:00", True),
        ("2026-11-30T22:59:59+00:00", True),
        ("2026-11-30T23:00:00+00:00", False),
    ],
)
def test_it_applies_from_its_first_to_its_last_day_in_its_time_zone(instant, applies):
    budget = Budget("b", 1, starts=date(2026, 11, 1), ends=date(2026, 11, 30), time_zone="Europe/Berlin")
    assert budget.applies_at(ms(instant)) is applies


def test_without_a_first_and_a_last_day_it_always_applies():
    assert Budget("b", 1).applies_at(0)
    assert Budget("b", 1).applies_at(ms("2100-01-01T00:00+00:00"))


# Overrides


def test_an_override_lasts_to_the_end_of_its_last_day():
    budget = Budget(
        "b", 20, time_zone="Europe/Berlin", overrides=[DatedOverride("50", "2026-11-27", "2026-11-30", " sale ")]
    )
    start, end = ms("2026-11-27T00:00+01:00"), ms("2026-12-01T00:00+01:00")
    assert budget.ledger_overrides() == (
        Override(f"b@{start}-{end}", "b", 50_000_000_000, start, end, "sale", "configuration"),
    )


def test_an_override_may_be_given_by_the_hour_and_lower_the_limit():
    budget = Budget(
        "b",
        1000,
        meter="events",
        time_zone="Europe/Berlin",
        overrides=[DatedOverride(-100, datetime(2026, 11, 27, 18), "2026-11-27T20:00:00Z")],
    )
    (override,) = budget.ledger_overrides()
    assert (override.amount, override.from_ms, override.until_ms) == (
        -100,
        ms("2026-11-27T18:00+01:00"),
        ms("2026-11-27T20:00+00:00"),
    )


@pytest.mark.parametrize(
    ("overrides", "reason"),
    [
        ([ONE_DAY, ONE_DAY], "the override from 2026-11-27 until 2026-11-27 is given twice; add the amounts up"),
        ([DatedOverride(1, "2026-11-27", "2026-11-26")], "the override from 2026-11-27 until 2026-11-26 ends before"),
        (
            [DatedOverride("0.0000000001", "2026-11-27", "2026-11-27")],
            "the override from 2026-11-27 until 2026-11-27: amount 1E-10 USD is not a whole number of nano-USD",
        ),
    ],
)
def test_an_override_that_cannot_be_meant_is_refused(overrides, reason):
    assert refusal(overrides=overrides).startswith(reason)


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (("x", "2026-11-27", "2026-11-27"), "override: amount 'x' is not a number; write it like 20 or 12.50"),
        ((0, "2026-11-27", "2026-11-27"), "override: amount 0 changes nothing; write what is added to the limit"),
        ((1, "tomorrow", "2026-11-27"), "override: starts 'tomorrow' is neither a date nor a time; write it like"),
        ((1, "2026-11-27", None), "override: until None is neither a date nor a time; write it like 2026-11-27 or"),
        ((1, "2026-11-27", "2026-11-27", 5), "override: reason 5 is not a text"),
    ],
)
def test_an_override_of_another_form_is_refused(given, reason):
    with pytest.raises(GenOpsConfigurationError) as caught:
        DatedOverride(*given)
    assert str(caught.value).startswith(reason)


# One value


def test_a_budget_cannot_be_changed():
    budget = Budget("b", 1, scope={"team": "x"})
    with pytest.raises(FrozenInstanceError):
        budget.limit = 2
    with pytest.raises(TypeError):
        budget.scope["team"] = "y"


def test_a_changed_copy_is_checked_like_a_new_one():
    assert replace(everything(), limit=5).amount == 5_000_000_000
    with pytest.raises(GenOpsConfigurationError, match="is negative"):
        replace(everything(), limit=-5)


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda budget: pickle.loads(pickle.dumps(budget))])
def test_a_copy_is_equal_and_has_the_same_hash(copied):
    budget = everything()
    assert copied(budget) == budget
    assert hash(copied(budget)) == hash(budget)


def test_budgets_that_differ_in_anything_are_not_equal():
    assert Budget("b", 1) == Budget("b", "1.00", "daily")
    assert Budget("b", 1) != Budget("b", 1, scope={"team": "x"})
    assert Budget("b", 1) != Budget("b", 1, hold=True)


# Definition


def test_a_definition_is_one_line_of_json_with_what_was_said():
    assert Budget("all", "20.00", "month").definition() == (
        '{"id":"all","limit":"20","period":"month","time_zone":"UTC"}'
    )
    assert json.loads(everything().definition()) == {
        "id": "checkout",
        "limit": "412.5",
        "period": "custom",
        "scope": {"team": "checkout", "project": "web-shop"},
        "time_zone": "Europe/Berlin",
        "policy": "enforced",
        "thresholds": ["50:info", "95:critical", "100:critical:forecast"],
        "grace_percent": "2.5",
        "anchor": "2026-01-05",
        "days": 14,
        "starts": "2026-01-01",
        "ends": "2026-12-31",
        "overrides": [
            {"amount": "50.5", "starts": "2026-11-27", "until": "2026-11-30", "reason": "sale"},
            {
                "amount": "-10",
                "starts": "2026-12-24T18:00:00",
                "until": "2026-12-25T06:00:00+00:00",
                "reason": "",
            },
        ],
        "hold": True,
    }


def test_equal_budgets_have_the_same_definition():
    one = Budget("b", "1.50", scope={"team": "x", "project": "y"})
    other = Budget("b", Decimal("1.5"), "day", scope={"project": "y", "team": "x"}, thresholds=())
    assert one.definition() == other.definition()


@settings(deadline=None)
@given(
    limit=st.decimals(0, 10**9, places=9),
    period=st.sampled_from(["day", "week", "month", "quarter"]),
    scope=st.dictionaries(
        st.sampled_from(["team", "customer_id", "feature"]), st.text(min_size=1).filter(lambda text: text.strip())
    ),
    percents=st.sets(st.integers(1, 1000), max_size=3),
    hold=st.booleans(),
)
def test_what_a_definition_defines_is_the_budget(limit, period, scope, percents, hold):
    budget = Budget("ключ", limit, period, scope=scope, thresholds=percents, hold=hold)
    assert Budget.from_definition(budget.definition()) == budget


def test_a_budget_with_everything_is_defined_by_its_definition():
    assert Budget.from_definition(everything().definition()) == everything()


def test_what_a_later_version_adds_to_a_definition_is_left_out():
    assert Budget.from_definition('{"id":"b","limit":"1","period":"day","time_zone":"UTC","colour":"red"}') == Budget(
        "b", 1
    )


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"id":"b"}', "null", '{"id":"b","limit":"1","overrides":[{}]}'])
def test_what_is_no_definition_is_refused(text):
    with pytest.raises(GenOpsConfigurationError, match="is not the definition of a budget"):
        Budget.from_definition(text)

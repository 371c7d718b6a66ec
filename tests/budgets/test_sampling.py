from __future__ import annotations

import re
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genops_otel_posthog.budgets.sampling import SamplingRules, keeps
from genops_otel_posthog.errors import GenOpsConfigurationError

RULES = SamplingRules()


def test_nothing_is_left_out_of_a_budget_that_has_room() -> None:
    assert RULES.rate("page_view", 0.79) == 1.0


@pytest.mark.parametrize(
    ("event", "rate"),
    [
        ("page_view", 0.1),
        ("$pageview", 0.1),
        ("button_click", 0.2),
        ("feature_use", 0.8),
        ("error", 1.0),
        ("newsletter_opened", 0.5),
    ],
)
def test_a_spent_budget_leaves_the_rates_of_the_guide(event: str, rate: float) -> None:
    assert RULES.rate(event, 1.0) == rate


@pytest.mark.parametrize("event", ["conversion", "User_Signed_Up", "purchase_completed", "trial_signup"])
def test_what_decides_about_money_is_always_sent(event: str) -> None:
    assert SamplingRules(rates={"*": 0.0}).rate(event, 2.0) == 1.0


@pytest.mark.parametrize("event", ["$identify", "$set", "$exception", "$groupidentify", "$ai_generation"])
def test_events_that_posthog_keeps_books_by_are_always_sent(event: str) -> None:
    assert RULES.rate(event, 1.0) == 1.0


def test_events_that_the_user_names_are_always_sent() -> None:
    assert SamplingRules(never=("invoice_*",)).rate("invoice_paid", 1.0) == 1.0


def test_the_rate_falls_gradually_as_the_budget_fills() -> None:
    rates = [RULES.rate("page_view", utilization / 100) for utilization in range(80, 101, 5)]

    assert rates == [1.0, 0.78, 0.55, 0.33, 0.1]


@given(st.text(), st.floats(0, 1), st.floats(0, 1))
def test_who_is_kept_at_a_rate_is_kept_at_every_higher_one(key: str, one: float, other: float) -> None:
    lower, higher = sorted((one, other))

    assert keeps(key, higher) or not keeps(key, lower)


def test_a_rate_keeps_that_part_of_all_people() -> None:
    kept = sum(keeps(f"person-{number}", 0.2) for number in range(20_000))

    assert kept == pytest.approx(4_000, rel=0.05)


@given(st.text())
def test_all_are_kept_at_1_and_none_at_0(key: str) -> None:
    assert keeps(key, 1.0)
    assert not keeps(key, 0.0)


def test_the_table_of_a_budget_file_adds_to_the_rates() -> None:
    rules = SamplingRules.from_table(
        {"rates": {"poll": Decimal("0.01")}, "starts_at": 0.5, "never": ["login"]}, "budgets.toml"
    )

    assert rules.rate("poll", 1.0) == 0.01
    assert rules.rate("page_view", 1.0) == 0.1
    assert rules.rate("login", 1.0) == 1.0


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"rate": 0.1}, "budgets.toml: [sampling] has no rate; there are default, full_at, never, rates, starts_at"),
        ({"rates": {"click": "few"}}, "budgets.toml: [sampling] rates must be a table of numbers"),
        ({"never": "login"}, "budgets.toml: [sampling] never must be a list of event names"),
        ({"default": True}, "budgets.toml: [sampling] default must be a number, not True"),
        ({"default": 1.5}, "sampling: the rate of default is 1.5; it must be between 0 and 1"),
        ({"starts_at": 1.0}, "sampling starts at 1.0 and is full at 1.0"),
    ],
)
def test_a_table_that_cannot_be_meant_is_refused(table: dict[str, object], message: str) -> None:
    with pytest.raises(GenOpsConfigurationError, match=re.escape(message)):
        SamplingRules.from_table(table, "budgets.toml")

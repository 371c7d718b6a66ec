"""The budgets of a process: from everywhere, changeable, and never contradicting each other."""

from __future__ import annotations

import os
import threading
from dataclasses import replace
from datetime import date

import pytest

from genops_otel_posthog.attribution import Attribution
from genops_otel_posthog.budgets.budget import Budget
from genops_otel_posthog.budgets.budget_file import BudgetFile
from genops_otel_posthog.budgets.budget_set import BudgetSet
from genops_otel_posthog.budgets.environment_budgets import warn_once
from genops_otel_posthog.budgets.override import DatedOverride
from genops_otel_posthog.errors import GenOpsConfigurationError
from genops_otel_posthog.settings import Settings

ORGANISATION = Budget("organisation", 400, "month")
CHECKOUT = Budget("checkout", 20, scope={"team": "checkout"})
SEARCH = Budget("search", 10, scope={"team": "search"})


@pytest.fixture(autouse=True)
def new_process():
    """Nothing has been remarked on."""
    warn_once.forget()


def test_budgets_are_found_by_id_and_iterate_in_their_order():
    budgets = BudgetSet([SEARCH, ORGANISATION])
    assert list(budgets) == [SEARCH, ORGANISATION]
    assert (len(budgets), "search" in budgets, "checkout" in budgets) == (2, True, False)
    assert (budgets.get("search"), budgets.get("checkout")) == (SEARCH, None)


def test_all_budgets_of_an_owner_match():
    budgets = BudgetSet([ORGANISATION, CHECKOUT, SEARCH])
    assert budgets.matching(Attribution(team="checkout", project="web")) == (ORGANISATION, CHECKOUT)
    assert budgets.matching(Attribution()) == (ORGANISATION,)
    assert BudgetSet([CHECKOUT]).matching(Attribution(team="other")) == ()


# Changes


def test_the_version_rises_with_each_change_and_only_then():
    budgets = BudgetSet()
    versions = [budgets.version]
    for change in (
        lambda: budgets.add(CHECKOUT),
        lambda: budgets.replace(replace(CHECKOUT, limit=30)),
        lambda: budgets.remove("checkout"),
    ):
        change()
        versions.append(budgets.version)
    assert versions == sorted(set(versions))
    budgets.add(CHECKOUT)
    version = budgets.version
    budgets.add(CHECKOUT)
    budgets.replace(CHECKOUT)
    budgets.remove("unknown")
    assert budgets.version == version


def test_a_replaced_budget_keeps_its_place_and_a_new_one_is_added():
    budgets = BudgetSet([CHECKOUT, SEARCH])
    budgets.replace(replace(CHECKOUT, limit=30))
    budgets.replace(ORGANISATION)
    assert [(budget.id, budget.limit) for budget in budgets] == [
        ("checkout", 30),
        ("search", 10),
        ("organisation", 400),
    ]


def test_removing_says_whether_there_was_one():
    budgets = BudgetSet([CHECKOUT])
    assert (budgets.remove("checkout"), budgets.remove("checkout")) == (True, False)
    assert list(budgets) == []


def test_whoever_iterates_is_not_disturbed_by_a_change():
    budgets = BudgetSet([CHECKOUT, SEARCH])
    for budget in budgets:
        budgets.remove(budget.id)
    assert len(budgets) == 0


def test_another_budget_of_the_same_id_is_not_added():
    budgets = BudgetSet([CHECKOUT])
    with pytest.raises(
        GenOpsConfigurationError, match="budget 'checkout': there is another budget of this id; give it"
    ):
        budgets.add(replace(CHECKOUT, limit=30))
    assert list(budgets) == [CHECKOUT]


def test_no_change_of_many_threads_is_lost():
    budgets = BudgetSet()
    start = threading.Barrier(4)

    def add(team):
        start.wait()
        for number in range(50):
            budgets.add(Budget(f"{team}-{number}", 1, scope={"team": team, "feature": f"feature {number}"}))

    threads = [threading.Thread(target=add, args=(f"team-{number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(budgets), budgets.version) == (200, 200)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_process_forked_during_a_change_can_change_its_budgets():
    budgets = BudgetSet()
    with budgets._lock:
        child = os.fork()
        if child == 0:
            budgets.add(CHECKOUT)
            os._exit(len(budgets))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1


# Contradictions


def test_two_budgets_of_the_same_owner_period_and_unit_are_refused():
    budgets = BudgetSet([CHECKOUT])
    other = Budget("checkout-2", 30, scope={"team": "checkout"}, time_zone="Europe/Berlin", policy="advisory")
    with pytest.raises(GenOpsConfigurationError) as caught:
        budgets.add(other)
    assert str(caught.value) == (
        "budget 'checkout-2' is for team=checkout, per day, in US dollars, and so is 'checkout'. Only the lower limit "
        "of the two would do anything: remove one, narrow its scope, or give them starts and ends that do not overlap. "
        "To be warned before the limit, use thresholds"
    )
    with pytest.raises(GenOpsConfigurationError, match="and so is 'checkout'"):
        budgets.replace(other)
    assert list(budgets) == [CHECKOUT]


FIRST_HALF = Budget("x", 1, starts=date(2026, 1, 1), ends=date(2026, 6, 30))
FORTNIGHTS = Budget("x", 1, "custom", anchor=date(2026, 1, 5), days=14)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (CHECKOUT, SEARCH),
        (CHECKOUT, replace(CHECKOUT, id="y", scope={"team": "checkout", "project": "web"})),
        (CHECKOUT, replace(CHECKOUT, id="y", period="week")),
        (CHECKOUT, replace(CHECKOUT, id="y", meter="events")),
        (Budget("x", 1, meter="events"), Budget("y", 1, meter="exceptions")),
        (FIRST_HALF, replace(FIRST_HALF, id="y", starts=date(2026, 7, 1), ends=None)),
        (FORTNIGHTS, replace(FORTNIGHTS, id="y", days=7)),
        (FORTNIGHTS, replace(FORTNIGHTS, id="y", anchor=date(2026, 1, 12))),
    ],
)
def test_budgets_that_differ_in_owner_period_unit_or_time_go_together(one, other):
    assert len(BudgetSet([one, other])) == 2


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (FIRST_HALF, replace(FIRST_HALF, id="y", starts=date(2026, 6, 30), ends=date(2026, 12, 31))),
        (FIRST_HALF, replace(FIRST_HALF, id="y", starts=None, ends=None)),
        (FORTNIGHTS, replace(FORTNIGHTS, id="y", anchor=date(2026, 1, 19))),
        (Budget("x", 1, meter="events"), Budget("y", 2, meter="events")),
    ],
)
def test_budgets_that_are_both_in_force_on_one_day_do_not(one, other):
    with pytest.raises(GenOpsConfigurationError, match="and so is 'x'"):
        BudgetSet([one, other])


# What a ledger can hold


def test_a_limit_that_the_ledger_cannot_count_exactly_is_refused_with_its_entry():
    budgets = BudgetSet([Budget("small", 9_007_199), Budget("large", 9_007_200, "month")])
    with pytest.raises(GenOpsConfigurationError) as caught:
        budgets.check(2**53)
    assert str(caught.value) == (
        "budget 'large': its limit, with grace and overrides, is up to $9,007,200.00, but the ledger counts exactly "
        "only up to $9,007,199.254740992; lower it, or choose a ledger that counts further (sqlite:///…)"
    )
    budgets.check(2**63 - 1)


@pytest.mark.parametrize(
    "more", [{"grace_percent": 100}, {"overrides": [DatedOverride(9_000_000, date(2026, 11, 27), date(2026, 11, 30))]}]
)
def test_grace_and_overrides_must_fit_as_well(more):
    budget = Budget("b", 9_000_000)
    BudgetSet([budget]).check(2**53)
    with pytest.raises(GenOpsConfigurationError, match=r"is up to \$18,000,000.00"):
        BudgetSet([replace(budget, **more)]).check(2**53)


def test_units_must_fit_as_well():
    with pytest.raises(
        GenOpsConfigurationError, match="is up to 101 events, but the ledger counts exactly only up to 100"
    ):
        BudgetSet([Budget("b", 101, meter="events")]).check(100)


# From the settings


def write(tmp_path, text):
    path = tmp_path / "budgets.toml"
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_without_settings_there_is_no_budget():
    assert list(BudgetSet.from_settings(Settings())) == []


def test_the_budgets_of_the_file_and_of_the_variables_stand_side_by_side(tmp_path):
    settings = Settings.from_environ(
        {
            "GENOPS_BUDGETS_FILE": write(tmp_path, "[[budget]]\nid = 'all'\nlimit = 400\nperiod = 'month'\n"),
            "GENOPS_MONTHLY_BUDGET_LIMIT": "100",
            "GENOPS_TEAM": "checkout",
        }
    )
    assert [budget.id for budget in BudgetSet.from_settings(settings)] == ["all", "monthly:team=checkout"]


def test_a_file_that_has_been_read_is_not_read_again():
    file = BudgetFile(budgets=(CHECKOUT,))
    assert list(BudgetSet.from_settings(Settings(budgets_file="/missing.toml"), file)) == [CHECKOUT]


def test_a_variable_that_contradicts_the_file_is_an_error_or_under_zero_code_one_line_in_the_log(tmp_path, caplog):
    path = write(tmp_path, "[[budget]]\nid = 'all'\nlimit = 400\nperiod = 'month'\n")
    settings = Settings.from_environ({"GENOPS_BUDGETS_FILE": path, "GENOPS_MONTHLY_BUDGET_LIMIT": "100"})
    with pytest.raises(GenOpsConfigurationError) as caught:
        BudgetSet.from_settings(settings)
    problem = (
        f"The limits of the environment contradict {path}: budget 'monthly' is for the whole organisation, per month"
    )
    assert str(caught.value).startswith(problem)
    for _ in range(2):
        assert [budget.id for budget in BudgetSet.from_settings(settings, strict=False)] == ["all"]
    (record,) = caplog.records
    assert record.message.startswith(problem)
    assert record.message.endswith("Until it is corrected, the budget of the file stands.")


def test_a_bad_file_under_zero_code_leaves_the_budgets_of_the_variables(tmp_path, caplog):
    settings = Settings.from_environ({"GENOPS_BUDGETS_FILE": write(tmp_path, "x"), "GENOPS_DAILY_BUDGET_LIMIT": "20"})
    with pytest.raises(GenOpsConfigurationError, match="is not TOML"):
        BudgetSet.from_settings(settings)
    assert [budget.id for budget in BudgetSet.from_settings(settings, strict=False)] == ["daily"]
    assert len(caplog.records) == 1


def test_thresholds_of_a_period_without_a_budget_are_remarked_on(caplog):
    settings = Settings.from_environ(
        {"GENOPS_DAILY_BUDGET_LIMIT": "20", "GENOPS_ALERT_THRESHOLDS": "daily:80,monthly:95"}
    )
    for _ in range(2):
        BudgetSet.from_settings(settings)
    assert [record.message for record in caplog.records] == [
        "GENOPS_ALERT_THRESHOLDS has thresholds that are monthly, and no budget is: they raise no alert until there is "
        "one"
    ]

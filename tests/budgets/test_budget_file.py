"""Budgets in a TOML file: what is read, and how every mistake is told."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest

from genops_otel_posthog.budgets.budget import Budget, BudgetPolicy
from genops_otel_posthog.budgets.budget_file import BudgetFile, load_budget_file
from genops_otel_posthog.budgets.environment_budgets import warn_once
from genops_otel_posthog.budgets.ledger.protocol import Threshold
from genops_otel_posthog.budgets.override import DatedOverride
from genops_otel_posthog.budgets.periods import PeriodKind
from genops_otel_posthog.errors import GenOpsConfigurationError
from genops_otel_posthog.settings import Settings


@pytest.fixture(autouse=True)
def new_process():
    """Nothing has been remarked on."""
    warn_once.forget()


@pytest.fixture
def read(tmp_path):
    def read_text(text, **options):
        path = tmp_path / "budgets.toml"
        path.write_text(text, encoding="utf-8")
        return load_budget_file(path, **options)

    return read_text


@pytest.fixture
def problems(read, tmp_path):
    """The problems of a file, without its path."""

    def problems_of(text):
        with pytest.raises(GenOpsConfigurationError) as caught:
            read(text)
        return [line.removeprefix(str(tmp_path / "budgets.toml")) for line in str(caught.value).splitlines()]

    return problems_of


def test_a_file_has_any_number_of_budgets(read):
    file = read(
        """
        [[budget]]
        id = "organisation"
        limit = 400
        period = "month"

        [[budget]]
        id = "checkout"
        limit = 12.10
        scope = { team = "checkout", project = "web-shop" }
        time_zone = "Europe/Berlin"
        policy = "enforced"
        grace_percent = 2.5
        thresholds = [50, "95:critical", "100:forecast"]
        starts = 2026-01-01
        ends = 2026-12-31
        hold = true

        [[budget.override]]
        amount = 50
        starts = 2026-11-27
        until = 2026-11-30
        reason = "sale"

        [[budget.override]]
        amount = -1.5
        starts = 2026-12-24T18:00:00
        until = 2026-12-25T06:00:00+01:00

        [[budget]]
        id = "flags"
        meter = "feature_flag_requests"
        limit = 1_000_000
        period = "custom"
        anchor = 2026-01-05
        days = 14
        """
    )
    assert [budget.id for budget in file.budgets] == ["organisation", "checkout", "flags"]
    organisation, checkout, flags = file.budgets
    assert organisation == Budget("organisation", 400, "month")
    assert (checkout.limit, checkout.grace_percent) == (Decimal("12.1"), Decimal("2.5"))
    assert (checkout.scope, checkout.time_zone) == ({"team": "checkout", "project": "web-shop"}, "Europe/Berlin")
    assert (checkout.policy, checkout.hold) == (BudgetPolicy.ENFORCED, True)
    assert (checkout.starts, checkout.ends) == (date(2026, 1, 1), date(2026, 12, 31))
    assert checkout.overrides[0] == DatedOverride(50, date(2026, 11, 27), date(2026, 11, 30), "sale")
    assert checkout.ledger_overrides()[1].amount == -1_500_000_000
    assert flags == Budget(
        "flags", 1_000_000, "custom", meter="feature_flag_requests", anchor=date(2026, 1, 5), days=14
    )


def test_a_file_without_a_budget_is_a_file(read):
    assert read("").budgets == ()
    assert read("").sampling is None


def test_what_the_file_says_of_sampling_is_handed_on_as_it_is(read):
    file = read("[sampling]\nfrom_percent = 80\nrates = { low = 0.1 }\n")
    assert file.sampling == {"from_percent": 80, "rates": {"low": Decimal("0.1")}}


# Defaults


def test_an_entry_comes_before_the_defaults_and_these_before_what_is_given_from_outside(read):
    text = """
    [defaults]
    period = "month"
    time_zone = "Europe/Berlin"
    policy = "strict"
    thresholds = [70]
    strict_percent = 90
    hold = true

    [[budget]]
    id = "one"
    limit = 1

    [[budget]]
    id = "other"
    limit = 1
    period = "day"
    time_zone = "Asia/Tokyo"
    policy = "advisory"
    thresholds = []
    hold = false
    """
    one, other = read(text, time_zone="America/New_York", thresholds={PeriodKind.DAY: (Threshold(8_000),)}).budgets
    assert (one.period, one.time_zone, one.policy) == ("month", "Europe/Berlin", "strict")
    assert (one.thresholds, one.strict_percent, one.hold) == ((Threshold(7_000, severity="info"),), 90, True)
    assert (other.period, other.time_zone, other.policy) == ("day", "Asia/Tokyo", "advisory")
    assert (other.thresholds, other.hold) == ((), False)


def test_what_is_given_from_outside_is_for_budgets_without_their_own(read):
    daily, monthly = read(
        '[[budget]]\nid = "a"\nlimit = 1\n[[budget]]\nid = "b"\nlimit = 1\nperiod = "month"\n',
        time_zone="America/New_York",
        thresholds={PeriodKind.DAY: (Threshold(8_000),)},
    ).budgets
    assert daily.time_zone == monthly.time_zone == "America/New_York"
    assert (daily.thresholds, monthly.thresholds) == ((Threshold(8_000),), ())


@pytest.mark.parametrize(
    ("defaults", "entry", "grace", "strict"),
    [
        ("grace_percent = 5", "strict_percent = 90", 0, 90),
        ("strict_percent = 90", "grace_percent = 5", 5, 95),
        ("grace_percent = 5", 'policy = "strict"', 0, 95),
        ("grace_percent = 5", 'policy = "enforced"', 5, 95),
        ("strict_percent = 90", 'policy = "enforced"', 0, 90),
    ],
)
def test_a_default_that_an_entry_excludes_does_not_apply_to_it(read, defaults, entry, grace, strict):
    (budget,) = read(f'[defaults]\n{defaults}\n[[budget]]\nid = "b"\nlimit = 1\n{entry}\n').budgets
    assert (budget.grace_percent, budget.strict_percent) == (grace, strict)


# Mistakes


def test_every_wrong_entry_is_told_at_once_with_its_line_and_its_id(problems):
    assert problems(
        """# Budgets of the shop
[[budget]]
id = "checkout"
limit = -5

[[budget]]
id = "search"
limit = 20

  [[ budget ]]  # no id
limit = 20
"""
    ) == [
        ":2: [[budget]] 1 ('checkout'): limit -5 is negative; a limit is 0 (nothing may be spent) or more",
        ":10: [[budget]] 3: id is missing; write the name under which the ledger keeps what is spent, like "
        "id = 'checkout-daily'",
    ]


def test_where_the_lines_are_not_known_for_sure_only_the_entry_is_named(problems):
    assert problems('budget = [{ id = "a", limit = -5 }]') == [
        ": [[budget]] 1 ('a'): limit -5 is negative; a limit is 0 (nothing may be spent) or more"
    ]
    text = '[[budget]]\nid = "a"\nlimit = -5\n[sampling]\nnote = """\n[[budget]]\n"""\n'
    assert problems(text)[0].startswith(": [[budget]] 1 ('a'): limit -5")


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        ("limt = 5", "unknown key 'limt'; did you mean limit?"),
        ("limit = 5\ntimezone = 'UTC'", "unknown key 'timezone'; did you mean time_zone?"),
        (
            "limit = 5\ncolour = 'red'",
            "unknown key 'colour'; known are id, limit, scope, meter, period, time_zone, policy, thresholds, "
            "grace_percent, strict_percent, hold, anchor, days, starts, ends, override",
        ),
        ("limit = 5\nteam = 'x'", "team belongs into the scope; write scope = { team = 'x' }"),
        ("scope = {}", "limit is missing; write what may be spent in US dollars, like limit = 20"),
        ("limit = nan", "limit NaN is not an amount; write a number like 20 or 12.50"),
        ("limit = 0.0000000001", "limit 0.0000000001 USD is not a whole number of nano-USD; round it to nine decimals"),
        (
            "limit = 5\nscope = 'checkout'",
            "scope 'checkout' is not a mapping of fields to values, like team = 'checkout'",
        ),
        ("limit = 5\nstarts = 10:00:00", "starts datetime.time(10, 0) is neither a date nor a time; write it like"),
        (
            "limit = 5\ntime_zone = 'Berlin'",
            "time_zone 'Berlin' cannot be used: 'Berlin' is not a time zone; did you mean Europe/Berlin?",
        ),
        (
            "limit = 5\ngrace_percent = 5\nstrict_percent = 90",
            "grace_percent 5 lets calls past the limit and strict_percent 90 refuses them before it; keep one of the",
        ),
        (
            "limit = 5\nperiod = 'custom'",
            "a custom period has an anchor, the first day of one of its periods, and days, its length; other periods "
            "have neither. Given are period custom, anchor None and days None",
        ),
        ("limit = 5\noverride = 5", "override is not a list of tables; write [[budget.override]], with two brackets"),
        (
            "limit = 5\n[budget.override]\namount = 5",
            "override is not a list of tables; write [[budget.override]], with two brackets",
        ),
        (
            "limit = 5\n[[budget.override]]\namount = 5\nuntil = 2026-01-01",
            "override 1: starts is missing; write the first day, like starts = 2026-11-27",
        ),
        (
            "limit = 5\n[[budget.override]]\namount = 5\nstart = 2026-01-01\nuntil = 2026-01-01",
            "override 1: unknown key 'start'; did you mean starts?",
        ),
        (
            "limit = 5\n[[budget.override]]\namount = 'x'\nstarts = 2026-01-01\nuntil = 2026-01-01",
            "override 1: amount 'x' is not a number; write it like 20 or 12.50",
        ),
        (
            "limit = 5\n[[budget.override]]\namount = 1\nstarts = 2026-01-02\nuntil = 2026-01-01",
            "the override from 2026-01-02 until 2026-01-01 ends before it begins",
        ),
    ],
)
def test_a_mistake_is_told_with_its_key_its_value_and_what_to_write(problems, entry, problem):
    (told,) = problems(f"[[budget]]\nid = 'b'\n{entry}\n")
    assert told.startswith(f":1: [[budget]] 1 ('b'): {problem}")


def test_an_id_that_is_none_is_told(problems):
    assert problems("[[budget]]\nid = 5\nlimit = 5\n") == [
        ":1: [[budget]] 1 (5): a budget needs an id, which is a text like 'checkout-daily', not 5"
    ]


def test_an_id_that_is_given_twice_is_told(problems):
    assert problems('[[budget]]\nid = "b"\nlimit = 1\n[[budget]]\nid = "b"\nlimit = 1\nperiod = "week"\n') == [
        ":4: [[budget]] 2 ('b'): an entry above has the same id; ids are unique"
    ]


def test_two_budgets_that_cannot_both_be_meant_are_told(problems):
    entries = "[[budget]]\nid = '{}'\nlimit = {}\nscope = {{ team = 'x' }}\n"
    assert problems(entries.format("a", 1) + entries.format("b", 2)) == [
        ":5: [[budget]] 2 ('b'): is for team=x, per day, in US dollars, and so is 'a'. Only the lower limit of the two "
        "would do anything: remove one, narrow its scope, or give them starts and ends that do not overlap. To be "
        "warned before the limit, use thresholds"
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[[budgets]]", ": unknown key 'budgets'; did you mean budget?"),
        ("colour = 1", ": unknown key 'colour'; known are budget, defaults, sampling"),
        ("[budget]\nid = 'b'", ": budget is not a list of tables; write [[budget]], with two brackets, for each"),
        ("budget = [1]", ": budget is not a list of tables; write [[budget]], with two brackets, for each"),
        ("defaults = 5", ": defaults 5 is not a table; write [defaults] and its keys below it"),
        ("[[sampling]]", ": sampling [{}] is not a table; write [sampling] and its keys below it"),
        (
            "[defaults]\nlimit = 5",
            ": [defaults]: unknown key 'limit'; known are period, time_zone, policy, thresholds,",
        ),
        (
            "[defaults]\nteam = 'x'",
            ": [defaults]: unknown key 'team'; known are period, time_zone, policy, thresholds,",
        ),
        ("[defaults]\nhold = 3", ": [defaults]: hold 3 is neither true nor false"),
        ("[defaults]\ntime_zone = 'CEST'", ": [defaults]: time_zone 'CEST' cannot be used: 'CEST' is not a time zone;"),
        (
            "[defaults]\ngrace_percent = 1\nstrict_percent = 90",
            ": [defaults]: grace_percent and strict_percent exclude each other; keep one of the two",
        ),
        ("[[budget]\n", ": this is not TOML: "),
    ],
)
def test_a_mistake_outside_of_the_entries_is_told(problems, text, problem):
    (told,) = problems(text)
    assert told.startswith(problem)


def test_a_file_that_is_not_utf_8_is_told(tmp_path):
    path = tmp_path / "budgets.toml"
    path.write_bytes(b"[[budget]]\nid = 'caf\xe9'\n")
    with pytest.raises(GenOpsConfigurationError, match="this is not UTF-8, as TOML is"):
        load_budget_file(path)


def test_a_file_with_a_byte_order_mark_is_read(tmp_path):
    path = tmp_path / "budgets.toml"
    path.write_text("[[budget]]\nid = 'b'\nlimit = 1\n", encoding="utf-8-sig")
    assert load_budget_file(path).budgets == (Budget("b", 1),)


@pytest.mark.parametrize("name", ["missing.toml", ".", "a\0b"])
def test_a_file_that_cannot_be_read_is_told_with_the_reason(tmp_path, name):
    with pytest.raises(GenOpsConfigurationError, match="the budgets file cannot be read: "):
        load_budget_file(f"{tmp_path}/{name}")


# Settings


def test_the_file_is_the_one_that_the_settings_name(tmp_path):
    path = tmp_path / "budgets.toml"
    path.write_text("[[budget]]\nid = 'b'\nlimit = 1\n", encoding="utf-8")
    settings = Settings(budgets_file=str(path), budget_time_zone="Asia/Tokyo", alert_thresholds="daily:80")
    assert BudgetFile.from_settings(settings).budgets == (Budget("b", 1, time_zone="Asia/Tokyo", thresholds=[80]),)


def test_a_file_in_the_users_directory_is_found(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "budgets.toml").write_text("[[budget]]\nid = 'b'\nlimit = 1\n", encoding="utf-8")
    assert len(BudgetFile.from_settings(Settings(budgets_file="~/budgets.toml")).budgets) == 1


def test_settings_that_name_no_file_give_an_empty_one():
    assert BudgetFile.from_settings(Settings()) == BudgetFile(None, (), None)


def test_a_file_that_cannot_be_used_is_an_error_or_under_zero_code_one_line_in_the_log(tmp_path, caplog):
    settings = Settings(budgets_file=str(tmp_path / "missing.toml"))
    with pytest.raises(GenOpsConfigurationError, match="cannot be read"):
        BudgetFile.from_settings(settings)
    for _ in range(2):
        assert BudgetFile.from_settings(settings, strict=False) == BudgetFile()
    (record,) = caplog.records
    assert "missing.toml: the budgets file cannot be read: No such file or directory" in record.message
    assert record.message.endswith("Until this is corrected, no budget of the file applies.")

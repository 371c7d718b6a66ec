"""``genops-posthog budget set``, ``override`` and ``journal``."""

from __future__ import annotations

import getpass
import socket
from collections.abc import Callable
from typing import Any

import pytest

from genops_otel_posthog.budgets.budget import Budget

CHECKOUT = Budget("checkout-daily", 20, scope={"team": "checkout"}, policy="enforced")
BERLIN = Budget("berlin", 20, time_zone="Europe/Berlin")
EVENTS = Budget("org-events", 5_000_000, "month", meter="events")
WITH_OVERRIDE = """
[[budget]]
id = "checkout-daily"
limit = 20
[[budget.override]]
amount = 5
starts = 2026-11-20
until = 2026-11-30
reason = "Black Friday"
"""


def show(house: Any, name: str) -> Any:
    return house.document("budget", "show", name)


# set


def test_a_limit_that_is_set_holds_for_every_process_from_then_on(house: Any):
    house.spend(CHECKOUT, 1)
    document = house.document("budget", "set", "checkout-daily", "--limit", "30", "--reason", "spring")
    assert (document["limit"], document["configured_limit"], document["changed_limit"]) == ("30", "20", "30")
    standing = house.spend(CHECKOUT, 1)
    assert (standing.limit, standing.cap) == (30_000_000_000, 30_000_000_000)


def test_a_limit_can_be_set_before_anybody_spends(house: Any, configure: Callable[[str], None]):
    configure('[[budget]]\nid = "checkout-daily"\nlimit = 20\n')
    house.text("budget", "set", "checkout-daily", "--limit", "12.5", "--reason", "start low")
    assert show(house, "checkout-daily")["limit"] == "12.5"
    assert house.spend(CHECKOUT, 1).limit == 12_500_000_000


def test_the_configured_limit_can_be_brought_back(house: Any):
    house.spend(CHECKOUT, 1)
    house.text("budget", "set", "checkout-daily", "--limit", "30", "--reason", "spring")
    text = house.text("budget", "set", "checkout-daily", "--configured", "--reason", "spring is over")
    assert text == "The limit of checkout-daily is $20.00 now; $0.00005 is spent.\n"
    document = show(house, "checkout-daily")
    assert (document["limit"], document["changed_limit"]) == ("20", None)


def test_a_limit_of_zero_is_a_limit(house: Any):
    house.spend(CHECKOUT, 1)
    house.text("budget", "set", "checkout-daily", "--limit", "0", "--reason", "frozen")
    assert show(house, "checkout-daily")["limit"] == "0"


def test_the_detail_says_what_was_configured_and_what_was_set(house: Any):
    house.spend(CHECKOUT, 1)
    house.text("budget", "set", "checkout-daily", "--limit", "30", "--reason", "spring")
    assert "$30.00 (configured $20.00, set to $30.00)" in house.text("budget", "show", "checkout-daily")


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--reason", "r"], "give one of --limit AMOUNT and --configured"),
        (["--limit", "3", "--configured", "--reason", "r"], "give one of --limit AMOUNT and --configured"),
        (["--limit", "3"], "Missing option '--reason'"),
        (["--limit", "3", "--reason", "  "], "it is empty"),
        (["--limit", "three", "--reason", "r"], "three is not a number"),
        (["--limit", "0.0000000001", "--reason", "r"], "not a whole number of nano-USD"),
        (["--limit", "-3", "--reason", "r"], "a limit is 0 or more"),
        (["--limit", "1e12", "--reason", "r"], "more than this ledger can count"),
    ],
)
def test_a_limit_that_cannot_be_is_wrong_use_and_changes_nothing(house: Any, arguments: list[str], problem: str):
    house.spend(CHECKOUT, 1)
    assert problem in house.text("budget", "set", "checkout-daily", *arguments, exit_code=2)
    assert show(house, "checkout-daily")["limit"] == "20"


def test_a_limit_of_a_meter_is_in_whole_units(house: Any):
    house.spend(EVENTS, 1)
    problem = house.text("budget", "set", "org-events", "--limit", "10.5", "--reason", "r", exit_code=2)
    assert "10.5 is not a whole number of events" in problem
    house.text("budget", "set", "org-events", "--limit", "10", "--reason", "r")
    assert show(house, "org-events")["limit"] == "10"


def test_a_dollar_sign_may_stand_before_an_amount(house: Any):
    house.spend(CHECKOUT, 1)
    house.text("budget", "set", "checkout-daily", "--limit", "$30", "--reason", "r")
    assert show(house, "checkout-daily")["limit"] == "30"


# override


def test_an_override_holds_from_now_to_the_end_of_its_last_day_in_the_budgets_time_zone(house: Any, clock: Any):
    house.spend(BERLIN, 1)
    [override] = house.document(
        "budget", "override", "berlin", "--add", "50", "--until", "2026-12-01", "--reason", "Black Friday"
    )["overrides"]
    assert {**override, "id": "…"} == {
        "id": "…",
        "amount": "50",
        "from": "2026-11-22T13:00:00+01:00",
        "until": "2026-12-02T00:00:00+01:00",
        "reason": "Black Friday",
        "actor": f"{getpass.getuser()}@{socket.gethostname()}",
    }
    assert house.spend(BERLIN, 1).limit == 70_000_000_000
    clock.set("2026-12-01T22:59")
    assert house.spend(BERLIN, 1).limit == 70_000_000_000
    clock.set("2026-12-01T23:00")
    assert house.spend(BERLIN, 1).limit == 20_000_000_000


def test_an_override_may_begin_later_and_end_at_a_time(house: Any):
    house.spend(BERLIN, 1)
    arguments = ["--add", "5", "--from", "2026-11-27", "--until", "2026-11-27T18:00", "--reason", "sale"]
    [override] = house.document("budget", "override", "berlin", *arguments)["overrides"]
    assert (override["from"], override["until"]) == ("2026-11-27T00:00:00+01:00", "2026-11-27T18:00:00+01:00")
    assert show(house, "berlin")["limit"] == "20"


def test_an_override_may_lower_a_limit(house: Any):
    house.spend(CHECKOUT, 1)
    house.text("budget", "override", "checkout-daily", "--add", "-15", "--until", "2026-11-30", "--reason", "save")
    assert show(house, "checkout-daily")["limit"] == "5"


def test_overrides_add_up_and_end_one_by_one(house: Any):
    house.spend(CHECKOUT, 1)
    for amount in ("1", "2"):
        house.text("budget", "override", "checkout-daily", "--add", amount, "--until", "2026-11-30", "--reason", "r")
    document = show(house, "checkout-daily")
    assert document["limit"] == "23"
    [one] = [override["id"] for override in document["overrides"] if override["amount"] == "1"]
    assert f"Removed {one}." in house.text("budget", "override", "checkout-daily", "--remove", one)
    assert show(house, "checkout-daily")["limit"] == "22"


def test_overrides_are_listed_also_when_nothing_is_asked(house: Any):
    house.spend(CHECKOUT, 1)
    assert "has no override" in house.text("budget", "override", "checkout-daily", "--list")
    house.text("budget", "override", "checkout-daily", "--add", "1", "--until", "2026-11-30", "--reason", "because")
    listed = house.text("budget", "override", "checkout-daily", "--list")
    assert all(text in listed for text in ("$1.00", "because", "Sun 2026-11-22 12:00", "Tue 2026-12-01 00:00"))
    assert house.text("budget", "override", "checkout-daily") == listed


def test_a_configured_override_is_shown_before_anybody_spends_and_counts(house: Any, configure: Callable[[str], None]):
    configure(WITH_OVERRIDE)
    document = show(house, "checkout-daily")
    assert document["limit"] == "25"
    assert [(one["amount"], one["actor"]) for one in document["overrides"]] == [("5", "configuration")]


def test_a_configured_override_is_not_removed_from_the_ledger_alone(house: Any, configure: Callable[[str], None]):
    configure(WITH_OVERRIDE)
    [override] = show(house, "checkout-daily")["overrides"]
    text = house.text("budget", "override", "checkout-daily", "--remove", override["id"], exit_code=2)
    assert "is configured" in text


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--add", "5"], "--add needs --until DATE and --reason WHY"),
        (["--add", "5", "--until", "2026-12-01"], "--add needs --until DATE and --reason WHY"),
        (["--add", "5", "--list"], "give one of --add AMOUNT, --remove OVERRIDE and --list"),
        (["--list", "--reason", "r"], "--from, --until and --reason go with --add"),
        (["--add", "x", "--until", "2026-12-01", "--reason", "r"], "x is not a number"),
        (["--add", "0", "--until", "2026-12-01", "--reason", "r"], "amount 0 changes nothing"),
        (["--add", "5", "--until", "2026-11-21", "--reason", "r"], "ends before it begins"),
        (["--add", "5", "--until", "soon", "--reason", "r"], "until 'soon' is neither a date nor a time"),
        (["--remove", "o-1"], "has no override 'o-1'; it has none"),
    ],
)
def test_an_override_that_cannot_be_is_wrong_use_and_changes_nothing(house: Any, arguments: list[str], problem: str):
    house.spend(CHECKOUT, 1)
    assert problem in house.text("budget", "override", "checkout-daily", *arguments, exit_code=2)
    assert show(house, "checkout-daily")["overrides"] == []


# journal


def test_the_journal_says_who_changed_what_and_why(house: Any):
    house.spend(CHECKOUT, 1)
    house.text("budget", "set", "checkout-daily", "--limit", "30", "--reason", "spring")
    entry = house.document("budget", "journal", "--newest", "1")["entries"][0]
    assert {**entry, "number": 0} == {
        "number": 0,
        "at": "2026-11-22T12:00:00+00:00",
        "actor": f"{getpass.getuser()}@{socket.gethostname()}",
        "kind": "limit",
        "budget": "checkout-daily",
        "period": None,
        "amount": "30",
        "unit": "USD",
        "note": "spring",
    }


def test_the_journal_of_one_budget_has_nothing_of_others(house: Any):
    house.spend(CHECKOUT, 1)
    house.spend(EVENTS, 3)
    entries = house.document("budget", "journal", "org-events")["entries"]
    assert {entry["budget"] for entry in entries} == {"org-events"}
    assert [(entry["kind"], entry["amount"], entry["unit"]) for entry in entries] == [("commit", "3", "events")]


def test_the_journal_shows_the_newest_entries_last(house: Any):
    house.spend(CHECKOUT, 1)
    for limit in ("1", "2", "3"):
        house.text("budget", "set", "checkout-daily", "--limit", limit, "--reason", f"to {limit}")
    entries = house.document("budget", "journal", "--newest", "2")["entries"]
    assert [entry["note"] for entry in entries] == ["to 2", "to 3"]


def test_the_journal_of_a_budget_is_in_its_time_zone(house: Any):
    house.spend(BERLIN, 1)
    text = house.text("budget", "journal", "berlin")
    assert "2026-11-22 13:00:00" in text
    assert "Times are those of Europe/Berlin." in text
    assert "2026-11-22 12:00:00" in house.text("budget", "journal")


def test_an_empty_journal_says_so(house: Any):
    assert "no entry" in house.text("budget", "journal")

"""``genops-posthog usage sync`` and ``reconcile``, against a receiver that answers as PostHog does."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timezone
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import pytest

from genops_otel_posthog.receiver import LocalReceiver

# Both by the clock of the test's ledger.
OVERVIEW: dict[str, Any] = {
    "billing_period": {"current_period_start": "2026-11-01T00:00:00Z", "current_period_end": "2026-12-01T00:00:00Z"},
    "current_total_amount_usd": "50.00",
    "usage_summary": {
        "events": {"usage": 2_000_000, "limit": None},
        "feature_flag_requests": {"usage": 400, "limit": None},
        "recordings": {"usage": 6000, "limit": None},
    },
    "products": [
        {"type": "product_analytics", "subscribed": True, "current_usage": 2_000_000, "current_amount_usd": "50.00"}
    ],
}


@pytest.fixture(scope="module")
def shared_receiver() -> Iterator[LocalReceiver]:
    with LocalReceiver() as receiver:
        yield receiver


@pytest.fixture
def posthog(shared_receiver: LocalReceiver, monkeypatch: pytest.MonkeyPatch) -> LocalReceiver:
    """PostHog, which answers :data:`OVERVIEW`."""
    shared_receiver.recover()
    shared_receiver.clear()
    monkeypatch.setenv("POSTHOG_HOST", shared_receiver.url)
    monkeypatch.setenv("POSTHOG_PERSONAL_API_KEY", "phx_personal")
    shared_receiver.fail(path="/api/billing", status=200, body=json.dumps(OVERVIEW))
    return shared_receiver


def count(house: Any, **units: int) -> None:
    """The ledger has counted these units."""
    house.ledger.raise_usage("2026-11", units, actor="a process", note="")


def by_meter(document: Any) -> dict[str, Any]:
    return {meter["meter"]: meter for meter in document["meters"]}


# sync


@pytest.mark.usefixtures("posthog")
def test_sync_raises_the_ledger_to_what_posthog_counted_and_lowers_nothing(house: Any):
    count(house, events=1_500_000, feature_flag_requests=1000)
    document = house.document("usage", "sync")
    assert house.ledger.usage("2026-11") == {
        "events": 2_000_000,
        "feature_flag_requests": 1000,
        "recordings": 6000,
    }
    assert by_meter(document)["events"] == {
        "meter": "events",
        "before": 1_500_000,
        "actual": 2_000_000,
        "after": 2_000_000,
    }
    assert (document["month"], document["dry_run"]) == ("2026-11", False)


@pytest.mark.usefixtures("posthog")
def test_sync_twice_is_sync_once(house: Any):
    house.text("usage", "sync")
    before = house.ledger.usage("2026-11")
    house.text("usage", "sync")
    assert house.ledger.usage("2026-11") == before


@pytest.mark.usefixtures("posthog")
def test_sync_is_in_the_journal_with_its_actor(house: Any):
    house.text("usage", "sync")
    entries = house.document("budget", "journal")["entries"]
    assert {(entry["kind"], entry["unit"]) for entry in entries} == {("usage", "units")}
    assert all("@" in entry["actor"] and "PostHog's billing API" in entry["note"] for entry in entries)


@pytest.mark.usefixtures("posthog")
def test_a_dry_run_changes_nothing(house: Any):
    count(house, events=5)
    document = house.document("usage", "sync", "--dry-run")
    assert by_meter(document)["events"]["after"] == 2_000_000
    assert house.ledger.usage("2026-11") == {"events": 5}


@pytest.mark.usefixtures("posthog")
def test_sync_for_people_says_what_was_raised(house: Any):
    count(house, events=1_500_000)
    text = " ".join(house.text("usage", "sync").split())
    assert "events 1,500,000 2,000,000 2,000,000 500,000" in text
    assert "its figures end with its last report" in text


def test_sync_names_what_this_version_does_not_know(house: Any, posthog: LocalReceiver):
    posthog.recover()
    summary = {**OVERVIEW["usage_summary"], "teleports": {"usage": 7}}
    posthog.fail(path="/api/billing", status=200, body=json.dumps({**OVERVIEW, "usage_summary": summary}))
    assert house.document("usage", "sync")["unknown"] == {"teleports": 7}
    assert "7 of 'teleports', which this version does not know" in house.text("usage", "sync")
    assert set(house.ledger.usage("2026-11")) == {"events", "feature_flag_requests", "recordings"}


# reconcile


@pytest.mark.usefixtures("posthog")
def test_reconcile_shows_units_difference_and_the_cost_of_both(house: Any):
    count(house, events=1_900_000, feature_flag_requests=400)
    document = house.document("usage", "reconcile")
    assert by_meter(document)["events"] == {
        "meter": "events",
        "counted_here": True,
        "estimated": 1_900_000,
        "actual": 2_000_000,
        "difference": -100_000,
        "difference_percent": -5.0,
        "estimated_cost": "45",
        "actual_cost": "50",
        "charged": "50",
        "within_tolerance": True,
    }
    assert (document["charged_total"], document["within_tolerance"]) == ("50", True)


@pytest.mark.usefixtures("posthog")
@pytest.mark.parametrize(("events", "exit_code"), [(1_899_999, 1), (1_900_000, 0), (2_100_000, 0), (2_100_001, 1)])
def test_reconcile_finds_a_problem_beyond_five_percent_in_either_direction(house: Any, events: int, exit_code: int):
    count(house, events=events)
    document = house.document("usage", "reconcile", exit_code=exit_code)
    assert document["within_tolerance"] is (exit_code == 0)


@pytest.mark.usefixtures("posthog")
def test_the_tolerance_can_be_another(house: Any):
    count(house, events=1_999_000)
    house.text("usage", "reconcile", "--tolerance", "0.05")
    house.text("usage", "reconcile", "--tolerance", "0.04", exit_code=1)
    house.text("usage", "reconcile", "--tolerance", "little", exit_code=2)


@pytest.mark.usefixtures("posthog")
def test_a_meter_that_the_ledger_does_not_count_is_shown_and_not_judged(house: Any):
    count(house, events=2_000_000)
    document = house.document("usage", "reconcile")
    recordings = by_meter(document)["recordings"]
    assert (recordings["counted_here"], recordings["actual"], recordings["within_tolerance"]) == (False, 6000, True)
    assert "not counted here" in house.text("usage", "reconcile")


@pytest.mark.usefixtures("posthog")
def test_units_that_posthog_does_not_have_differ_by_any_measure(house: Any):
    count(house, events=2_000_000, exceptions=1)
    exceptions = by_meter(house.document("usage", "reconcile", exit_code=1))["exceptions"]
    assert (exceptions["difference"], exceptions["difference_percent"]) == (1, None)


@pytest.mark.usefixtures("posthog")
def test_a_meter_without_a_price_has_no_cost(house: Any):
    count(house, recordings=6000, survey_responses=3)
    document = house.document("usage", "reconcile", "--price-book", "genops-guide", exit_code=1)
    assert document["price_book"] == "genops-guide"
    assert by_meter(document)["survey_responses"]["estimated_cost"] is None
    assert by_meter(document)["recordings"]["estimated_cost"] == "0.071"


@pytest.mark.usefixtures("posthog")
def test_reconcile_for_people_marks_what_differs(house: Any):
    count(house, events=1_000_000, feature_flag_requests=400)
    text = house.text("usage", "reconcile", exit_code=1)
    [line] = [line for line in text.splitlines() if line.strip().startswith("events")]
    assert line.split() == [
        *("events", "1,000,000", "2,000,000", "-1,000,000", "-50.0", "%", "$0.00", "$50.00", "$50.00", "differs")
    ]
    assert "PostHog charges $50.00 so far" in text


def test_a_billing_period_that_is_no_calendar_month_is_said(house: Any, posthog: LocalReceiver):
    posthog.recover()
    anchored = {"current_period_start": "2026-11-07T00:00:00Z"}
    posthog.fail(path="/api/billing", status=200, body=json.dumps({**OVERVIEW, "billing_period": anchored}))
    assert "bills this organisation from 2026-11-07 on" in house.text("usage", "reconcile")
    assert house.document("usage", "reconcile")["billing_period_start"] == "2026-11-07T00:00:00+00:00"


@pytest.mark.usefixtures("posthog")
def test_a_month_that_is_over_can_be_reconciled(house: Any):
    document = house.document("usage", "reconcile", "--month", "2024-02")
    assert (document["month"], document["meters"], document["charged_total"]) == ("2024-02", [], None)
    assert "2024-2' is not a month" in house.text("usage", "reconcile", "--month", "2024-2", exit_code=2)


def test_what_went_through_the_receiver_reconciles_to_the_unit(house: Any, posthog: LocalReceiver, clock: Any):
    posthog.recover()
    clock.now = datetime.now(timezone.utc)  # the receiver has no other clock
    month = f"{clock.now:%Y-%m}"
    connection = HTTPConnection(urlsplit(posthog.url).netloc, timeout=10)
    batch = [{"event": "signed_up", "distinct_id": "u", "uuid": str(uuid4()), "properties": {}} for _ in range(25)]
    connection.request("POST", "/batch/", json.dumps({"api_key": "phc_test", "batch": batch}))
    assert connection.getresponse().status == 200
    connection.close()
    house.ledger.raise_usage(month, {"events": 25, "identified_events": 25}, actor="a process", note="")
    document = house.document("usage", "reconcile", "--tolerance", "0")
    assert {meter["meter"]: meter["difference"] for meter in document["meters"]} == {
        "events": 0,
        "identified_events": 0,
    }


# what goes wrong


@pytest.mark.parametrize("command", ["sync", "reconcile"])
def test_without_a_key_it_is_said_how_to_get_one(house: Any, command: str):
    text = house.text("usage", command, exit_code=2)
    assert "There is no personal API key. Set POSTHOG_PERSONAL_API_KEY=phx_…" in text
    assert "billing:read" in text


@pytest.mark.parametrize("command", ["sync", "reconcile"])
def test_a_project_key_is_wrong_use_and_not_repeated(house: Any, monkeypatch: pytest.MonkeyPatch, command: str):
    monkeypatch.setenv("POSTHOG_PERSONAL_API_KEY", "phc_0123456789")
    text = house.text("usage", command, exit_code=2)
    assert "project key" in text
    assert "0123456789" not in text


@pytest.mark.parametrize("status", [401, 403])
def test_a_refusal_is_a_problem_and_changes_nothing(house: Any, posthog: LocalReceiver, status: int):
    posthog.recover()
    posthog.fail(path="/api/billing", status=status, body='{"detail": "No."}')
    assert f"({status})" in house.text("usage", "sync", exit_code=1)
    assert house.ledger.usage("2026-11") == {}


def test_progress_is_not_in_the_answer(house: Any, posthog: LocalReceiver):
    result = house.run("usage", "sync", "--json")
    assert json.loads(result.stdout)["month"] == "2026-11"
    assert f"Asking {posthog.url}" in result.stderr

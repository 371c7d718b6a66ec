"""PostHog's billing API as raw HTTP."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from genops_otel_posthog.receiver import LocalReceiver

PERSONAL = {"Authorization": "Bearer phx_personal"}
TODAY = f"{datetime.now(timezone.utc):%Y-%m-%d}"


@pytest.fixture
def month_of_use(http_to: Any, make_v0_event: Any) -> None:
    """Three events of which one is identified, one `$ai_` event, a flag request, and an event of last month."""
    before = datetime.now(timezone.utc).replace(day=1) - timedelta(days=1)
    anonymous = {"$process_person_profile": False}
    sent = http_to.batch(
        make_v0_event(),
        make_v0_event(distinct_id="a", properties=anonymous),
        make_v0_event(distinct_id="b", properties=anonymous),
        make_v0_event(event="$ai_generation"),
        make_v0_event(timestamp=before.isoformat()),
    )
    assert sent.status == 200


def flag_request(http_to: Any, receiver: LocalReceiver) -> None:
    receiver.set_flags([{"key": "beta", "filters": {"groups": [{"rollout_percentage": 100}]}}])
    http_to.post("/flags/?v=2", {"token": "phc_test", "distinct_id": "user-1"})


@pytest.mark.usefixtures("month_of_use")
def test_the_overview_counts_this_month_by_posthogs_keys(http_to: Any, receiver: LocalReceiver):
    flag_request(http_to, receiver)
    answer = http_to.get("/api/billing/", PERSONAL).json
    assert {key: entry["usage"] for key, entry in answer["usage_summary"].items()} == {
        "events": 3,
        "enhanced_persons_events": 1,
        "feature_flag_requests": 1,
        "exceptions": 0,
        "survey_responses": 0,
        "llm_events": 1,
    }
    start = answer["billing_period"]["current_period_start"]
    assert start == f"{datetime.now(timezone.utc):%Y-%m}-01T00:00:00Z"


@pytest.mark.usefixtures("month_of_use")
def test_the_overview_lists_products_with_their_add_ons_and_amounts(http_to: Any):
    products = {product["type"]: product for product in http_to.get("/api/billing", PERSONAL).json["products"]}
    [add_on] = products["product_analytics"]["addons"]
    assert (products["product_analytics"]["current_usage"], add_on["type"], add_on["current_usage"]) == (
        3,
        "enhanced_persons",
        1,
    )
    assert products["llm_analytics"]["current_amount_usd"] == "0.00"


def test_the_overview_shows_a_limit_that_a_fault_says_is_reached(http_to: Any, receiver: LocalReceiver):
    receiver.fail(quota=["events"])
    summary = http_to.get("/api/billing/", PERSONAL).json["usage_summary"]
    assert (summary["events"], summary["exceptions"]) == ({"usage": 0, "limit": 0}, {"usage": 0, "limit": None})


@pytest.mark.usefixtures("month_of_use")
def test_the_series_has_the_units_of_each_day_by_usage_type(http_to: Any):
    path = f"/api/billing/usage/?start_date={TODAY}&end_date={TODAY}&breakdowns=%5B%22type%22%5D"
    results = http_to.get(path, PERSONAL).json["results"]
    assert {one["breakdown_value"]: (one["dates"], one["data"]) for one in results} == {
        "event_count_in_period": ([TODAY], [3.0]),
        "enhanced_persons_event_count_in_period": ([TODAY], [1.0]),
        "ai_event_count_in_period": ([TODAY], [1.0]),
    }


@pytest.mark.parametrize(
    "query",
    [
        "start_date=yesterday&end_date=2026-11-22",
        "start_date=2026-11-22",
        "start_date=2026-11-22&end_date=2026-11-21",
        "start_date=2024-11-22&end_date=2026-11-22",
        "start_date=2026-11-22&end_date=2026-11-22&breakdowns=type",
        "start_date=2026-11-22&end_date=2026-11-22&interval=week",
    ],
)
def test_a_series_that_cannot_be_answered_is_refused(http_to: Any, query: str):
    answer = http_to.get(f"/api/billing/usage/?{query}", PERSONAL)
    assert (answer.status, answer.json["code"]) == (400, "invalid_input")


@pytest.mark.parametrize("path", ["/api/billing/", "/api/billing/usage/"])
@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({}, "not_authenticated"),
        ({"Authorization": "Basic phx_personal"}, "not_authenticated"),
        ({"Authorization": "Bearer phc_project"}, "authentication_failed"),
        ({"Authorization": "Bearer phs_secret"}, "authentication_failed"),
    ],
)
def test_only_a_personal_key_is_let_in(http_to: Any, path: str, headers: dict[str, str], code: str):
    answer = http_to.get(path, headers)
    assert (answer.status, answer.json["code"]) == (401, code)

"""PostHog's billing API, asked for real: of the local receiver, and of answers written down from PostHog's own."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from datetime import datetime, timezone
from decimal import Decimal
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import pytest

from genops_otel_posthog.cli.actual_usage import ActualUsage, last_day
from genops_otel_posthog.cli.billing_api import BillingApi
from genops_otel_posthog.errors import GenOpsConfigurationError, GenOpsProviderError
from genops_otel_posthog.receiver import LocalReceiver

KEY = "phx_personal"
THIS_MONTH = f"{datetime.now(timezone.utc):%Y-%m}"

# The shape of PostHog's own fixture, products/billing/skills/investigating-billing-costs/fixtures/.
OVERVIEW: dict[str, Any] = {
    "billing_period": {
        "current_period_start": "2026-11-01T00:00:00Z",
        "current_period_end": "2026-12-01T00:00:00Z",
        "interval": "month",
    },
    "current_total_amount_usd": "128.40",
    "usage_summary": {
        "events": {"usage": 2_200_000, "limit": 10_000_000},
        "enhanced_persons_events": {"usage": 1_100_000, "limit": None},
        "recordings": {"usage": 3400, "limit": None},
        "historical_rows_synced": {"usage": 5_000_000, "limit": None},
        "ai_credits": {"usage": None, "limit": None},
        "teleports": {"usage": 7, "limit": None},
        "quiet_new_thing": {"usage": 0, "limit": None},
    },
    "products": [
        {
            "type": "product_analytics",
            "subscribed": True,
            "current_usage": 2_200_000,
            "current_amount_usd": "86.66",
            "current_amount_usd_before_addons": "56.86",
            "addons": [
                {
                    "type": "enhanced_persons",
                    "subscribed": True,
                    "current_usage": 1_100_000,
                    "current_amount_usd": "19.80",
                },
                {
                    "type": "group_analytics",
                    "subscribed": True,
                    "current_usage": 1_100_000,
                    "current_amount_usd": "7.10",
                },
                {"type": "data_pipelines", "subscribed": False, "current_usage": 99, "current_amount_usd": "0"},
            ],
        },
        {"type": "platform_and_support", "subscribed": True, "current_usage": 0, "current_amount_usd": "450.00"},
    ],
}
SERIES: dict[str, Any] = {
    "status": "ok",
    "type": "timeseries",
    "results": [
        {
            "label": "Events",
            "dates": ["2026-10-31", "2026-11-01", "2026-11-02"],
            "data": [1000.0, 20.0, 3.0],
            "breakdown_type": "type",
            "breakdown_value": "event_count_in_period",
        },
        {
            "label": "Rows",
            "dates": ["2026-11-01"],
            "data": [9.0],
            "breakdown_value": "free_historical_rows_synced_in_period",
        },
        {"label": "New", "dates": ["2026-11-01"], "data": [4.0], "breakdown_value": "teleports_in_period"},
    ],
}


@pytest.fixture(scope="module")
def receiver() -> Iterator[LocalReceiver]:
    with LocalReceiver() as receiver:
        yield receiver


@pytest.fixture
def api(receiver: LocalReceiver) -> BillingApi:
    receiver.recover()
    receiver.clear()
    return BillingApi(receiver.url, KEY)


def answers(receiver: LocalReceiver, document: object, path: str = "/api/billing") -> None:
    """Makes the receiver answer with a document."""
    receiver.fail(path=path, status=200, body=json.dumps(document))


def capture(receiver: LocalReceiver, *names: str) -> None:
    connection = HTTPConnection(urlsplit(receiver.url).netloc, timeout=10)
    batch = [{"event": name, "distinct_id": "user-1", "uuid": str(uuid4()), "properties": {}} for name in names]
    connection.request("POST", "/batch/", json.dumps({"api_key": "phc_test", "batch": batch}))
    assert connection.getresponse().status == 200
    connection.close()


def read(document: dict[str, Any]) -> ActualUsage:
    actual = ActualUsage("2026-11", "https://us.posthog.com/api/billing/")
    actual.read_overview(document)
    return actual


# what is asked


def test_usage_of_this_month_is_read_from_the_overview(api: BillingApi, receiver: LocalReceiver):
    capture(receiver, "signed_up", "signed_up", "$ai_generation")
    actual = api.usage_of(THIS_MONTH)
    assert actual.units == {
        "events": 2,
        "identified_events": 2,
        "feature_flag_requests": 0,
        "exceptions": 0,
        "survey_responses": 0,
        "llm_events": 1,
    }
    assert (actual.source, actual.total) == (f"{receiver.url}/api/billing/", Decimal("0.00"))
    assert [request.path for request in receiver.requests(path="/api/billing")] == ["/api/billing"]


def test_a_billing_period_that_is_no_calendar_month_is_added_up_from_days(api: BillingApi, receiver: LocalReceiver):
    capture(receiver, "signed_up", "signed_up", "$ai_generation")
    anchored = {**OVERVIEW["billing_period"], "current_period_start": f"{THIS_MONTH}-07T00:00:00Z"}
    answers(receiver, {**OVERVIEW, "billing_period": anchored})
    actual = api.usage_of(THIS_MONTH)
    assert actual.units == {"events": 2, "identified_events": 2, "llm_events": 1}
    assert (actual.total, actual.amounts, actual.source) == (None, {}, f"{receiver.url}/api/billing/usage/")
    assert actual.period_start == datetime.fromisoformat(f"{THIS_MONTH}-07T00:00:00+00:00")


def test_a_month_that_is_over_is_added_up_from_days(api: BillingApi):
    assert api.usage_of("2024-02").units == {}


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("https://us.i.posthog.com", "https://us.posthog.com"),
        ("https://eu.i.posthog.com", "https://eu.posthog.com"),
        ("https://app.posthog.com", "https://us.posthog.com"),
        ("https://EU.posthog.com/", "https://eu.posthog.com"),
        ("https://posthog.example.com:8443/proxy", "https://posthog.example.com:8443/proxy"),
        ("http://127.0.0.1:8123", "http://127.0.0.1:8123"),
    ],
)
def test_the_api_is_where_its_ingestion_host_says(host: str, url: str):
    assert BillingApi(host, KEY).url == url


@pytest.mark.parametrize(
    ("month", "day"), [("2026-11", "2026-11-30"), ("2026-12", "2026-12-31"), ("2024-02", "2024-02-29")]
)
def test_the_last_day_of_a_month_is_the_calendars(month: str, day: str):
    assert str(last_day(month)) == day


# what is read


def test_an_overview_is_read_by_meter():
    assert read(OVERVIEW).units == {
        "events": 2_200_000,
        "identified_events": 1_100_000,
        "recordings": 3400,
        "group_analytics": 1_100_000,
    }


def test_what_this_version_does_not_know_is_kept_by_its_own_name():
    assert read(OVERVIEW).unknown == {"teleports": 7}


def test_the_amount_of_a_product_is_without_its_add_ons():
    assert read(OVERVIEW).amounts == {
        "events": Decimal("56.86"),
        "identified_events": Decimal("19.80"),
        "group_analytics": Decimal("7.10"),
    }


def test_the_days_of_other_months_are_left_out_of_a_series():
    actual = ActualUsage("2026-11", "https://us.posthog.com/api/billing/usage/")
    actual.read_series(SERIES)
    assert (actual.units, actual.unknown) == ({"events": 23}, {"teleports_in_period": 4})


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"usage_summary": None}, "it has no usage_summary"),
        ({"usage_summary": {"events": {"usage": "many"}}}, "events is 'many'"),
        ({"usage_summary": {"events": {"usage": -1}}}, "events is '-1'"),
        ({"current_total_amount_usd": "free"}, "current_total_amount_usd is 'free'"),
    ],
)
def test_an_overview_that_cannot_be_read_is_an_error_and_not_a_zero(change: dict[str, Any], problem: str):
    with pytest.raises(GenOpsProviderError, match=problem):
        read({**OVERVIEW, **change})


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"results": [{"dates": ["2026-11-01"], "data": [1.0]}]},
        {"results": [{"breakdown_value": "event_count_in_period", "dates": ["2026-11-01"], "data": []}]},
        {"results": [{"breakdown_value": "event_count_in_period", "dates": ["2026-11-01"], "data": ["x"]}]},
    ],
)
def test_a_series_that_cannot_be_read_is_an_error_and_not_a_zero(document: dict[str, Any]):
    with pytest.raises(GenOpsProviderError, match="cannot read"):
        ActualUsage("2026-11", "https://us.posthog.com").read_series(document)


# what goes wrong


@pytest.mark.parametrize(
    ("key", "problem"),
    [
        (None, r"There is no personal API key\. Set POSTHOG_PERSONAL_API_KEY=phx_…; create one .* scope billing:read"),
        ("phc_project", r"is a project key \(phc_…\), which the billing API does not take"),
        ("phs_secret", r"is a project secret key \(phs_…\)"),
        ("abc", "is no personal API key"),
    ],
)
def test_another_key_than_a_personal_one_is_refused_before_it_is_sent(key: str | None, problem: str):
    with pytest.raises(GenOpsConfigurationError, match=problem) as refusal:
        BillingApi("https://us.i.posthog.com", key)
    assert key is None or key == "abc" or key not in str(refusal.value)


def test_a_key_is_not_sent_unencrypted():
    with pytest.raises(GenOpsConfigurationError, match=r"everybody on the way to posthog\.example\.com"):
        BillingApi("http://posthog.example.com", KEY)


@pytest.mark.parametrize(
    ("status", "body", "problem"),
    [
        (401, '{"detail": "Personal API key is invalid."}', r"\(401\).*region.*PostHog says: Personal API key is inv"),
        (
            403,
            '{"detail": "API key missing required scope \'billing:read\'"}',
            r"\(403\).*admin or owner.*required scope",
        ),
        (404, "<html>", r"no billing API \(404\)"),
        (429, "{}", r"too often \(429\)"),
        (302, "", r"leads elsewhere \(302\), and the key is not sent there"),
        (503, "[]", "answered 503; try again later"),
        (200, "<html>", "no JSON object"),
        (200, "[]", "no JSON object"),
        (200, "{}", "cannot read: it has no usage_summary"),
    ],
)
def test_a_refusal_says_what_it_means(api: BillingApi, receiver: LocalReceiver, status: int, body: str, problem: str):
    if body == "{}" and status == 200:
        body = json.dumps({"billing_period": {"current_period_start": f"{THIS_MONTH}-01T00:00:00Z"}})
    receiver.fail(path="/api/billing", status=status, body=body)
    with pytest.raises(GenOpsProviderError, match=problem) as refusal:
        api.usage_of(THIS_MONTH)
    assert KEY not in str(refusal.value)


def test_what_posthog_says_is_cut_and_cannot_write_on_the_terminal(api: BillingApi, receiver: LocalReceiver):
    receiver.fail(path="/api/billing", status=403, body=json.dumps({"detail": "\x1b[2J" + "x" * 5000}))
    with pytest.raises(GenOpsProviderError) as refusal:
        api.usage_of(THIS_MONTH)
    assert "\x1b" not in str(refusal.value)
    assert len(str(refusal.value)) < 700


@pytest.mark.parametrize("fault", [{"reset": True}, {"reset": True, "stage": "after"}])
def test_a_connection_that_breaks_is_an_error_of_this_package(
    api: BillingApi, receiver: LocalReceiver, fault: dict[str, Any]
):
    receiver.fail(path="/api/billing", **fault)
    with pytest.raises(GenOpsProviderError, match=r"did not answer: .* Check the network"):
        api.usage_of(THIS_MONTH)


def test_no_network_is_an_error_of_this_package():
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with pytest.raises(GenOpsProviderError, match=f"http://127.0.0.1:{port} did not answer"):
        BillingApi(f"http://127.0.0.1:{port}", KEY).usage_of(THIS_MONTH)

"""An unchanged script under ``opentelemetry-instrument``: every PostHog call a priced, owned span; every unit counted.

The script runs three times: with an owner, without one, and without this instrumentation.
"""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from genops_otel_posthog.pricing.book import PriceBook

pytestmark = pytest.mark.wheel

SCRIPT = """
import os

import posthog

posthog.api_key = os.environ["POSTHOG_API_KEY"]
posthog.host = os.environ["POSTHOG_HOST"]

posthog.capture("user_signed_up", distinct_id="ann", properties={"plan": "pro", "seats": 3})
posthog.capture("page_viewed")
posthog.set(distinct_id="ann", properties={"name": "Ann"})
posthog.alias("visitor-1", "ann")
posthog.group_identify("company", "acme", {"size": 40})
try:
    1 / 0
except ZeroDivisionError as error:
    posthog.capture_exception(error, distinct_id="ann", send_feature_flags=False)
print(posthog.get_all_flags("ann"))
"""
# It ends at once: nothing is flushed and nothing is waited for.


@pytest.fixture(scope="module")
def applications(launch: Any) -> dict[str, Any]:
    owner = {"GENOPS_TEAM": "growth", "GENOPS_PROJECT": "onboarding", "GENOPS_CUSTOMER_ID": "acme"}
    started = {
        "owned": launch(SCRIPT, **owner, GENOPS_TAGS="tier=gold", GENOPS_PRICING_MODE="list"),
        "unowned": launch(SCRIPT),
        "bare": launch(SCRIPT, OTEL_PYTHON_DISABLED_INSTRUMENTATIONS="posthog"),
    }
    return {name: application.succeed() for name, application in started.items()}


@pytest.fixture(scope="module")
def owned(applications: dict[str, Any]) -> Any:
    return applications["owned"]


def test_the_application_notices_nothing(applications: dict[str, Any]) -> None:
    assert {application.out.strip() for application in applications.values()} == {
        "{'new-checkout': True, 'old-checkout': False}"
    }
    assert [application.err for application in applications.values()] == ["", "", ""]


def test_every_call_is_a_span(owned: Any) -> None:
    assert [(span.name, span.kind) for span in owned.spans()] == [
        ("capture user_signed_up", "producer"),
        ("capture page_viewed", "producer"),
        ("set", "producer"),
        ("alias", "producer"),
        ("group_identify", "producer"),
        ("capture $exception", "producer"),
        ("evaluate_flags", "client"),
    ]


def test_every_span_says_whose_it_is(owned: Any) -> None:
    owners = {
        (
            span.attributes["genops.team"],
            span.attributes["genops.project"],
            span.attributes["genops.customer_id"],
            span.attributes["genops.tag.tier"],
        )
        for span in owned.spans()
    }
    assert owners == {("growth", "onboarding", "acme", "gold")}


@pytest.mark.parametrize(
    ("name", "meter", "surcharge"),
    [
        ("capture user_signed_up", "events", True),
        ("capture page_viewed", "events", False),
        ("set", "events", True),
        ("capture $exception", "exceptions", False),
        ("evaluate_flags", "feature_flag_requests", False),
    ],
)
def test_every_span_says_what_it_costs_and_in_which_meter(owned: Any, name: str, meter: str, surcharge: bool) -> None:
    attributes = owned.span(name).attributes
    book = PriceBook.load(attributes["genops.cost.price_book"])
    price_nano = book.rate(meter).list_price_nano
    if surcharge:
        price_nano += book.rate("identified_events").list_price_nano

    assert attributes["genops.cost.meter"] == meter
    assert attributes["genops.cost.amount"] == pytest.approx(price_nano / 1e9)


def test_metrics_arrive_although_the_script_ends_at_once(owned: Any) -> None:
    assert {series.name for series in owned.series("genops.usage")} == {"genops.usage"}
    assert {series.attributes["genops.team"] for series in owned.series("genops.usage")} == {"growth"}
    assert len(owned.series("posthog.client.operation.duration")) >= 1


def test_the_estimate_is_the_bill(applications: dict[str, Any]) -> None:
    for name in ("owned", "unowned"):
        application = applications[name]
        assert application.usage() == application.bill()
        assert application.bill().keys() == {"events", "identified_events", "exceptions", "feature_flag_requests"}


def test_the_metrics_and_the_spans_say_the_same_cost(owned: Any) -> None:
    by_spans = sum(span.attributes["genops.cost.amount"] for span in owned.spans())

    assert owned.cost() == pytest.approx(by_spans)
    assert by_spans > 0


def sent(application: Any) -> list[tuple[str, str, dict[str, Any], dict[str, Any] | None]]:
    """Its events without what is random in them, or is the application's own name."""
    own = re.compile("|".join(map(re.escape, (str(application.directory), application.key))))
    return [
        (
            event.event,
            "someone" if re.fullmatch(r"[0-9a-f-]{36}", event.distinct_id) else event.distinct_id,
            json.loads(own.sub("", json.dumps(event.properties))),
            event.set,
        )
        for event in application.events()
    ]


def test_events_are_the_same_but_for_our_properties(applications: dict[str, Any]) -> None:
    bare, owned = sent(applications["bare"]), sent(applications["owned"])
    without_ours = [
        (name, who, {key: value for key, value in properties.items() if not key.startswith("genops_")}, persons)
        for name, who, properties, persons in owned
    ]

    assert without_ours == bare


def test_owned_events_carry_owner_and_cost_to_posthog(owned: Any) -> None:
    for event in owned.events():
        assert event.properties["genops_team"] == "growth"
        assert event.properties["genops_project"] == "onboarding"
        assert event.properties["genops_customer_id"] == "acme"
        assert event.properties["genops_tag_tier"] == "gold"
        assert event.properties["genops_cost_estimated"] > 0


def test_events_that_nobody_owns_are_sent_exactly_as_without_us(applications: dict[str, Any]) -> None:
    assert sent(applications["unowned"]) == sent(applications["bare"])


def test_switched_off_there_are_no_spans_of_ours_and_no_metrics(applications: dict[str, Any]) -> None:
    bare = applications["bare"]

    assert bare.spans() == []
    assert bare.series("genops.usage") == []
    assert len(bare.events()) == 6

"""Captures of an adapter: really sent, owned, priced, within budgets, and told about truly."""

from __future__ import annotations

import json
import threading
from datetime import datetime, timezone
from typing import Any

import posthog
import pytest
from opentelemetry import trace
from posthog.client import Client

from genops_otel_posthog import (
    GenOpsBudgetExceededError,
    GenOpsPostHogAdapter,
    GenOpsValidationError,
    PostHogInstrumentor,
    governance,
)
from genops_otel_posthog.adapter.known_clients import forget_all

LIST_PRICE = 0.00005
IDENTIFIED = LIST_PRICE + 0.000198


@pytest.mark.requirement("S4-01", "S4-24", "S4-25", "S4-75")
def test_an_event_is_sent_and_the_result_says_what_became_of_it(adapter: GenOpsPostHogAdapter, receiver: Any) -> None:
    result = adapter.capture_event_with_governance("signup_completed", {"plan": "pro"}, "user-42", is_identified=True)

    assert adapter.flush()
    (event,) = receiver.events()
    assert (event.event, event.distinct_id, event.uuid) == ("signup_completed", "user-42", result["event_uuid"])
    assert event.properties["plan"] == "pro"
    assert event.properties["genops_team"] == "growth"
    assert event.properties["genops_project"] == "web"
    assert event.properties["genops_environment"] == "production"
    assert event.properties["genops_cost_estimated"] == 0.0
    assert result["properties_count"] == 1
    assert result["properties"]["genops_team"] == "growth"
    assert (result["cost"], result["list_cost"]) == (0.0, IDENTIFIED)
    assert (result["blocked"], result["sampled"], result["policy_result"]) == (False, False, "allowed")
    assert result["is_identified"] is True
    assert result["governance_applied"] is True
    assert datetime.fromisoformat(result["timestamp"]).utcoffset() is not None
    assert json.loads(json.dumps(result)) == result


@pytest.mark.requirement("S4-26", "D-24")
def test_without_a_distinct_id_the_event_belongs_to_nobody(adapter: GenOpsPostHogAdapter, receiver: Any) -> None:
    result = adapter.capture_event_with_governance("page_viewed")

    adapter.flush()
    (event,) = receiver.events()
    assert event.properties["$process_person_profile"] is False
    assert result["is_identified"] is False
    assert result["distinct_id"] == event.distinct_id
    assert result["list_cost"] == LIST_PRICE


@pytest.mark.requirement("D-24")
def test_not_identified_means_no_person_whoever_it_was(adapter: GenOpsPostHogAdapter, receiver: Any) -> None:
    adapter.capture_event_with_governance("page_viewed", distinct_id="user-42")
    adapter.capture_event_with_governance("page_viewed", distinct_id="user-42", is_identified=True)

    adapter.flush()
    anonymous, identified = receiver.events()
    assert anonymous.properties["$process_person_profile"] is False
    assert "$process_person_profile" not in identified.properties
    assert receiver.bill().meters == {"events": 2, "identified_events": 1}


def test_an_event_about_a_person_is_never_made_personless(adapter: GenOpsPostHogAdapter, receiver: Any) -> None:
    adapter.capture_event_with_governance("$identify", {"$set": {"plan": "pro"}}, "user-42")

    adapter.flush()
    assert "$process_person_profile" not in receiver.events()[0].properties


@pytest.mark.requirement("D-12")
def test_time_groups_and_uuid_are_the_callers(adapter: GenOpsPostHogAdapter, receiver: Any) -> None:
    uuid = "0193b8f2-7d1b-7c7e-9d3e-3f1f2f6f6a10"
    result = adapter.capture_event_with_governance(
        "seat_added",
        distinct_id="u",
        is_identified=True,
        timestamp=1_795_000_000.5,
        groups={"company": "acme"},
        uuid=uuid,
    )

    adapter.flush()
    (event,) = receiver.events()
    assert event.uuid == result["event_uuid"] == uuid
    assert event.properties["$groups"] == {"company": "acme"}
    assert result["timestamp"] == datetime.fromtimestamp(1_795_000_000.5, timezone.utc).isoformat()
    assert datetime.fromisoformat(event.timestamp.replace("Z", "+00:00")).timestamp() == pytest.approx(1_795_000_000.5)


@pytest.mark.parametrize(
    "given",
    [1_795_000_000, "2026-11-18T11:06:40+00:00", "2026-11-18T11:06:40Z", datetime(2026, 11, 18, 11, 6, 40)],
    ids=["seconds", "offset", "zulu", "naive"],
)
def test_a_time_is_understood_in_every_form(given: Any, adapter: GenOpsPostHogAdapter) -> None:
    assert adapter.capture_event_with_governance("x", timestamp=given)["timestamp"] == "2026-11-18T11:06:40+00:00"


@pytest.mark.requirement("S4-55")
def test_an_event_belongs_to_the_trace_it_is_captured_in(
    adapter: GenOpsPostHogAdapter, receiver: Any, providers: Any
) -> None:
    tracer = trace.get_tracer("app", tracer_provider=providers["tracer_provider"])
    with tracer.start_as_current_span("GET /checkout") as span:
        result = adapter.capture_event_with_governance("order_completed", {"value": 299.0})
        span.set_attribute("analytics.cost", result["cost"])

    adapter.flush()
    outer, capture = providers.span("GET /checkout"), providers.span("capture order_completed")
    assert capture.parent.span_id == outer.context.span_id
    trace_id = format(outer.context.trace_id, "032x")
    assert result["trace_id"] == receiver.events()[0].properties["$trace_id"] == trace_id


def test_outside_of_a_trace_the_capture_begins_one(adapter: GenOpsPostHogAdapter, providers: Any) -> None:
    result = adapter.capture_event_with_governance("x")

    assert result["trace_id"] == format(providers.span("capture x").context.trace_id, "032x")


@pytest.mark.requirement("S4-19")
def test_tags_are_on_spans_and_events(make_adapter: Any, receiver: Any, providers: Any) -> None:
    adapter = make_adapter(tags={"platform": "ios", "app_version": "2.1.0"})
    adapter.capture_event_with_governance("x")

    adapter.flush()
    assert receiver.events()[0].properties["genops_tag_platform"] == "ios"
    assert providers.span("capture x").attributes["genops.tag.app_version"] == "2.1.0"
    assert adapter.tags == {"platform": "ios", "app_version": "2.1.0"}


# --- whose it is ------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("D-13")
def test_argument_before_block_before_environment_before_default(
    make_adapter: Any, receiver: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GENOPS_TEAM", "from-env")
    monkeypatch.setenv("GENOPS_COST_CENTER", "cc-env")
    adapter = make_adapter(team="named", project=None)
    with governance(team="block", cost_center="cc-block", feature="one-click"):
        adapter.capture_event_with_governance("x")

    adapter.flush()
    properties = receiver.events()[0].properties
    assert properties["genops_team"] == "named"
    assert properties["genops_cost_center"] == "cc-block"
    assert properties["genops_feature"] == "one-click"
    assert properties["genops_project"] == "default"
    assert make_adapter(team=None).team == "from-env"


@pytest.mark.requirement("D-25")
def test_a_property_names_the_owner_under_advisory_and_not_under_enforced(make_adapter: Any, receiver: Any) -> None:
    make_adapter().capture_event_with_governance("x", {"genops_team": "other"})
    make_adapter(governance_policy="enforced").capture_event_with_governance("y", {"genops_team": "other"})

    make_adapter().flush()
    teams = {event.event: event.properties["genops_team"] for event in receiver.events()}
    assert teams == {"x": "other", "y": "growth"}


# --- budgets ----------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("S4-44", "E-08")
def test_an_enforced_budget_refuses_the_first_event_beyond_it_before_it_is_sent(
    make_adapter: Any, receiver: Any
) -> None:
    adapter = make_adapter(governance_policy="enforced", daily_budget_limit=0.001, pricing_mode="list")
    for _ in range(20):
        adapter.capture_event_with_governance("page_viewed")
    with pytest.raises(GenOpsBudgetExceededError) as refusal:
        adapter.capture_event_with_governance("page_viewed")

    adapter.flush()
    assert len(receiver.events()) == 20
    assert (float(refusal.value.budget_limit), float(refusal.value.current_cost)) == (0.001, 0.001)
    assert float(refusal.value.operation_cost) == LIST_PRICE
    assert adapter.get_cost_summary()["daily_costs"] == pytest.approx(0.001)


@pytest.mark.requirement("S4-45", "E-09")
def test_an_advisory_budget_sends_everything_and_warns(make_adapter: Any, receiver: Any, caplog: Any) -> None:
    adapter = make_adapter(daily_budget_limit=0.001, pricing_mode="list")
    results = [adapter.capture_event_with_governance("page_viewed") for _ in range(30)]

    summary = adapter.get_cost_summary()
    adapter.flush()
    assert len(receiver.events()) == 30
    assert not any(result["blocked"] for result in results)
    assert summary["daily_budget_utilization"] == pytest.approx(150.0)
    assert any("budget" in message for message in caplog.messages)


@pytest.mark.requirement("E-10", "D-09")
def test_strict_refuses_at_ninety_five_percent(make_adapter: Any, receiver: Any, providers: Any) -> None:
    adapter = make_adapter(governance_policy="strict", daily_budget_limit=0.001, pricing_mode="list")
    for _ in range(19):
        adapter.capture_event_with_governance("page_viewed")
    with pytest.raises(GenOpsBudgetExceededError):
        adapter.capture_event_with_governance("page_viewed")

    adapter.flush()
    assert len(receiver.events()) == 19
    assert providers.spans[-1].attributes["genops.policy.result"] == "blocked"


@pytest.mark.requirement("E-10", "D-09")
def test_strict_refuses_what_nobody_answers_for(make_adapter: Any, receiver: Any, providers: Any) -> None:
    adapter = make_adapter(team=None, project=None, governance_policy="strict")
    with pytest.raises(GenOpsBudgetExceededError, match=r"needs a team and project.*GENOPS_TEAM, GENOPS_PROJECT"):
        adapter.capture_event_with_governance("page_viewed")

    adapter.flush()
    assert receiver.events() == []
    span = providers.span("capture page_viewed")
    assert span.attributes["genops.policy.reason"] == "attribution_missing"


@pytest.mark.requirement("D-52")
def test_a_limit_of_zero_allows_nothing_and_unlimited_everything(make_adapter: Any, receiver: Any) -> None:
    with pytest.raises(GenOpsBudgetExceededError):
        make_adapter(
            governance_policy="enforced", daily_budget_limit=0, pricing_mode="list"
        ).capture_event_with_governance("x")
    free = make_adapter(daily_budget_limit="unlimited", governance_policy="enforced", team="other", pricing_mode="list")
    free.capture_event_with_governance("y")

    free.flush()
    assert [event.event for event in receiver.events()] == ["y"]
    assert free.daily_budget_limit is None


@pytest.mark.requirement("E-11", "D-04")
def test_the_first_event_beyond_the_free_tier_costs_money(make_adapter: Any) -> None:
    adapter = make_adapter(usage_to_date={"events": 999_999})
    costs = [adapter.capture_event_with_governance("x")["cost"] for _ in range(2)]

    assert costs == [0.0, LIST_PRICE]


def test_who_asks_for_no_exception_gets_a_result(make_adapter: Any) -> None:
    adapter = make_adapter(governance_policy="enforced", daily_budget_limit=0, pricing_mode="list")
    result = adapter.capture_event_with_governance("x", raises=False)

    assert (result["blocked"], result["event_uuid"], result["policy_reason"]) == (True, None, "budget_exceeded")


@pytest.mark.requirement("D-54")
def test_without_governance_nobody_is_asked_and_the_result_says_so(make_adapter: Any, receiver: Any) -> None:
    adapter = make_adapter(
        enable_governance=False, daily_budget_limit=0, governance_policy="enforced", pricing_mode="list"
    )
    result = adapter.capture_event_with_governance("x")

    adapter.flush()
    assert result["governance_applied"] is False
    assert result["cost"] == LIST_PRICE
    assert "genops_team" not in receiver.events()[0].properties
    assert adapter.get_cost_summary()["governance_enabled"] is False


# --- beside instrumentation -------------------------------------------------------------------------------------------


@pytest.mark.requirement("S4-36")
@pytest.mark.parametrize("order", ["before", "after"])
def test_instrumented_or_not_an_event_is_counted_once(
    order: str, make_adapter: Any, receiver: Any, providers: Any
) -> None:
    if order == "before":
        PostHogInstrumentor().instrument(team="platform", **providers)
    adapter = make_adapter()
    adapter.capture_event_with_governance("first")
    if order == "after":
        PostHogInstrumentor().instrument(team="platform", **providers)
    adapter.capture_event_with_governance("second")

    adapter.flush()
    assert [span.name for span in providers.spans] == ["capture first", "capture second"]
    assert providers.teams == ["growth", "growth"]
    assert {event.properties["genops_team"] for event in receiver.events()} == {"growth"}
    assert providers.units() == {"growth": 2}


def test_whichever_comes_first_nothing_stays_behind(make_adapter: Any, receiver: Any, providers: Any) -> None:
    originals = (Client.__dict__["_enqueue"], posthog.client.flags)
    PostHogInstrumentor().instrument(team="platform", **providers)
    make_adapter().capture_event_with_governance("beside")
    PostHogInstrumentor().uninstrument()
    result = make_adapter().capture_event_with_governance("alone")
    make_adapter().flush()
    forget_all()

    assert (Client.__dict__["_enqueue"], posthog.client.flags) == originals
    assert result["list_cost"] == LIST_PRICE
    assert providers.units() == {"growth": 2}


def test_the_applications_own_calls_are_left_alone(make_adapter: Any, receiver: Any, providers: Any) -> None:
    make_adapter().capture_event_with_governance("governed")
    client = posthog.Client("phc_own", host=receiver.url)
    client.capture("own", distinct_id="ann")
    client.shutdown()

    make_adapter().flush()
    (own,) = receiver.events("own")
    assert "genops_team" not in own.properties
    assert [span.name for span in providers.spans] == ["capture governed"]


# --- mistakes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("",), "event_name is blank"),
        (("  ",), "event_name is blank"),
        ((None,), "event_name must be a str, not NoneType"),
        ((5,), "event_name must be a str, not int"),
        (("x", [1]), "properties must be a dict, not list"),
        (("x", None, object()), "distinct_id must be a str, a number or a UUID, not object"),
        (("x", None, True), "distinct_id must be"),
    ],
)
def test_what_cannot_be_an_event_is_refused(
    arguments: tuple[Any, ...], message: str, adapter: GenOpsPostHogAdapter
) -> None:
    with pytest.raises(GenOpsValidationError, match=message):
        adapter.capture_event_with_governance(*arguments)


@pytest.mark.parametrize("given", [float("nan"), float("inf"), "yesterday", 1e300, True, [1]])
def test_what_is_no_time_is_refused(given: Any, adapter: GenOpsPostHogAdapter) -> None:
    with pytest.raises(GenOpsValidationError, match=r"timestamp .* cannot be used"):
        adapter.capture_event_with_governance("x", timestamp=given)


def test_an_argument_that_does_not_exist_is_refused(adapter: GenOpsPostHogAdapter) -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'color'; besides its own it takes disable_geoip"):
        adapter.capture_event_with_governance("x", color="red")


@pytest.mark.parametrize(
    "properties",
    [{"text": "x" * 10_000_000}, {"list": ["x" * 1000] * 2000}, {"nested": {"deep": [{"text": "x" * 2_000_000}]}}],
    ids=["text", "list", "nested"],
)
def test_what_the_sdk_would_drop_for_its_size_is_refused(properties: Any, adapter: GenOpsPostHogAdapter) -> None:
    with pytest.raises(GenOpsValidationError, match=r"drops an event of more than 921,600"):
        adapter.capture_event_with_governance("x", properties)


def test_large_properties_that_the_sdk_sends_are_sent(adapter: GenOpsPostHogAdapter, receiver: Any) -> None:
    adapter.capture_event_with_governance("x", {"text": "x" * 800_000})

    adapter.flush()
    assert len(receiver.events()) == 1


@pytest.mark.parametrize(
    "value",
    [
        # The oldest SDK writes these two as they are, which is no JSON, and PostHog refuses what it sends.
        pytest.param(float("nan"), marks=pytest.mark.newest, id="nan"),
        pytest.param(float("inf"), marks=pytest.mark.newest, id="inf"),
        pytest.param(b"bytes", id="bytes"),
        pytest.param({1, 2}, id="set"),
        pytest.param(object(), id="object"),
        pytest.param("\ud800", id="surrogate"),
        pytest.param("\U0001f600\u202e", id="planes"),
        pytest.param({"k": {"k": {}}}, id="nested"),
    ],
)
def test_values_of_every_kind_arrive_or_are_told_of(value: Any, adapter: GenOpsPostHogAdapter, receiver: Any) -> None:
    result = adapter.capture_event_with_governance("x", {"value": value, "kept": 1})

    adapter.flush()
    arrived = [event.uuid for event in receiver.events()]
    assert arrived == ([] if result["event_uuid"] is None else [result["event_uuid"]])


def test_the_callers_properties_stay_as_they_are(adapter: GenOpsPostHogAdapter) -> None:
    given = {"plan": "pro"}
    adapter.capture_event_with_governance("x", given)

    assert given == {"plan": "pro"}


def test_many_threads_on_one_adapter_lose_and_double_nothing(adapter: GenOpsPostHogAdapter, receiver: Any) -> None:
    def work() -> None:
        for _ in range(50):
            adapter.capture_event_with_governance("x")

    threads = [threading.Thread(target=work) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    adapter.flush()
    assert len({event.uuid for event in receiver.events()}) == 1000
    assert adapter.get_cost_summary()["events_today"] == 1000

"""Sessions: one owner, one span, one sum, however they are entered and left."""

from __future__ import annotations

import asyncio
import json
import threading
from decimal import Decimal
from typing import Any

import posthog
import pytest
from opentelemetry import trace
from opentelemetry.trace import StatusCode

from genops_otel_posthog import (
    GenOpsBudgetExceededError,
    GenOpsConfigurationError,
    GenOpsPostHogAdapter,
    GenOpsValidationError,
    PostHogInstrumentor,
)

FLAG = {"key": "new-dashboard", "active": True, "filters": {"groups": [{"properties": [], "rollout_percentage": 100}]}}


@pytest.mark.requirement("E-03", "S4-21", "D-27")
def test_an_onboarding_session(make_adapter: Any, receiver: Any, providers: Any) -> None:
    receiver.set_flags([FLAG])
    adapter = make_adapter(pricing_mode="list")
    with adapter.track_analytics_session("onboarding", customer_id="enterprise_123") as session:
        results = [
            adapter.capture_event_with_governance(f"step_{n}", {"n": n}, "user-42", True, session.session_id)
            for n in range(11)
        ]
        _, metadata = adapter.evaluate_feature_flag_with_governance("new-dashboard", "user-42")

    adapter.flush()
    assert len(receiver.events()) == 12
    assert len(receiver.events("$feature_flag_called")) == 1
    assert (session.events_captured, session.flags_evaluated) == (11, 1)
    assert session.total_cost == pytest.approx(sum(result["cost"] for result in results) + metadata["cost"])
    assert {event.properties["genops_customer_id"] for event in receiver.events()} == {"enterprise_123"}
    above = providers.span("session onboarding")
    below = [span for span in providers.spans if span is not above]
    assert {span.parent.span_id for span in below} == {above.context.span_id}
    assert len(below) == 12
    assert above.attributes["genops.session.cost"] == pytest.approx(session.total_cost)
    assert "genops.cost.amount" not in above.attributes


@pytest.mark.requirement("S4-21")
def test_a_session_says_what_it_was(adapter: GenOpsPostHogAdapter) -> None:
    session = adapter.track_analytics_session("campaign", cost_center="cc-7", sample_rate=0.1, original_volume=12_000)
    assert session.session_id
    assert (session.start_time, session.end_time, session.is_active) == (None, None, False)
    with session:
        session.capture_event("x")

    told = session.finalize_session()
    assert json.loads(json.dumps(told)) == told
    assert told["session_id"] == session.session_id
    assert (told["team"], told["project"], told["environment"]) == ("growth", "web", "production")
    assert (told["cost_center"], told["customer_id"]) == ("cc-7", None)
    assert (told["events_captured"], told["recordings_created"], told["llm_events_tracked"]) == (1, 0, 0)
    assert told["governance_attributes"] == {"sample_rate": "0.1", "original_volume": "12000"}
    assert told["start_time"] < told["end_time"]


@pytest.mark.requirement("D-26", "S4-20")
def test_what_a_session_was_given_reaches_its_events_and_spans(
    adapter: GenOpsPostHogAdapter, receiver: Any, providers: Any
) -> None:
    with adapter.track_analytics_session("s", environment="staging", feature="search", plan="gold") as session:
        adapter.capture_event_with_governance("x")

    adapter.flush()
    properties = receiver.events()[0].properties
    assert properties["genops_environment"] == "staging"
    assert properties["genops_feature"] == "search"
    assert properties["genops_tag_plan"] == "gold"
    attributes = providers.span("capture x").attributes
    assert attributes["genops.session.id"] == session.session_id
    assert attributes["genops.tag.plan"] == "gold"


def test_tags_may_be_given_as_for_an_adapter_and_nothing_is_no_tag(
    adapter: GenOpsPostHogAdapter, receiver: Any
) -> None:
    with adapter.track_analytics_session("s", tags={"plan": "pro", "tier": None}, source=None) as session:
        session.capture_event("x")

    adapter.flush()
    tags = {name for name in receiver.events()[0].properties if name.startswith("genops_tag_")}
    assert session.governance_attributes == {"plan": "pro"}
    assert tags == {"genops_tag_plan"}


def test_a_session_names_its_customer_before_the_adapter_does(make_adapter: Any, receiver: Any) -> None:
    adapter = make_adapter(customer_id="of-the-adapter")
    with adapter.track_analytics_session("s", customer_id="of-the-session"):
        adapter.capture_event_with_governance("inside")
    adapter.capture_event_with_governance("outside")

    adapter.flush()
    customers = {event.event: event.properties["genops_customer_id"] for event in receiver.events()}
    assert customers == {"inside": "of-the-session", "outside": "of-the-adapter"}


@pytest.mark.requirement("S4-23")
def test_a_session_stands_within_the_callers_span(adapter: GenOpsPostHogAdapter, providers: Any) -> None:
    tracer = trace.get_tracer("app", tracer_provider=providers["tracer_provider"])
    with tracer.start_as_current_span("POST /signup"), adapter.track_analytics_session("user_journey"):
        result = adapter.capture_event_with_governance("user_conversion")

    outer, session = providers.span("POST /signup"), providers.span("session user_journey")
    assert session.parent.span_id == outer.context.span_id
    assert providers.span("capture user_conversion").parent.span_id == session.context.span_id
    assert result["trace_id"] == format(outer.context.trace_id, "032x")


@pytest.mark.requirement("S4-22")
def test_an_exception_goes_through_and_ends_the_session(adapter: GenOpsPostHogAdapter, providers: Any) -> None:
    with pytest.raises(KeyError), adapter.track_analytics_session("s") as session:
        raise KeyError("secret@example.com")

    assert session.end_time is not None
    span = providers.span("session s")
    assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, "KeyError")
    assert "secret@example.com" not in span.to_json()


# --- entering and leaving ---------------------------------------------------------------------------------------------


@pytest.mark.requirement("D-10")
def test_by_hand_and_twice_left(adapter: GenOpsPostHogAdapter, providers: Any) -> None:
    session = adapter.track_analytics_session("api_request").__enter__()
    adapter.capture_event_with_governance("x")
    session.__exit__(None, None, None)
    session.__exit__(None, None, None)

    assert session.events_captured == 1
    assert providers.span("session api_request")
    assert adapter.capture_event_with_governance("y")["session_id"] is None


@pytest.mark.requirement("D-10")
def test_left_in_another_thread(adapter: GenOpsPostHogAdapter, providers: Any) -> None:
    session = adapter.track_analytics_session("s")
    entering = threading.Thread(target=session.__enter__)
    entering.start()
    entering.join()
    leaving = threading.Thread(target=session.__exit__, args=(None, None, None))
    leaving.start()
    leaving.join()

    assert session.end_time is not None
    assert providers.span("session s").end_time is not None


@pytest.mark.requirement("D-10")
async def test_asynchronous_and_side_by_side(adapter: GenOpsPostHogAdapter) -> None:
    async def work(name: str) -> tuple[str, str | None]:
        async with adapter.track_analytics_session(name) as session:
            await asyncio.sleep(0)
            result = adapter.capture_event_with_governance("x")
            return session.session_id, result["session_id"]

    for own, told in await asyncio.gather(*[work(f"s{n}") for n in range(5)]):
        assert own == told


def test_a_session_begins_once(adapter: GenOpsPostHogAdapter) -> None:
    session = adapter.track_analytics_session("s")
    with session, pytest.raises(GenOpsValidationError, match="has begun already"):
        session.__enter__()


def test_a_session_within_a_session_counts_in_both(make_adapter: Any) -> None:
    adapter = make_adapter(pricing_mode="list")
    with adapter.track_analytics_session("outer") as outer:
        outer.capture_event("a")
        with adapter.track_analytics_session("inner") as inner:
            inner.capture_event("b")
        outer.capture_event("c")

    assert (outer.events_captured, inner.events_captured) == (3, 1)
    assert outer.total_cost == pytest.approx(3 * inner.total_cost)


# --- who belongs to it ------------------------------------------------------------------------------------------------


@pytest.mark.requirement("S4-27")
@pytest.mark.parametrize("which", ["unknown", "finished", "foreign"])
def test_a_session_that_is_not_is_told_of_and_the_event_captured(
    which: str, make_adapter: Any, receiver: Any, caplog: pytest.LogCaptureFixture
) -> None:
    adapter = make_adapter()
    session_id = "no-such-session"
    if which == "finished":
        with adapter.track_analytics_session("s") as session:
            session_id = session.session_id
    if which == "foreign":
        session_id = make_adapter(team="other").track_analytics_session("s").session_id
    result = adapter.capture_event_with_governance("x", session_id=session_id)

    adapter.flush()
    assert len(receiver.events()) == 1
    assert result["session_id"] is None


def test_a_call_joins_from_another_thread_by_its_id(adapter: GenOpsPostHogAdapter, providers: Any) -> None:
    with adapter.track_analytics_session("s", customer_id="acme") as session:
        thread = threading.Thread(
            target=adapter.capture_event_with_governance, args=("x",), kwargs={"session_id": session.session_id}
        )
        thread.start()
        thread.join()

    assert session.events_captured == 1
    capture = providers.span("capture x")
    assert capture.parent.span_id == providers.span("session s").context.span_id
    assert capture.attributes["genops.customer_id"] == "acme"


def test_instrumented_calls_inside_are_the_sessions(make_adapter: Any, receiver: Any, providers: Any) -> None:
    PostHogInstrumentor().instrument(team="platform", pricing_mode="list", **providers)
    adapter = make_adapter(pricing_mode="list")
    client = posthog.Client("phc_own", host=receiver.url)
    with adapter.track_analytics_session("s", customer_id="acme") as session:
        client.capture("own", distinct_id="ann")

    client.shutdown()
    assert session.events_captured == 1
    assert session.total_cost == pytest.approx(0.000248)
    assert receiver.events("own")[0].properties["genops_customer_id"] == "acme"


def test_another_adapter_keeps_its_team_inside(make_adapter: Any, receiver: Any) -> None:
    first, second = make_adapter(), make_adapter(team="tenant_b")
    with first.track_analytics_session("s", customer_id="acme") as session:
        second.capture_event_with_governance("x")

    second.flush()
    properties = receiver.events()[0].properties
    assert (properties["genops_team"], properties["genops_customer_id"]) == ("tenant_b", "acme")
    assert session.events_captured == 1


# --- a limit of its own -----------------------------------------------------------------------------------------------


@pytest.mark.requirement("S4-20", "S4-04")
def test_a_session_spends_no_more_than_its_limit(make_adapter: Any, receiver: Any, providers: Any) -> None:
    adapter = make_adapter(governance_policy="enforced", pricing_mode="list")
    with adapter.track_analytics_session("s", budget_limit="0.0001") as session:
        session.capture_event("a")
        session.capture_event("b")
        with pytest.raises(GenOpsBudgetExceededError, match=r"has spent \$0\.0001 of its budget_limit of \$0\.0001"):
            session.capture_event("c")

    adapter.flush()
    assert [event.event for event in receiver.events()] == ["a", "b"]
    assert session.total_cost == pytest.approx(0.0001)
    assert providers.span("capture c").attributes["genops.policy.reason"] == "session_limit"


def test_under_advisory_the_limit_of_a_session_warns(
    make_adapter: Any, receiver: Any, caplog: pytest.LogCaptureFixture
) -> None:
    adapter = make_adapter(pricing_mode="list")
    with adapter.track_analytics_session("over", budget_limit=0.00005) as session:
        session.capture_event("a")
        session.capture_event("b")

    assert session.events_captured == 2
    assert any("'over' spends more than its budget_limit" in message for message in caplog.messages)


def test_with_nothing_left_a_session_reads_flags_without_asking(make_adapter: Any, receiver: Any) -> None:
    receiver.set_flags([FLAG])
    adapter = make_adapter(governance_policy="enforced", pricing_mode="list")
    with adapter.track_analytics_session("s", budget_limit=0) as session:
        value, metadata = session.evaluate_feature_flag("new-dashboard", "ann", default="fallback")

    assert (value, metadata["error"], metadata["cost"]) == ("fallback", "budget_exceeded", 0.0)
    assert receiver.flag_requests() == []


@pytest.mark.parametrize("limit", [-1, "much", float("nan"), float("inf")])
def test_a_limit_that_is_no_money_is_refused(limit: Any, adapter: GenOpsPostHogAdapter) -> None:
    with pytest.raises(GenOpsConfigurationError, match=r"budget_limit=.* cannot be used"):
        adapter.track_analytics_session("s", budget_limit=limit)


@pytest.mark.parametrize("name", ["", "  ", None, 5])
def test_a_session_has_a_name(name: Any, adapter: GenOpsPostHogAdapter) -> None:
    with pytest.raises(GenOpsValidationError, match="session_name must say what the session is for"):
        adapter.track_analytics_session(name)


# --- what else it does ------------------------------------------------------------------------------------------------


@pytest.mark.requirement("D-11")
def test_conversions_are_events_and_add_up(make_adapter: Any, receiver: Any) -> None:
    adapter = make_adapter(sampling="aggressive")
    with adapter.track_analytics_session("checkout") as session:
        session.record_conversion("purchase", 299, "user-42", {"plan": "pro"})
        session.record_conversion(value="0.50")

    adapter.flush()
    purchase, other = receiver.events()
    assert (purchase.event, purchase.properties["value"], purchase.properties["currency"]) == ("purchase", 299.0, "USD")
    assert other.event == "conversion"
    assert (session.conversions, session.conversion_value) == (2, Decimal("299.50"))


@pytest.mark.parametrize("value", ["much", float("nan"), True, [1]])
def test_what_is_no_number_is_worth_nothing(value: Any, adapter: GenOpsPostHogAdapter) -> None:
    with (
        adapter.track_analytics_session("s") as session,
        pytest.raises(GenOpsValidationError, match="must be a number"),
    ):
        session.record_conversion(value=value)


@pytest.mark.requirement("E-25", "S4-43")
def test_events_of_models_have_a_meter_of_their_own(make_adapter: Any, receiver: Any, providers: Any) -> None:
    adapter = make_adapter(pricing_mode="list")
    with adapter.track_analytics_session("chat") as session:
        result = session.capture_llm_event(
            properties={"$ai_model": "gpt-4o", "$ai_input_tokens": 12}, distinct_id="ann"
        )

    adapter.flush()
    assert receiver.bill().meters == {"llm_events": 1}
    assert session.llm_events_tracked == session.events_captured == 1
    assert providers.span("capture $ai_generation").attributes["genops.cost.meter"] == "llm_events"
    assert result["cost"] == session.total_cost > 0
    with pytest.raises(GenOpsValidationError, match=r"begins with \$ai_"):
        adapter.capture_llm_event("chat")


@pytest.mark.requirement("E-26", "S4-03", "S4-43")
def test_recordings_are_counted_and_priced(make_adapter: Any, providers: Any) -> None:
    adapter = make_adapter(price_book="genops-guide")
    with adapter.track_analytics_session("replays") as session:
        cost = session.record_session_recording(10_000)

    assert cost == session.total_cost == pytest.approx(0.355)
    assert session.recordings_created == 10_000
    assert providers.span("record_recordings").attributes["genops.cost.amount"] == pytest.approx(0.355)
    with pytest.raises(GenOpsValidationError, match="whole number of 1 or more"):
        adapter.record_session_recording(0)


@pytest.mark.requirement("S4-03")
def test_a_budget_refuses_recordings(make_adapter: Any) -> None:
    adapter = make_adapter(governance_policy="enforced", daily_budget_limit=0, pricing_mode="list")
    with pytest.raises(GenOpsBudgetExceededError, match="recording of 3 sessions was refused"):
        adapter.record_session_recording(3)


@pytest.mark.requirement("E-24", "S4-04")
def test_an_experiment_tells_what_each_variant_cost(make_adapter: Any, receiver: Any) -> None:
    variants = [{"key": "control", "rollout_percentage": 50}, {"key": "test", "rollout_percentage": 50}]
    receiver.set_flags(
        [
            {
                "key": "checkout-button",
                "active": True,
                "filters": {
                    "groups": [{"properties": [], "rollout_percentage": 100}],
                    "multivariate": {"variants": variants},
                },
            }
        ]
    )
    adapter = make_adapter(pricing_mode="list")
    with adapter.track_analytics_session("ab_test") as session:
        experiment = session.experiment("checkout-button")
        for number in range(40):
            person = f"user-{number}"
            variant = experiment.assign(person)
            assert experiment.assign(person) == variant
            experiment.capture("button_seen", person)
            if number % 4 == 0:
                experiment.convert(person, "purchase", 10)

    report = experiment.report()
    assert set(report) == {"control", "test"}
    assert sum(each["users"] for each in report.values()) == 40
    assert sum(each["conversions"] for each in report.values()) == 10
    assert sum(each["cost"] for each in report.values()) == pytest.approx(session.total_cost)
    for each in report.values():
        assert each["cost_per_user"] == pytest.approx(each["cost"] / each["users"])
    adapter.flush()
    assert {event.properties["$feature/checkout-button"] for event in receiver.events("button_seen")} == {
        "control",
        "test",
    }
    with pytest.raises(GenOpsValidationError, match=r"call assign\(\) first"):
        experiment.capture("button_seen", "stranger")

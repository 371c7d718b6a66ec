"""Events: one call, one span, one price, and on the wire what the application wrote."""

from __future__ import annotations

import uuid
from datetime import datetime, timezone
from typing import Any

import posthog
import pytest
from opentelemetry import trace
from opentelemetry.trace import SpanKind, StatusCode

from genops_otel_posthog import governance
from genops_otel_posthog.instrumentation import PostHogInstrumentor


def test_a_capture_is_one_producer_span_that_says_what_it_costs_and_whose_it_is(instrument, client, receiver):
    observed = instrument(team="checkout", project="web-shop", usage_to_date="events=1000000,identified_events=1500000")

    with governance(customer_id="acme", tags={"plan": "gold"}):
        event_uuid = client.capture("order_completed", distinct_id="u1")

    span = observed.span("capture order_completed")
    assert span.kind is SpanKind.PRODUCER
    assert span.status.status_code is StatusCode.UNSET
    assert dict(span.attributes) == {
        "posthog.operation.name": "capture",
        "posthog.event.name": "order_completed",
        "posthog.event.uuid": event_uuid,
        "posthog.event.identified": True,
        "genops.provider": "posthog",
        "genops.team": "checkout",
        "genops.project": "web-shop",
        "genops.customer_id": "acme",
        "genops.tag.plan": "gold",
        "genops.cost.amount": 0.000248,
        "genops.cost.list_amount": 0.000248,
        "genops.cost.currency": "USD",
        "genops.cost.meter": "events",
        "genops.cost.units": 1,
        "genops.cost.price_book": "posthog-2026-07-22",
        "genops.cost.estimated": True,
        "genops.policy.name": "advisory",
        "server.address": "127.0.0.1",
        "server.port": receiver.port,
    }
    assert observed.names == ["capture order_completed"]


def test_the_span_carries_the_uuid_that_arrives(instrument, client, receiver):
    observed = instrument()
    returned = client.capture("e", distinct_id="u1")
    client.flush()
    assert [event.uuid for event in receiver.events()] == [returned]
    assert observed.span("capture e").attributes["posthog.event.uuid"] == returned


def test_an_identified_event_is_two_meters(instrument, client):
    observed = instrument()
    client.capture("e", distinct_id="u1")
    assert observed.usage() == {"events": 1, "identified_events": 1}


@pytest.mark.parametrize(
    "capture",
    [
        lambda client: client.capture("e"),
        lambda client: client.capture("e", distinct_id="u1", properties={"$process_person_profile": False}),
    ],
    ids=["no distinct id", "personless by property"],
)
def test_an_anonymous_event_is_one_meter(instrument, client, capture):
    observed = instrument()
    capture(client)
    assert observed.usage() == {"events": 1}
    assert observed.span("capture e").attributes["posthog.event.identified"] is False


@pytest.mark.newest
@pytest.mark.parametrize(("mode", "identified"), [("v0", True), ("v1", False)])
def test_only_capture_mode_v1_takes_some_distinct_ids_for_nobody(instrument, new_client, receiver, mode, identified):
    observed = instrument()
    client = new_client(capture_mode=mode)
    client.capture("e", distinct_id="system")
    client.flush()
    assert observed.span("capture e").attributes["posthog.event.identified"] is identified
    assert observed.usage() == receiver.bill().meters


@pytest.mark.parametrize(
    ("event", "meters"),
    [
        ("$exception", {"exceptions": 1}),
        ("$ai_generation", {"llm_events": 1}),
        ("survey sent", {"survey_responses": 1}),
        ("$feature_flag_called", {}),
        ("$pageview", {"events": 1, "identified_events": 1}),
    ],
)
def test_the_event_name_decides_the_meter(instrument, client, event, meters):
    observed = instrument()
    client.capture(event, distinct_id="u1")
    assert observed.usage() == meters
    assert observed.span(f"capture {event}").attributes["genops.cost.units"] == (1 if meters else 0)


def test_the_price_follows_the_month_to_date_usage(instrument, client):
    observed = instrument(usage_to_date="events=999999")
    for _ in range(2):
        client.capture("e")
    assert [span.attributes["genops.cost.amount"] for span in observed.spans] == [0.0, 0.00005]
    assert observed.cost() == pytest.approx(0.00005)


def test_list_mode_ignores_the_free_tier(instrument, client):
    observed = instrument(pricing_mode="list")
    client.capture("e")
    assert observed.span("capture e").attributes["genops.cost.amount"] == 0.00005


def test_group_analytics_is_billed_where_the_organisation_has_it(instrument, client):
    observed = instrument(group_analytics=True)
    client.capture("e", distinct_id="u1", groups={"company": "acme"})
    assert observed.usage() == {"events": 1, "identified_events": 1, "group_analytics": 1}


@pytest.mark.parametrize(
    ("call", "name", "event"),
    [
        (lambda client: client.set(distinct_id="u1", properties={"plan": "gold"}), "set", "$set"),
        (lambda client: client.set_once(distinct_id="u1", properties={"plan": "gold"}), "set_once", "$set_once"),
        (lambda client: client.alias("anonymous-7", "u1"), "alias", "$create_alias"),
        (lambda client: client.group_identify("company", "acme", {"size": 3}), "group_identify", "$groupidentify"),
    ],
)
def test_person_and_group_updates_are_spans_named_after_the_method(instrument, client, call, name, event):
    observed = instrument()
    call(client)
    span = observed.span(name)
    assert span.kind is SpanKind.PRODUCER
    assert span.attributes["posthog.event.name"] == event
    assert observed.usage() == {"events": 1, "identified_events": 1}


@pytest.mark.skipif(not hasattr(posthog.Client, "capture_ai"), reason="this SDK has no AI lane")
def test_an_ai_event_is_named_like_any_other(instrument, client):
    observed = instrument()
    client.capture_ai("$ai_generation", distinct_id="u1", properties={"$ai_model": "m"})
    assert observed.span("capture $ai_generation").attributes["posthog.operation.name"] == "capture_ai"
    assert observed.usage() == {"llm_events": 1}


def test_an_exception_is_counted_once_and_shows_no_frame_of_ours(instrument, client, receiver):
    observed = instrument()
    try:
        raise ValueError("boom")
    except ValueError as error:
        client.capture_exception(error, distinct_id="u1")
    client.flush()
    assert observed.names == ["capture $exception"]
    usage = observed.usage()
    usage.pop("feature_flag_requests", None)  # posthog 6 reads the flags for every exception, and that is billed
    assert usage == {"exceptions": 1}
    frames = receiver.events()[0].properties["$exception_list"][0]["stacktrace"]["frames"]
    assert not [frame for frame in frames if "genops" in frame["filename"] and "tests" not in frame["filename"]]


@pytest.mark.newest  # posthog 6 begins such a stack at the other end
def test_an_exception_that_was_never_raised_points_at_the_caller(instrument, client, receiver):
    instrument()
    client.capture_exception(ValueError("never raised"), distinct_id="u1")
    client.flush()
    stack = receiver.events()[0].properties["$exception_list"][0]["stacktrace"]
    assert stack["frames"][-1]["function"] == "test_an_exception_that_was_never_raised_points_at_the_caller"


def test_module_functions_are_covered(instrument, receiver, monkeypatch):
    observed = instrument()
    monkeypatch.setattr(posthog, "default_client", None)
    monkeypatch.setattr(posthog, "api_key", "phc_test")
    monkeypatch.setattr(posthog, "host", receiver.url)
    assert posthog.capture("e", distinct_id="u1")
    posthog.shutdown()
    assert observed.names == ["capture e"]
    assert [event.event for event in receiver.events()] == ["e"]


def test_clients_and_subclasses_from_before_and_after_are_covered(instrument, new_client, receiver):
    class Shop(posthog.Posthog):
        def capture(self, event: str, **kwargs: Any) -> str | None:
            return super().capture(f"shop {event}", **kwargs)

    before = new_client()
    observed = instrument()
    shop = Shop("phc_test", host=receiver.url)
    before.capture("before")
    new_client().capture("after")
    shop.capture("opened")
    shop.shutdown()
    assert observed.names == ["capture before", "capture after", "capture shop opened"]


def test_the_span_is_a_child_of_the_applications_and_never_current(instrument, new_client):
    observed = instrument()
    current_inside = []

    def before_send(message: dict[str, Any]) -> dict[str, Any]:
        current_inside.append(trace.get_current_span().get_span_context().span_id)
        return message

    client = new_client(before_send=before_send)
    with observed.tracer_provider.get_tracer("app").start_as_current_span("request") as request:
        client.capture("e", distinct_id="u1")
    span = observed.span("capture e")
    assert span.parent is not None
    assert span.parent.span_id == request.get_span_context().span_id
    assert current_inside == [request.get_span_context().span_id]


@pytest.mark.parametrize(
    "options",
    [{"disabled": True}, {"before_send": lambda message: None}, {"send": False}],
    ids=["disabled", "dropped by before_send", "send=False"],
)
def test_what_is_not_sent_costs_nothing(instrument, new_client, options):
    observed = instrument()
    new_client(**options).capture("e", distinct_id="u1")
    span = observed.span("capture e")
    assert span.attributes["posthog.event.admitted"] is False
    assert span.attributes["genops.cost.amount"] == 0.0
    assert observed.usage() == {}


def test_what_the_sdk_does_not_take_after_shutdown_costs_nothing(instrument, receiver):
    observed = instrument()
    client = posthog.Posthog("phc_test", host=receiver.url)
    client.shutdown()  # once only: posthog 6 would wait for ever for what it takes afterwards
    taken = client.capture("e", distinct_id="u1")
    assert observed.usage() == ({} if taken is None else {"events": 1, "identified_events": 1})
    assert observed.span("capture e").attributes.get("posthog.event.uuid") == taken


def test_an_error_that_the_sdk_lets_through_is_on_the_span_and_unchanged(instrument, new_client):
    observed = instrument()
    client = new_client(debug=True)
    with pytest.raises(TypeError) as raised:
        client.capture("e", distinct_id="u1", properties=7)
    assert "genops" not in str(raised.value)
    span = observed.span("capture e")
    assert span.status.status_code is StatusCode.ERROR
    assert span.attributes["error.type"] == "TypeError"
    assert span.status.description == "TypeError"


def test_wrong_arguments_end_as_they_do_without_us(instrument, client):
    def outcome() -> Any:
        try:
            return client.capture()
        except TypeError as error:
            return str(error)

    bare = outcome()  # newer SDKs log the error and return None, older ones let it through
    instrument()
    assert outcome() == bare


def test_distinct_ids_are_on_spans_only_when_asked_for(instrument, client):
    observed = instrument()
    client.capture("e", distinct_id="u1")
    assert "u1" not in {str(value) for value in observed.span("capture e").attributes.values()}
    PostHogInstrumentor().uninstrument()

    observed = instrument(record_distinct_id=True)
    client.capture("e", distinct_id="u1")
    assert observed.span("capture e").attributes["posthog.distinct_id"] == "u1"


@pytest.mark.requirement("S3-47")
def test_a_span_links_to_its_event_and_its_person_if_asked(instrument, client):
    project = "https://eu.posthog.com/project/4711"
    observed = instrument()
    client.capture("plain", distinct_id="u1")
    assert not {"posthog.event.url", "posthog.person.url"} & set(observed.span("capture plain").attributes)
    PostHogInstrumentor().uninstrument()

    observed = instrument(posthog_project_url=project)
    client.capture("linked", distinct_id="u1", timestamp=datetime(2026, 11, 22, 12, tzinfo=timezone.utc))
    attributes = observed.span("capture linked").attributes
    uuid = attributes["posthog.event.uuid"]
    assert attributes["posthog.event.url"] == f"{project}/events/{uuid}/2026-11-22T12%3A00%3A00%2B00%3A00"
    assert "posthog.person.url" not in attributes, "it holds the distinct id"
    PostHogInstrumentor().uninstrument()

    observed = instrument(posthog_project_url=project, record_distinct_id=True)
    client.capture("personal", distinct_id="ann/lee@example.com")
    client.capture("anonymous", properties={"$process_person_profile": False})
    person = observed.span("capture personal").attributes["posthog.person.url"]
    assert person == f"{project}/person/ann%2Flee%40example.com"
    assert "posthog.person.url" not in observed.span("capture anonymous").attributes


def test_a_long_event_name_is_cut_in_the_span_name_only(instrument, client):
    observed = instrument()
    client.capture("x" * 500, distinct_id="u1")
    assert observed.names == ["capture " + "x" * 200]
    assert observed.spans[0].attributes["posthog.event.name"] == "x" * 500


@pytest.mark.parametrize(
    ("event", "distinct_id", "said"),
    [("", "u1", "Event name ''"), ("e" * 201, "u1", "Event name 'eee"), ("login", "undefined", "Event 'login'")],
)
def test_what_posthog_refuses_or_strips_of_its_person_is_said_once(
    instrument, client, caplog, event, distinct_id, said
):
    from genops_otel_posthog.instrumentation import remarks

    remarks._warn_once.forget()
    instrument()
    for _ in range(3):
        client.capture(event, distinct_id=distinct_id)
    assert len([record for record in caplog.records if said in record.getMessage()]) == 1


def test_a_personal_key_in_place_of_the_project_key_is_said_once_without_the_key(instrument, new_client, caplog):
    from genops_otel_posthog.instrumentation import remarks

    remarks._warn_once.forget()
    instrument()
    client = new_client(key="phx_a-secret-that-nobody-should-see")
    for _ in range(3):
        client.capture("e", distinct_id="u1")
    said = [record.getMessage() for record in caplog.records if "PostHog project key" in record.getMessage()]
    assert len(said) == 1
    assert "personal" in said[0]
    assert "secret" not in said[0]


def test_a_callers_uuid_is_kept(instrument, client):
    observed = instrument()
    given = str(uuid.uuid4())
    assert client.capture("e", distinct_id="u1", uuid=given) == given
    assert observed.span("capture e").attributes["posthog.event.uuid"] == given


def test_a_failure_of_ours_never_reaches_the_application(instrument, client, receiver, monkeypatch):
    from genops_otel_posthog.attribution import AttributionResolver
    from genops_otel_posthog.instrumentation.telemetry import Telemetry

    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("ours")

    instrument(team="checkout")
    steps = [(Telemetry, name) for name in ("charges_for", "_start_span", "govern_event", "count_event")]
    for room, method in [*steps, (AttributionResolver, "resolve")]:
        monkeypatch.setattr(room, method, fail)
        assert client.capture("e", distinct_id="u1"), method
    client.flush()
    assert len(receiver.events()) == 5


def test_a_callback_that_captures_is_counted_but_opens_no_second_span(instrument, new_client):
    observed = instrument()
    inner = []

    def before_send(message: dict[str, Any]) -> dict[str, Any]:
        if message["event"] == "outer":
            inner.append(client.capture("inner", distinct_id="u1"))
        return message

    client = new_client(before_send=before_send)
    client.capture("outer", distinct_id="u1")
    assert observed.names == ["capture outer"]
    assert observed.spans[0].attributes["posthog.event.count"] == 2
    assert observed.usage()["events"] == 2
    assert inner[0] is not None

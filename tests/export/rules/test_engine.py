"""Which rules a span meets, what they make of it, and what is said when they make nothing."""

from __future__ import annotations

import uuid

import pytest
from opentelemetry.trace import SpanKind, Status, StatusCode

from genops_otel_posthog.attribution import Attribution
from genops_otel_posthog.errors import GenOpsValidationError
from genops_otel_posthog.export.rules import (
    PRESENT,
    EventDraft,
    EventTemplate,
    Reason,
    Rules,
    Skip,
    SpanRule,
    builtin_rules,
    one_of,
    prefix,
)

SEEN = EventTemplate("seen")


def names(rules, span):
    return [event.name for event in Rules(rules).events_for(span).events]


def test_a_span_that_no_rule_is_about_is_filtered_and_says_so(spans):
    conversion = Rules(builtin_rules()).events_for(spans.one(attributes={"http.route": "/"}))
    assert (conversion.events, conversion.reason) == ((), Reason.FILTERED)
    assert conversion.left_out[0].detail == "no rule is about such a span"


@pytest.mark.parametrize(
    ("condition", "met"),
    [
        ({"scope": "shop"}, True),
        ({"scope": "sh*"}, True),
        ({"scope": "bank"}, False),
        ({"span_name": "POST /checkout"}, True),
        ({"span_name": "POST *"}, True),
        ({"span_name": "GET *"}, False),
        ({"kind": "server"}, True),
        ({"kind": ("client", "server")}, True),
        ({"kind": "client"}, False),
        ({"status": "unset"}, True),
        ({"status": ("ok", "error")}, False),
        ({"attributes": {"http.response.status_code": 200}}, True),
        ({"attributes": {"http.response.status_code": "200"}}, False),
        ({"attributes": {"cart.gift": True}}, True),
        ({"attributes": {"cart.gift": 1}}, False),
        ({"attributes": {"cart.gift": PRESENT, "absent": PRESENT}}, False),
        ({"attributes": {"http.response.status_code": one_of(200, 201)}}, True),
        ({"attributes": {"http.response.status_code": one_of(500)}}, False),
        ({"attributes": {"http.route": prefix("/check")}}, True),
        ({"attributes": {"http.route": prefix("/pay")}}, False),
        ({"any_attribute": ("absent", "cart.gift")}, True),
        ({"any_attribute": ("absent",)}, False),
        ({"span_event": "paid"}, True),
        ({"span_event": ("refunded", "absent")}, False),
        ({}, True),
    ],
)
def test_a_rule_makes_its_event_when_every_condition_is_met(spans, condition, met):
    attributes = {"http.route": "/checkout", "http.response.status_code": 200, "cart.gift": True}
    with spans.open("POST /checkout", kind=SpanKind.SERVER, attributes=attributes) as span:
        span.add_event("paid")
    assert names([SpanRule("r", events=[SEEN], **condition)], spans.taken()[0]) == (["seen"] if met else [])


def test_every_rule_that_is_met_makes_its_events_in_the_order_of_the_rules(spans):
    rules = [
        SpanRule("a", span_name="work", events=[EventTemplate("first"), EventTemplate("second")]),
        SpanRule("b", scope="shop", events=[EventTemplate("third")]),
    ]
    assert names(rules, spans.one()) == ["first", "second", "third"]


def test_a_rule_that_drops_ends_the_span_there(spans):
    rules = [
        SpanRule("a", scope="shop", events=[SEEN]),
        SpanRule("b", span_name="work", drop=True),
        SpanRule("c", events=[EventTemplate("never")]),
    ]
    conversion = Rules(rules).events_for(spans.one())
    assert [event.name for event in conversion.events] == ["seen"]
    assert [(left.rule, left.reason) for left in conversion.left_out] == [("b", Reason.FILTERED)]


def test_rules_after_a_final_one_are_not_asked(spans):
    rules = [SpanRule("a", events=[SEEN], final=True), SpanRule("b", events=[EventTemplate("never")])]
    assert names(rules, spans.one()) == ["seen"]


def test_a_rule_replaces_a_later_one_of_its_id(spans):
    with spans.open(attributes={"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "search"}):
        pass
    own = SpanRule("agents.tool_used", any_attribute=["gen_ai.tool.name"], events=[EventTemplate("my_tool")])
    made = names([own, *builtin_rules(families="agents")], spans.taken()[0])
    assert made == ["my_tool"]


def test_a_built_in_rule_is_turned_off_by_its_id(spans):
    with spans.open(attributes={"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "search"}):
        pass
    off = SpanRule("agents.tool_used", enabled=False)
    assert names([off, *builtin_rules(families="agents")], spans.taken()[0]) == []


def test_properties_come_from_attributes_facts_constants_and_prefixes(spans):
    template = EventTemplate(
        "bought_{cart.kind}",
        distinct_id=["shopper"],
        groups={"company": "tenant"},
        properties={
            "amount": "cart.total",
            "took": "span.duration_ms",
            "service": "resource.service.name",
            "no": "absent",
        },
        constants={"source": "trace"},
        copy=["cart."],
    )
    attributes = {"cart.kind": "gift", "cart.total": 12.5, "shopper": "ann", "tenant": "acme"}
    (event,) = Rules([SpanRule("r", events=[template])]).events_for(spans.one(attributes=attributes)).events
    assert (event.name, event.distinct_id) == ("bought_gift", "ann")
    expected = {
        "amount": 12.5,
        "service": "shop",
        "source": "trace",
        "cart.kind": "gift",
        "cart.total": 12.5,
        "$groups": {"company": "acme"},
    }
    assert expected.items() <= event.properties.items()
    assert event.properties["took"] >= 0
    assert "no" not in event.properties


def test_a_name_whose_attribute_is_missing_makes_no_event(spans):
    conversion = Rules([SpanRule("r", events=[EventTemplate("bought_{cart.kind}")])]).events_for(spans.one())
    assert conversion.reason is Reason.FILTERED
    assert "cart.kind" in conversion.left_out[0].detail


def test_an_event_without_a_person_is_anonymous_and_says_so(spans):
    first, second = spans.one(), spans.one()
    rules = Rules([SpanRule("r", events=[SEEN])])
    (one,), (two,) = rules.events_for(first).events, rules.events_for(second).events
    assert one.properties["$process_person_profile"] is False
    assert uuid.UUID(one.distinct_id).version == 5
    assert one.distinct_id != two.distinct_id


def test_anonymous_events_of_one_session_have_one_person(spans):
    rules = Rules([SpanRule("r", events=[SEEN])])
    ids = {rules.events_for(spans.one(attributes={"session.id": "s1"})).events[0].distinct_id for _ in range(2)}
    assert len(ids) == 1


@pytest.mark.parametrize("nobody", ["", "anonymous", "NULL", " system ", "None"])
def test_an_id_for_which_posthog_has_no_person_is_passed_over(spans, nobody):
    attributes = {"posthog.distinct_id": nobody, "genops.user.id": "ann"}
    (event,) = Rules([SpanRule("r", events=[SEEN])]).events_for(spans.one(attributes=attributes)).events
    assert event.distinct_id == "ann"


def test_owner_ids_and_groups_come_from_the_span_and_its_resource(spans):
    attributes = {
        "genops.team": "checkout",
        "genops.user.id": "ann",
        "genops.workspace.id": "w1",
        "genops.organization.id": "o1",
        "genops.tag.tier": "gold",
    }
    rules = Rules([SpanRule("r", events=[SEEN])], owner=Attribution(project="web-shop", team="nobody"))
    span = spans.one(attributes=attributes)
    (event,) = rules.events_for(span).events
    trace_id = f"{span.context.trace_id:032x}"
    expected = {
        "$trace_id": trace_id,
        "trace_id": trace_id,
        "$span_id": f"{span.context.span_id:016x}",
        "genops_team": "checkout",
        "genops_project": "web-shop",
        "genops_tag_tier": "gold",
        "user_id": "ann",
        "workspace_id": "w1",
        "organization_id": "o1",
        "$groups": {"workspace": "w1", "organization": "o1"},
        "genops_timestamp": span.end_time // 10**9,
    }
    assert expected.items() <= event.properties.items()
    assert "$process_person_profile" not in event.properties


def test_a_session_is_told_only_as_the_uuid_that_posthog_takes(spans):
    rules = Rules([SpanRule("r", events=[SEEN])])
    good = "0198c0de-0000-7000-8000-000000000001"
    assert rules.events_for(spans.one(attributes={"session.id": good})).events[0].properties["$session_id"] == good
    for other in ("s1", "0198c0de-0000-4000-8000-000000000001", "x" * 36):
        made = rules.events_for(spans.one(attributes={"session.id": other})).events[0]
        assert "$session_id" not in made.properties


def test_the_uuid_is_of_version_8_and_depends_on_span_and_rule_alone(spans):
    span = spans.one()
    one, again, other = (
        Rules([SpanRule(name, events=[SEEN])]).events_for(span).events[0].uuid for name in ("a", "a", "b")
    )
    assert one == again != other
    assert (uuid.UUID(one).version, uuid.UUID(one).variant) == (8, uuid.RFC_4122)


def test_events_of_one_rule_and_one_span_have_uuids_of_their_own(spans):
    rule = SpanRule("r", events=[EventTemplate("a"), EventTemplate("b")])
    events = Rules([rule]).events_for(spans.one()).events
    assert len({event.uuid for event in events}) == 2


def test_sampling_keeps_all_events_of_a_trace_or_none(spans):
    rate = 0.3
    rules = Rules([SpanRule(name, events=[EventTemplate(name, sample_rate=rate)]) for name in ("a", "b")])
    kept = 0
    for _ in range(400):
        conversion = rules.events_for(spans.one())
        assert len(conversion.events) in (0, 2)
        if conversion.events:
            kept += 1
            assert {event.properties["genops_sample_rate"] for event in conversion.events} == {rate}
        else:
            assert conversion.reason is Reason.SAMPLED
    assert 60 < kept < 180


def test_the_code_of_a_rule_can_make_events_skip_or_pass(spans):
    def convert(span):
        if span.name == "pass":
            return None
        if span.name == "skip":
            return Skip("not today")
        return [EventDraft("made", {"took": span.milliseconds}, distinct_id="ann")]

    rules = Rules([SpanRule("r", convert=convert)])
    assert rules.events_for(spans.one("make")).events[0].distinct_id == "ann"
    assert rules.events_for(spans.one("skip")).left_out[0].detail == "not today"
    assert rules.events_for(spans.one("pass")).left_out[0].detail == "no rule is about such a span"


def test_code_that_fails_costs_its_own_events_only_and_is_counted(spans):
    def fails(span):
        raise KeyError("oops")

    rules = Rules([SpanRule("bad", convert=fails), SpanRule("good", events=[SEEN])])
    conversion = rules.events_for(spans.one())
    assert [event.name for event in conversion.events] == ["seen"]
    assert conversion.left_out == (("bad", Reason.INVALID, "the rule failed on it: KeyError: 'oops'", None),)


@pytest.mark.parametrize("thing", [None, 7, object(), {"name": "x"}])
def test_what_is_not_a_span_is_invalid_and_nothing_is_raised(thing):
    conversion = Rules(builtin_rules()).events_for(thing)
    assert conversion.reason is Reason.INVALID


def test_a_span_without_an_end_is_invalid(spans):
    span = spans.provider.get_tracer("shop").start_span("work")
    assert Rules([SpanRule("r", events=[SEEN])]).events_for(span).reason is Reason.INVALID


def test_spans_of_our_own_instrumentation_never_become_events_unless_a_rule_names_their_scope(spans):
    with spans.open("capture signed_up", "genops_otel_posthog", attributes={"feature_flag.key": "x"}) as span:
        span.record_exception(ValueError("x"))
        span.set_status(Status(StatusCode.ERROR))
    (span,) = spans.taken()
    wide = [SpanRule("all", events=[SEEN]), SpanRule("star", scope="*", events=[SEEN]), *builtin_rules()]
    conversion = Rules(wide).events_for(span)
    assert conversion.events == ()
    assert "a rule has to name its scope" in conversion.left_out[0].detail
    assert names([SpanRule("own", scope="genops_otel_posthog", events=[SEEN])], span) == ["seen"]


@pytest.mark.parametrize(
    "attributes",
    [
        {"server.address": "us.i.posthog.com"},
        {"url.full": "https://eu.i.posthog.com/batch/"},
        {"http.url": "https://hosted.rudderlabs.com/v1/batch"},
        {"net.peer.name": "events.example.org"},
        {"server.address": "events.example.org:443"},
    ],
)
def test_requests_to_where_events_go_never_become_events_unless_a_rule_asks_for_their_address(spans, attributes):
    span = spans.one("POST", kind=SpanKind.CLIENT, attributes=attributes)
    rules = Rules([SpanRule("all", events=[SEEN])], delivery_hosts=["events.example.org"])
    assert rules.events_for(span).events == ()
    (key,) = attributes
    asks = Rules([SpanRule("own", attributes={key: PRESENT}, events=[SEEN])], delivery_hosts=["events.example.org"])
    assert [event.name for event in asks.events_for(span).events] == ["seen"]


def test_requests_to_others_are_spans_like_any(spans):
    span = spans.one("POST", kind=SpanKind.CLIENT, attributes={"server.address": "notposthog.com"})
    assert names([SpanRule("all", events=[SEEN])], span) == ["seen"]


def test_a_link_to_the_trace_stands_on_the_event(spans):
    rules = Rules([SpanRule("r", events=[SEEN])], trace_url="https://jaeger.example/trace/{trace_id}?uiFind={span_id}")
    span = spans.one()
    (event,) = rules.events_for(span).events
    expected = f"https://jaeger.example/trace/{span.context.trace_id:032x}?uiFind={span.context.span_id:016x}"
    assert event.properties["trace_url"] == expected


def test_what_posthog_will_charge_is_estimated_from_the_finished_properties(spans):
    def estimate(name, properties):
        return 0.00005 if properties.get("$process_person_profile") is False else 0.000248

    rules = Rules([SpanRule("r", events=[SEEN])], estimate=estimate)
    assert rules.events_for(spans.one()).events[0].properties["genops_cost_estimated"] == 0.00005
    known = rules.events_for(spans.one(attributes={"user.id": "ann"})).events[0]
    assert known.properties["genops_cost_estimated"] == 0.000248


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"kind": "servr", "events": [SEEN]}, "kind: 'servr' is not one of .*did you mean 'server'"),
        ({"status": "fine", "events": [SEEN]}, "status: 'fine' is not one of"),
        ({}, "makes nothing; give either events, or convert, or drop"),
        ({"events": [SEEN], "drop": True}, "says more than one thing"),
        ({"attributes": {"x": object()}, "events": [SEEN]}, "attributes: x = .* is not a condition"),
    ],
)
def test_a_rule_that_cannot_be_used_is_refused_with_the_value(arguments, said):
    with pytest.raises(GenOpsValidationError, match=said):
        SpanRule("r", **arguments)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"name": " "}, "name: ' ' is not a name for an event"),
        ({"name": "a{"}, "is not a template"),
        ({"name": "a{}"}, "braces without the name"),
        ({"name": "a", "sample_rate": 1.5}, "sample_rate: 1.5 is not a number from 0 to 1"),
        ({"name": "a", "sample_rate": True}, "sample_rate: True"),
        ({"name": "a", "importance": "hi"}, "importance: 'hi' is not one of critical, normal, low"),
        ({"name": "a", "properties": {"x": 1}}, "for a fixed value use constants"),
    ],
)
def test_an_event_that_cannot_be_made_is_refused_with_the_value(arguments, said):
    with pytest.raises(GenOpsValidationError, match=said):
        EventTemplate(**arguments)

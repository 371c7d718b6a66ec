"""Owners of calls: which source wins, and what an event carries to PostHog."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from typing import Any

import posthog
import pytest
from opentelemetry import baggage
from opentelemetry.context import attach, detach

from genops_otel_posthog import governance


def owner(span: Any) -> dict[str, str]:
    keys = ("team", "project", "environment", "customer_id", "cost_center", "feature")
    return {key: span.attributes[f"genops.{key}"] for key in keys if f"genops.{key}" in span.attributes}


def properties(receiver: Any, client: Any) -> dict[str, Any]:
    client.flush()
    (event,) = receiver.events()
    return event.properties


def ours(found: dict[str, Any]) -> dict[str, Any]:
    names = ("trace_id", "$trace_id", "$span_id", "user_id", "workspace_id", "organization_id")
    return {name: value for name, value in found.items() if name.startswith("genops_") or name in names}


def test_each_source_fills_what_the_nearer_ones_leave_open(instrument, client, monkeypatch):
    monkeypatch.setenv("GENOPS_COST_CENTER", "env")
    monkeypatch.setenv("GENOPS_FEATURE", "env")
    observed = instrument(
        feature="option",
        resource={"genops.feature": "resource", "deployment.environment.name": "resource"},
    )
    token = attach(baggage.set_baggage("genops.customer_id", "baggage"))
    attach(baggage.set_baggage("genops.team", "baggage"))
    try:
        with governance(team="context", project="context"):
            client.capture("e", distinct_id="u1", properties={"genops_project": "call"})
    finally:
        detach(token)
    assert owner(observed.span("capture e")) == {
        "project": "call",
        "team": "context",
        "customer_id": "baggage",
        "feature": "option",
        "cost_center": "env",
        "environment": "resource",
    }


def test_metrics_are_split_by_team_project_and_environment_but_not_by_customer(instrument, client):
    observed = instrument(environment="production")
    for customer in ("acme", "initech"):
        with governance(team="checkout", project="shop", customer_id=customer):
            client.capture("e")
    assert [(attributes, point.value) for attributes, point in observed.points("genops.usage")] == [
        (
            {
                "genops.team": "checkout",
                "genops.project": "shop",
                "genops.environment": "production",
                "genops.provider": "posthog",
                "genops.cost.meter": "events",
            },
            2,
        )
    ]


def test_metrics_are_split_by_customer_when_asked_for(instrument, client):
    observed = instrument(metric_labels=["customer_id"])
    for customer in ("acme", "initech"):
        with governance(team="checkout", customer_id=customer):
            client.capture("e")
    assert {attributes["genops.customer_id"] for attributes, _ in observed.points("genops.usage")} == {
        "acme",
        "initech",
    }


def test_an_event_that_nobody_owns_is_sent_as_the_application_wrote_it(instrument, client, receiver):
    observed = instrument()
    with observed.tracer_provider.get_tracer("app").start_as_current_span("request"):
        client.capture("e", distinct_id="u1", properties={"a": 1})
    assert ours(properties(receiver, client)) == {}


def test_an_owned_event_carries_owner_cost_and_trace(instrument, client, receiver):
    observed = instrument(team="checkout", usage_to_date="events=1000000,identified_events=1000000")
    with (
        observed.tracer_provider.get_tracer("app").start_as_current_span("request") as request,
        governance(customer_id="acme", user_id="u-9", workspace_id="w-1", organization_id="o-1", tags={"plan": "gold"}),
    ):
        client.capture("e", distinct_id="u1", properties={"a": 1})
    found = properties(receiver, client)
    context = request.get_span_context()
    assert isinstance(found.pop("genops_timestamp"), int)
    assert ours(found) == {
        "genops_team": "checkout",
        "genops_customer_id": "acme",
        "genops_tag_plan": "gold",
        "genops_cost_estimated": 0.000248,
        "user_id": "u-9",
        "workspace_id": "w-1",
        "organization_id": "o-1",
        "trace_id": format(context.trace_id, "032x"),
        "$trace_id": format(context.trace_id, "032x"),
        "$span_id": format(context.span_id, "016x"),
    }
    assert found["a"] == 1


@pytest.mark.parametrize(
    ("setting", "team", "expected"), [("off", "checkout", False), ("on", None, True), ("auto", "checkout", True)]
)
def test_enrichment_can_be_switched(instrument, client, receiver, setting, team, expected):
    instrument(event_properties=setting, team=team)
    client.capture("e", distinct_id="u1")
    assert ("genops_cost_estimated" in properties(receiver, client)) is expected


def test_under_advisory_the_applications_own_property_wins_and_is_listed(instrument, client, receiver):
    observed = instrument(team="checkout")
    client.capture("e", distinct_id="u1", properties={"genops_team": "growth"})
    found = properties(receiver, client)
    assert found["genops_team"] == "growth"
    assert found["genops_overridden"] == ["genops_team"]
    assert owner(observed.span("capture e")) == {"team": "growth"}


@pytest.mark.parametrize("policy", ["enforced", "strict", "standard"])
def test_from_enforced_on_nobody_can_charge_another_team(instrument, client, receiver, policy):
    observed = instrument(team="checkout", project="web-shop", governance_policy=policy)
    client.capture("e", distinct_id="u1", properties={"genops_team": "growth", "user_id": "mine"})
    found = properties(receiver, client)
    assert found["genops_team"] == "checkout"
    assert found["user_id"] == "mine"
    assert owner(observed.span("capture e")) == {"team": "checkout", "project": "web-shop"}


@pytest.mark.parametrize(
    ("policy", "team", "overridden"), [("advisory", "growth", ["genops_team"]), ("enforced", "checkout", None)]
)
def test_a_super_property_counts_like_a_property_of_the_event(
    instrument, new_client, receiver, policy, team, overridden
):
    instrument(team="checkout", governance_policy=policy)
    client = new_client(super_properties={"genops_team": "growth", "release": "7"})
    client.capture("e", distinct_id="u1")
    found = properties(receiver, client)
    assert (found["genops_team"], found.get("genops_overridden"), found["release"]) == (team, overridden, "7")


def test_before_send_sees_the_properties_and_has_the_last_word(instrument, new_client, receiver):
    instrument(team="checkout")
    seen = []

    def before_send(message: dict[str, Any]) -> dict[str, Any]:
        seen.append(message["properties"]["genops_team"])
        message["properties"]["genops_team"] = "rewritten"
        return message

    client = new_client(before_send=before_send)
    client.capture("e", distinct_id="u1")
    assert seen == ["checkout"]
    assert properties(receiver, client)["genops_team"] == "rewritten"


def test_an_event_that_the_sdk_cuts_to_an_allow_list_gets_nothing_beyond_it(instrument, client, receiver):
    if "_property_allowlist" not in posthog.args.OptionalCaptureArgs.__annotations__:
        pytest.skip("this version of the SDK has no allow-lists")
    instrument(team="checkout")
    client.capture("e", distinct_id="u1", properties={"a": 1}, _property_allowlist=frozenset({"a"}))
    assert properties(receiver, client) == {"a": 1}


def test_an_event_outside_of_any_call_carries_its_owner_too(instrument, client, receiver):
    instrument(team="checkout")
    message = {"event": "e", "distinct_id": "u1", "timestamp": None, "uuid": None, "properties": {"a": 1}}
    client._enqueue(message, None)
    assert properties(receiver, client)["genops_team"] == "checkout"


def test_the_applications_own_dictionary_is_not_changed(instrument, client):
    instrument(team="checkout")
    given = {"a": 1}
    client.capture("e", distinct_id="u1", properties=given)
    assert given == {"a": 1}


def test_person_and_group_updates_carry_their_owner_too(instrument, client, receiver):
    instrument(team="checkout")
    client.set(distinct_id="u1", properties={"plan": "gold"})
    client.group_identify("company", "acme", {"size": 3})
    client.alias("anonymous-7", "u1")
    client.flush()
    events = {event.event: event for event in receiver.events()}
    assert {name: event.properties["genops_team"] for name, event in events.items()} == {
        "$set": "checkout",
        "$groupidentify": "checkout",
        "$create_alias": "checkout",
    }
    assert events["$set"].set == {"plan": "gold"}


def test_the_owner_follows_a_copied_context_into_a_thread(instrument, client):
    observed = instrument()
    with governance(team="checkout"):
        context = contextvars.copy_context()
    thread = threading.Thread(target=context.run, args=(client.capture, "e"))
    thread.start()
    thread.join()
    assert owner(observed.span("capture e")) == {"team": "checkout"}


async def test_concurrent_tasks_keep_their_own_owner(instrument, client):
    observed = instrument()

    async def visit(team: str) -> None:
        async with governance(team=team):
            await asyncio.sleep(0)
            client.capture(team)

    await asyncio.gather(*(visit(f"team-{number}") for number in range(20)))
    assert {span.name.removeprefix("capture "): span.attributes["genops.team"] for span in observed.spans} == {
        f"team-{number}": f"team-{number}" for number in range(20)
    }

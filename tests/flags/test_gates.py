"""Flags that decide what is written: who decides, what it costs, and what holds when nobody knows."""

from __future__ import annotations

import pytest

from genops_otel_posthog import Attribution
from genops_otel_posthog.flags import (
    AGENT_DEBUGGER_UI,
    ENABLE_GUARDRAILS_TRACING,
    GATES,
    TRACK_MODEL_COSTS,
    VERSIONED_RAG_TRACKING,
    FlagChain,
    FlagRow,
    Gatekeeper,
    Gates,
    Subject,
)

from .conftest import flag

OWNER = Attribution(user_id="u1", workspace_id="acme")
NAMES = [TRACK_MODEL_COSTS, ENABLE_GUARDRAILS_TRACING, VERSIONED_RAG_TRACKING, AGENT_DEBUGGER_UI]


@pytest.mark.requirement("S3-18", "S3-19", "S3-20", "S3-21")
def test_the_gates_have_the_documented_names():
    assert NAMES == ["track_model_costs", "enable_guardrails_tracing", "versioned_rag_tracking", "agent_debugger_ui"]
    assert list(GATES) == NAMES


def test_when_nobody_knows_records_are_kept_and_the_debugger_is_not_shown():
    gates: Gatekeeper = Gates(FlagChain())
    assert [gates.allows(name) for name in NAMES] == [True, True, True, False]
    assert not gates.allows("a_gate_that_there_is_not")


@pytest.mark.parametrize("name", NAMES)
def test_a_row_opens_and_closes_a_gate_for_whom_it_is(store, name):
    store.put(FlagRow(name, "user", "u1", enabled=not GATES[name]))
    gates = Gates(FlagChain(database=store))
    assert gates.allows(name, OWNER) is not GATES[name]
    assert gates.allows(name, Attribution(user_id="u2")) is GATES[name]


def test_a_workspaces_row_is_that_of_its_users(store):
    store.put(FlagRow(TRACK_MODEL_COSTS, "workspace", "acme", enabled=False))
    assert not Gates(FlagChain(database=store)).allows(TRACK_MODEL_COSTS, OWNER)


def test_posthog_decides_where_it_can_be_evaluated_here(receiver, new_client, store):
    receiver.set_flags([flag(TRACK_MODEL_COSTS, rollout=0)])
    store.put(FlagRow(TRACK_MODEL_COSTS))
    chain = FlagChain(new_client(local=True), store)
    chain.prepare(10)
    assert not Gates(chain).allows(TRACK_MODEL_COSTS, OWNER)


@pytest.mark.requirement("S3-22")
def test_a_gate_never_waits_for_posthog_and_costs_nothing(receiver, new_client, store):
    store.put(FlagRow(TRACK_MODEL_COSTS, enabled=False))
    with receiver.fail("all", hang=True):
        gates = Gates(FlagChain(new_client(), store, deadline=60))
        assert not gates.allows(TRACK_MODEL_COSTS, OWNER)
    assert receiver.flag_requests() == []


def test_a_gate_may_ask_posthog_in_the_background(receiver, new_client, clock):
    receiver.set_flags([flag(TRACK_MODEL_COSTS, rollout=0)])
    chain = FlagChain(new_client(), deadline=10)
    gates = Gates(chain, ask=True, clock=clock)
    assert gates.allows(TRACK_MODEL_COSTS, OWNER)  # nobody knows yet
    receiver.wait_for_flag_requests(1)
    chain.answer(TRACK_MODEL_COSTS, Subject("u1", "acme"))  # waits until PostHog's answer is there
    clock.now += 5
    assert not gates.allows(TRACK_MODEL_COSTS, OWNER)


def test_a_decision_holds_for_five_seconds(store, clock):
    store.put(FlagRow(TRACK_MODEL_COSTS, enabled=False))
    chain = FlagChain(database=store)
    gates = Gates(chain, clock=clock)
    assert not gates.allows(TRACK_MODEL_COSTS, OWNER)
    store.put(FlagRow(TRACK_MODEL_COSTS))
    chain.table.refresh(10)
    clock.now += 4
    assert not gates.allows(TRACK_MODEL_COSTS, OWNER)
    clock.now += 1
    assert gates.allows(TRACK_MODEL_COSTS, OWNER)


def test_a_gate_writes_nothing_itself(receiver, new_client):
    receiver.set_flags([flag(TRACK_MODEL_COSTS)])
    client = new_client(local=True)
    chain = FlagChain(client)
    chain.prepare(10)
    Gates(chain).allows(TRACK_MODEL_COSTS, OWNER)
    client.flush()
    assert receiver.events() == []


def test_the_decisions_that_are_kept_are_limited_in_number(store, monkeypatch):
    monkeypatch.setattr("genops_otel_posthog.flags.gates._MOST_KEPT", 3)
    gates = Gates(FlagChain(database=store))
    for number in range(10):
        gates.allows(TRACK_MODEL_COSTS, Attribution(user_id=f"u{number}"))
    assert len(gates._decisions) <= 3

"""The gates really decide what is written: events of spans, and rows of the events' database."""

from __future__ import annotations

import json
from uuid import UUID

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from genops_otel_posthog.export import flows, names, telling
from genops_otel_posthog.export.rules import Rules, builtin_rules
from genops_otel_posthog.flags import (
    ENABLE_GUARDRAILS_TRACING,
    TRACK_MODEL_COSTS,
    VERSIONED_RAG_TRACKING,
    FlagChain,
    FlagRow,
    Gates,
)

from .conftest import flag


@pytest.fixture
def spans(monkeypatch):
    """Spans of a retrieval and of a blocked prompt of ``u1``."""
    memory = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(memory))
    for place in (telling, flows):
        monkeypatch.setattr(place, "tracer", lambda: provider.get_tracer(names.SCOPE))
    with flows.track_rag_query("atlas", user_id="u1", workspace_id="acme"):
        pass
    owner = {"user_id": "u1", "workspace_id": "acme"}
    for source in ("prompt_similarity", "abuse_detection"):
        flows.track_prompt_blocked(source=source, match_score=0.9, reason="injection", **owner)
    return memory.get_finished_spans()


def events(spans, chain: FlagChain) -> set[str]:
    rules = Rules(builtin_rules(), gate=Gates(chain).of_span)
    return {event.name for span in spans for event in rules.events_for(span).events} & GATED


GATED = {"rag_query_triggered", "prompt_blocked"}


def test_when_nobody_says_otherwise_both_are_written(spans, store):
    assert events(spans, FlagChain(database=store)) == GATED


@pytest.mark.parametrize(
    ("name", "event"), [(VERSIONED_RAG_TRACKING, "rag_query_triggered"), (ENABLE_GUARDRAILS_TRACING, "prompt_blocked")]
)
@pytest.mark.requirement("S3-19", "S3-20", "S3-61")
def test_a_gate_that_is_closed_keeps_its_event_from_being_written(spans, store, name, event):
    store.put(FlagRow(name, "workspace", "acme", enabled=False))
    assert events(spans, FlagChain(database=store)) == GATED - {event}


def test_posthog_closes_a_gate_too(receiver, new_client, spans, store):
    receiver.set_flags([flag(ENABLE_GUARDRAILS_TRACING, rollout=0)])
    chain = FlagChain(new_client(local=True), store)
    chain.prepare(10)
    assert events(spans, chain) == {"rag_query_triggered"}


@pytest.mark.requirement("S3-60", "E-37")
def test_while_posthog_is_away_the_database_decides(receiver, new_client, spans, store):
    store.put(FlagRow(ENABLE_GUARDRAILS_TRACING, enabled=False))
    with receiver.fail("all", reset=True):
        chain = FlagChain(new_client(local=True), store)
        chain.prepare(10)
        assert events(spans, chain) == {"rag_query_triggered"}


def test_costs_of_models_are_rows_only_for_whom_the_gate_is_open(store, tmp_path):
    pytest.importorskip("sqlalchemy")
    from sqlalchemy import text

    from genops_otel_posthog.export.destinations.database import DatabaseDestination

    store.put(FlagRow(TRACK_MODEL_COSTS, "user", "u1", enabled=False))
    store.put(FlagRow(TRACK_MODEL_COSTS, "workspace", "frugal", enabled=False))
    gates = Gates(FlagChain(database=store))
    destination = DatabaseDestination(f"sqlite:///{tmp_path / 'events.sqlite3'}", gate=gates.of_event)

    def generation(number: int, distinct_id: str, **properties: str) -> bytes:
        event = {
            "event": "$ai_generation",
            "distinct_id": distinct_id,
            "uuid": str(UUID(int=number)),
            "timestamp": "2026-11-22T12:00:00+00:00",
            "properties": {"trace_id": "5b8efff798038103d269b633813fc60c", "$ai_model": "m", **properties},
        }
        return json.dumps(event).encode()

    destination.send(
        [
            generation(1, "u1"),
            generation(2, "u2"),
            generation(3, "device-7", user_id="u1"),
            generation(4, "u3", workspace_id="frugal"),
        ],
        10.0,
    )
    with destination._engine.connect() as connection:
        written = [row[0] for row in connection.execute(text("SELECT id FROM model_cost_logs"))]
    destination.close()
    assert written == [str(UUID(int=2))]

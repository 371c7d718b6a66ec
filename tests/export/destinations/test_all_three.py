"""One trace, from the outbox to PostHog, RudderStack and the database at once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

pytest.importorskip("sqlalchemy", reason="needs SQLAlchemy")

from genops_otel_posthog.export.destinations.database import DatabaseDestination
from genops_otel_posthog.export.destinations.registry import configured
from genops_otel_posthog.export.event import Event
from genops_otel_posthog.export.outbox import Outbox
from genops_otel_posthog.receiver import LocalReceiver
from genops_otel_posthog.settings import Settings

TRACE = "5b8efff798038103d269b633813fc60c"
OWNERS = {"user_id": "user-1", "workspace_id": "w-1", "organization_id": "o-1", "trace_id": TRACE, "$trace_id": TRACE}
EVENTS: dict[str, dict[str, Any]] = {
    "agent_execution": {"execution_id": "run-1", "success": True, "execution_time": 40, "tokens_used": 15},
    "agent_error": {"execution_id": "run-1", "error_message": "timeout"},
    "agent_created": {"agent_id": "a-1", "agent_type": "support"},
    "flow_executed": {"flow_id": "refund", "tools_used": ["search"], "time_ms": 50, "success": True},
    "tool_used": {"tool_id": "search", "status": "success", "latency_ms": 5},
    "prompt_blocked": {"source": "abuse_detection", "match_score": 0.9},
    "rag_query_triggered": {"vector_db_used": "qdrant", "latency_ms": 3},
    "$ai_generation": {
        "$ai_model": "gpt-5",
        "$ai_input_tokens": 10,
        "$ai_output_tokens": 5,
        "genops_model_cost_usd": 0.003,
    },
}


@pytest.mark.requirement(
    "S3-34",
    "S3-35",
    "S3-36",
    "S3-37",
    "S3-38",
    "S3-39",
    "S3-40",
    "S3-43",
    "S3-47",
    "S3-56",
    "S3-57",
    "S3-62",
    "S3-65",
    "S3-67",
    "D-38",
    "E-36",
)
def test_every_event_of_a_trace_is_found_everywhere_by_the_trace_and_under_one_id(tmp_path: Path) -> None:
    sent = {name: str(uuid4()) for name in EVENTS}
    with LocalReceiver() as receiver:
        settings = Settings.from_environ(
            {
                "POSTHOG_API_KEY": "phc_of_a_test",
                "POSTHOG_HOST": receiver.url,
                "RUDDERSTACK_WRITE_KEY": "1aBcDeFg",
                "RUDDERSTACK_DATA_PLANE_URL": receiver.url,
                "GENOPS_DATABASE_URL": f"sqlite://{tmp_path / 'events.sqlite3'}",
            }
        )
        destinations = configured(settings)
        with Outbox(tmp_path / "outbox", destinations) as outbox:
            for name, properties in EVENTS.items():
                event = Event(name, "user-1", sent[name], "2026-11-22T12:00:00+00:00", {**OWNERS, **properties})
                assert outbox.append(json.dumps(event.body()).encode())
            assert outbox.flush(30)
            assert all(account.acked == len(EVENTS) for account in outbox.accounting().destinations.values())
        in_posthog = {event.event: event for event in receiver.events(**{"property.trace_id": TRACE})}
        in_rudderstack = {str(kept.event): kept for kept in receiver.rudder_messages(trace_id=TRACE)}
    database = destinations[2]
    assert isinstance(database, DatabaseDestination)
    in_database = {event["event"]: event for event in database.events()}

    assert {name: event.uuid for name, event in in_posthog.items()} == sent
    assert {name: kept.message_id for name, kept in in_rudderstack.items()} == sent
    assert {name: event["uuid"] for name, event in in_database.items()} == sent
    for name, properties in EVENTS.items():
        for found in (
            in_posthog[name].properties,
            in_rudderstack[name].message["properties"],
            in_database[name]["properties"],
        ):
            assert found.items() >= {**OWNERS, **properties}.items()
        assert in_rudderstack[name].message["context"]["groupId"] == "w-1"
        assert in_rudderstack[name].message["integrations"] == {"All": True, "PostHog": False}

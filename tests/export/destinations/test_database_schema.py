"""What the columns of the tables read off events."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest

from genops_otel_posthog.export.destinations.database_schema import EVENT_TABLES, Row

NOW = datetime(2026, 11, 22, 13, tzinfo=timezone.utc)
TRACE = "5b8efff798038103d269b633813fc60c"
UUID = "7b4d1c70-0000-8000-8000-000000000001"
EVENT_LOGS, AGENT_TRACE_HISTORY, MODEL_COST_LOGS = EVENT_TABLES


def row(name: str, properties: dict[str, Any] | None = None, **changes: Any) -> Row:
    event = {"event": name, "distinct_id": "user-1", "uuid": UUID, "timestamp": "2026-11-22T12:00:00+00:00"}
    return Row({**event, "properties": {"trace_id": TRACE, **(properties or {})}, **changes}, NOW)


def in_logs(name: str, properties: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    values = EVENT_LOGS.values(row(name, properties, **changes))
    assert values is not None
    return values


def in_costs(**properties: Any) -> dict[str, Any]:
    values = MODEL_COST_LOGS.values(row("$ai_generation", properties))
    assert values is not None
    return values


@pytest.mark.parametrize(
    ("table", "columns"),
    [
        (EVENT_LOGS, "id user_id workspace_id event_type context status latency_ms trace_id timestamp"),
        (
            AGENT_TRACE_HISTORY,
            "id agent_id flow_id trace_id input_context execution_nodes output_summary error timestamp",
        ),
        (
            MODEL_COST_LOGS,
            "id user_id agent_id model_name input_tokens output_tokens rate_per_1k cost_usd trace_id timestamp",
        ),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
@pytest.mark.requirement("S3-44")
def test_each_table_has_the_columns_that_are_documented(table: Any, columns: str) -> None:
    assert [column.name for column in table.columns] == columns.split()


def test_every_event_is_in_event_logs() -> None:
    properties = {"workspace_id": "w-1", "latency_ms": 12.5, "status": "error", "tool_id": "search"}
    assert in_logs("tool_used", properties) == {
        "id": UUID,
        "user_id": "user-1",
        "workspace_id": "w-1",
        "event_type": "tool_used",
        "context": {"distinct_id": "user-1", "trace_id": TRACE, **properties},
        "status": "error",
        "latency_ms": 12.5,
        "trace_id": TRACE,
        "timestamp": datetime(2026, 11, 22, 12, tzinfo=timezone.utc),
    }


@pytest.mark.parametrize(
    ("name", "properties", "status"),
    [
        ("tool_used", {"status": "success"}, "success"),
        ("tool_used", {"status": "pending"}, "pending"),
        ("flow_executed", {"success": False}, "error"),
        ("flow_executed", {"success": True}, "success"),
        ("$ai_generation", {"$ai_is_error": True}, "error"),
        ("agent_error", {}, "error"),
        ("$exception", {}, "error"),
        ("order_completed", {"status": "shipped"}, "success"),
    ],
)
def test_the_status_is_what_the_event_says_of_its_outcome(name: str, properties: Any, status: str) -> None:
    assert in_logs(name, properties)["status"] == status


@pytest.mark.parametrize(
    ("properties", "milliseconds"),
    [
        ({"latency_ms": 3}, 3.0),
        ({"time_ms": 4.5}, 4.5),
        ({"execution_time": 5}, 5.0),
        ({"$ai_latency": 1.5}, 1500.0),
        ({"latency_ms": "fast"}, None),
        ({"latency_ms": True}, None),
        ({"latency_ms": float("nan")}, None),
        ({"latency_ms": 10**400}, None),
        ({}, None),
    ],
)
def test_the_latency_is_in_milliseconds(properties: Any, milliseconds: float | None) -> None:
    assert in_logs("tool_used", properties)["latency_ms"] == milliseconds


@pytest.mark.parametrize(
    ("properties", "user"),
    [
        ({}, "user-1"),
        ({"user_id": "u-2"}, "u-2"),
        ({"$process_person_profile": False}, None),
        ({"$process_person_profile": False, "user_id": "u-2"}, "u-2"),
    ],
)
def test_the_user_is_whom_the_event_names_and_nobody_where_nobody_is_known(properties: Any, user: str | None) -> None:
    assert in_logs("tool_used", properties)["user_id"] == user


@pytest.mark.parametrize(
    ("given", "time"),
    [
        ("2026-11-22T12:00:00Z", datetime(2026, 11, 22, 12, tzinfo=timezone.utc)),
        ("2026-11-22T12:00:00.5+00:00", datetime(2026, 11, 22, 12, 0, 0, 500_000, tzinfo=timezone.utc)),
        ("2026-11-22T12:00:00.123456789Z", datetime(2026, 11, 22, 12, 0, 0, 123_456, tzinfo=timezone.utc)),
        ("2026-11-22T14:00:00+02:00", datetime(2026, 11, 22, 12, tzinfo=timezone.utc)),
        ("2026-11-22T12:00:00", datetime(2026, 11, 22, 12, tzinfo=timezone.utc)),
        ("yesterday", NOW),
        ("", NOW),
        (None, NOW),
        (1_700_000_000, NOW),
    ],
)
def test_the_time_is_the_events_in_utc_else_that_of_writing(given: Any, time: datetime) -> None:
    found = in_logs("tool_used", timestamp=given)["timestamp"]
    assert (found, found.utcoffset()) == (time, timedelta())


@pytest.mark.parametrize("given", ["no uuid", None, "", 42])
def test_an_event_without_a_uuid_has_the_same_key_each_time(given: Any) -> None:
    first, second = (in_logs("tool_used", uuid=given)["id"] for _ in range(2))
    assert first == second != in_logs("tool_used")["id"]
    assert len(first) == 36


def test_a_uuid_has_one_form() -> None:
    assert in_logs("tool_used", uuid=UUID.upper().replace("-", ""))["id"] == UUID


# --- agents -------------------------------------------------------------------------------------------------------


def test_what_an_agent_did_is_in_agent_trace_history() -> None:
    values = AGENT_TRACE_HISTORY.values(
        row("agent_execution", {"agent_id": "a-1", "query": "Where is my order?", "success": False, "error": "timeout"})
    )
    assert values is not None
    assert (values["agent_id"], values["input_context"], values["error"]) == ("a-1", "Where is my order?", "timeout")


def test_what_a_flow_did_is_in_agent_trace_history() -> None:
    values = AGENT_TRACE_HISTORY.values(row("flow_executed", {"flow_id": "f-1", "tools_used": ["search", "mail"]}))
    assert values is not None
    assert (values["flow_id"], values["execution_nodes"], values["error"]) == ("f-1", ["search", "mail"], None)


def test_a_failure_without_a_message_is_one_all_the_same() -> None:
    values = AGENT_TRACE_HISTORY.values(row("flow_executed", {"success": False}))
    assert values is not None
    assert values["error"] == "failed"


def test_what_has_no_trace_is_no_part_of_a_history_of_traces() -> None:
    assert AGENT_TRACE_HISTORY.values(row("agent_execution", {"trace_id": None})) is None


@pytest.mark.parametrize("table", [AGENT_TRACE_HISTORY, MODEL_COST_LOGS], ids=lambda table: table.name)
def test_other_events_are_in_event_logs_alone(table: Any) -> None:
    assert table.values(row("order_completed")) is None


# --- costs --------------------------------------------------------------------------------------------------------


def test_what_a_model_call_cost_is_in_model_cost_logs() -> None:
    values = in_costs(
        **{
            "$ai_model": "gpt-5",
            "$ai_input_tokens": 900,
            "$ai_output_tokens": 100,
            "genops_model_cost_usd": 0.0021,
            "agent_id": "a-1",
        }
    )
    assert (values["model_name"], values["agent_id"]) == ("gpt-5", "a-1")
    assert (values["input_tokens"], values["output_tokens"]) == (900, 100)
    assert (values["cost_usd"], values["rate_per_1k"]) == (Decimal("0.0021"), Decimal("0.0021"))


@pytest.mark.parametrize(
    ("properties", "cost"),
    [
        ({"genops_model_cost_usd": 0.1}, Decimal("0.1")),
        ({"genops_model_cost_usd": "0.000000001"}, Decimal("0.000000001")),
        ({"$ai_total_cost_usd": 2}, Decimal(2)),
        ({"$ai_input_cost_usd": 0.1, "$ai_output_cost_usd": 0.2}, Decimal("0.3")),
        ({}, None),
        ({"genops_model_cost_usd": "much"}, None),
        ({"genops_model_cost_usd": float("inf")}, None),
        ({"genops_model_cost_usd": -1}, None),
        ({"genops_model_cost_usd": 1e20}, None),
    ],
)
def test_a_cost_is_exact_and_an_unknown_one_is_never_0(properties: Any, cost: Decimal | None) -> None:
    assert in_costs(**properties)["cost_usd"] == cost


@pytest.mark.parametrize("tokens", [-1, 1.5, "9", True, 10**30, None, float("inf")])
def test_a_count_that_is_none_is_not_known(tokens: Any) -> None:
    assert in_costs(**{"$ai_input_tokens": tokens})["input_tokens"] is None


def test_without_tokens_there_is_no_rate() -> None:
    assert in_costs(genops_model_cost_usd=1)["rate_per_1k"] is None

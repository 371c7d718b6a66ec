"""Flows, tools, agents and retrievals recorded from real frameworks as product events."""

from __future__ import annotations

import pytest

from genops_otel_posthog.export.rules import Rules, builtin_rules

COMMON = {"trace_id", "user_id", "workspace_id", "organization_id"}
OWN = {
    "flow_executed": {"flow_id", "execution_id", "tools_used", "time_ms", "success"},
    "tool_used": {"tool_id", "tool_type", "status", "latency_ms", "execution_id"},
    "agent_execution": {
        "execution_id",
        "framework",
        "query",
        "success",
        "execution_time",
        "tokens_used",
        "cost",
        "error",
        "agent_id",
    },
    "agent_created": {"agent_id", "agent_type", "memory_backend", "framework"},
    "agent_error": {"execution_id", "framework", "error_message", "error_code"},
    "rag_query_triggered": {"vector_db_used", "index_name", "latency_ms", "sources_found", "execution_id"},
}


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("genai-openai-agents", "flow_executed"),
        ("genai-openai-agents", "tool_used"),
        ("genai-openai-agents", "agent_execution"),
        ("pydantic-ai", "tool_used"),
        ("pydantic-ai", "agent_execution"),
        ("pydantic-ai", "agent_error"),
        ("openinference-langchain", "tool_used"),
        ("openinference-langchain", "rag_query_triggered"),
        ("openinference-openai-agents", "agent_execution"),
        ("openinference-openai-agents", "tool_used"),
        ("genai-langchain", "flow_executed"),
        ("genai-langchain", "tool_used"),
        ("genai-langchain", "rag_query_triggered"),
        ("traceloop-langchain", "rag_query_triggered"),
        ("traceloop-langchain", "tool_used"),
        ("traceloop-sdk", "flow_executed"),
        ("traceloop-sdk", "agent_execution"),
        ("traceloop-sdk", "tool_used"),
        ("autogen", "agent_created"),
        ("autogen", "agent_execution"),
        ("autogen", "tool_used"),
    ],
)
def test_an_event_has_exactly_its_properties_and_those_that_all_have(events_of, source, name):
    event = events_of(source, name)[0]
    assert {key for key in event.properties if not key.startswith(("$", "genops_"))} == OWN[name] | COMMON


@pytest.mark.parametrize(
    ("source", "flow_id"),
    [("genai-openai-agents", "Agent workflow"), ("genai-langchain", "travel-chain"), ("traceloop-sdk", "travel")],
)
def test_a_flow_names_the_tools_that_ran_in_it(events_of, source, flow_id):
    (flow,) = events_of(source, "flow_executed")
    assert (flow.properties["flow_id"], flow.properties["tools_used"]) == (flow_id, ["get_weather"])


def test_an_agent_that_was_made_is_told_by_its_name_and_its_framework(events_of):
    (made,) = events_of("autogen", "agent_created")
    assert (made.properties["agent_id"], made.properties["framework"]) == ("travel_agent", "autogen-core")


@pytest.mark.parametrize(
    ("source", "framework", "agents"),
    [
        ("traceloop-sdk", "traceloop", ["travel-agent"]),
        # The root of its trace is an agent too, and has no name.
        ("openinference-openai-agents", "openai_agents", ["travel-agent", None]),
    ],
)
def test_an_agent_is_told_with_its_framework_and_what_its_calls_used(events_of, source, framework, agents):
    told = [event.properties for event in events_of(source, "agent_execution")]
    assert [properties["agent_id"] for properties in told] == agents
    assert {properties["framework"] for properties in told} == {framework}
    assert told[0]["tokens_used"] == sum(
        event.properties["$ai_input_tokens"] + event.properties["$ai_output_tokens"]
        for event in events_of(source, "$ai_generation")
    )


def test_all_that_ran_in_one_trace_has_one_execution_id(events_of):
    events = [event for event in events_of("genai-openai-agents") if "execution_id" in event.properties]
    assert {event.properties["execution_id"] for event in events} == {events[0].properties["trace_id"]}


def test_a_tool_that_failed_says_so(events_of):
    worked, failed = events_of("pydantic-ai", "tool_used")
    assert (worked.properties["tool_id"], worked.properties["status"]) == ("get_weather", "success")
    assert (failed.properties["tool_id"], failed.properties["status"]) == ("broken_weather", "error")


def test_an_agent_says_what_it_spent(events_of):
    agent = events_of("pydantic-ai", "agent_execution")[0].properties
    assert (agent["success"], agent["tokens_used"], agent["framework"]) == (True, 2484, "pydantic-ai")
    assert agent["cost"] == pytest.approx(0.00428)


def test_an_agent_that_failed_is_told_as_execution_and_as_error(events_of):
    failed = events_of("pydantic-ai", "agent_execution")[1].properties
    (error,) = events_of("pydantic-ai", "agent_error")
    assert (failed["success"], failed["error"]) == (False, "RuntimeError: no weather station in Lisbon")
    assert (error.properties["error_message"], error.properties["error_code"]) == (
        "no weather station in Lisbon",
        "RuntimeError",
    )
    assert error.properties["execution_id"] == failed["execution_id"]


def test_the_query_of_an_agent_is_content(events_of):
    assert events_of("pydantic-ai", "agent_execution")[0].properties["query"] is None
    told = events_of("pydantic-ai", "agent_execution", content=True)[0]
    assert told.properties["query"] == "What is the capital of Portugal?"


@pytest.mark.parametrize(
    ("source", "index"),
    [("openinference-langchain", "atlas"), ("traceloop-langchain", "atlas"), ("genai-langchain", None)],
)
def test_a_retrieval_says_how_many_sources_it_found(events_of, source, index):
    (query,) = events_of(source, "rag_query_triggered")
    assert (query.properties["index_name"], query.properties["sources_found"]) == (index, 2)


def test_the_root_of_a_trace_is_its_ai_trace_and_the_steps_below_are_its_ai_spans(events_of):
    assert [event.properties["$ai_span_name"] for event in events_of("pydantic-ai", "$ai_trace")] == [
        "travel-agent",
        "broken-agent",
    ]
    steps = events_of("pydantic-ai", "$ai_span")
    assert [event.properties["$ai_span_name"] for event in steps] == ["get_weather", "broken_weather"]
    assert all(event.properties["$ai_parent_id"] for event in steps)


def test_a_flag_that_is_off_keeps_its_event_from_being_made(recorded):
    gate = "versioned_rag_tracking"
    rules = Rules(builtin_rules(), gate=lambda flag, span, owner: flag != gate)
    conversions = [rules.events_for(span) for span in recorded("openinference-langchain")]
    assert "rag_query_triggered" not in {event.name for conversion in conversions for event in conversion.events}
    assert f"the flag {gate} is off" in {left.detail for conversion in conversions for left in conversion.left_out}

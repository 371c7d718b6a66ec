"""What the functions tell becomes the event it is meant to, with exactly its properties."""

from __future__ import annotations

import contextlib

import pytest

from genops_otel_posthog.attribution import governance
from genops_otel_posthog.errors import GenOpsValidationError
from genops_otel_posthog.export.flows import (
    track_agent,
    track_agent_created,
    track_agent_error,
    track_agent_execution,
    track_flow,
    track_flow_executed,
    track_prompt_blocked,
    track_rag_query,
    track_rag_query_triggered,
    track_tool,
    track_tool_used,
)

WHO = {"user_id": "ann", "workspace_id": "w1", "organization_id": "o1"}


def own(event):
    """Its properties without those that every event has."""
    return {name: value for name, value in event.properties.items() if not name.startswith(("$", "genops_"))}


@pytest.mark.requirement("S3-11")
def test_a_flow_its_tools_and_its_search_are_told_together(told):
    with track_flow("answer", **WHO) as flow:
        with track_tool("search", tool_type="datastore"):
            pass
        with track_rag_query("atlas", vector_db="qdrant") as search:
            search.found(3)
        flow.used_tool("calculator")
    tool, query, executed = told()
    assert [event.name for event in (tool, query, executed)] == ["tool_used", "rag_query_triggered", "flow_executed"]
    assert executed.properties["tools_used"] == ["calculator", "search"]
    assert (executed.properties["flow_id"], executed.properties["success"]) == ("answer", True)
    ids = {event.properties["execution_id"] for event in (tool, query, executed)}
    assert ids == {flow.execution_id}
    assert {event.properties["trace_id"] for event in (tool, query, executed)} == {executed.properties["trace_id"]}
    assert (query.properties["vector_db_used"], query.properties["sources_found"]) == ("qdrant", 3)


@pytest.mark.requirement("S3-10", "S3-67")
def test_an_event_belongs_to_its_user_and_groups(told):
    with track_tool("search", **WHO):
        pass
    (event,) = told()
    assert event.distinct_id == "ann"
    assert event.properties["$groups"] == {"workspace": "w1", "organization": "o1"}
    assert WHO.items() <= event.properties.items()


def test_the_owner_of_the_surrounding_block_is_the_events_owner(told):
    with governance(team="search", user_id="bob"), track_tool("search"):
        pass
    (event,) = told()
    assert (event.distinct_id, event.properties["genops_team"]) == ("bob", "search")


@pytest.mark.requirement("S3-10", "D-37")
def test_what_nobody_knows_is_null(told):
    with track_tool("search"):
        pass
    (event,) = told()
    assert own(event).keys() >= {"user_id", "workspace_id", "organization_id"}
    assert event.properties["workspace_id"] is None


@pytest.mark.requirement("S3-01", "S3-02", "S3-12")
def test_a_step_that_raises_failed_and_the_application_sees_its_error(told):
    with pytest.raises(LookupError), track_flow("answer"), track_tool("search"):
        raise LookupError("nothing")
    tool, flow = told()
    assert (tool.properties["status"], flow.properties["success"]) == ("error", False)


def test_a_step_can_fail_without_raising(told):
    with track_agent("travel", framework="own") as agent:
        agent.spent(tokens=120, cost=0.002)
        agent.fail("no seats", code="sold_out")
    execution, error = told()
    assert (execution.properties["tokens_used"], execution.properties["cost"]) == (120, 0.002)
    assert (execution.properties["success"], execution.properties["error"]) == (False, "no seats")
    assert own(error)["error_code"] == "sold_out"


@pytest.mark.requirement("S3-11")
def test_a_function_and_a_coroutine_function_can_be_steps(told):
    @track_tool()
    def search(word):
        return word.upper()

    assert (search("a"), search.__name__) == ("A", "search")
    assert told()[0].properties["tool_id"] == "search"


async def test_a_coroutine_function_can_be_a_step(told):
    @track_flow("answer")
    async def answer():
        async with track_tool("search"):
            return 42

    assert await answer() == 42
    assert [event.name for event in told()] == ["tool_used", "flow_executed"]


def test_every_run_of_a_decorated_flow_is_an_execution_of_its_own(told):
    @track_flow()
    def answer():
        pass

    answer()
    answer()
    assert len({event.properties["execution_id"] for event in told()}) == 2


def test_after_a_flow_nothing_belongs_to_it_any_more(told):
    with contextlib.suppress(ValueError), track_flow("answer") as flow:
        raise ValueError
    with track_tool("search"):
        pass
    assert told("tool_used")[0].properties["execution_id"] != flow.execution_id


@pytest.mark.requirement("S3-01", "S3-02", "S3-07", "S3-10", "S3-11", "S3-57", "S3-58", "D-37", "D-46")
def test_what_has_happened_can_be_told_afterwards(told):
    track_flow_executed("answer", execution_id="e1", tools_used=["search"], time_ms=1500, success=True, **WHO)
    track_tool_used("search", tool_type="datastore", success=False, latency_ms=20, execution_id="e1", **WHO)
    track_rag_query_triggered("atlas", vector_db="qdrant", latency_ms=30, sources_found=0, execution_id="e1", **WHO)
    flow, tool, query = told()
    trace = [event.properties["trace_id"] for event in (flow, tool, query)]
    assert own(flow) == {
        "flow_id": "answer", "execution_id": "e1", "tools_used": ["search"], "time_ms": 1500.0, "success": True,
        "trace_id": trace[0], **WHO,
    }  # fmt: skip
    assert own(tool) == {
        "tool_id": "search", "tool_type": "datastore", "status": "error", "latency_ms": 20.0, "execution_id": "e1",
        "trace_id": trace[1], **WHO,
    }  # fmt: skip
    assert own(query) == {
        "vector_db_used": "qdrant", "index_name": "atlas", "latency_ms": 30.0, "sources_found": 0,
        "execution_id": "e1", "trace_id": trace[2], **WHO,
    }  # fmt: skip


@pytest.mark.requirement("S3-03", "S3-08", "S3-09", "S3-11", "S3-57", "S3-58", "D-37", "D-46")
def test_an_agent_is_told_when_it_is_made_when_it_ran_and_when_it_failed(told):
    track_agent_created("a1", agent_type="travel", memory_backend="redis", framework="own", **WHO)
    track_agent_execution(
        "e1", framework="own", query="Lisbon?", success=True, execution_time=250, tokens_used=10, cost=0.1, **WHO
    )
    track_agent_error("e2", framework="own", error_message="no seats", error_code="sold_out", **WHO)
    created, ran, failed = told()
    assert own(created) == {
        "agent_id": "a1", "agent_type": "travel", "memory_backend": "redis", "framework": "own",
        "trace_id": created.properties["trace_id"], **WHO,
    }  # fmt: skip
    assert {**own(ran), "agent_id": None} == {
        "execution_id": "e1", "framework": "own", "query": "Lisbon?", "success": True, "execution_time": 250.0,
        "tokens_used": 10, "cost": 0.1, "error": None, "agent_id": None, "trace_id": ran.properties["trace_id"], **WHO,
    }  # fmt: skip
    assert own(failed) == {
        "execution_id": "e2", "framework": "own", "error_message": "no seats", "error_code": "sold_out",
        "trace_id": failed.properties["trace_id"], **WHO,
    }  # fmt: skip


@pytest.mark.parametrize("source", ["abuse_detection", "prompt_similarity"])
@pytest.mark.requirement("S3-04", "S3-05", "S3-06", "S3-11", "S3-57", "S3-58")
def test_a_blocked_prompt_is_told_with_its_beginning_only(told, source):
    track_prompt_blocked(source=source, match_score=0.873, reason="similar", prompt_preview="x" * 500, **WHO)
    (event,) = told()
    assert own(event) == {
        "match_score": 0.873, "source": source, "prompt_preview": "x" * 100, "reason": "similar",
        "trace_id": event.properties["trace_id"], **WHO,
    }  # fmt: skip
    assert event.importance == "critical"


def test_a_prompt_that_is_not_given_is_not_recorded(told):
    track_prompt_blocked(source="abuse_detection", match_score=1, reason="abuse")
    assert told()[0].properties["prompt_preview"] is None


@pytest.mark.parametrize("odd", [float("nan"), float("inf"), -1])
@pytest.mark.requirement("S3-12")
def test_a_duration_that_is_none_does_not_stop_the_application(told, odd):
    track_tool_used("search", latency_ms=odd)
    assert told()[0].properties["latency_ms"] == 0


def test_an_owner_of_another_name_is_refused():
    with pytest.raises(GenOpsValidationError, match="user is not among user_id, workspace_id, organization_id"):
        track_flow("answer", user="ann")


@pytest.mark.requirement("S3-12")
def test_without_an_sdk_nothing_happens():
    with track_flow("answer") as flow, track_tool("search"):
        flow.used_tool("x")
    track_prompt_blocked(source="abuse_detection", match_score=1, reason="abuse")

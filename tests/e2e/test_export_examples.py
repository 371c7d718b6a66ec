"""The examples of exporting run by themselves, print what they promise, and send what PostHog takes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from genops_otel_posthog.receiver.records import ReceivedEvent
from genops_otel_posthog.receiver.server import LocalReceiver

pytestmark = pytest.mark.docs

EXAMPLES = Path(__file__).parents[2] / "examples"


def run(example: str, directory: Path, **variables: str) -> str:
    """What an example prints, run from anywhere."""
    command = [sys.executable, EXAMPLES / example]
    finished = subprocess.run(
        command, cwd=directory, env=os.environ | variables, capture_output=True, text=True, timeout=120, check=False
    )
    assert (finished.returncode, finished.stderr) == (0, "")
    return finished.stdout


class Seen(NamedTuple):
    """What an example printed, and what of it arrived at a receiver."""

    printed: str
    receiver: LocalReceiver

    def events(self) -> dict[str, list[ReceivedEvent]]:
        """By name, all of them: PostHog took each as it was sent, and each is of a span, which arrived as well if any
        did."""
        events: dict[str, list[ReceivedEvent]] = {}
        spans = {span.span_id: span.trace_id for span in self.receiver.spans()}
        for event in self.receiver.events(outcome="any"):
            assert (event.outcome, event.changes or []) == ("accepted", [])
            if spans:
                assert spans[event.properties["$span_id"]] == event.properties["$trace_id"]
            events.setdefault(event.event, []).append(event)
        return events


@pytest.fixture(scope="module")
def fastapi(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seen]:
    with LocalReceiver() as receiver:
        yield Seen(run("fastapi_openai.py", tmp_path_factory.mktemp("fastapi"), POSTHOG_HOST=receiver.url), receiver)


@pytest.fixture
def receiver() -> Iterator[LocalReceiver]:
    with LocalReceiver() as receiver:
        yield receiver


def test_posthog_beside_a_trace_backend_has_the_same_trace(tmp_path: Path) -> None:
    printed = run("existing_provider_two_exporters.py", tmp_path)

    assert [line.split() for line in printed.splitlines()] == [
        ["In", "the", "trace", "backend:"],
        ["POST", "/orders"],
        ["SELECT", "stock"],
        ["chat", "gpt-4o"],
        ["In", "PostHog,", "with", "the", "same", "trace", "id:"],
        ["$ai_generation", "ann", "checkout"],
        ["order_completed", "ann", "checkout"],
    ]


def test_two_exporters_get_the_same_trace_and_posthog_only_what_matters(
    tmp_path: Path, receiver: LocalReceiver
) -> None:
    seen = Seen(run("existing_provider_two_exporters.py", tmp_path, POSTHOG_HOST=receiver.url), receiver)

    (generation,), (order,) = seen.events().values()
    assert len(receiver.spans(trace_id=order.properties["$trace_id"])) == 3
    assert generation.properties["$trace_id"] == order.properties["$trace_id"]
    assert (generation.properties["$ai_input_tokens"], order.properties["amount"]) == (1200, 49.9)
    assert order.properties["$groups"] == {"shop": "berlin"}


def test_an_agent_s_steps_are_product_events_and_its_failure_says_why(tmp_path: Path) -> None:
    printed = run("agent_with_tools.py", tmp_path)

    assert "$ai_generation       $ai_model=gpt-4o-mini, $ai_input_tokens=412\n" in printed
    assert "tool_used            tool_id=order_status, status=success\n" in printed
    assert "agent_error          error_message=there is no such order\n" in printed


def test_both_runs_of_an_agent_arrive_with_tools_retrievals_and_the_error_of_one(
    tmp_path: Path, receiver: LocalReceiver
) -> None:
    events = Seen(run("agent_with_tools.py", tmp_path, POSTHOG_HOST=receiver.url), receiver).events()

    worked, failed = events["agent_execution"]
    assert (worked.properties["success"], failed.properties["success"]) == (True, False)
    assert worked.properties["tokens_used"] == 421
    (error,), (exception,) = events["agent_error"], events["$exception"]
    assert error.properties["$trace_id"] == exception.properties["$trace_id"] == failed.properties["$trace_id"]
    assert exception.properties["$exception_list"][0]["type"] == "LookupError"
    assert [event.properties["status"] for event in events["tool_used"]] == ["success", "error"]
    assert [event.properties["sources_found"] for event in events["rag_query_triggered"]] == [3, 3]
    assert {event.distinct_id for listed in events.values() for event in listed} == {"ann"}
    assert {event.properties["workspace_id"] for listed in events.values() for event in listed} == {"acme"}


def test_a_fastapi_application_s_model_calls_arrive_in_the_trace_of_their_request(fastapi: Seen) -> None:
    events = fastapi.events()
    assert "$ai_generation     ann   of the span 'chat gpt-4o-mini'\n" in fastapi.printed
    assert {name: len(listed) for name, listed in events.items()} == {
        "$ai_generation": 2,
        "question_answered": 1,
        "$exception": 1,
    }
    assert {event.distinct_id for listed in events.values() for event in listed} == {"ann"}
    generation, refused = events["$ai_generation"]
    (answered,), (exception,) = events["question_answered"], events["$exception"]
    assert generation.properties["$trace_id"] == answered.properties["$trace_id"]
    assert refused.properties["$trace_id"] == exception.properties["$trace_id"] != answered.properties["$trace_id"]


def test_a_model_call_that_opentelemetry_instrumented_says_what_it_used_whose_it_was_and_no_word_that_was_said(
    fastapi: Seen,
) -> None:
    generation, refused = fastapi.events()["$ai_generation"]
    told = generation.properties
    expected = {
        "$ai_model": "gpt-4o-mini-2024-07-18",
        "$ai_provider": "openai",
        "$ai_input_tokens": 1200,
        "$ai_cache_read_input_tokens": 1024,
        "$ai_output_tokens": 42,
        "$ai_cache_reporting_exclusive": False,
        "genops_team": "support",
        "genops_customer_id": "acme",
    }
    assert expected.items() <= told.items()
    assert 0 < told["$ai_latency"] <= 0.001 * fastapi.events()["question_answered"][0].properties["took_ms"]
    assert (refused.properties["$ai_is_error"], refused.properties["$ai_http_status"]) == (True, 429)
    assert "capital of Portugal" not in str([event.properties for event in fastapi.receiver.events()])
    assert "Lisbon" not in str([event.properties for event in fastapi.receiver.events()])

"""The assistant's request, exported for real to every system, and what is said when one of them lacks a part of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest

pytest.importorskip("sqlalchemy", reason="needs SQLAlchemy")

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from genops_otel_posthog import GovernanceSpanProcessor, PostHogSpanExporter, governance
from genops_otel_posthog.demo import assistant
from genops_otel_posthog.demo.exported import ExportedEvent, read_exported
from genops_otel_posthog.demo.one_trace import OneTrace, read_one_trace
from genops_otel_posthog.errors import GenOpsError
from genops_otel_posthog.receiver.server import LocalReceiver
from genops_otel_posthog.settings import Settings


class Asked(NamedTuple):
    """What is left when the assistant was asked."""

    receiver: LocalReceiver
    exported: list[ExportedEvent]

    def seen(self, exported: list[ExportedEvent] | None = None, **elsewhere: bool) -> OneTrace:
        local = {"telemetry": True, "events": True, **elsewhere}
        return read_one_trace(self.receiver, self.exported if exported is None else exported, **local)


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asked]:
    directory = tmp_path_factory.mktemp("shop")
    with LocalReceiver() as receiver, pytest.MonkeyPatch.context() as patch:
        settings = Settings.from_environ(
            {
                "POSTHOG_API_KEY": "phc_demo",
                "POSTHOG_HOST": receiver.url,
                "RUDDERSTACK_WRITE_KEY": "demo",
                "RUDDERSTACK_DATA_PLANE_URL": receiver.url,
                "GENOPS_DATABASE_URL": f"sqlite://{directory / 'events.sqlite3'}",
                "GENOPS_OUTBOX_PATH": str(directory / "outbox"),
                "GENOPS_TRACE_URL_TEMPLATE": f"{receiver.url}/api/traces/{{trace_id}}",
            }
        )
        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter(f"{receiver.url}/v1/traces")))
        provider.add_span_processor(GovernanceSpanProcessor(PostHogSpanExporter(settings=settings), settings=settings))
        patch.setattr(trace, "get_tracer", provider.get_tracer)
        with governance(team="support", customer_id="acme"), provider.get_tracer("shop").start_as_current_span("POST"):
            said = assistant.answer("Where is my order?", 17, user="ann", company="acme")
        assert said == "A colleague will write to you today."
        assert provider.force_flush()
        provider.shutdown()
        yield Asked(receiver, read_exported(directory / "events.sqlite3"))


def test_every_system_has_all_of_the_request_by_one_trace_id(asked: Asked) -> None:
    one = asked.seen()

    assert one.problems == ()
    assert one.events == {
        "rag_query_triggered": 1,
        "tool_used": 2,
        "$ai_generation": 1,
        "$exception": 1,
        "agent_execution": 1,
        "agent_error": 1,
        "flow_executed": 1,
        "$ai_span": 5,
    }
    assert (one.posthog, one.rudderstack, one.sdk_events) == (13, 13, 0)
    assert one.database == {"event_logs": 13, "agent_trace_history": 3, "model_cost_logs": 1}
    assert (one.spans, one.failed_spans, one.request, one.models) == (7, 2, "POST", ("gpt-5-mini",))
    assert one.trace_url == f"{asked.receiver.url}/api/traces/{one.trace_id}"


def test_the_one_exception_is_the_bank_s_refusal_and_the_flow_went_on(asked: Asked) -> None:
    (exception,) = [event for event in asked.exported if event.name == "$exception"]
    (flow,) = [event for event in asked.exported if event.name == "flow_executed"]

    assert exception.properties["$exception_list"][0]["value"] == "order 17 was paid with a voucher"
    assert flow.properties["success"] is True
    assert flow.properties["tools_used"] == ["find_order", "refund"]


def test_an_exported_event_says_whose_it_is_and_what_bills_it(asked: Asked) -> None:
    (generation,) = [event for event in asked.exported if event.name == "$ai_generation"]

    assert {name: generation.properties[name] for name in ("genops_team", "genops_customer_id", "user_id")} == {
        "genops_team": "support",
        "genops_customer_id": "acme",
        "user_id": "ann",
    }
    assert [charge.meter for charge in generation.charges] == ["llm_events"]
    assert generation.tables == ("event_logs", "model_cost_logs")


def test_systems_that_are_elsewhere_are_not_asked(asked: Asked) -> None:
    one = asked.seen(telemetry=False, events=False)

    assert (one.spans, one.posthog, one.rudderstack, one.problems) == (None, None, 13, ())


def test_an_event_that_only_the_database_lacks_is_noticed_in_each_of_the_others(asked: Asked) -> None:
    (lacking,) = [event for event in asked.exported if event.name == "agent_error"]
    one = asked.seen([event for event in asked.exported if event is not lacking])

    assert one.problems == (
        f"PostHog has an event {lacking.uuid} that the database does not have",
        f"RudderStack has an event {lacking.uuid} that the database does not have",
    )


def test_an_event_that_did_not_arrive_is_noticed(asked: Asked) -> None:
    invented = replace(asked.exported[0], uuid="3f0c9d6e-8a55-8a4e-9d5c-0242ac120002", name="made_up")

    assert asked.seen([*asked.exported, invented]).problems == (
        "PostHog has 0 of made_up",
        "RudderStack has 0 of made_up",
    )


def test_an_event_of_a_span_that_the_trace_backend_does_not_have_is_noticed(asked: Asked) -> None:
    first, *others = asked.exported
    astray = replace(first, properties={**first.properties, "$span_id": "f" * 16})

    assert asked.seen([astray, *others]).problems == (
        f"{first.name} names a span that the trace backend does not have",
    )


def test_a_link_that_leads_nowhere_is_noticed(asked: Asked) -> None:
    nowhere = f"{asked.receiver.url}/api/nothing"
    exported = [replace(event, properties={**event.properties, "trace_url": nowhere}) for event in asked.exported]

    (problem,) = asked.seen(exported).problems

    assert problem.startswith(f"the link '{nowhere}' on the events leads nowhere: HTTP Error 404")


def test_without_any_event_every_kind_is_missing(asked: Asked) -> None:
    assert asked.seen([]).problems[:2] == (
        "no rag_query_triggered of the assistant's request is in the database",
        "no tool_used of the assistant's request is in the database",
    )


def test_a_database_that_is_not_there_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(GenOpsError, match=r"left no database with its events at .*absent\.sqlite3"):
        read_exported(tmp_path / "absent.sqlite3")

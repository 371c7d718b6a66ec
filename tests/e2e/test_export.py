"""Spans that become events in applications that nobody changed: one trace id in every system, each span once."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from genops_otel_posthog.flags import FlagRow
from genops_otel_posthog.flags.database.sqlite import SqliteFlagStore
from genops_otel_posthog.receiver.server import LocalReceiver

pytestmark = pytest.mark.wheel

SCRIPT = """
from opentelemetry import trace

tracer = trace.get_tracer("assistant")
chat = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt-4o",
    "gen_ai.usage.input_tokens": 120,
    "gen_ai.usage.output_tokens": 30,
}
with tracer.start_as_current_span("POST /ask", kind=trace.SpanKind.SERVER, attributes={"user.id": "ann"}):
    with tracer.start_as_current_span("chat gpt-4o", attributes={**chat, "user.id": "ann"}):
        pass
"""

WITH_REQUESTS = """
import os
import urllib3, requests, httpx

for get in (requests.get, httpx.get, lambda url: urllib3.request("GET", url)):
    get(os.environ["POSTHOG_HOST"] + "/health")
"""

DECLARATIVE = """
file_format: "1.0"
resource:
  attributes:
    - {name: service.name, value: "${OTEL_SERVICE_NAME}"}
tracer_provider:
  processors:
    - batch: {exporter: {otlp_http: {endpoint: "${OTEL_EXPORTER_OTLP_ENDPOINT}/v1/traces"}}}
    - batch: {exporter: {posthog: {host: "${POSTHOG_HOST}"}}}
"""

BOTH = "otlp,posthog"

SEVEN = """
import importlib.util
from opentelemetry import trace
from genops_otel_posthog import governance
from genops_otel_posthog.export.flows import (
    track_agent, track_agent_created, track_flow, track_prompt_blocked, track_rag_query, track_tool
)

chat = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt-4o",
    "gen_ai.usage.input_tokens": 120,
    "gen_ai.usage.output_tokens": 30,
}
tracer = trace.get_tracer("assistant")
with governance(user_id="ann", workspace_id="acme", organization_id="holding"):
    with tracer.start_as_current_span("POST /ask", kind=trace.SpanKind.SERVER):
        track_agent_created("a1", agent_type="support", memory_backend="redis", framework="own")
        with track_flow("answer"), track_tool("search", tool_type="datastore"), track_rag_query("atlas") as query:
            query.found(2)
        with track_agent("support", framework="own") as agent:
            with tracer.start_as_current_span("chat gpt-4o", attributes=chat):
                pass
            agent.fail("no answer", code="empty")
        track_prompt_blocked(source="prompt_similarity", match_score=0.9, reason="injection")
assert importlib.util.find_spec("rudderstack") is None, "RudderStack's own package is not needed"
"""
SEVEN_NAMES = {
    "flow_executed", "tool_used", "agent_created", "agent_execution", "agent_error", "rag_query_triggered",
    "prompt_blocked",
}  # fmt: skip

GATED = """
from opentelemetry import trace
from genops_otel_posthog.export.flows import track_prompt_blocked, track_rag_query

with track_rag_query("atlas", user_id="ann", workspace_id="acme"):
    pass
track_prompt_blocked(source="abuse_detection", match_score=0.9, reason="injection", user_id="ann")
chat = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-4o"}
with trace.get_tracer("assistant").start_as_current_span("chat gpt-4o", attributes={**chat, "user.id": "ann"}):
    pass
"""


def generation(application: Any) -> Any:
    """The one event of the model call."""
    (event,) = application.events("$ai_generation")
    return event


def chat_span(application: Any) -> Any:
    (span,) = [span for span in application.all_spans() if span.name == "chat gpt-4o"]
    return span


@pytest.fixture(scope="module")
def everywhere(
    launch: Any,
    beside_the_wheel: Callable[..., None],
    flagged_receiver: LocalReceiver,
    tmp_path_factory: pytest.TempPathFactory,
) -> Any:
    """An application whose events go to PostHog, RudderStack and a database."""
    beside_the_wheel("sqlalchemy")
    database = tmp_path_factory.mktemp("database") / "events.sqlite3"
    application = launch(
        SCRIPT,
        OTEL_TRACES_EXPORTER=BOTH,
        GENOPS_EXPORT_SPANS="true",
        GENOPS_TEAM="search",
        RUDDERSTACK_WRITE_KEY="write-key",
        RUDDERSTACK_DATA_PLANE_URL=flagged_receiver.url,
        GENOPS_DATABASE_URL=f"sqlite:///{database}",
    ).succeed()
    return application, database


@pytest.mark.requirement("S3-45", "S3-47", "S3-65")
def test_one_trace_id_is_found_in_the_trace_backend_posthog_rudderstack_and_the_database(
    everywhere: Any, flagged_receiver: LocalReceiver
) -> None:
    application, database = everywhere
    trace_id = chat_span(application).trace_id

    assert generation(application).properties["$trace_id"] == trace_id
    messages = [m for m in flagged_receiver.rudder_messages("$ai_generation") if trace_id in str(m)]
    assert len(messages) == 1
    with closing(sqlite3.connect(database)) as connection:
        rows = connection.execute("SELECT * FROM event_logs").fetchall()
    assert any(trace_id in str(row) for row in rows)


def test_the_event_has_the_owner_the_person_and_the_span_of_its_span(everywhere: Any) -> None:
    application, _ = everywhere
    event = generation(application)

    assert event.distinct_id == "ann"
    assert event.properties["genops_team"] == "search"
    assert event.properties["$span_id"] == chat_span(application).span_id


def test_what_the_events_cost_is_in_the_metrics_as_posthog_bills_it(everywhere: Any) -> None:
    application, _ = everywhere
    usage = application.usage()
    usage.pop("model_calls")

    assert usage == application.bill()


def test_the_accounts_are_in_the_metrics_and_add_up(everywhere: Any) -> None:
    application, _ = everywhere
    by_state: dict[Any, float] = {}
    for series in application.series("genops.outbox.events"):
        if "genops.outbox.destination" not in series.attributes:
            by_state[series.attributes["genops.outbox.state"]] = series.value

    assert by_state["ended"] == by_state["filtered"] + by_state["sampled"] + by_state["enqueued"]
    assert by_state["enqueued"] >= 1


@pytest.mark.parametrize(
    "variables",
    [
        {"GENOPS_EXPORT_SPANS": "true"},
        {"GENOPS_EXPORT_SPANS": "true", "OTEL_TRACES_EXPORTER": BOTH},
        {"OTEL_TRACES_EXPORTER": BOTH},
    ],
    ids=["at span end", "both ways", "as an exporter"],
)
def test_each_way_exports_a_span_once(launch: Any, variables: dict[str, str]) -> None:
    application = launch(SCRIPT, **variables).succeed()

    assert generation(application).properties["$trace_id"] == chat_span(application).trace_id


def test_with_both_ways_each_span_is_counted_once(everywhere: Any) -> None:
    application, _ = everywhere
    (enqueued,) = [
        series.value
        for series in application.series("genops.outbox.events")
        if series.attributes == {"genops.outbox.state": "enqueued", "genops.outbox.destination": "posthog"}
    ]

    assert enqueued == len(application.events())


def test_declarative_configuration_makes_the_exporter(
    launch: Any, beside_the_wheel: Callable[..., None], tmp_path: Path
) -> None:
    beside_the_wheel("opentelemetry-configuration")
    (tmp_path / "otel.yaml").write_text(DECLARATIVE)
    application = launch(SCRIPT, OTEL_CONFIG_FILE=str(tmp_path / "otel.yaml")).succeed()

    assert generation(application).properties["$trace_id"] == chat_span(application).trace_id


def test_neither_uploads_nor_requests_of_the_application_come_back_as_spans_or_events(
    launch: Any, beside_the_wheel: Callable[..., None]
) -> None:
    names = ("requests", "httpx", "urllib3")
    beside_the_wheel(*(f"opentelemetry-instrumentation-{name}" for name in names))
    application = launch(SCRIPT + WITH_REQUESTS, GENOPS_EXPORT_SPANS="true", OTEL_TRACES_EXPORTER=BOTH).succeed()

    urls = [
        str(span.attributes.get("http.url", span.attributes.get("url.full", ""))) for span in application.all_spans()
    ]
    assert len([url for url in urls if url.endswith("/health")]) >= 3
    assert [url for url in urls if "/batch" in url] == []
    assert set(application.event_names) == {"$ai_generation"}


@pytest.mark.requirement("S3-13")
def test_an_application_without_the_posthog_sdk_exports_as_well(
    launch: Any, changed_environment: Callable[..., Path]
) -> None:
    application = launch(SCRIPT, python=changed_environment("without_sdk"), GENOPS_EXPORT_SPANS="true").succeed()

    assert generation(application).distinct_id == "ann"


@pytest.mark.requirement("S3-13")
def test_without_a_key_there_is_one_line_and_the_application_goes_on(launch: Any) -> None:
    application = launch(SCRIPT, POSTHOG_API_KEY=None, GENOPS_EXPORT_SPANS="true", OTEL_TRACES_EXPORTER=BOTH).succeed()

    assert len(application.lines_about("spans do not become events")) == 1
    assert chat_span(application).name == "chat gpt-4o"


@pytest.mark.parametrize(
    "variables",
    [
        {"GENOPS_SPAN_RULES": "/nowhere.toml"},
        {"GENOPS_TRACE_URL_TEMPLATE": "jaeger"},
        {"GENOPS_OUTBOX_PATH": "/dev/null/outbox"},
        {"GENOPS_DATABASE_URL": "mysql://nowhere"},
        {"GENOPS_DATABASE_URL": "sqlite:////proc/nowhere/events.sqlite3"},
        {"GENOPS_EXPORT_SPANS": "perhaps"},
    ],
    ids=lambda variables: next(iter(variables)),
)
def test_a_setting_that_cannot_be_used_costs_one_line_and_no_event(launch: Any, variables: dict[str, str]) -> None:
    application = launch(SCRIPT, **{"OTEL_TRACES_EXPORTER": BOTH, **variables}).succeed()

    assert application.log != []
    assert generation(application).distinct_id == "ann"
    assert application.lines_about("Traceback") == []


@pytest.mark.requirement("E-36", "E-38", "S3-47", "S3-55", "S3-57", "S3-66", "S3-67", "S3-23", "S3-49", "S3-51")
def test_all_seven_events_are_in_posthog_rudderstack_database_and_trace_under_one_trace_id(
    launch: Any, beside_the_wheel: Callable[..., None], flagged_receiver: LocalReceiver, tmp_path: Path
) -> None:
    beside_the_wheel("sqlalchemy")
    application = launch(
        SEVEN,
        GENOPS_EXPORT_SPANS="true",
        RUDDERSTACK_WRITE_KEY="write-key-of-seven",
        RUDDERSTACK_DATA_PLANE_URL=flagged_receiver.url,
        GENOPS_DATABASE_URL=f"sqlite:///{tmp_path / 'events.sqlite3'}",
    ).succeed()
    (root,) = [span for span in application.all_spans() if span.name == "POST /ask"]
    owner = {"user_id": "ann", "workspace_id": "acme", "organization_id": "holding", "trace_id": root.trace_id}

    in_posthog = {event.event: event for event in application.events()}
    messages = [
        m for m in flagged_receiver.rudder_messages() if m.message["properties"].get("trace_id") == root.trace_id
    ]
    in_rudderstack = {str(message.event): message for message in messages}
    with closing(sqlite3.connect(tmp_path / "events.sqlite3")) as connection:
        query = "SELECT event_type, id, user_id, workspace_id, trace_id FROM event_logs"
        in_database = {row[0]: row[1:] for row in connection.execute(query)}
        costs = connection.execute("SELECT trace_id FROM model_cost_logs").fetchall()
        history = connection.execute("SELECT DISTINCT trace_id FROM agent_trace_history").fetchall()

    assert {*in_posthog} >= SEVEN_NAMES
    sent = sorted(event.uuid for event in application.events())
    assert sorted(message.message_id for message in messages) == sent, "each once"
    assert len(set(sent)) == len(sent)
    for name in SEVEN_NAMES:
        event, message = in_posthog[name], in_rudderstack[name]
        assert event.properties.items() >= owner.items()
        assert event.properties["$groups"] == {"workspace": "acme", "organization": "holding"}
        assert message.message["properties"].items() >= owner.items()
        assert (message.message_id, message.user_id) == (event.uuid, "ann")
        assert in_database[name] == (event.uuid, "ann", "acme", root.trace_id)
    assert costs == history == [(root.trace_id,)]


@pytest.mark.requirement("E-37", "S3-18", "S3-19", "S3-20", "S3-46")
@pytest.mark.parametrize(
    "way", [{"GENOPS_EXPORT_SPANS": "true"}, {"OTEL_TRACES_EXPORTER": BOTH}], ids=["end", "exporter"]
)
def test_flags_of_the_database_switch_events_and_rows_off_by_environment_alone(
    launch: Any, beside_the_wheel: Callable[..., None], tmp_path: Path, way: dict[str, str]
) -> None:
    beside_the_wheel("sqlalchemy")
    rows = SqliteFlagStore(tmp_path / "flags.sqlite3")
    rows.put(FlagRow("enable_guardrails_tracing", enabled=False))
    rows.put(FlagRow("versioned_rag_tracking", "workspace", "acme", enabled=False))
    rows.put(FlagRow("track_model_costs", "user", "ann", enabled=False))
    application = launch(
        GATED,
        GENOPS_FLAGS_DATABASE_URL=f"sqlite:///{tmp_path / 'flags.sqlite3'}",
        GENOPS_DATABASE_URL=f"sqlite:///{tmp_path / 'events.sqlite3'}",
        **way,
    ).succeed()

    assert "$ai_generation" in application.event_names
    assert not {"prompt_blocked", "rag_query_triggered"} & set(application.event_names)
    with closing(sqlite3.connect(tmp_path / "events.sqlite3")) as connection:
        logged = {row[0] for row in connection.execute("SELECT event_type FROM event_logs")}
        (costs,) = connection.execute("SELECT count(*) FROM model_cost_logs").fetchone()
    assert "$ai_generation" in logged
    assert costs == 0

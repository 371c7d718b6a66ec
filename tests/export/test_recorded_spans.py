"""Every recording of a real instrumentation, through the real exporter, to PostHog, RudderStack and a database.

The rules are tested on the same spans in ``tests/export/rules``. Here it is asked what arrives: whether PostHog takes
it as it was sent, and whether what the rules promise is still there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, NamedTuple

import pytest

pytest.importorskip("sqlalchemy", reason="needs SQLAlchemy")

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult

from genops_otel_posthog import PostHogSpanExporter
from genops_otel_posthog.demo.exported import ExportedEvent, read_exported
from genops_otel_posthog.export.destinations.posthog import PostHogDestination
from genops_otel_posthog.export.outbox.accounts import DestinationAccount
from genops_otel_posthog.export.rules import Rules, builtin_rules
from genops_otel_posthog.export.tally import SpanAccount
from genops_otel_posthog.receiver.records import ReceivedEvent, ReceivedMessage
from genops_otel_posthog.receiver.server import LocalReceiver
from genops_otel_posthog.settings import Settings

CALL, EMBEDDING, STEP, ROOT = "$ai_generation", "$ai_embedding", "$ai_span", "$ai_trace"

EXPECTED: dict[str, dict[str, int]] = {
    "autogen": {STEP: 2, ROOT: 1, "agent_created": 1, "agent_execution": 1, "tool_used": 1},
    "botocore": {CALL: 2},
    "genai-anthropic": {CALL: 3},
    "genai-bedrock": {CALL: 2},
    "genai-langchain": {CALL: 1, STEP: 2, ROOT: 1, "flow_executed": 1, "rag_query_triggered": 1, "tool_used": 1},
    "genai-openai-agents": {STEP: 2, ROOT: 1, "agent_execution": 1, "flow_executed": 1, "tool_used": 1},
    "genai-openai": {EMBEDDING: 1, CALL: 5},
    "google-genai": {CALL: 1},
    "launchdarkly": {"$feature_flag_called": 3},
    "logfire": {EMBEDDING: 1, CALL: 8, "$exception": 2},
    "openai-v2": {EMBEDDING: 1, CALL: 4},
    "openfeature": {"$feature_flag_called": 2},
    "openinference-anthropic": {CALL: 3, "$exception": 1},
    "openinference-bedrock": {CALL: 2},
    "openinference-google-genai": {CALL: 1},
    "openinference-langchain": {CALL: 1, STEP: 2, ROOT: 1, "rag_query_triggered": 1, "tool_used": 1},
    "openinference-openai-agents": {CALL: 2, STEP: 5, ROOT: 1, "agent_execution": 2, "tool_used": 1},
    "openinference-openai": {EMBEDDING: 1, CALL: 5, "$exception": 1},
    "pydantic-ai": {CALL: 3, STEP: 2, ROOT: 2, "$exception": 1, "agent_error": 1, "agent_execution": 2, "tool_used": 2},
    "traceloop-anthropic": {CALL: 4, "$exception": 1},
    "traceloop-bedrock": {CALL: 2},
    "traceloop-langchain": {CALL: 1, STEP: 2, ROOT: 1, "agent_execution": 1, "rag_query_triggered": 1, "tool_used": 1},
    "traceloop-openai": {EMBEDDING: 1, CALL: 5, "$exception": 1},
    "traceloop-sdk": {CALL: 1, STEP: 2, ROOT: 1, "agent_execution": 1, "flow_executed": 1, "tool_used": 1},
    "traceloop-vertexai": {CALL: 1},
    "vercel-ai": {EMBEDDING: 1, CALL: 4, STEP: 1, ROOT: 4, "$exception": 1, "tool_used": 1},
}
"""The events of each recording."""

WRITTEN_WHEN_EXPORTED = {"genops_timestamp", "genops_cost_estimated"}
"""What is not of the span: when it was exported, and where the month stood."""

SOURCES = sorted(path.stem for path in (Path(__file__).parent / "recorded").glob("*.json"))
MODEL_CALLS = [source for source in SOURCES if EXPECTED.get(source, {}).get(CALL)]


class Arrived(NamedTuple):
    """What became of a recording."""

    spans: list[ReadableSpan]
    account: SpanAccount
    destinations: dict[str, DestinationAccount]
    events: list[ReceivedEvent]
    messages: list[ReceivedMessage]
    rows: list[ExportedEvent]

    def named(self, name: str) -> list[dict[str, Any]]:
        """The properties of the events of this name."""
        return [event.properties for event in self.events if event.event == name]

    def span_of(self, event: ReceivedEvent) -> ReadableSpan:
        """The span that an event was made of."""
        (span,) = [
            span
            for span in self.spans
            if f"{span.context.trace_id:032x}" == event.properties["$trace_id"]
            and f"{span.context.span_id:016x}" == event.properties["$span_id"]
        ]
        return span


@pytest.fixture(scope="module")
def receiver() -> Iterator[LocalReceiver]:
    with LocalReceiver() as receiver:
        yield receiver


@pytest.fixture(scope="module")
def arrived(
    receiver: LocalReceiver,
    recorded: Callable[[str], list[ReadableSpan]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[[str], Arrived]:
    """Exports a recording, the first time that it is asked for, with a project and a directory of its own."""
    exported: dict[str, Arrived] = {}

    def export(source: str) -> Arrived:
        directory = tmp_path_factory.mktemp(source)
        settings = Settings.from_environ(
            {
                "POSTHOG_API_KEY": f"phc_{source}",
                "POSTHOG_HOST": receiver.url,
                "RUDDERSTACK_WRITE_KEY": source,
                "RUDDERSTACK_DATA_PLANE_URL": receiver.url,
                "GENOPS_DATABASE_URL": f"sqlite://{directory / 'events.sqlite3'}",
                "GENOPS_OUTBOX_PATH": str(directory / "outbox"),
            }
        )
        spans = recorded(source)
        exporter = PostHogSpanExporter(settings=settings)
        try:
            assert exporter.export(spans) is SpanExportResult.SUCCESS
            assert exporter.force_flush()
            account, events = exporter.spans, exporter.events
            assert events is not None
        finally:
            exporter.shutdown()
        return Arrived(
            spans,
            account,
            dict(events.destinations),
            receiver.events(token=f"phc_{source}", outcome="any"),
            receiver.rudder_messages(write_key=source),
            read_exported(directory / "events.sqlite3"),
        )

    def arrived(source: str) -> Arrived:
        if source not in exported:
            exported[source] = export(source)
        return exported[source]

    return arrived


def test_what_becomes_of_every_recording_is_stated() -> None:
    assert EXPECTED.keys() == set(SOURCES)


RULES_ABOUT_OUR_OWN_SPANS = {
    "agents.prompt_blocked": "no instrumentation says how sure a guardrail is; see tests/export/test_flows.py",
    "analytics.event": "told by the functions of interactions.py; see tests/export/test_interactions.py",
    "flags.span": "the spans of LaunchDarkly do not say the answer; see tests/export/rules/test_flags.py",
}


def test_every_built_in_rule_makes_events_of_recorded_spans(recorded: Callable[[str], list[ReadableSpan]]) -> None:
    made = set()
    for source in SOURCES:
        rules = Rules(builtin_rules())
        made |= {one.rule for span in recorded(source) for one in rules.events_for(span).made}

    assert made | RULES_ABOUT_OUR_OWN_SPANS.keys() == {rule.id for rule in builtin_rules()}
    assert not made & RULES_ABOUT_OUR_OWN_SPANS.keys()


@pytest.mark.parametrize("source", SOURCES)
def test_a_recording_becomes_its_events(arrived: Callable[[str], Arrived], source: str) -> None:
    assert Counter(event.event for event in arrived(source).events) == EXPECTED[source]


@pytest.mark.parametrize("source", SOURCES)
def test_posthog_takes_every_event_as_it_was_sent(arrived: Callable[[str], Arrived], source: str) -> None:
    assert {(event.outcome, event.reason, *(event.changes or ())) for event in arrived(source).events} == {
        ("accepted", None)
    }


@pytest.mark.parametrize("source", SOURCES)
def test_every_span_is_accounted_for_and_none_is_dropped(arrived: Callable[[str], Arrived], source: str) -> None:
    seen = arrived(source)

    assert seen.account.holds
    assert (seen.account.dropped, seen.account.enqueued) == ({}, len(seen.events))
    assert len(seen.destinations) == 3
    for account in seen.destinations.values():
        assert (account.acked, account.dead, account.pending) == (len(seen.events), 0, 0)


@pytest.mark.parametrize("source", SOURCES)
def test_every_event_has_the_ids_and_the_time_of_its_span(arrived: Callable[[str], Arrived], source: str) -> None:
    seen = arrived(source)
    for event in seen.events:
        span = seen.span_of(event)  # there is exactly one
        assert event.properties["trace_id"] == event.properties["$trace_id"]
        assert event.sent_timestamp is not None
        time = datetime.fromisoformat(event.sent_timestamp.replace("Z", "+00:00"))
        # Logfire tells a streamed answer in a span without length, at its end.
        told_after = timedelta(seconds=event.properties.get("$ai_latency", 0)) if source == "logfire" else timedelta()
        assert moment(span.start_time) - told_after <= time <= moment(span.end_time)


@pytest.mark.parametrize("source", SOURCES)
def test_rudderstack_and_the_database_have_the_same_events_under_the_same_ids(
    arrived: Callable[[str], Arrived], source: str
) -> None:
    seen = arrived(source)
    events = {event.uuid: event.event for event in seen.events}

    assert {message.message_id: message.event for message in seen.messages} == events
    assert {row.uuid: row.name for row in seen.rows} == events
    assert {row.uuid: row.trace_id for row in seen.rows} == {
        event.uuid: event.properties["$trace_id"] for event in seen.events
    }


@pytest.mark.parametrize("source", SOURCES)
def test_model_calls_are_priced_in_the_table_of_model_costs_and_nowhere_else(
    arrived: Callable[[str], Arrived], source: str
) -> None:
    for row in arrived(source).rows:
        assert ("model_cost_logs" in row.tables) == (row.name in (CALL, EMBEDDING))


@pytest.mark.parametrize("source", MODEL_CALLS)
def test_a_model_call_that_was_answered_says_model_provider_tokens_and_latency(
    arrived: Callable[[str], Arrived], source: str
) -> None:
    seen = arrived(source)
    answered = [event for event in seen.events if event.event == CALL and not event.properties.get("$ai_is_error")]

    assert answered
    for event in answered:
        told, span = event.properties, seen.span_of(event)
        assert told["$ai_model"]
        assert told["$ai_provider"]
        assert told["$ai_trace_id"] == told["$trace_id"]
        assert told["$ai_latency"] >= 0
        took = moment(span.end_time) - moment(span.start_time)
        assert told["$ai_latency"] == pytest.approx(took.total_seconds(), abs=2e-6) or told.get("$ai_stream")
        # Whoever bills the tokens must know which of them were cached: among the others, or apart.
        among = told["$ai_input_tokens"] >= told.get("$ai_cache_read_input_tokens", 0)
        assert told["$ai_cache_reporting_exclusive"] is not among
        assert told["$ai_input_tokens"] > 0
        assert told["$ai_output_tokens"] > 0


@pytest.mark.parametrize("source", MODEL_CALLS)
def test_a_model_call_that_was_refused_says_its_error_and_no_tokens(
    arrived: Callable[[str], Arrived], source: str
) -> None:
    refused = [told for told in arrived(source).named(CALL) if told.get("$ai_is_error")]
    for told in refused:
        assert told["$ai_error"]
        assert not {"$ai_input_tokens", "$ai_output_tokens"} & told.keys()


@pytest.mark.parametrize("source", [source for source in SOURCES if EXPECTED.get(source, {}).get("$exception")])
def test_an_exception_says_its_type_its_message_and_where_it_was_raised(
    arrived: Callable[[str], Arrived], source: str
) -> None:
    for told in arrived(source).named("$exception"):
        first = told["$exception_list"][0]
        assert first["type"]
        assert first["value"]
        assert told["$exception_level"] == "error"
        assert told["$exception_fingerprint"]


@pytest.mark.parametrize("source", SOURCES)
def test_nothing_that_was_said_leaves(arrived: Callable[[str], Arrived], source: str) -> None:
    seen = arrived(source)
    left = str([event.properties for event in seen.events if event.event != "$exception"])
    left += str([message.message for message in seen.messages if message.event != "$exception"])

    assert "capital of Portugal" not in left
    assert "Sunny in Lisbon" not in left


@pytest.mark.parametrize("source", SOURCES)
def test_capture_v1_keeps_the_same_events(
    arrived: Callable[[str], Arrived],
    receiver: LocalReceiver,
    recorded: Callable[[str], list[ReadableSpan]],
    tmp_path: Path,
    source: str,
) -> None:
    v1 = PostHogDestination(f"phc_v1_{source}", receiver.url, protocol="v1")
    exporter = PostHogSpanExporter(destinations=[v1], outbox=tmp_path / "outbox")
    assert exporter.export(recorded(source)) is SpanExportResult.SUCCESS
    assert exporter.force_flush()
    exporter.shutdown()

    kept = {event.uuid: kept_of(event) for event in receiver.events(token=f"phc_v1_{source}", outcome="any")}
    assert kept == {event.uuid: kept_of(event) for event in arrived(source).events}


def kept_of(event: ReceivedEvent) -> tuple[Any, ...]:
    """What PostHog keeps of an event, whichever way it came."""
    sent = {name: value for name, value in event.properties.items() if name not in WRITTEN_WHEN_EXPORTED}
    return event.event, event.distinct_id, event.outcome, event.changes, event.identified, event.sent_timestamp, sent


def test_a_recording_that_is_exported_again_is_billed_once(
    receiver: LocalReceiver, recorded: Callable[[str], list[ReadableSpan]], tmp_path: Path
) -> None:
    for directory in ("one", "two"):  # as two processes that do not know of each other
        exporter = PostHogSpanExporter("phc_again", receiver.url, outbox=tmp_path / directory)
        assert exporter.export(recorded("pydantic-ai")) is SpanExportResult.SUCCESS
        assert exporter.force_flush()
        exporter.shutdown()

    uuids = Counter(event.uuid for event in receiver.events(token="phc_again"))
    assert set(uuids.values()) == {2}
    assert receiver.bill(token="phc_again").duplicates == len(uuids) == sum(EXPECTED["pydantic-ai"].values())


def moment(nanoseconds: int | None) -> datetime:
    """The time of a span, to the microsecond."""
    assert nanoseconds is not None
    return datetime.fromtimestamp(0, timezone.utc) + timedelta(microseconds=nanoseconds // 1000)

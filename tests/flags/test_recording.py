"""Who is told of an evaluation, and how often."""

from __future__ import annotations

import threading

import pytest
from opentelemetry import trace
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from genops_otel_posthog.flags import (
    EvaluationEvents,
    FlagChain,
    FlagRow,
    OtelRecorder,
    PostHogRecorder,
    Subject,
    Variant,
)
from genops_otel_posthog.flags.answer import Answer
from genops_otel_posthog.flags.recording import Evaluation, Recording

from .conftest import flag

try:
    from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter as InMemoryLogs
except ImportError:  # its older name
    from opentelemetry.sdk._logs.export import InMemoryLogExporter as InMemoryLogs

USER = Subject("u1", "acme")


@pytest.fixture
def logs():
    exporter = InMemoryLogs()
    provider = LoggerProvider(shutdown_on_exit=False)
    provider.add_log_record_processor(SimpleLogRecordProcessor(exporter))

    class Logs:
        def __init__(self) -> None:
            self.provider = provider

        @property
        def records(self):
            return [data.log_record for data in exporter.get_finished_logs()]

    return Logs()


# --- how often --------------------------------------------------------------------------------------------------------


def test_each_flag_subject_and_value_is_recorded_once(store):
    told = []
    store.put(FlagRow("a"))
    store.put(FlagRow("b"))
    chain = FlagChain(database=store, recorders=[told.append])
    for _ in range(3):
        for key in ("a", "b"):
            for user in ("u1", "u2"):
                chain.answer(key, Subject(user))
    store.put(FlagRow("a", enabled=False))
    chain.table.refresh(10)
    chain.answer("a", Subject("u1"))
    assert [(each.answer.key, each.subject.user, each.answer.value) for each in told] == [
        ("a", "u1", True),
        ("a", "u2", True),
        ("b", "u1", True),
        ("b", "u2", True),
        ("a", "u1", False),
    ]


def test_threads_that_ask_at_once_are_recorded_once():
    told, start = [], threading.Barrier(8)
    record = Recording([told.append])

    def run() -> None:
        start.wait(10)
        record(Answer("a", True, "database"), USER)

    threads = [threading.Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(told) == 1


def test_what_is_known_to_be_recorded_is_limited():
    told = []
    record = Recording([told.append], limit=2)
    for user in ("a", "b", "c", "a"):
        record(Answer("flag", True, "database"), Subject(user))
    assert len(told) == 4


def test_a_recorder_that_fails_does_not_hurt_the_application_or_the_next_one(caplog):
    told = []

    def fails(evaluation):
        raise RuntimeError("u1@example.com is not to be logged")

    chain = FlagChain(recorders=[fails, told.append])
    assert chain.answer("beta", USER, True).value is True
    assert len(told) == 1
    assert "could not be recorded: RuntimeError" in caplog.text
    assert "example.com" not in caplog.text


def test_nothing_is_recorded_unasked(store):
    told = []
    chain = FlagChain(database=store, recorders=[told.append])
    chain.answer("beta", USER, record=False)
    chain.answer_now("beta", USER)
    assert told == []


# --- PostHog ----------------------------------------------------------------------------------------------------------


def test_posthog_is_told_as_its_own_sdk_would(receiver, new_client):
    receiver.set_flags([flag("pricing", variants={"a": 100}, version=3, id=7, filters={"payloads": {"a": '"x"'}})])
    client = new_client()
    FlagChain(client, deadline=10).answer("pricing", USER)
    client.get_feature_flag_result("pricing", "u1")
    client.flush()
    ours, theirs = receiver.wait_for_events(2, event="$feature_flag_called")
    assert (ours.distinct_id, ours.properties["$groups"]) == ("u1", {"workspace": "acme"})
    same = ["$feature_flag", "$feature_flag_response", "$feature/pricing", "locally_evaluated", "$feature_flag_payload"]
    assert {name: ours.properties[name] for name in same} == {name: theirs.properties[name] for name in same}
    numbers = ["$feature_flag_version", "$feature_flag_id"]
    assert {name: ours.properties[name] for name in numbers} == dict(zip(numbers, (3, 7), strict=True))
    assert ours.properties["genops_flag_source"] == "posthog_remote"
    assert "$feature_flag_error" not in ours.properties


def test_the_sdk_sends_no_event_of_its_own_for_what_the_chain_asks(receiver, new_client):
    receiver.set_flags([flag("beta")])
    for client in (new_client(), new_client(local=True)):
        FlagChain(client, deadline=10).answer("beta", USER)
        client.flush()
    events = receiver.wait_for_events(2)
    assert [event.properties["genops_flag_source"] for event in events] == ["posthog_remote", "posthog_local"]


def test_a_value_of_the_database_is_told_without_its_rows_version(receiver, new_client, store):
    store.put(FlagRow("beta", variants=(Variant("a", 100),)))
    client = new_client()
    FlagChain(client, store, deadline=10).answer("beta", USER)
    client.flush()
    (event,) = receiver.wait_for_events(1)
    assert event.properties["$feature_flag_response"] == "a"
    assert event.properties["genops_flag_source"] == "database"
    assert "$feature_flag_version" not in event.properties


def test_a_default_is_told_as_no_value_with_the_reason(receiver, new_client):
    client = new_client()
    with receiver.fail("flags", status=500):
        FlagChain(client, deadline=10).answer("beta", USER, "control")
    client.flush()
    (event,) = receiver.wait_for_events(1)
    assert event.properties["$feature_flag_response"] is None
    assert event.properties["$feature_flag_error"] == "api_error_500"


def test_a_workspace_does_not_become_a_person(receiver, new_client):
    client = new_client()
    PostHogRecorder(client)(Evaluation(Answer("beta", True, "database"), Subject(None, "acme")))
    client.flush()
    (event,) = receiver.wait_for_events(1)
    assert event.distinct_id == "workspace:acme"
    assert event.properties["$process_person_profile"] is False


# --- OpenTelemetry ----------------------------------------------------------------------------------------------------


def test_opentelemetry_gets_the_event_of_its_conventions(logs, store):
    store.put(FlagRow("pricing", variants=(Variant("a", 100),)))
    chain = FlagChain(database=store, recorders=[OtelRecorder(EvaluationEvents(logs.provider))])
    chain.answer("pricing", USER)
    (record,) = logs.records
    assert record.event_name == "feature_flag.evaluation"
    assert dict(record.attributes) == {
        "feature_flag.key": "pricing",
        "feature_flag.provider.name": "posthog",
        "feature_flag.result.variant": "a",
        "feature_flag.result.reason": "split",
        "feature_flag.version": "1",
        "genops.flag.source": "database",
    }


def test_a_value_without_variant_is_recorded_and_one_with_if_asked(logs):
    events = EvaluationEvents(logs.provider)
    OtelRecorder(events)(Evaluation(Answer("a", True, "posthog_local"), USER))
    OtelRecorder(events, record_value=True)(Evaluation(Answer("b", True, "posthog_local", variant="x"), USER))
    assert [record.attributes["feature_flag.result.value"] for record in logs.records] == [True, "x"]


def test_an_error_is_recorded_as_one(logs):
    chain = FlagChain(recorders=[OtelRecorder(EvaluationEvents(logs.provider))])
    chain._record(Answer("a", False, "default", reason="error", error="timeout"), USER)
    (record,) = logs.records
    assert record.attributes["error.type"] == "timeout"
    assert record.attributes["feature_flag.result.reason"] == "error"


def test_nobodys_id_is_recorded_unless_asked_for(logs):
    events = EvaluationEvents(logs.provider)
    answer = Answer("a", True, "posthog_local")
    OtelRecorder(events)(Evaluation(answer, USER))
    OtelRecorder(events, record_context_id=True)(Evaluation(answer, USER))
    assert ["feature_flag.context.id" in record.attributes for record in logs.records] == [False, True]


@pytest.mark.filterwarnings("ignore:LogRecord init:DeprecationWarning")  # OpenTelemetry 1.37 warns of its own doing
@pytest.mark.filterwarnings("ignore:LogRecord init:UserWarning")
def test_the_event_belongs_to_the_trace_and_to_the_span_if_asked(logs):
    spans = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(spans))
    with provider.get_tracer("test").start_as_current_span("request") as span:
        OtelRecorder(EvaluationEvents(logs.provider, span_event=True))(Evaluation(Answer("a", True, "database"), USER))
        expected = trace.get_current_span().get_span_context().trace_id
    assert logs.records[0].trace_id == expected
    assert [event.name for event in spans.get_finished_spans()[0].events] == ["feature_flag.evaluation"]
    assert span.is_recording() is False

"""The hook that emits OpenTelemetry's event of each evaluation."""

from __future__ import annotations

import pytest

pytest.importorskip("openfeature.contrib.provider.posthog", reason="needs the extra openfeature")

from openfeature.evaluation_context import EvaluationContext
from openfeature.provider.in_memory_provider import InMemoryFlag, InMemoryProvider
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor

from genops_otel_posthog.flags import EvaluationEvents, FlagRow
from genops_otel_posthog.flags.openfeature import EvaluationHook, GenOpsFallbackProvider

try:
    from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter as InMemoryLogs
except ImportError:  # its older name
    from opentelemetry.sdk._logs.export import InMemoryLogExporter as InMemoryLogs

USER = EvaluationContext("u1")


@pytest.fixture
def logs():
    return InMemoryLogs()


@pytest.fixture
def events(logs):
    provider = LoggerProvider(shutdown_on_exit=False)
    provider.add_log_record_processor(SimpleLogRecordProcessor(logs))
    return EvaluationEvents(provider)


def records(logs):
    return [(data.log_record.event_name, dict(data.log_record.attributes)) for data in logs.get_finished_logs()]


def test_an_evaluation_is_an_event_with_the_names_of_the_conventions(logs, events, store, open_feature):
    store.put(FlagRow("pricing", variant="short"))
    client = open_feature(GenOpsFallbackProvider(InMemoryProvider({}), store, deadline=10))
    client.add_hooks([EvaluationHook(events)])
    client.get_string_value("pricing", "", USER)
    assert records(logs) == [
        (
            "feature_flag.evaluation",
            {
                "feature_flag.key": "pricing",
                "feature_flag.provider.name": "GenOpsFallbackProvider",
                "feature_flag.result.variant": "short",
                "feature_flag.result.reason": "static",
                "feature_flag.version": "1",
                "genops.flag.source": "database",
            },
        )
    ]


def test_an_error_has_its_type_and_message_and_the_default(logs, events, open_feature):
    client = open_feature(GenOpsFallbackProvider(InMemoryProvider({}), deadline=10))
    client.add_hooks([EvaluationHook(events)])
    client.get_boolean_value("beta", True, USER)
    ((_, attributes),) = records(logs)
    assert attributes["error.type"] == "flag_not_found"
    assert attributes["feature_flag.result.reason"] == "error"
    assert attributes["feature_flag.result.value"] is True
    assert attributes["feature_flag.error.message"]


def test_it_serves_any_provider(logs, events, open_feature):
    client = open_feature(InMemoryProvider({"beta": InMemoryFlag("on", {"on": True})}))
    client.add_hooks([EvaluationHook(events)])
    client.get_boolean_value("beta", False, USER)
    ((_, attributes),) = records(logs)
    assert attributes["feature_flag.result.variant"] == "on"
    assert "feature_flag.result.value" not in attributes


def test_objects_are_recorded_as_text_if_values_are_asked_for(logs, events, store, open_feature):
    store.put(FlagRow("banner", payload={"title": "x"}))
    client = open_feature(GenOpsFallbackProvider(InMemoryProvider({}), store, deadline=10))
    client.add_hooks([EvaluationHook(events, record_value=True)])
    client.get_object_value("banner", {}, USER)
    ((_, attributes),) = records(logs)
    assert attributes["feature_flag.result.value"] == "{'title': 'x'}"


def test_the_targeting_key_is_recorded_only_if_asked_for(logs, events, open_feature):
    client = open_feature(InMemoryProvider({"beta": InMemoryFlag("on", {"on": True})}))
    client.add_hooks([EvaluationHook(events)])
    client.get_boolean_value("beta", False, USER)
    client.add_hooks([EvaluationHook(events, record_context_id=True)])
    client.get_boolean_value("beta", False, USER)
    assert ["feature_flag.context.id" in attributes for _, attributes in records(logs)].count(True) == 1

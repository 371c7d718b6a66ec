"""The exporter alone: what it takes, what it answers, and that it can be made of nothing."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from genops_otel_posthog import GovernanceSpanProcessor, PostHogSpanExporter, SpanRule
from genops_otel_posthog.errors import GenOpsConfigurationError, GenOpsValidationError
from genops_otel_posthog.export import pipelines
from genops_otel_posthog.export.event import Event
from genops_otel_posthog.export.rules.rule import EventTemplate
from genops_otel_posthog.receiver.server import LocalReceiver

KEY = "phc_exporter"
ORDER = SpanRule("order", span_name="order", events=[EventTemplate("order_completed", copy=("cart.",))])

MakeExporter = Callable[..., PostHogSpanExporter]


@pytest.fixture(scope="module")
def shared_receiver() -> Iterator[LocalReceiver]:
    with LocalReceiver() as receiver:
        yield receiver


@pytest.fixture
def receiver(shared_receiver: LocalReceiver) -> LocalReceiver:
    shared_receiver.recover()
    shared_receiver.clear()
    return shared_receiver


@pytest.fixture
def make(receiver: LocalReceiver, tmp_path: Path) -> Iterator[MakeExporter]:
    """Makes exporters that send to the receiver; they are shut down at the end."""
    made: list[PostHogSpanExporter] = []

    def make(**arguments: Any) -> PostHogSpanExporter:
        given = {"api_key": KEY, "host": receiver.url, "outbox": tmp_path / "outbox", "rules": [ORDER], **arguments}
        made.append(PostHogSpanExporter(**given))
        return made[-1]

    yield make
    for exporter in made:
        exporter.shutdown(100)


def ended(*names: str, **attributes: Any) -> list[ReadableSpan]:
    """Spans that have ended."""
    memory = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(memory))
    for name in names:
        provider.get_tracer("shop").start_span(name, attributes=attributes).end()
    return list(memory.get_finished_spans())


def waiting(directory: Path) -> bytes:
    """What lies on disk."""
    return b"".join(path.read_bytes() for path in directory.glob("*.seg"))


# --- bare -------------------------------------------------------------------------------------------------------------


def test_a_span_that_a_rule_is_about_becomes_an_event_at_posthog(make: MakeExporter, receiver: LocalReceiver) -> None:
    exporter = make()

    (span,) = ended("order", **{"cart.total": 12})
    assert exporter.export([span]) is SpanExportResult.SUCCESS
    assert exporter.force_flush(10_000)

    (event,) = receiver.events(token=KEY)
    assert event.event == "order_completed"
    assert event.properties["cart.total"] == 12
    assert event.properties["$trace_id"] == f"{span.context.trace_id:032x}"
    assert event.properties["$span_id"] == f"{span.context.span_id:016x}"


def test_the_event_is_on_disk_before_the_span_s_end_returns(make: MakeExporter, receiver: LocalReceiver) -> None:
    receiver.fail("capture", status=503)
    exporter = make()

    exporter.export(ended("order", **{"cart.id": "c-1"}))

    assert b'"cart.id":"c-1"' in waiting(Path(exporter.events.directory))


def test_spans_that_nobody_asked_for_are_filtered_and_are_a_success(make: MakeExporter) -> None:
    exporter = make()

    assert exporter.export(ended("ping", "ping")) is SpanExportResult.SUCCESS
    assert (exporter.spans.ended, exporter.spans.filtered) == (2, 2)


def test_the_same_span_twice_is_one_event(make: MakeExporter, receiver: LocalReceiver) -> None:
    exporter, again = make(), make()
    spans = ended("order")

    exporter.export(spans)
    again.export(spans)
    assert exporter.force_flush(10_000)

    assert len(receiver.events(token=KEY)) == 1
    assert exporter.spans == again.spans
    assert (exporter.spans.ended, exporter.spans.enqueued) == (1, 1)


def test_two_exporters_for_two_projects_each_export_the_span(make: MakeExporter, receiver: LocalReceiver) -> None:
    one, other = make(api_key="phc_one"), make(api_key="phc_other")
    spans = ended("order")

    for exporter in (one, other):
        exporter.export(spans)
        assert exporter.force_flush(10_000)

    assert [len(receiver.events(token=key)) for key in ("phc_one", "phc_other")] == [1, 1]


def test_an_event_is_serialised_the_same_with_and_without_orjson(
    make: MakeExporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    from genops_otel_posthog.export import encoding

    event = Event("e", "ä", "u", "t", {"number": 2**70, "text": "ß", "flag": True, "list": [1.5, None]})
    body = encoding.encode(event)
    monkeypatch.setattr(encoding, "_encode", encoding._encode_slowly)

    assert json.loads(body) == json.loads(encoding.encode(event)) == event.body()


# --- under processors -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("processor", [SimpleSpanProcessor, BatchSpanProcessor, GovernanceSpanProcessor])
def test_any_processor_will_do(make: MakeExporter, receiver: LocalReceiver, processor: Any) -> None:
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(processor(make()))
    with provider.get_tracer("shop").start_as_current_span("order"):
        pass

    assert provider.force_flush(10_000)
    provider.shutdown()

    assert [event.event for event in receiver.events(token=KEY)] == ["order_completed"]


def test_under_two_processors_a_span_is_written_and_counted_once(make: MakeExporter, receiver: LocalReceiver) -> None:
    provider = TracerProvider(shutdown_on_exit=False)
    exporter = make()
    provider.add_span_processor(BatchSpanProcessor(make()))
    provider.add_span_processor(GovernanceSpanProcessor(exporter))
    for _ in range(100):
        provider.get_tracer("shop").start_span("order").end()
    assert provider.force_flush(10_000)
    provider.shutdown()

    assert (exporter.spans.ended, exporter.spans.enqueued) == (100, 100)
    assert len(receiver.events(token=KEY)) == 100


# --- what the answer says ---------------------------------------------------------------------------------------------


def test_an_event_that_cannot_be_kept_on_disk_is_no_success_and_is_delivered_from_memory(
    make: MakeExporter, receiver: LocalReceiver, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("not a directory")
    exporter = make(outbox=tmp_path / "file" / "outbox")

    assert exporter.export(ended("order")) is SpanExportResult.FAILURE
    assert exporter.force_flush(10_000)
    assert len(receiver.events(token=KEY)) == 1


def test_an_event_that_its_redaction_fails_on_is_a_failure_with_a_reason(make: MakeExporter) -> None:
    def redact(event: Event) -> Event:
        raise ValueError("no")

    exporter = make(redact=redact)

    assert exporter.export(ended("order", "ping")) is SpanExportResult.FAILURE
    assert exporter.spans.dropped == {"redaction_failed": 1}
    assert exporter.spans.holds


def test_an_event_that_the_redaction_takes_out_is_a_success(make: MakeExporter) -> None:
    exporter = make(redact=lambda event: None)

    assert exporter.export(ended("order")) is SpanExportResult.SUCCESS
    assert exporter.spans.filtered == 1


def test_after_shutdown_a_span_is_dropped_and_counted(make: MakeExporter) -> None:
    exporter, other = make(), make()
    exporter.shutdown()

    assert exporter.export(ended("order")) is SpanExportResult.FAILURE
    assert other.spans.dropped == {"closed": 1}


def test_an_exporter_that_is_shut_down_leaves_another_of_the_same_at_work(
    make: MakeExporter, receiver: LocalReceiver
) -> None:
    exporter, other = make(), make()
    exporter.shutdown()

    other.export(ended("order"))

    assert other.force_flush(10_000)
    assert len(receiver.events(token=KEY)) == 1


def test_an_outbox_of_the_application_s_own_stays_open(make: MakeExporter, receiver: LocalReceiver) -> None:
    owner = make()
    outbox = owner._pipeline.outbox  # type: ignore[union-attr]  # there is a key
    make(outbox=outbox).shutdown()

    assert outbox.append(b'{"event":"e","distinct_id":"d","properties":{}}')


def test_a_flush_says_when_it_was_not_done_in_time_and_takes_no_longer(
    make: MakeExporter, receiver: LocalReceiver
) -> None:
    exporter = make()
    with receiver.fail("capture", status=503):
        exporter.export(ended("order"))

        assert not exporter.force_flush(50)
        exporter.shutdown(50)

        assert not exporter.force_flush()


def test_of_several_events_of_a_span_each_counts(make: MakeExporter) -> None:
    rule = SpanRule("two", span_name="two", events=[EventTemplate("one"), EventTemplate("other", sample_rate=0.0)])
    exporter = make(rules=[rule])

    exporter.export(ended("two"))

    assert (exporter.spans.ended, exporter.spans.enqueued, exporter.spans.sampled) == (2, 1, 1)


# --- who and where ----------------------------------------------------------------------------------------------------


def test_the_person_of_posthog_s_context_at_the_span_s_start_is_the_event_s(
    make: MakeExporter, receiver: LocalReceiver
) -> None:
    import posthog

    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(GovernanceSpanProcessor(make()))
    with posthog.new_context():
        posthog.identify_context("ann")
        posthog.set_context_session("01936a5c-3f5e-7cc0-8f0e-6d3a3f1c2b4d")
        span = provider.get_tracer("shop").start_span("order")
    span.end()
    assert provider.force_flush(10_000)
    provider.shutdown()

    (event,) = receiver.events(token=KEY)
    assert event.distinct_id == "ann"
    assert event.properties["$session_id"] == "01936a5c-3f5e-7cc0-8f0e-6d3a3f1c2b4d"
    assert "$process_person_profile" not in event.properties


def test_a_session_that_is_no_uuid_of_version_7_is_no_session_of_posthog(
    make: MakeExporter, receiver: LocalReceiver
) -> None:
    exporter = make()
    exporter.export(ended("order", **{"session.id": "s-1"}))
    assert exporter.force_flush(10_000)

    (event,) = receiver.events(token=KEY)
    assert "$session_id" not in event.properties


def test_a_span_that_names_somebody_is_theirs_whatever_posthog_s_context_said(
    make: MakeExporter, receiver: LocalReceiver
) -> None:
    from genops_otel_posthog.processor import PostHogContext

    exporter = make()
    (span,) = ended("order", **{"user.id": "bob"})
    exporter.write(span, PostHogContext("ann", None))
    assert exporter.force_flush(10_000)

    assert receiver.events(token=KEY)[0].distinct_id == "bob"


def test_the_link_to_the_trace_is_on_the_event(
    make: MakeExporter, receiver: LocalReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GENOPS_TRACE_URL_TEMPLATE", "https://jaeger.internal/trace/{trace_id}?uiFind={span_id}")
    exporter = make()
    (span,) = ended("order")
    exporter.export([span])
    assert exporter.force_flush(10_000)

    trace, own = f"{span.context.trace_id:032x}", f"{span.context.span_id:016x}"
    assert receiver.events(token=KEY)[0].properties["trace_url"] == (
        f"https://jaeger.internal/trace/{trace}?uiFind={own}"
    )


def test_lists_of_events_and_properties_come_from_the_environment(
    make: MakeExporter, receiver: LocalReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GENOPS_EXPORT_DENY_PROPERTIES", "cart.secret")
    monkeypatch.setenv("GENOPS_EXPORT_DENY_EVENTS", "pinged")
    ping = SpanRule("ping", span_name="ping", events=[EventTemplate("pinged")])
    exporter = make(rules=[ORDER, ping])
    exporter.export(ended("order", "ping", **{"cart.secret": "x", "cart.id": "c"}))
    assert exporter.force_flush(10_000)

    (event,) = receiver.events(token=KEY)
    assert "cart.id" in event.properties
    assert "cart.secret" not in event.properties


def test_rules_of_a_file_are_asked_before_the_built_in_ones(
    make: MakeExporter, receiver: LocalReceiver, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "rules.toml"
    file.write_text('[[rule]]\nid = "ship"\nmatch.span_name = "ship"\n[[rule.event]]\nname = "shipped"\n')
    monkeypatch.setenv("GENOPS_SPAN_RULES", str(file))
    exporter = make()
    exporter.export(ended("ship"))
    assert exporter.force_flush(10_000)

    assert [event.event for event in receiver.events(token=KEY)] == ["shipped"]


# --- made of what there is --------------------------------------------------------------------------------------------


@pytest.fixture
def warnings_of(caplog: pytest.LogCaptureFixture) -> Iterator[Callable[[], list[str]]]:
    """What was warned of, from the beginning."""
    pipelines._warn.forget()
    yield lambda: [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    pipelines._warn.forget()


def test_without_a_key_there_is_one_warning_and_spans_are_taken_and_do_nothing(
    warnings_of: Callable[[], list[str]],
) -> None:
    exporters = [PostHogSpanExporter(), PostHogSpanExporter()]

    assert [exporter.export(ended("order")) for exporter in exporters] == [SpanExportResult.SUCCESS] * 2
    assert exporters[0].force_flush()
    exporters[0].shutdown()
    (warning,) = warnings_of()
    assert "POSTHOG_API_KEY" in warning


def test_sending_that_is_switched_off_is_nothing_to_warn_about(
    warnings_of: Callable[[], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POSTHOG_API_KEY", KEY)
    monkeypatch.setenv("POSTHOG_ENABLE", "false")

    assert PostHogSpanExporter().events is None
    assert warnings_of() == []


def test_rules_that_cannot_be_read_are_a_warning_and_the_others_are_asked(
    make: MakeExporter, warnings_of: Callable[[], list[str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("GENOPS_SPAN_RULES", str(tmp_path / "missing.toml"))
    exporter = make()

    assert exporter.export(ended("order")) is SpanExportResult.SUCCESS
    assert exporter.spans.enqueued == 1
    (warning,) = warnings_of()
    assert "missing.toml" in warning


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"api_key": "phx_1234567890"}, "api_key"),
        ({"host": "posthog"}, "host"),
        ({"built_in": ("aii",)}, "did you mean 'ai'"),
        ({"redact": "no function"}, "redact"),
        ({"destinations": []}, "destination"),
    ],
)
def test_an_argument_that_cannot_be_used_is_refused(make: MakeExporter, arguments: dict[str, Any], said: str) -> None:
    with pytest.raises((GenOpsConfigurationError, GenOpsValidationError), match=said):
        make(**arguments)


def test_exporters_with_other_settings_share_nothing(make: MakeExporter) -> None:
    from genops_otel_posthog.settings import Settings

    settings = Settings(team="checkout")
    one, other = make(settings=settings), make(settings=replace(settings, team="search"))
    one.export(ended("order"))

    assert (one.spans.ended, other.spans.ended) == (1, 0)

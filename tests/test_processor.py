from __future__ import annotations

from collections.abc import Iterator

import posthog
import pytest
from opentelemetry import baggage
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import Tracer

from genops_otel_posthog.attribution import Attribution, governance
from genops_otel_posthog.processor import GovernanceSpanProcessor, PostHogContext
from genops_otel_posthog.settings import Settings

SETTINGS = Settings(team="platform", environment="production")


class Writer:
    """Keeps what it is given."""

    def __init__(self) -> None:
        self.written: list[tuple[ReadableSpan, PostHogContext]] = []
        self.is_shut_down = False

    def write(self, span: ReadableSpan, context: PostHogContext) -> None:
        self.written.append((span, context))

    def shutdown(self) -> None:
        self.is_shut_down = True

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return timeout_millis > 1


@pytest.fixture
def writer() -> Writer:
    return Writer()


@pytest.fixture
def tracer(writer: Writer) -> Iterator[Tracer]:
    provider = TracerProvider()
    provider.add_span_processor(GovernanceSpanProcessor(writer, settings=SETTINGS))
    yield provider.get_tracer("app")
    provider.shutdown()


def attributes(writer: Writer) -> dict[str, object]:
    return dict(writer.written[-1][0].attributes or {})


def test_a_span_carries_the_owner_of_the_environment(tracer: Tracer, writer: Writer) -> None:
    with tracer.start_as_current_span("work"):
        pass

    assert attributes(writer) == {"genops.team": "platform", "genops.environment": "production"}


def test_a_block_names_the_owner_of_all_spans_in_it(tracer: Tracer, writer: Writer) -> None:
    with governance(team="checkout", customer_id="acme"), tracer.start_as_current_span("work"):
        pass

    assert attributes(writer) == {
        "genops.team": "checkout",
        "genops.environment": "production",
        "genops.customer_id": "acme",
    }


def test_baggage_of_a_request_names_the_owner(tracer: Tracer, writer: Writer) -> None:
    tracer.start_span("work", context=baggage.set_baggage("genops.team", "search")).end()

    assert attributes(writer)["genops.team"] == "search"


def test_what_the_application_said_itself_stays(tracer: Tracer, writer: Writer) -> None:
    tracer.start_span("work", attributes={"genops.team": "its own"}).end()

    assert attributes(writer) == {"genops.team": "its own", "genops.environment": "production"}


def test_an_argument_comes_before_the_environment(writer: Writer) -> None:
    provider = TracerProvider()
    processor = GovernanceSpanProcessor(writer, attribution=Attribution(team="search"), settings=SETTINGS)
    provider.add_span_processor(processor)
    provider.get_tracer("app").start_span("work").end()

    assert attributes(writer) == {"genops.team": "search", "genops.environment": "production"}


def test_spans_that_are_not_sampled_are_not_written(writer: Writer) -> None:
    provider = TracerProvider(sampler=ALWAYS_OFF)
    provider.add_span_processor(GovernanceSpanProcessor(writer, settings=SETTINGS))
    provider.get_tracer("app").start_span("work").end()

    assert writer.written == []


def test_whose_posthog_context_a_span_started_in_is_known_beside_the_span(tracer: Tracer, writer: Writer) -> None:
    with posthog.new_context():
        posthog.identify_context("person-1")
        posthog.set_context_session("0199a6a4-9b6e-7c1a-8f7e-0123456789ab")
        span = tracer.start_span("work")
    span.end()

    assert writer.written[-1][1] == PostHogContext("person-1", "0199a6a4-9b6e-7c1a-8f7e-0123456789ab")
    assert "person-1" not in str(attributes(writer))


def test_spans_that_never_end_do_not_make_the_process_grow(tracer: Tracer, writer: Writer) -> None:
    with posthog.new_context():
        posthog.identify_context("person-1")
        first = tracer.start_span("first")
        for _ in range(10_000):
            tracer.start_span("never ended")
    first.end()

    assert writer.written[-1][1] == PostHogContext()


def test_without_an_exporter_spans_are_only_stamped(writer: Writer) -> None:
    provider = TracerProvider()
    provider.add_span_processor(GovernanceSpanProcessor(settings=SETTINGS))
    span = provider.get_tracer("app").start_span("work")
    span.end()

    assert provider.force_flush()
    assert span.attributes == {"genops.team": "platform", "genops.environment": "production"}  # type: ignore[attr-defined]


def test_flush_and_shutdown_reach_the_exporter(writer: Writer) -> None:
    processor = GovernanceSpanProcessor(writer, settings=SETTINGS)

    assert processor.force_flush(1_000)
    assert not processor.force_flush(1)
    processor.shutdown()
    assert writer.is_shut_down


@pytest.mark.parametrize("is_recorded", [True, False], ids=["recorded", "not recorded"])
def test_a_span_links_to_its_person_where_distinct_ids_may_be_on_spans(writer: Writer, is_recorded: bool) -> None:
    settings = Settings(posthog_project_url="https://us.posthog.com/project/1", record_distinct_id=is_recorded)
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(GovernanceSpanProcessor(writer, settings=settings))
    tracer = provider.get_tracer("app")
    urls = []
    with tracer.start_as_current_span("nobody"):
        pass
    urls.append(attributes(writer).get("posthog.person.url"))
    with governance(user_id="u 1"), tracer.start_as_current_span("owned"):
        pass
    urls.append(attributes(writer).get("posthog.person.url"))
    with posthog.new_context():
        posthog.identify_context("ann")
        with governance(user_id="u 1"), tracer.start_as_current_span("in PostHog's context"):
            pass
    urls.append(attributes(writer).get("posthog.person.url"))
    page = "https://us.posthog.com/project/1/person/"
    assert urls == ([None, f"{page}u%201", f"{page}ann"] if is_recorded else [None] * 3)

"""Errors as ``$exception``."""

from __future__ import annotations

import contextlib

import pytest
from opentelemetry.trace import Status, StatusCode

from genops_otel_posthog.export.rules import Rules, builtin_rules
from genops_otel_posthog.export.rules.exceptions import MAX_FRAMES


def exceptions(rules, spans):
    found = [event for span in spans.taken() for event in rules.events_for(span).events]
    return [event for event in found if event.name == "$exception"]


def fail(message="no such item 42"):
    raise LookupError(message)


def test_an_exception_that_ends_a_span_is_told_with_its_frames(spans):
    with contextlib.suppress(LookupError), spans.open("work"):
        fail()
    (event,) = exceptions(Rules(builtin_rules()), spans)
    (told,) = event.properties["$exception_list"]
    assert (told["type"], told["value"]) == ("LookupError", "no such item 42")
    assert told["mechanism"] == {"type": "opentelemetry", "handled": False, "synthetic": False, "exception_id": 0}
    frame = told["stacktrace"]["frames"][-1]
    assert (frame["function"], frame["in_app"], frame["context_line"]) == ("fail", True, "raise LookupError(message)")
    assert frame["abs_path"].endswith("test_exceptions.py")
    assert event.properties["$exception_level"] == "error"
    assert event.properties["span_name"] == "work"


def test_an_exception_that_passes_through_several_spans_is_told_once_by_the_innermost(spans):
    with contextlib.suppress(LookupError), spans.open("outer"), spans.open("inner"):
        fail()
    (event,) = exceptions(Rules(builtin_rules()), spans)
    assert event.properties["span_name"] == "inner"


def test_the_same_error_in_another_trace_is_told_again_with_the_same_fingerprint(spans):
    for number in (1, 2):
        with contextlib.suppress(LookupError), spans.open():
            fail(f"no such item {number}")
    one, two = exceptions(Rules(builtin_rules()), spans)
    assert one.properties["$exception_fingerprint"] == two.properties["$exception_fingerprint"]


def test_errors_of_different_places_have_different_fingerprints(spans):
    with contextlib.suppress(LookupError), spans.open():
        fail()
    with contextlib.suppress(LookupError), spans.open():
        raise LookupError("no such item 42")
    one, two = exceptions(Rules(builtin_rules()), spans)
    assert one.properties["$exception_fingerprint"] != two.properties["$exception_fingerprint"]


def test_an_exception_that_was_handled_is_not_told(spans):
    with spans.open() as span:
        try:
            fail()
        except LookupError as error:
            span.record_exception(error)
    assert exceptions(Rules(builtin_rules()), spans) == []


def test_an_exception_that_the_application_recorded_and_called_an_error_counts_as_handled(spans):
    with spans.open() as span:
        try:
            fail()
        except LookupError as error:
            span.record_exception(error)
            span.set_status(Status(StatusCode.ERROR, "the item could not be shown"))
    (event,) = exceptions(Rules(builtin_rules()), spans)
    assert event.properties["$exception_list"][0]["mechanism"]["handled"] is True


def test_the_causes_of_an_exception_follow_it(spans):
    with contextlib.suppress(RuntimeError), spans.open():
        try:
            fail()
        except LookupError as error:
            raise RuntimeError("the page has no item") from error
    (event,) = exceptions(Rules(builtin_rules()), spans)
    told = event.properties["$exception_list"]
    assert [(each["type"], each["value"]) for each in told] == [
        ("RuntimeError", "the page has no item"),
        ("LookupError", "no such item 42"),
    ]
    assert told[1]["mechanism"]["parent_id"] == 0
    assert told[1]["stacktrace"]["frames"][-1]["function"] == "fail"


def test_a_stack_without_end_is_cut_in_the_middle(spans):
    def deeper(depth):
        return deeper(depth - 1) + 1 if depth else fail()

    with contextlib.suppress(LookupError), spans.open():
        deeper(2)
    (event,) = exceptions(Rules(builtin_rules()), spans)
    (told,) = event.properties["$exception_list"]
    frame = 'File "/srv/app/shop.py", line {}, in step\n    step()\n'
    stack = "Traceback (most recent call last):\n" + "".join(f"  {frame.format(line)}" for line in range(1, 200))
    with spans.open() as span:
        span.add_event(
            "exception",
            {
                "exception.type": "RecursionError",
                "exception.message": "m",
                "exception.stacktrace": f"{stack}RecursionError: m",
            },
        )
        span.set_status(Status(StatusCode.ERROR))
    (event,) = exceptions(Rules(builtin_rules()), spans)
    frames = event.properties["$exception_list"][0]["stacktrace"]["frames"]
    assert len(frames) == MAX_FRAMES
    assert (frames[0]["lineno"], frames[-1]["lineno"]) == (1, 199)
    assert told["type"] == "LookupError"


def test_frames_of_libraries_are_not_the_applications_own(events_of):
    event = events_of("pydantic-ai", "$exception")[0]
    frames = event.properties["$exception_list"][0]["stacktrace"]["frames"]
    assert {frame["in_app"] for frame in frames if "site-packages" in frame["abs_path"]} == {False}
    assert frames[0]["filename"].startswith("pydantic_ai/")
    assert frames[-1]["function"] == "broken_weather"


@pytest.mark.parametrize("source", ["traceloop-openai", "openinference-openai", "logfire"])
def test_a_refused_model_call_is_told_as_an_error_too(events_of, source):
    told = events_of(source, "$exception")[0].properties["$exception_list"][0]
    assert (told["type"], told["module"]) == ("RateLimitError", "openai")


def test_an_error_without_an_exception_is_not_one(spans):
    with spans.open() as span:
        span.set_status(Status(StatusCode.ERROR, "500"))
    assert exceptions(Rules(builtin_rules()), spans) == []

"""Spans from JSON are the spans that were written."""

from __future__ import annotations

import json

import pytest
from opentelemetry.trace import SpanKind, Status, StatusCode

from genops_otel_posthog.errors import GenOpsValidationError
from genops_otel_posthog.export.rules import EventTemplate, Rules, SpanRule
from genops_otel_posthog.export.rules.span_json import spans_from_json


def test_what_the_sdk_prints_makes_the_same_event_as_the_span(spans):
    with (
        spans.open("outer"),
        spans.open("work", kind=SpanKind.SERVER, attributes={"a": [1, 2], "user.id": "ann"}) as span,
    ):
        span.add_event("paid", {"b": True})
        span.set_status(Status(StatusCode.ERROR, "no"))
    inner = spans.taken()[0]
    rules = Rules([SpanRule("r", kind="server", span_event="paid", events=[EventTemplate("seen", copy=["a"])])])
    (read,) = spans_from_json(json.loads(inner.to_json()))
    (one,), (two,) = rules.events_for(inner).events, rules.events_for(read).events
    assert (one.uuid, one.properties["a"], one.distinct_id) == (two.uuid, two.properties["a"], two.distinct_id)
    assert one.timestamp[:19] == two.timestamp[:19]


def test_a_span_of_otlp_may_stand_alone():
    span = {"traceId": "0a" * 16, "spanId": "0b" * 8, "name": "x", "startTimeUnixNano": "1", "endTimeUnixNano": "2"}
    (read,) = spans_from_json(span)
    assert (read.name, read.end_time, read.kind.name) == ("x", 2, "INTERNAL")


@pytest.mark.parametrize(
    "document", [{}, {"name": "x"}, "text", [7], {"resourceSpans": [{"scopeSpans": [{"spans": [{}]}]}]}]
)
def test_what_is_not_a_span_is_refused_with_what_would_be(document):
    with pytest.raises(GenOpsValidationError, match=r"is not a span: .*give OTLP/JSON"):
        spans_from_json(document)

"""Whatever hangs on a span, the event is JSON that PostHog takes, or there is none and a reason."""

from __future__ import annotations

import json
import math
from datetime import datetime, timezone
from decimal import Decimal
from types import SimpleNamespace
from uuid import UUID

import pytest

from genops_otel_posthog import PostHogSpanExporter
from genops_otel_posthog.export.rules import EventTemplate, Reason, Rules, SpanRule
from genops_otel_posthog.export.rules.plain import MAX_EVENT_BYTES, MAX_PROPERTIES
from genops_otel_posthog.export.text import MAX_VALUE_BYTES, text
from genops_otel_posthog.receiver import LocalReceiver

EVERYTHING = Rules([SpanRule("r", events=[EventTemplate("seen", copy=["x"])])])


def altered(span, **parts):
    """A span with these parts as they are: OpenTelemetry itself would clean or refuse some."""
    context = span.get_span_context()
    names = ("name", "kind", "status", "parent", "resource", "events", "attributes", "start_time", "end_time")
    kept = {name: getattr(span, name) for name in (*names, "instrumentation_scope")}
    return SimpleNamespace(**{**kept, **parts}, get_span_context=lambda: context)


def made(span, attributes):
    """The properties of the event of a span with these attributes."""
    conversion = EVERYTHING.events_for(altered(span, attributes=attributes))
    assert len(conversion.events) == 1, conversion.left_out
    body = json.dumps(conversion.events[0].body(), allow_nan=False, ensure_ascii=False).encode()
    assert len(body) < 1_000_000
    return conversion.events[0].properties


class Unspeakable:
    def __str__(self):
        raise RuntimeError("no")


def cycle():
    inner: dict = {}
    inner["again"] = [inner]
    return inner


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"caf\xc3\xa9", "café"),
        (b"\xff\xfe", "//4="),
        (math.nan, None),
        (math.inf, None),
        ([1.5, math.nan], [1.5, None]),
        ("half \ud83d pair", "half \ufffd pair"),
        ("nul\x00nul", "nul\ufffdnul"),
        (2**70, str(2**70)),
        (-(2**63), -(2**63)),
        pytest.param(10**5000, hex(10**5000), id="more digits than Python writes"),
        (Decimal("1.25"), 1.25),
        (datetime(2026, 1, 2, tzinfo=timezone.utc), "2026-01-02T00:00:00+00:00"),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        ({1: {2}}, {"1": [2]}),
        (("a", True, None), ["a", True, None]),
        (Unspeakable(), "<Unspeakable without text: RuntimeError>"),
    ],
)
def test_a_value_becomes_what_json_can_say(spans, value, expected):
    assert made(spans.one(), {"x": value})["x"] == expected


def test_a_value_that_contains_itself_ends_somewhere(spans):
    properties = made(spans.one(), {"x": cycle()})
    assert properties["genops_truncated"] == ["x"]


def test_two_megabytes_are_cut_and_the_event_says_where(spans):
    properties = made(spans.one(), {"x": "a" * 2_000_000, "x2": "short"})
    assert len(properties["x"]) <= MAX_VALUE_BYTES
    assert properties["x"].endswith("…")
    assert (properties["x2"], properties["genops_truncated"]) == ("short", ["x"])


def test_many_large_values_together_fit_into_one_event(spans):
    properties = made(spans.one(), {f"x{number}": "é" * 200_000 for number in range(20)})
    assert len(json.dumps(properties, ensure_ascii=False).encode()) <= MAX_EVENT_BYTES + 2_000
    assert "x19" in properties["genops_truncated"]
    assert properties["$trace_id"]


def test_control_characters_are_counted_as_json_writes_them(spans):
    made(spans.one(), {f"x{number}": "\x01" * 500_000 for number in range(10)})


def test_ten_thousand_attributes_make_an_event_with_as_many_as_it_may_have(spans):
    properties = made(spans.one(), {f"x{number}": number for number in range(10_000)})
    assert len(properties) <= MAX_PROPERTIES + 1
    assert properties["x0"] == 0
    assert properties["genops_truncated"]


def test_a_long_list_is_cut(spans):
    properties = made(spans.one(), {"x": list(range(100_000))})
    assert len(properties["x"]) == 2_000
    assert properties["genops_truncated"] == ["x"]


def test_a_name_that_is_not_unicode_is_repaired(spans):
    assert made(spans.one(), {"x\ud800": 1})["x\ufffd"] == 1


def test_an_event_for_whose_ids_there_is_no_room_is_too_large(spans):
    rules = Rules([SpanRule("r", events=[EventTemplate("seen")])], max_event_bytes=10)
    assert rules.events_for(spans.one()).reason is Reason.TOO_LARGE


def test_a_time_that_is_none_is_invalid(spans):
    assert EVERYTHING.events_for(altered(spans.one(), end_time=10**30)).reason is Reason.INVALID


def test_text_that_is_fine_is_kept_as_it_is():
    assert text("Grüße, 世界 🙂") == "Grüße, 世界 🙂"


def test_posthog_takes_the_event_of_every_bad_span_and_each_is_accounted_for(spans, tmp_path):
    bad = [
        {"x": cycle()},
        {"x": b"\xff\xfe"},
        {"x": math.nan, "x2": [math.inf]},
        {"x": "a" * 2_000_000},
        {"x": "half \ud83d pair", "x\ud800": "nul\x00nul"},
        {f"x{number}": number for number in range(10_000)},
        {"x": Unspeakable()},
    ]
    rule = SpanRule("r", events=[EventTemplate("seen", copy=["x"])])
    with LocalReceiver() as receiver:
        exporter = PostHogSpanExporter("phc_bad", receiver.url, rules=[rule], outbox=tmp_path / "outbox")
        exporter.export([altered(spans.one(), attributes=attributes) for attributes in bad])
        exporter.export([altered(spans.one(), attributes={}, end_time=10**30)])
        assert exporter.force_flush(20_000)
        arrived = receiver.events(token="phc_bad")
        events, account = exporter.events, exporter.spans
        exporter.shutdown()
    assert [event.event for event in arrived] == ["seen"] * len(bad)
    assert (account.ended, account.enqueued, dict(account.dropped)) == (len(bad) + 1, len(bad), {"invalid": 1})
    (delivered,) = events.destinations.values()
    assert (delivered.acked, delivered.dead, events.holds) == (len(bad), 0, True)

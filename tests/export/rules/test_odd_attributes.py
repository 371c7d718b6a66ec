"""Recorded spans with one attribute after the other replaced by what does not belong there."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest

from genops_otel_posthog.export.rules import Reason, Rules, builtin_rules

RECORDED = sorted((Path(__file__).parents[1] / "recorded").glob("*.json"))
ODD = [
    b"\xff",
    math.nan,
    -1,
    2**80,
    "",
    "{",
    '[{"role": 7, "parts": [null, 1]}]',
    "[[[[]]]]",
    [None],
    {"a": {"b": b"c"}},
    True,
]


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
def test_an_odd_attribute_costs_neither_the_span_nor_its_events(recorded, path):
    for span in recorded(path.stem):
        rules = Rules(builtin_rules(content=True))
        usual = {event.name for event in rules.events_for(span).events}
        for name in span.attributes:
            for odd in ODD:
                changed = replace(span, attributes={**span.attributes, name: odd})
                conversion = rules.events_for(changed)
                failed = [left for left in conversion.left_out if left.reason is not Reason.FILTERED]
                assert failed == [], (name, odd)
                if not name.endswith(("span.kind", "operation.name", "operationId", "request.type", "span_type")):
                    assert {event.name for event in conversion.events} == usual, (name, odd)
                for event in conversion.events:
                    json.dumps(event.body(), allow_nan=False, ensure_ascii=False).encode()


def test_odd_span_events_cost_nothing_either(recorded):
    (span,) = recorded("openfeature")
    for number, event in enumerate(span.events):
        for name in event.attributes:
            for odd in ODD:
                events = list(span.events)
                events[number] = replace(event, attributes={**event.attributes, name: odd})
                conversion = Rules(builtin_rules()).events_for(replace(span, events=tuple(events)))
                assert [left for left in conversion.left_out if left.reason is not Reason.FILTERED] == [], (name, odd)

"""Spans with attributes of the same names share what follows from the names, and nothing that follows from values."""

from __future__ import annotations

import subprocess
import sys

import pytest

from genops_otel_posthog.export.rules import PRESENT, EventTemplate, Rules, SpanRule, builtin_rules
from genops_otel_posthog.export.rules.view import SpanView
from genops_otel_posthog.export.shapes import Shapes

CART = SpanRule(
    "cart",
    span_name="buy",
    attributes={"cart.id": PRESENT},
    events=[EventTemplate("bought", properties={"cart": "cart.id", "name": "span.name"}, copy=["cart."])],
)


def test_names_in_one_order_are_one_shape() -> None:
    shapes = Shapes()
    assert shapes.of({"a": 1, "b": 2}) is shapes.of({"a": 3, "b": 4})
    assert shapes.of({"a": 1, "b": 2}) is not shapes.of({"b": 2, "a": 1})


def test_shapes_and_names_of_spans_are_forgotten_rather_than_kept_without_end() -> None:
    shapes = Shapes()
    for number in range(5_000):
        shape = shapes.of({f"key.{number}": 1})
        shape.remember_found(("scope", "name"), [])
    assert len(shapes._known) <= 1_024
    for number in range(5_000):
        shape.remember_found(("scope", f"GET /orders/{number}"), [])
    assert len(shape.found) <= 512


def test_values_are_those_of_each_span(spans) -> None:
    rules = Rules([CART])
    made = [rules.events_for(spans.one("buy", attributes={"cart.id": f"cart {n}"})).events[0] for n in range(3)]
    assert [event.properties["cart"] for event in made] == ["cart 0", "cart 1", "cart 2"]
    assert [event.properties["cart.id"] for event in made] == ["cart 0", "cart 1", "cart 2"]


def test_the_rules_for_one_scope_and_name_are_not_those_for_another(spans) -> None:
    rules = Rules([CART, SpanRule("shop", scope="shop*", events=[EventTemplate("shop")])])
    attributes = {"cart.id": "a"}
    for _ in range(2):
        named = [
            [event.name for event in rules.events_for(spans.one(name, scope, attributes=attributes)).events]
            for name, scope in (("buy", "shop"), ("sell", "shop"), ("buy", "other"), ("sell", "other"))
        ]
        assert named == [["bought", "shop"], ["shop"], ["bought"], []]


def test_a_span_event_leads_to_rules_whatever_the_spans_before_had(spans) -> None:
    rules = Rules(builtin_rules())
    assert rules.events_for(spans.one("work")).events == ()
    with pytest.raises(ValueError, match="no"), spans.open("work"):
        raise ValueError("no")
    assert [event.name for event in rules.events_for(spans.taken()[-1]).events] == ["$exception"]
    assert rules.events_for(spans.one("work")).events == ()


@pytest.mark.parametrize("team", ["1", 1, True, 1.0])
def test_owners_that_compare_equal_are_told_apart(spans, team) -> None:
    rules = Rules([SpanRule("all", events=[EventTemplate("seen")])])
    for other in ("1", 1, True, 1.0):
        rules.events_for(spans.one(attributes={"genops.customer_id": other}))
    event = rules.events_for(spans.one(attributes={"genops.customer_id": team})).events[0]
    assert event.properties["genops_customer_id"] == str(team)


def test_what_the_sdk_holds_is_read_as_its_properties_give_it(spans) -> None:
    with spans.open("work", attributes={"a": 1, "b": ["x"]}) as span:
        span.add_event("one", {"c": 2})
    ended = spans.taken()[-1]
    view = SpanView(ended)
    assert dict(view.attributes) == dict(ended.attributes)
    assert (view.has_events, [event.name for event in view.events]) == (True, ["one"])
    view.attributes["a"] = 2  # a rule's own code may do what it likes to its copy
    assert ended.attributes["a"] == 1
    assert SpanView(spans.one()).has_events is False


def test_ids_can_be_asked_for_without_the_rules() -> None:
    code = "import genops_otel_posthog.export.correlation"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)

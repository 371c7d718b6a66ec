"""Properties that need no repair are encoded without being looked at one by one, and come out as if they had been."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from genops_otel_posthog.export.encoding import encode_plain
from genops_otel_posthog.export.rules.plain import MAX_EVENT_BYTES, MAX_PROPERTIES, Plain, encoded_as_it_is

TEXTS = st.one_of(
    st.text(max_size=40),
    st.text(alphabet=st.characters(exclude_categories=())),  # halves of surrogate pairs among them
    st.sampled_from(["", "a\x00b", "\\u0000", "x" * 257, "ü" * 1_001, "\ud800"]),
)
NUMBERS = st.one_of(
    st.integers(),
    st.sampled_from([2**53, 2**63 - 1, 2**63, -(2**63) - 1]),
    st.floats(),
    st.booleans(),
    st.none(),
    st.decimals(),
)
VALUES = st.recursive(
    st.one_of(TEXTS, NUMBERS, st.binary(max_size=8)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.dictionaries(st.one_of(st.text(max_size=8), st.integers()), inner, max_size=4),
    ),
    max_leaves=12,
)


def looked_at(properties: dict[str, Any], limit: int = MAX_EVENT_BYTES) -> tuple[dict[str, Any], list[str]]:
    return Plain(limit).properties(properties, lambda name: name)


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(st.text(alphabet="abc_$.", min_size=1, max_size=6), VALUES, max_size=8))
@example({"a": float("nan"), "b": [float("inf")], "c": None})
@example({"a": {"k" * 1_001: 1}})
def test_what_is_encoded_at_once_is_what_looking_at_every_value_gives(properties: dict[str, Any]) -> None:
    at_once = encoded_as_it_is(dict(properties), len(properties), MAX_EVENT_BYTES)
    if at_once is not None:
        made, encoded = at_once
        plain, shortened = looked_at(properties)
        assert (made, shortened) == (plain, [])
        assert [type(value) for value in made.values()] == [type(value) for value in plain.values()]
        assert json.loads(encoded) == plain


@pytest.mark.parametrize(
    "value",
    [
        "a\x00b",
        "\ud800",
        float("nan"),
        [float("inf")],
        2**70,
        Decimal("0.1"),
        b"bytes",
        {1: "one"},
        {"k" * 1_001: 1},
        [0] * 2_001,
        ["x" * 1_000] * 300,
        ("a", ("b",)),
    ],
    ids=lambda value: str(value)[:20],
)
def test_what_may_need_repair_is_looked_at(value: object) -> None:
    assert encoded_as_it_is({"name": value}, 1, MAX_EVENT_BYTES) is None


def test_so_are_events_that_are_deep_wide_or_near_their_limit() -> None:
    deep: list[Any] = []
    for _ in range(12):
        deep = [deep]
    assert encoded_as_it_is({"name": deep}, 1, MAX_EVENT_BYTES) is None
    assert encoded_as_it_is({"name": deep[0]}, 1, MAX_EVENT_BYTES) is not None
    wide = dict.fromkeys(map(str, range(MAX_PROPERTIES + 1)), 1)
    assert encoded_as_it_is(wide, len(wide), MAX_EVENT_BYTES) is None
    assert encoded_as_it_is({"name": "x" * 500}, 1, 600) is None


def test_an_ordinary_event_is_not() -> None:
    ordinary = {"text": "Ünïcode “quoted”\n" * 100, "number": 0.5, "count": 3, "nothing": None, "reasons": ("stop",)}
    assert encoded_as_it_is(ordinary, len(ordinary), MAX_EVENT_BYTES) is not None


def test_the_standard_library_refuses_what_the_fast_encoder_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    from genops_otel_posthog.export import encoding

    monkeypatch.setattr(encoding, "_encode_strictly", encoding._encode_strictly_and_slowly)
    for value in (2**53, 2**70, float("nan"), "\ud800", "a\x00b", b"bytes"):
        assert encode_plain({"name": value}) is None
    assert encode_plain({"name": "ü", "count": 3}) == '{"name":"ü","count":3}'.encode()

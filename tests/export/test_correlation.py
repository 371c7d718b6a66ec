"""Ids that are the same in every system."""

from __future__ import annotations

import uuid

import pytest

from genops_otel_posthog.acceptance import ILLEGAL_DISTINCT_IDS
from genops_otel_posthog.export.correlation import anonymous_id, event_uuid, posthog_session_id, usable_distinct_id


def test_a_uuid_is_made_of_trace_span_and_rule():
    made = {event_uuid(trace, span, rule) for trace in (1, 2) for span in (3, 4) for rule in ("a", "b")}
    assert len(made) == 8
    assert {uuid.UUID(each).version for each in made} == {8}


def test_the_anonymous_person_of_a_trace_is_the_one_that_posthogs_own_endpoint_makes():
    namespace = uuid.UUID("392e81d5-3d13-4a6f-b541-bdbf6c865e56")
    trace_id = "0af7651916cd43dd8448eb211c80319c"
    assert anonymous_id(trace_id) == str(uuid.uuid5(namespace, f"trace:{trace_id}"))
    assert anonymous_id(trace_id, "s1") == str(uuid.uuid5(namespace, "session:s1"))


def test_two_ids_that_are_too_long_stay_two():
    one, two = (usable_distinct_id("é" * 300 + end) for end in "ab")
    assert one != two
    assert len(one.encode()) <= 200
    assert usable_distinct_id("x" * 200) == "x" * 200


@pytest.mark.parametrize("value", [None, True, 1.5, "", "  ", 0, " Anonymous ", *sorted(ILLEGAL_DISTINCT_IDS)])
def test_what_names_nobody_is_no_distinct_id(value):
    assert usable_distinct_id(value) is None


def test_a_number_may_be_a_distinct_id():
    assert usable_distinct_id(42) == "42"


@pytest.mark.parametrize("value", [None, 7, "", "not-a-uuid", "6433bcab-e4e1-4999-b70c-52e74a367cd7"])
def test_only_a_uuid_of_version_7_is_a_session(value):
    assert posthog_session_id(value) is None

"""Evaluations of feature flags, recorded from OpenFeature's own hook, as ``$feature_flag_called``."""

from __future__ import annotations

import json

import pytest

from genops_otel_posthog.export.rules import Rules, builtin_rules


def test_evaluations_are_told_with_their_answer_and_their_person(events_of):
    found, missing = events_of("openfeature", "$feature_flag_called")
    assert found.distinct_id == "user-42"
    expected = {
        "$feature_flag": "new-checkout",
        "$feature_flag_response": "on",
        "$feature/new-checkout": "on",
        "$feature_flag_reason": "static",
        "feature_flag_provider": "In-Memory Provider",
    }
    assert expected.items() <= found.properties.items()
    assert (missing.properties["$feature_flag"], missing.properties["$feature_flag_error"]) == (
        "no-such-flag",
        "flag_not_found",
    )


def test_the_same_answer_for_the_same_person_is_told_once(events_of, recorded):
    (span,) = recorded("openfeature")
    assert sum(event.name == "feature_flag.evaluation" for event in span.events) == 3
    assert len(events_of("openfeature", "$feature_flag_called")) == 2


def test_an_evaluation_that_launchdarkly_tells_in_a_span_and_in_an_event_is_told_once_with_its_answer(
    events_of, recorded
):
    assert [span.name for span in recorded("launchdarkly")] == ["variation", "variation", "variation", "GET /checkout"]
    told = [event.properties for event in events_of("launchdarkly")]
    assert [(properties["$feature_flag"], properties["$feature_flag_response"]) for properties in told] == [
        ("new-checkout", True),
        ("button-colour", "blue"),
        ("no-such-flag", False),
    ]
    assert {properties["feature_flag_provider"] for properties in told} == {"LaunchDarkly"}
    assert {event.distinct_id for event in events_of("launchdarkly")} == {"user-42"}


@pytest.mark.parametrize("answer", ['"', '""', '"a', '"\\ud800"', '"a" and "b"'])
def test_an_answer_in_odd_quotes_is_told_as_it_is_or_without_them(spans, answer):
    with spans.open() as span:
        span.add_event("feature_flag", {"feature_flag.key": "a", "feature_flag.result.value": answer})
    (event,) = Rules(builtin_rules()).events_for(spans.taken()[0]).events
    json.dumps(event.body(), ensure_ascii=False).encode()
    assert event.properties["$feature_flag_response"] in (answer, answer[1:-1], "\ufffd")


def test_the_exception_that_a_provider_reports_is_not_an_error_of_the_application(events_of):
    assert events_of("openfeature", "$exception") == []


def test_evaluations_of_posthog_are_left_to_its_sdk(spans):
    with spans.open() as span:
        span.add_event("feature_flag.evaluation", {"feature_flag.key": "a", "feature_flag.provider.name": "PostHog"})
    conversion = Rules(builtin_rules()).events_for(spans.taken()[0])
    assert conversion.events == ()
    assert conversion.left_out[0].detail == "PostHog's SDK reports it itself"


def test_a_span_that_is_itself_an_evaluation_is_told(spans):
    attributes = {"feature_flag.key": "a", "feature_flag.result.value": True, "feature_flag.context.id": "ann"}
    (event,) = Rules(builtin_rules()).events_for(spans.one(attributes=attributes)).events
    assert (event.distinct_id, event.properties["$feature_flag_response"]) == ("ann", True)

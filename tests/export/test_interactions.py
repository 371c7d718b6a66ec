"""Product analytics told by functions."""

from __future__ import annotations

import logging

import pytest

from genops_otel_posthog.errors import GenOpsValidationError
from genops_otel_posthog.export.interactions import (
    COGNITIVE_MODES,
    INTERACTION_TYPES,
    track_cognitive_state_change,
    track_interaction,
    track_session_started,
    track_session_updated,
)

COMMON = {"trace_id", "user_id"}


def own(event):
    return {name: value for name, value in event.properties.items() if not name.startswith(("$", "genops_"))}


@pytest.mark.parametrize("kind", INTERACTION_TYPES)
@pytest.mark.requirement("S0-20")
def test_an_interaction_becomes_the_event_of_its_kind(told, kind):
    track_interaction(
        kind,
        user_id="ann",
        session_id="s1",
        component="button",
        page="/cart",
        coordinates={"x": 1, "y": 2},
        duration=5,
        metadata={"a": [1]},
        timestamp="2026-01-02T03:04:05Z",
    )
    (event,) = told()
    assert (event.name, event.distinct_id) == (f"interaction_{kind}", "ann")
    assert {name: value for name, value in own(event).items() if name not in COMMON} == {
        "session_id": "s1",
        "component": "button",
        "page": "/cart",
        "coordinates": {"x": 1, "y": 2},
        "duration": 5,
        "metadata": {"a": [1]},
        "timestamp": "2026-01-02T03:04:05Z",
    }


def test_an_unknown_kind_is_told_with_a_warning_and_refused_when_strict(told, caplog):
    with caplog.at_level(logging.WARNING):
        track_interaction("clack")
    assert told()[0].name == "interaction_clack"
    assert "'clack' is not a known interaction" in caplog.text
    with pytest.raises(GenOpsValidationError, match="known are click"):
        track_interaction("clack", strict=True)


def test_a_session_begins_in_the_executive_mode_now(told):
    track_session_started("s1", user_id="ann")
    (event,) = told()
    assert (event.name, event.distinct_id) == ("session_started", "ann")
    assert (event.properties["session_id"], event.properties["most_used_mode"]) == ("s1", "executive")
    assert event.properties["start_time"].endswith("Z")


@pytest.mark.requirement("D-35")
def test_an_update_belongs_to_whom_the_session_began_for(told):
    track_session_started("s1", user_id="ann")
    track_session_updated("s1", duration=10)
    assert told("session_updated")[0].distinct_id == "ann"


@pytest.mark.requirement("S0-29", "D-35")
def test_an_update_of_zero_is_an_update(told):
    track_session_updated("s1", user_id="ann", productivity_score=0)
    (event,) = told()
    assert {name: value for name, value in own(event).items() if name not in COMMON} == {
        "session_id": "s1",
        "end_time": None,
        "duration": None,
        "productivity_score": 0,
        "mode_transitions": None,
        "total_interactions": None,
    }


@pytest.mark.parametrize("mode", COGNITIVE_MODES)
def test_a_cognitive_state_is_told_with_what_brought_it_about(told, mode):
    track_cognitive_state_change(mode, user_id="ann", confidence=0.9, context="review", triggers=["a", "b"])
    (event,) = told()
    expected = {"cognitive_mode": mode, "confidence": 0.9, "context": "review", "triggers": ["a", "b"]}
    assert expected.items() <= event.properties.items()
    assert event.properties["timestamp"]

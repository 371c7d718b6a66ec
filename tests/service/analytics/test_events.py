"""What the analytics service tells PostHog, on the wire."""

from __future__ import annotations

import logging
from datetime import datetime, timezone

import pytest

from genops_otel_posthog.export.interactions import INTERACTION_TYPES
from genops_otel_posthog.service import AnalyticsService
from genops_otel_posthog.service.analytics.memory import MemoryStore

WHEN = "2026-01-02T03:04:05Z"
SENT = "2026-01-02T03:04:05.000000Z"


@pytest.fixture
def analytics(service):
    return AnalyticsService(service, clock=lambda: datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc))


@pytest.fixture
def arrived(service, receiver):
    """The events that have arrived, without what the SDK adds."""

    def arrived():
        assert service.flush_sync(10)
        return [
            (
                event.event,
                event.distinct_id,
                {name: value for name, value in event.properties.items() if name in OWN},
            )
            for event in receiver.events()
        ]

    return arrived


OWN = {
    *("session_id", "component", "page", "coordinates", "duration", "metadata", "timestamp", "start_time"),
    *("most_used_mode", "end_time", "productivity_score", "mode_transitions", "total_interactions"),
    *("cognitive_mode", "confidence", "context", "triggers"),
    *("sessionId", "startTime", "mostUsedMode", "productivityScore", "endTime", "modeTransitions"),
}

DETAILS = {
    "component": "button",
    "page": "/cart",
    "coordinates": {"x": 1, "y": 2.5},
    "duration": 5,
    "metadata": {"a": [1]},
}


@pytest.mark.requirement("S0-11", "S0-20", "E-35")
@pytest.mark.parametrize(
    "kind",
    [
        pytest.param("click", marks=pytest.mark.requirement("S0-21")),
        pytest.param("hover", marks=pytest.mark.requirement("S0-22")),
        pytest.param("scroll", marks=pytest.mark.requirement("S0-23")),
        pytest.param("keypress", marks=pytest.mark.requirement("S0-24")),
        pytest.param("navigation", marks=pytest.mark.requirement("S0-25")),
        pytest.param("mode_switch", marks=pytest.mark.requirement("S0-26")),
        pytest.param("component_interaction", marks=pytest.mark.requirement("S0-27")),
    ],
)
def test_an_interaction_arrives_as_the_event_of_its_type(kind, analytics, arrived):
    assert kind in INTERACTION_TYPES
    assert analytics.track_interaction_sync(type=kind, user_id="ann", session_id="s1", timestamp=WHEN, **DETAILS)
    assert arrived() == [(f"interaction_{kind}", "ann", {**DETAILS, "session_id": "s1", "timestamp": SENT})]


@pytest.mark.requirement("S0-20")
async def test_an_interaction_may_be_told_as_in_javascript(analytics, arrived):
    assert await analytics.track_interaction(
        {"userId": "ann", "sessionId": "s1", "interactionType": "click", "component": "button", "page": "/cart"}
    )
    nothing = dict.fromkeys(("coordinates", "duration", "metadata"))
    told = {"session_id": "s1", "component": "button", "page": "/cart", "timestamp": SENT, **nothing}
    assert arrived() == [("interaction_click", "ann", told)]


@pytest.mark.requirement("S0-27")
def test_an_unknown_type_is_a_warning_and_refused_when_strict(service, arrived, caplog):
    assert AnalyticsService(service).track_interaction_sync(type="clack", user_id="ann")
    assert "'clack' is not a known interaction" in caplog.text
    assert not AnalyticsService(service, strict=True).track_interaction_sync(type="cluck", user_id="ann")
    assert "an interaction is not taken. 'cluck' is not a known interaction; known are click" in caplog.text
    assert [name for name, *_ in arrived()] == ["interaction_clack"]


@pytest.mark.requirement("S0-28", "E-35")
def test_a_session_that_starts_has_its_start_and_the_usual_mode(analytics, arrived):
    assert analytics.track_session_start_sync(session_id="s1", user_id="ann")
    assert analytics.track_session_start_sync(
        session_id="s2", user_id="ann", start_time=WHEN, most_used_mode="creative"
    )
    told = {"start_time": SENT, "timestamp": SENT}
    assert arrived() == [
        ("session_started", "ann", {"session_id": "s1", "most_used_mode": "executive", **told}),
        ("session_started", "ann", {"session_id": "s2", "most_used_mode": "creative", **told}),
    ]


UPDATE = ("end_time", "duration", "productivity_score", "mode_transitions", "total_interactions")


@pytest.mark.requirement("S0-29", "E-35", "D-35")
@pytest.mark.parametrize(
    ("told", "arrives"),
    [
        ({"productivity_score": 0}, {"productivity_score": 0}),
        ({"duration": 0}, {"duration": 0}),
        ({"endTime": WHEN, "modeTransitions": 3}, {"end_time": SENT, "mode_transitions": 3}),
        ({"total_interactions": 12}, {"total_interactions": 12}),
        ({}, {}),
    ],
)
def test_any_news_of_a_session_arrives_and_is_its_users(told, arrives, analytics, arrived):
    assert analytics.track_session_start_sync(session_id="s1", user_id="ann")
    assert analytics.update_session_sync("s1", told)
    assert arrived()[1] == ("session_updated", "ann", {"session_id": "s1", **dict.fromkeys(UPDATE), **arrives})


@pytest.mark.requirement("D-35")
def test_whose_session_it_is_is_known_from_any_event_of_it_or_from_the_store(service, receiver):
    store = MemoryStore()
    AnalyticsService(None, store).track_session_start_sync(session_id="earlier", user_id="ann")
    analytics = AnalyticsService(service, store)
    analytics.track_interaction_sync(type="click", session_id="s1", user_id="bert")
    analytics.update_session_sync("earlier", duration=1)
    analytics.track_cognitive_state_sync(cognitive_mode="technical", session_id="s1")
    assert service.flush_sync(10)
    assert [(e.event, e.distinct_id) for e in receiver.events()][1:] == [
        ("session_updated", "ann"),
        ("cognitive_state_change", "bert"),
    ]


@pytest.mark.requirement("D-35")
def test_a_session_of_nobody_is_anonymous_and_not_one_unknown_person(analytics, service, receiver):
    assert analytics.update_session_sync("s1", duration=1)
    assert analytics.update_session_sync("s2", duration=1)
    assert service.flush_sync(10)
    first, second = receiver.events()
    assert first.properties["$process_person_profile"] is False
    assert first.distinct_id != second.distinct_id


@pytest.mark.requirement("S0-30", "E-35")
@pytest.mark.parametrize("mode", ["executive", "technical", "creative", "adaptive"])
def test_a_change_of_state_arrives_with_its_reasons(mode, analytics, arrived, caplog):
    assert analytics.track_cognitive_state_sync(
        {"userId": "ann", "cognitiveMode": mode, "confidence": 0.75, "context": "review", "triggers": ["deadline"]}
    )
    told = {"cognitive_mode": mode, "confidence": 0.75, "context": "review", "triggers": ["deadline"]}
    assert arrived() == [("cognitive_state_change", "ann", {**told, "metadata": None, "timestamp": SENT})]
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


def test_names_of_properties_may_be_those_of_javascript(service, arrived):
    analytics = AnalyticsService(service, camel_case=True)
    analytics.track_session_start_sync(session_id="s1", user_id="ann", start_time=WHEN)
    told = {"sessionId": "s1", "startTime": SENT, "mostUsedMode": "executive", "timestamp": SENT}
    assert arrived() == [("session_started", "ann", told)]

"""The service of the process: start, use from synchronous and asynchronous code, stop."""

from __future__ import annotations

import pytest

import genops_otel_posthog.service as service_room
from genops_otel_posthog.service import (
    get_client,
    initialize_posthog,
    initialize_posthog_sync,
    is_ready,
    posthog_service,
    shutdown_posthog,
    shutdown_posthog_sync,
)


@pytest.fixture(autouse=True)
def stopped_at_the_end():
    yield
    posthog_service.shutdown_sync(10)


@pytest.fixture
def configured(receiver, monkeypatch):
    monkeypatch.setenv("POSTHOG_ENABLE", "true")
    monkeypatch.setenv("POSTHOG_API_KEY", "phc_0123456789abcdefghij")
    monkeypatch.setenv("POSTHOG_HOST", receiver.url)
    monkeypatch.setenv("POSTHOG_FLUSH_INTERVAL", "50")
    return receiver


@pytest.mark.requirement("S0-10", "S0-12", "S0-19", "S0-32")
async def test_from_the_environment_to_an_event_and_a_person(configured):
    assert await initialize_posthog()
    assert is_ready()
    assert get_client() is posthog_service.get_client() is not None
    assert await posthog_service.capture(
        {"event": "custom_event", "distinctId": "user_123", "properties": {"customProperty": "value"}}
    )
    assert await posthog_service.identify(
        {"distinctId": "user_123", "properties": {"email": "user@example.com", "name": "John Doe"}}
    )
    assert await shutdown_posthog()

    event, person = sorted(configured.events(), key=lambda event: event.event, reverse=True)
    assert (event.event, event.distinct_id, event.properties["customProperty"]) == ("custom_event", "user_123", "value")
    assert (person.event, person.distinct_id) == ("$set", "user_123")
    assert person.set.items() >= {"email": "user@example.com", "name": "John Doe"}.items()


@pytest.mark.requirement("S0-10", "S0-18", "S0-19")
def test_the_same_without_a_loop_and_again_after_a_stop(configured):
    for name in ("first", "second"):
        assert initialize_posthog_sync()
        assert posthog_service.capture_sync(name, "user_123")
        assert shutdown_posthog_sync()
        assert shutdown_posthog_sync()
        assert not is_ready()
        assert get_client() is None
    assert [event.event for event in configured.events()] == ["first", "second"]


@pytest.mark.requirement("S0-01", "S0-10", "S0-41")
def test_an_environment_that_says_nothing_starts_a_service_that_sends_nothing(receiver):
    assert initialize_posthog_sync()
    assert not is_ready()
    assert posthog_service.capture_sync("anything", "user_123")
    assert receiver.requests() == []


@pytest.mark.requirement("S0-10")
@pytest.mark.parametrize("load", [False, "missing.env"])
def test_an_environment_that_cannot_be_used_is_a_line_in_the_log_and_false(load, configured, monkeypatch, caplog):
    if load is False:
        monkeypatch.setenv("POSTHOG_FLUSH_AT", "many")
    assert not initialize_posthog_sync(load_env_file=load)
    assert "PostHog service: it is not started." in caplog.text
    assert not posthog_service.is_initialized


@pytest.mark.requirement("S0-19")
def test_there_is_one_service_under_both_names():
    assert service_room.posthogService is posthog_service
    assert service_room.analyticsService is service_room.analytics_service
    assert service_room.analytics_service.posthog is posthog_service

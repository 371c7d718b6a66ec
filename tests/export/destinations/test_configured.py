"""Which destinations the settings mean."""

from __future__ import annotations

import logging
from importlib.metadata import EntryPoint
from typing import Any

import pytest

from genops_otel_posthog.errors import GenOpsConfigurationError
from genops_otel_posthog.export.destinations import registry
from genops_otel_posthog.settings import Settings


def names(**variables: str) -> list[str]:
    return [destination.name for destination in registry.configured(Settings.from_environ(variables))]


def test_without_settings_there_is_none() -> None:
    assert names() == []


@pytest.mark.requirement("S3-48", "S3-64", "D-43")
def test_a_key_means_posthog() -> None:
    assert names(POSTHOG_API_KEY="phc_1") == ["posthog"]


def test_what_is_switched_off_is_not_sent_to() -> None:
    assert names(POSTHOG_API_KEY="phc_1", POSTHOG_ENABLE="false") == []


@pytest.mark.requirement("S3-24", "S3-50", "S3-64")
def test_a_write_key_means_rudderstack() -> None:
    assert names(POSTHOG_API_KEY="phc_1", RUDDERSTACK_WRITE_KEY="w1") == ["posthog", "rudderstack"]


class Mine:
    name, account = "mine", ""
    max_batch_events, max_batch_bytes, max_event_bytes = 1, 1000, 1000

    def send(self, bodies: Any, timeout: float) -> Any: ...

    def close(self) -> None: ...


def make_mine(settings: Settings) -> Any:
    return Mine() if settings.team == "mine" else None


def make_none(_settings: Settings) -> Any:
    raise RuntimeError("written by somebody else")


def make_complaint(_settings: Settings) -> Any:
    raise GenOpsConfigurationError("MINE_URL is missing")


@pytest.fixture
def register(monkeypatch: pytest.MonkeyPatch) -> Any:
    def register(factory: Any) -> None:
        class Registered(EntryPoint):
            def load(self) -> Any:
                return factory

        entry = Registered("mine", "mine:make", registry.ENTRY_POINT_GROUP)
        monkeypatch.setattr(registry, "entry_points", lambda group: [entry] if group == entry.group else [])

    return register


def test_somebody_else_may_register_one(register: Any) -> None:
    register(make_mine)
    assert names(GENOPS_TEAM="mine", POSTHOG_API_KEY="phc_1") == ["posthog", "mine"]
    assert names(POSTHOG_API_KEY="phc_1") == ["posthog"]


def test_one_that_cannot_be_made_keeps_nothing_from_the_others(register: Any, caplog: Any) -> None:
    caplog.set_level(logging.ERROR)
    register(make_none)
    assert names(POSTHOG_API_KEY="phc_1") == ["posthog"]
    assert "Destination mine (mine:make) cannot be made" in caplog.text


def test_a_complaint_about_its_settings_is_passed_on(register: Any) -> None:
    register(make_complaint)
    with pytest.raises(GenOpsConfigurationError, match="MINE_URL"):
        names()

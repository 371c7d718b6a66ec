"""The functions that the guide uses as if they were there: they are."""

from __future__ import annotations

import logging
from typing import Any

import posthog
import pytest

from genops_otel_posthog import GenOpsConfigurationError, GenOpsValidationError, auto_instrument
from genops_otel_posthog.adapter import guide_functions as guide

pytestmark = pytest.mark.requirement("D-20")


def test_they_are_about_the_adapter_of_auto_instrument(receiver: Any, providers: Any) -> None:
    adapter = auto_instrument("phc_x", team="growth", posthog_host=receiver.url, pricing_mode="list", **providers)
    adapter.capture_event_with_governance("x")
    adapter.evaluate_feature_flag_with_governance("beta", "ann")

    assert (guide.get_daily_event_count(), guide.get_daily_flag_count()) == (1, 1)
    assert guide.export_analytics_metrics() == adapter.export_analytics_metrics()
    assert guide.analyze_weekly_cost_trend()["current_week_cost"] == pytest.approx(0.00015)


def test_the_adapter_of_auto_instrument_captures_through_the_modules_client(receiver: Any, providers: Any) -> None:
    adapter = auto_instrument("phc_x", team="growth", posthog_host=receiver.url, **providers)
    with adapter.track_analytics_session("s") as session:
        result = adapter.capture_event_with_governance("of_the_adapter")
        posthog.capture("of_the_module", distinct_id="ann")

    assert adapter.flush()
    assert result["session_id"] == session.session_id
    assert session.events_captured == 2
    assert {event.event for event in receiver.events()} == {"of_the_adapter", "of_the_module"}
    assert providers.teams == ["growth", "growth", "growth"]


def test_without_one_they_say_what_to_do() -> None:
    with pytest.raises(GenOpsConfigurationError, match=r"call auto_instrument\(\) first"):
        guide.get_daily_event_count()


def test_an_alert_of_ones_own_is_said_where_alerts_are(caplog: pytest.LogCaptureFixture) -> None:
    guide.send_alert(level="warning", message="PostHog costs approaching daily limit: 81.0%")

    assert caplog.record_tuples == [
        ("genops_otel_posthog.budgets.alerts", logging.WARNING, "PostHog costs approaching daily limit: 81.0%")
    ]
    with pytest.raises(GenOpsValidationError, match="level='loud'"):
        guide.send_alert("loud", "x")


@pytest.mark.requirement("S4-66", "D-53")
def test_smart_sampling_keeps_what_matters_and_the_same_people() -> None:
    people = [f"user-{number}" for number in range(300)]
    kept = [person for person in people if guide.smart_event_sampling("page_view", {}, "high", person)]

    assert 10 <= len(kept) <= 60
    assert kept == [person for person in people if guide.smart_event_sampling("page_view", {}, "high", person)]
    assert all(guide.smart_event_sampling("purchase", None, "high", person) for person in people)
    assert all(guide.smart_event_sampling("page_view", None, "normal", person) for person in people)
    assert {guide.smart_event_sampling("page_view", {"n": 1}, "high") for _ in range(5)} in ({True}, {False})

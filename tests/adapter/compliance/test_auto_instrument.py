"""With one line of code and tags, the module functions of the SDK are governed too."""

from __future__ import annotations

import posthog
import pytest

from genops_otel_posthog import auto_instrument, uninstrument_posthog

from .conftest import GUIDE_GDPR, entries, told

EMAIL = "ada@example.com"
KEY = "phc_one_line_of_a_test"


@pytest.fixture
def instrument(receiver, home, providers):
    def instrument(tags, policy="strict"):
        return auto_instrument(
            KEY, "growth", "web", posthog_host=receiver.url, tags=tags, governance_policy=policy, **providers
        )

    return instrument


@pytest.mark.requirement("S4-49", "E-27")
def test_posthog_capture_needs_consent(instrument, receiver, home):
    adapter = instrument(GUIDE_GDPR)
    posthog.capture("signed_up", distinct_id=EMAIL)
    adapter.compliance.grant_consent(EMAIL)
    posthog.capture("activated", distinct_id=EMAIL)
    assert adapter.flush()
    (event,) = receiver.wait_for_events(1)
    assert event.event == "activated"
    assert event.properties["genops_data_retention_days"] == 1095
    assert told(home / "audit") == [("capture", "blocked"), ("consent", "granted"), ("capture", "sent")]


def test_what_is_withheld_costs_nothing(instrument):
    adapter = instrument(GUIDE_GDPR)
    posthog.capture("signed_up", distinct_id=EMAIL)
    assert adapter.get_cost_summary()["usage"] == {}


def test_a_call_of_the_adapter_is_asked_about_and_recorded_once(instrument, receiver, home):
    adapter = instrument(GUIDE_GDPR)
    adapter.compliance.grant_consent(EMAIL)
    assert adapter.capture_event_with_governance("signed_up", {}, EMAIL)["event_uuid"]
    assert adapter.flush()
    assert len(receiver.wait_for_events(1)) == 1
    assert told(home / "audit") == [("consent", "granted"), ("capture", "sent")]
    assert entries(home / "audit")[1]["facts"]["team"] == "growth"


def test_the_applications_own_hook_comes_first_and_is_put_back(instrument, receiver, monkeypatch):
    def own(message):
        message["properties"]["seen"] = True
        return None if message["event"] == "internal" else message

    if hasattr(posthog, "before_send"):
        monkeypatch.setattr(posthog, "before_send", own)
    else:  # older versions, whose module has none
        posthog.default_client = posthog.Posthog(KEY, host=receiver.url, before_send=own)
    adapter = instrument(GUIDE_GDPR, "advisory")
    posthog.capture("internal", distinct_id=EMAIL)
    posthog.capture("signed_up", distinct_id=EMAIL)
    assert adapter.flush()
    (event,) = receiver.wait_for_events(1)
    assert event.properties["seen"] is True
    assert "genops_delete_after" in event.properties
    uninstrument_posthog()
    assert posthog.default_client.before_send is own
    assert getattr(posthog, "before_send", own) is own


def test_afterwards_the_modules_client_asks_nobody(instrument, receiver):
    adapter = instrument(GUIDE_GDPR)
    posthog.capture("signed_up", distinct_id=EMAIL)
    uninstrument_posthog()
    assert posthog.default_client.before_send is None
    posthog.capture("activated", distinct_id=EMAIL)
    assert adapter.flush()
    assert [event.event for event in receiver.wait_for_events(1)] == ["activated"]


def test_without_such_tags_no_hook_is_put_in_place(instrument):
    instrument({"tier": "gold"})
    assert getattr(posthog, "before_send", None) is None


def test_that_bare_flags_ask_nobody_is_said(instrument, caplog):
    from genops_otel_posthog.adapter import module_hook

    module_hook._warn.forget()
    instrument(GUIDE_GDPR)
    assert "flags that posthog.feature_enabled() and the like read ask for none" in caplog.text

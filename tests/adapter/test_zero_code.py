"""``auto_instrument()`` and its companions: whose calls, which client, how often, and what happens in between."""

from __future__ import annotations

import json
import logging
from typing import Any

import posthog
import pytest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from posthog.client import Client

from genops_otel_posthog.adapter.zero_code import (
    auto_instrument,
    get_current_adapter,
    instrument_posthog,
    uninstrument_posthog,
)
from genops_otel_posthog.errors import GenOpsConfigurationError
from genops_otel_posthog.instrumentation import PostHogInstrumentor
from genops_otel_posthog.receiver.server import LocalReceiver

KEY = "phc_0123456789abcdefghijklmnopqrstuvwxyz"


def capture(receiver: LocalReceiver, event: str, **arguments: Any) -> Any:
    """One call through the module, and the event that arrived of it."""
    posthog.capture(event, **{"distinct_id": "ann", **arguments})
    posthog.flush()
    (received,) = receiver.wait_for_events(1, event=event)
    return received


# --- the owner ----------------------------------------------------------------------------------------------------


def test_an_argument_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch, receiver: LocalReceiver) -> None:
    monkeypatch.setenv("GENOPS_TEAM", "platform")

    adapter = auto_instrument(KEY, team="checkout", posthog_host=receiver.url)

    assert adapter.team == "checkout"
    assert capture(receiver, "order_completed").properties["genops_team"] == "checkout"


@pytest.mark.requirement("S4-80")
def test_the_environment_wins_over_the_default(monkeypatch: pytest.MonkeyPatch, receiver: LocalReceiver) -> None:
    for name in ("TEAM", "PROJECT", "ENVIRONMENT", "CUSTOMER_ID", "COST_CENTER"):
        monkeypatch.setenv(f"GENOPS_{name}", name.lower())
    monkeypatch.setenv("GENOPS_TAGS", "tier=gold")

    adapter = auto_instrument(KEY, posthog_host=receiver.url)

    assert (adapter.team, adapter.project, adapter.environment) == ("team", "project", "environment")
    assert (adapter.customer_id, adapter.cost_center, adapter.tags) == ("customer_id", "cost_center", {"tier": "gold"})


def test_the_resource_wins_over_the_default(receiver: LocalReceiver) -> None:
    provider = TracerProvider(resource=Resource({"genops.team": "platform"}), shutdown_on_exit=False)

    adapter = auto_instrument(KEY, posthog_host=receiver.url, tracer_provider=provider)

    assert (adapter.team, adapter.project) == ("platform", "default")


def test_the_team_that_nobody_named_is_auto_instrumented(receiver: LocalReceiver) -> None:
    adapter = auto_instrument(KEY, posthog_host=receiver.url)

    assert (adapter.team, adapter.project) == ("auto-instrumented", "default")


def test_for_instrument_posthog_it_is_default(receiver: LocalReceiver) -> None:
    adapter = instrument_posthog(KEY, posthog_host=receiver.url)

    assert (adapter.team, adapter.project) == ("default", "default")


def test_instrument_posthog_takes_the_same_options(receiver: LocalReceiver) -> None:
    adapter = instrument_posthog(
        KEY, "checkout", "web-shop", posthog_host=receiver.url, customer_id="acme", tags={"tier": "gold"}
    )

    assert (adapter.team, adapter.project, adapter.customer_id) == ("checkout", "web-shop", "acme")
    assert adapter.tags == {"tier": "gold"}


# --- the module-level client --------------------------------------------------------------------------------------


def test_key_and_host_of_the_environment_are_given_to_the_module(
    monkeypatch: pytest.MonkeyPatch, receiver: LocalReceiver
) -> None:
    monkeypatch.setenv("POSTHOG_API_KEY", KEY)
    monkeypatch.setenv("POSTHOG_HOST", receiver.url)

    adapter = auto_instrument()

    assert capture(receiver, "order_completed").token == KEY
    assert adapter.posthog_host == receiver.url


def test_a_key_and_a_host_that_the_application_has_set_stay(
    monkeypatch: pytest.MonkeyPatch, receiver: LocalReceiver
) -> None:
    monkeypatch.setenv("POSTHOG_API_KEY", "phc_of_the_environment")
    monkeypatch.setenv("POSTHOG_HOST", "https://eu.i.posthog.com")
    posthog.api_key, posthog.host = "phc_of_the_application", receiver.url

    adapter = auto_instrument()

    assert capture(receiver, "order_completed").token == "phc_of_the_application"
    assert adapter.posthog_host == receiver.url


def test_an_argument_wins_over_what_the_application_has_set(receiver: LocalReceiver) -> None:
    posthog.api_key, posthog.host = "phc_of_the_application", "http://127.0.0.1:9"

    auto_instrument(KEY, posthog_host=receiver.url)

    assert capture(receiver, "order_completed").token == KEY


def test_arguments_after_the_first_call_are_too_late_and_that_is_said(
    receiver: LocalReceiver, caplog: pytest.LogCaptureFixture
) -> None:
    posthog.api_key, posthog.host = "phc_of_the_application", receiver.url
    posthog.capture("early", distinct_id="ann")

    adapter = auto_instrument(KEY, posthog_host=receiver.url)

    assert "Pass posthog_api_key and posthog_host before the first of these calls" in caplog.text
    assert capture(receiver, "order_completed").token == "phc_of_the_application"
    assert adapter.posthog_host == receiver.url


def test_arguments_that_say_the_same_again_are_not_remarked_on(
    receiver: LocalReceiver, caplog: pytest.LogCaptureFixture
) -> None:
    posthog.api_key, posthog.host = KEY, receiver.url
    posthog.capture("early", distinct_id="ann")

    auto_instrument(KEY, posthog_host=receiver.url)

    assert caplog.messages == []


def test_without_any_key_one_line_says_what_to_set(receiver: LocalReceiver, caplog: pytest.LogCaptureFixture) -> None:
    auto_instrument(posthog_host=receiver.url)

    (message,) = caplog.messages
    assert message.startswith("No PostHog project key")
    assert "Set POSTHOG_API_KEY=phc_…, or pass posthog_api_key" in message


def test_posthog_enable_false_sends_nothing_whatever_the_key(
    monkeypatch: pytest.MonkeyPatch, receiver: LocalReceiver, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("POSTHOG_ENABLE", "false")

    adapter = auto_instrument(KEY, posthog_host=receiver.url)
    posthog.capture("order_completed", distinct_id="ann")
    posthog.flush()

    assert receiver.events() == []
    assert adapter.get_cost_summary()["usage"] == {}
    assert caplog.messages == []


# --- again, and off -----------------------------------------------------------------------------------------------


@pytest.mark.requirement("D-14")
def test_there_is_no_adapter_before_the_first_call() -> None:
    assert get_current_adapter() is None


@pytest.mark.requirement("D-14")
def test_the_current_adapter_is_that_of_the_last_call(receiver: LocalReceiver) -> None:
    auto_instrument(KEY, team="growth", posthog_host=receiver.url)
    last = auto_instrument(KEY, team="checkout", posthog_host=receiver.url)

    assert get_current_adapter() is last


def test_a_second_call_replaces_the_owner_and_counts_nothing_twice(receiver: LocalReceiver, providers: Any) -> None:
    auto_instrument(KEY, team="growth", posthog_host=receiver.url, **providers)
    capture(receiver, "first")

    auto_instrument(KEY, team="checkout", posthog_host=receiver.url, **providers)
    capture(receiver, "second")

    assert providers.teams == ["growth", "checkout"]
    assert providers.units() == {"growth": 1, "checkout": 1}
    assert receiver.bill().meters["events"] == 2


def test_a_second_call_with_the_same_arguments_changes_nothing(receiver: LocalReceiver, providers: Any) -> None:
    for _ in range(3):
        auto_instrument(KEY, team="growth", posthog_host=receiver.url, **providers)
    capture(receiver, "order_completed")

    assert providers.teams == ["growth"]
    assert providers.units() == {"growth": 1}


def test_it_takes_over_what_was_instrumented_otherwise(receiver: LocalReceiver, providers: Any) -> None:
    PostHogInstrumentor().instrument(team="platform", **providers)

    auto_instrument(KEY, team="growth", posthog_host=receiver.url, **providers)
    capture(receiver, "order_completed")

    assert providers.teams == ["growth"]


@pytest.mark.requirement("S4-35", "E-02")
def test_uninstrumented_the_sdk_is_as_it_was(receiver: LocalReceiver, providers: Any) -> None:
    original = Client.capture
    auto_instrument(KEY, team="growth", posthog_host=receiver.url, **providers)
    uninstrument_posthog()

    assert Client.capture is original
    assert get_current_adapter() is None
    assert "genops_team" not in capture(receiver, "order_completed").properties
    assert providers.teams == []


def test_uninstrumenting_twice_is_no_mistake(receiver: LocalReceiver, caplog: pytest.LogCaptureFixture) -> None:
    auto_instrument(KEY, posthog_host=receiver.url)
    uninstrument_posthog()
    uninstrument_posthog()

    assert caplog.messages == []


# --- mistakes -----------------------------------------------------------------------------------------------------


def test_a_personal_key_is_refused_without_repeating_it() -> None:
    with pytest.raises(GenOpsConfigurationError) as refusal:
        auto_instrument("phx_0123456789abcdefghijklmnopqrstuvwxyz")

    assert "posthog_api_key" in str(refusal.value)
    assert "personal API key" in str(refusal.value)
    assert "0123456789" not in str(refusal.value)


def test_a_host_that_is_none_is_refused() -> None:
    with pytest.raises(GenOpsConfigurationError, match=r"posthog_host cannot be used: .*for example https://us\.i"):
        auto_instrument(KEY, posthog_host="ftp://posthog.example.com")


def test_an_option_that_does_not_exist_is_refused_with_those_that_do(receiver: LocalReceiver) -> None:
    with pytest.raises(GenOpsConfigurationError, match=r"no option daily_limit; there are .*price_book"):
        auto_instrument(KEY, posthog_host=receiver.url, daily_limit=5)


def test_a_wrong_environment_value_is_refused(monkeypatch: pytest.MonkeyPatch, receiver: LocalReceiver) -> None:
    monkeypatch.setenv("GENOPS_PRICING_MODE", "cheap")

    with pytest.raises(GenOpsConfigurationError, match="GENOPS_PRICING_MODE"):
        auto_instrument(KEY, posthog_host=receiver.url)


def test_a_call_that_is_refused_leaves_the_module_and_the_sdk_alone(receiver: LocalReceiver) -> None:
    original = Client.capture

    with pytest.raises(GenOpsConfigurationError):
        auto_instrument(KEY, posthog_host=receiver.url, pricing_mode="cheap")

    assert (posthog.api_key, posthog.host) == (None, None)
    assert Client.capture is original
    assert get_current_adapter() is None


def test_tags_given_as_a_mapping_may_hold_commas(receiver: LocalReceiver) -> None:
    adapter = auto_instrument(KEY, posthog_host=receiver.url, tags={"regions": "eu,us"})

    assert adapter.tags == {"regions": "eu,us"}


# --- what was spent -----------------------------------------------------------------------------------------------


def test_the_summary_is_json_and_adds_up(receiver: LocalReceiver, providers: Any) -> None:
    adapter = auto_instrument(
        KEY,
        "checkout",
        "web-shop",
        posthog_host=receiver.url,
        environment="production",
        usage_to_date="events=999999,identified_events=999999",
        **providers,
    )
    capture(receiver, "first")
    capture(receiver, "second")
    receiver.set_flags([{"id": 1, "key": "new-checkout", "active": True, "filters": {"groups": []}}])
    posthog.get_all_flags("ann")

    summary = json.loads(json.dumps(adapter.get_cost_summary()))

    # The first event was the last free one of the month, the second the first that is paid.
    assert summary["total_cost"] == pytest.approx(0.00005 + 0.000198)
    assert summary["cost_by_meter"]["events"] == pytest.approx(0.00005)
    assert summary["usage"] == {"events": 2, "identified_events": 2, "feature_flag_requests": 1}
    assert summary["usage"] == receiver.bill().meters
    assert summary["month_to_date_usage"]["events"] == 1_000_001
    assert summary["free_tier_remaining"]["events"] == 0
    assert summary["free_tier_remaining"]["feature_flag_requests"] == 999_999
    assert (summary["team"], summary["project"], summary["environment"]) == ("checkout", "web-shop", "production")
    assert (summary["price_book"], summary["pricing_mode"]) == ("posthog-2026-07-22", "metered")
    assert summary["governance_policy"] == "advisory"


def test_before_the_first_call_nothing_is_spent(receiver: LocalReceiver, providers: Any) -> None:
    summary = auto_instrument(KEY, posthog_host=receiver.url, **providers).get_cost_summary()

    assert (summary["total_cost"], summary["usage"], summary["cost_by_meter"]) == (0, {}, {})


def test_the_names_of_the_guide_s_policies_are_understood(
    receiver: LocalReceiver, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)

    assert auto_instrument(KEY, posthog_host=receiver.url, governance_policy="standard").governance_policy == "enforced"

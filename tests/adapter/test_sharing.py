"""Adapters are cheap: those that agree share a client, a ledger and what was spent."""

from __future__ import annotations

import threading
from decimal import Decimal
from typing import Any

import pytest

from genops_otel_posthog import GenOpsBudgetExceededError, GenOpsConfigurationError, GenOpsPostHogAdapter
from genops_otel_posthog.adapter.tenants import create_tenant_adapter


@pytest.mark.requirement("E-14", "D-17")
def test_an_adapter_for_each_request_keeps_one_client_and_one_budget(make_adapter: Any, receiver: Any) -> None:
    before = threading.active_count()
    for _ in range(50):
        adapter = make_adapter(governance_policy="enforced", daily_budget_limit=0.002, pricing_mode="list")
        with adapter.track_analytics_session("api_request"):
            adapter.capture_event_with_governance("request_served") if _ < 40 else None

    assert threading.active_count() <= before + 2  # the SDK's consumer, and the one that talks to the ledger
    summary = adapter.get_cost_summary()
    assert summary["daily_costs"] == pytest.approx(0.002)
    assert summary["active_sessions"] == 0
    with pytest.raises(GenOpsBudgetExceededError):
        make_adapter(
            governance_policy="enforced", daily_budget_limit=0.002, pricing_mode="list"
        ).capture_event_with_governance("one_too_many")


@pytest.mark.requirement("D-17")
def test_one_client_for_a_key_and_a_host(make_adapter: Any) -> None:
    assert make_adapter(team="a").client is make_adapter(team="b").client
    assert make_adapter().client is not make_adapter(posthog_api_key="phc_other").client


@pytest.mark.requirement("S4-46", "S4-07")
def test_environments_do_not_share_budgets(make_adapter: Any, receiver: Any) -> None:
    development = make_adapter(environment="development", daily_budget_limit=0, pricing_mode="list")
    production = make_adapter(
        environment="production", daily_budget_limit=0.00005, governance_policy="enforced", pricing_mode="list"
    )
    for _ in range(5):
        development.capture_event_with_governance("dev")
    production.capture_event_with_governance("prod")
    with pytest.raises(GenOpsBudgetExceededError):
        production.capture_event_with_governance("prod")

    assert development.get_cost_summary()["daily_costs"] == pytest.approx(0.00025)
    assert production.get_cost_summary()["daily_costs"] == pytest.approx(0.00005)


@pytest.mark.requirement("S4-65")
def test_a_limit_is_raised_while_the_application_runs(make_adapter: Any, receiver: Any) -> None:
    adapter = make_adapter(governance_policy="enforced", daily_budget_limit=0.00005, pricing_mode="list")
    adapter.capture_event_with_governance("a")
    with pytest.raises(GenOpsBudgetExceededError):
        adapter.capture_event_with_governance("b")

    adapter.update_budget(daily="0.0002")
    adapter.capture_event_with_governance("c")
    assert adapter.daily_budget_limit == Decimal("0.0002")
    assert adapter.get_cost_summary()["daily_costs"] == pytest.approx(0.0001)
    adapter.update_budget(daily=0, governance_policy="advisory")
    adapter.capture_event_with_governance("d")
    assert adapter.governance_policy == "advisory"
    adapter.update_budget(daily="unlimited", monthly=5)
    assert (adapter.daily_budget_limit, adapter.monthly_budget_limit) == (None, 5)
    with pytest.raises(GenOpsConfigurationError, match="daily_budget_limit"):
        adapter.update_budget(daily=-1)


@pytest.mark.requirement("D-13", "S4-14", "S4-15")
def test_the_environment_reaches_the_adapter(monkeypatch: pytest.MonkeyPatch, receiver: Any) -> None:
    for name, value in {
        "POSTHOG_API_KEY": "phc_from_env",
        "POSTHOG_HOST": receiver.url,
        "GENOPS_TEAM": "t",
        "GENOPS_PROJECT": "p",
        "GENOPS_ENVIRONMENT": "staging",
        "GENOPS_CUSTOMER_ID": "c",
        "GENOPS_COST_CENTER": "cc",
        "GENOPS_DAILY_BUDGET_LIMIT": "200",
        "GENOPS_MONTHLY_BUDGET_LIMIT": "4000",
        "GENOPS_GOVERNANCE_POLICY": "enforced",
    }.items():
        monkeypatch.setenv(name, value)
    adapter = GenOpsPostHogAdapter()

    assert (adapter.team, adapter.project, adapter.environment) == ("t", "p", "staging")
    assert (adapter.customer_id, adapter.cost_center) == ("c", "cc")
    assert (adapter.daily_budget_limit, adapter.monthly_budget_limit) == (200, 4000)
    assert (adapter.governance_policy, adapter.posthog_host) == ("enforced", receiver.url)
    assert adapter.client.api_key == "phc_from_env"
    monkeypatch.setenv("GENOPS_TEAM", "changed")
    assert GenOpsPostHogAdapter().team == "changed"


@pytest.mark.requirement("S4-16", "S4-17")
def test_where_nobody_says_anything_the_guides_defaults_hold(receiver: Any) -> None:
    adapter = GenOpsPostHogAdapter("phc_x", receiver.url)

    assert (adapter.team, adapter.project, adapter.environment) == ("default", "default", "production")
    assert (adapter.daily_budget_limit, adapter.monthly_budget_limit) == (1000, None)
    assert (adapter.governance_policy, adapter.governance_enabled, adapter.tags) == ("advisory", True, {})


@pytest.mark.requirement("S4-16")
def test_an_argument_that_does_not_exist_is_refused_by_name(receiver: Any) -> None:
    with pytest.raises(GenOpsConfigurationError, match="there is no option colour"):
        GenOpsPostHogAdapter("phc_x", receiver.url, colour="red")


@pytest.mark.requirement("D-08")
def test_the_guides_names_of_policies_are_understood_and_others_are_not(make_adapter: Any, caplog: Any) -> None:
    assert make_adapter(governance_policy="standard").governance_policy == "enforced"
    assert make_adapter(governance_policy="basic", team="b").governance_policy == "advisory"
    assert make_adapter(governance_policy="enhanced", team="c").governance_policy == "strict"
    with pytest.raises(GenOpsConfigurationError, match="must be one of advisory, enforced, strict"):
        make_adapter(governance_policy="bogus")


@pytest.mark.parametrize("limit", [-1, float("nan"), float("inf"), "much", "-0.01"])
def test_a_limit_that_is_no_money_is_refused(limit: Any, make_adapter: Any) -> None:
    with pytest.raises(GenOpsConfigurationError, match="daily_budget_limit"):
        make_adapter(daily_budget_limit=limit)


@pytest.mark.parametrize("tags", ["platform=ios", ["platform"], 5])
def test_tags_are_a_mapping(tags: Any, make_adapter: Any) -> None:
    with pytest.raises(GenOpsConfigurationError, match="tags cannot be used"):
        make_adapter(tags=tags)


@pytest.mark.requirement("D-55", "E-41")
def test_without_a_key_it_works_and_sends_nothing(receiver: Any, caplog: Any, providers: Any) -> None:
    adapter = GenOpsPostHogAdapter(posthog_host=receiver.url, team="offline", **providers)
    result = adapter.capture_event_with_governance("x")

    assert (result["event_uuid"], result["cost"], result["blocked"]) == (None, 0.0, False)
    assert adapter.evaluate_feature_flag_with_governance("beta", "ann")[1]["error"] == "disabled"
    assert receiver.requests() == []
    assert providers.span("capture x").attributes["posthog.event.admitted"] is False


def test_wanted_without_a_key_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POSTHOG_ENABLE", "true")
    with pytest.raises(GenOpsConfigurationError, match="there is no key to send with"):
        GenOpsPostHogAdapter()


def test_shut_down_and_used_again(make_adapter: Any, receiver: Any) -> None:
    adapter = make_adapter()
    adapter.capture_event_with_governance("first")
    assert adapter.shutdown()
    adapter.capture_event_with_governance("second")
    assert adapter.flush()

    assert [event.event for event in receiver.events()] == ["first", "second"]


def test_a_flush_is_over_in_time_when_nothing_answers(make_adapter: Any, receiver: Any) -> None:
    adapter = make_adapter(client_options={"timeout": 1, "max_retries": 0})
    with receiver.fail("capture", hang=True):
        adapter.capture_event_with_governance("x")
        assert adapter.flush(timeout=0.1) is False


def test_an_option_that_the_sdk_does_not_have_is_told_of(make_adapter: Any) -> None:
    with pytest.raises(GenOpsConfigurationError, match="client_options cannot be used"):
        _ = make_adapter(client_options={"colour": "red"}).client


# --- hosts and tenants ------------------------------------------------------------------------------------------------


@pytest.mark.requirement("S4-18")
def test_the_host_may_be_the_one_in_the_eu() -> None:
    assert GenOpsPostHogAdapter("phc_x", "https://eu.posthog.com").posthog_host == "https://eu.posthog.com"


@pytest.mark.requirement("S4-53", "E-17")
@pytest.mark.parametrize(
    ("region", "host"), [("us", "https://us.i.posthog.com"), ("eu", "https://eu.i.posthog.com"), (None, None)]
)
def test_the_region_of_a_tenant_chooses_the_host(region: str | None, host: str | None) -> None:
    tenant = {"tenant_id": "startup_inc", "region": region}

    adapter = create_tenant_adapter(tenant, posthog_api_key="phc_x")
    assert adapter.posthog_host == (host or "https://us.i.posthog.com")


def test_a_host_of_ones_own_stands_whatever_the_region(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POSTHOG_HOST", "https://posthog.example.com")
    tenant = {"tenant_id": "startup_inc", "region": "eu"}

    assert create_tenant_adapter(tenant, posthog_api_key="phc_x").posthog_host == "https://posthog.example.com"


@pytest.mark.requirement("S4-09", "S4-53", "E-17", "D-08")
def test_tenants_spend_from_budgets_of_their_own(receiver: Any, providers: Any) -> None:
    common = {"posthog_api_key": "phc_x", "posthog_host": receiver.url, "pricing_mode": "list", **providers}
    corp = create_tenant_adapter(
        {
            "tenant_id": "enterprise_corp",
            "tier": "enterprise",
            "daily_budget": 500.0,
            "compliance_level": "enforced",
            "sla": "premium",
            "region": "us",
        },
        **common,
    )
    startup = create_tenant_adapter(
        {"tenant_id": "startup_inc", "tier": "professional", "daily_budget": 0.00005, "compliance_level": "standard"},
        **common,
    )
    startup.capture_event_with_governance("x")
    with pytest.raises(GenOpsBudgetExceededError):
        startup.capture_event_with_governance("x")
    corp.capture_event_with_governance("x")

    assert (startup.governance_policy, startup.team, startup.customer_id) == (
        "enforced",
        "tenant_startup_inc",
        "startup_inc",
    )
    assert (corp.cost_center, dict(corp.tags)) == (
        "tenant_enterprise",
        {"tenant_tier": "enterprise", "sla_level": "premium", "data_residency": "us"},
    )
    assert corp.get_cost_summary()["daily_costs"] == pytest.approx(0.00005)
    startup.flush()
    assert [event.properties["genops_team"] for event in receiver.events()] == [
        "tenant_startup_inc",
        "tenant_enterprise_corp",
    ]


@pytest.mark.parametrize("config", [{}, {"tenant_id": ""}, {"tenant_id": "x", "colour": "red"}])
def test_a_tenant_that_is_none_is_refused(config: Any) -> None:
    with pytest.raises(GenOpsConfigurationError, match="tenant's configuration cannot be used"):
        create_tenant_adapter(config)

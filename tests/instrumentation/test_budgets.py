"""Budgets through the real SDK: what is refused never reaches the wire, and nothing else changes."""

from __future__ import annotations

import contextlib
import logging
from decimal import Decimal
from typing import Any

import posthog
import pytest

from genops_otel_posthog import Budget, GenOpsBudgetExceededError, PostHogInstrumentor, governance

pytestmark = [
    pytest.mark.filterwarnings("ignore:`get_feature_flag` is deprecated"),
    pytest.mark.filterwarnings("ignore:`personal_api_key` is deprecated"),
]

ANONYMOUS = {"$process_person_profile": False}
LIST = {"pricing_mode": "list", "ledger_url": "memory://", "ledger_wait_ms": 10_000}
"""An anonymous event costs $0.00005 from the first one on."""


def budget(events: int, **more: Any) -> Budget:
    return Budget(**{"id": "daily", "limit": events * Decimal("0.00005"), **more})


def capture(client: Any, times: int, event: str = "page_opened", person: str = "u1") -> list[str | None]:
    return [client.capture(event, distinct_id=person, properties=dict(ANONYMOUS)) for _ in range(times)]


def arrived(receiver: Any, client: Any) -> list[str]:
    client.flush()
    return [event.event for event in receiver.events()]


# --- events ----------------------------------------------------------------------------------------------------------


def test_an_enforced_budget_of_20_events_puts_20_on_the_wire(instrument, client, receiver):
    instrument(**LIST, governance_policy="enforced", budgets=[budget(20)])

    uuids = capture(client, 30)

    assert [uuid is None for uuid in uuids] == [False] * 20 + [True] * 10
    assert len(arrived(receiver, client)) == 20


def test_raise_tells_the_application_and_the_event_is_not_sent(instrument, client, receiver):
    instrument(**LIST, governance_policy="enforced", budgets=[budget(20)], on_budget_exceeded="raise")
    capture(client, 20)

    with pytest.raises(GenOpsBudgetExceededError, match="capture page_opened was refused: budget daily") as raised:
        capture(client, 1)

    assert raised.value.budget_limit == Decimal("0.001")
    assert raised.value.current_cost == Decimal("0.001")
    assert raised.value.operation_cost == Decimal("0.00005")
    assert len(arrived(receiver, client)) == 20


def test_the_module_functions_raise_too(instrument, receiver, monkeypatch):
    instrument(**LIST, governance_policy="enforced", budgets=[budget(0)], on_budget_exceeded="raise")
    monkeypatch.setattr(posthog, "default_client", None)
    monkeypatch.setattr(posthog, "api_key", "phc_test")
    monkeypatch.setattr(posthog, "host", receiver.url)

    with pytest.raises(GenOpsBudgetExceededError):
        posthog.capture("page_opened", distinct_id="u1")
    posthog.shutdown()


def test_a_method_that_a_subclass_overrides_raises_to_its_caller(instrument, receiver):
    class OurClient(posthog.Posthog):
        def capture(self, event: str, **kwargs: Any) -> str | None:
            return super().capture(event, **kwargs)

    instrument(**LIST, governance_policy="enforced", budgets=[budget(0)], on_budget_exceeded="raise")
    client = OurClient("phc_test", host=receiver.url)

    with pytest.raises(GenOpsBudgetExceededError):
        client.capture("page_opened", distinct_id="u1")
    client.shutdown()


def test_the_sdks_own_calls_never_raise(instrument, client, receiver):
    instrument(**LIST, governance_policy="enforced", budgets=[budget(0)], on_budget_exceeded="raise")

    assert client.capture_exception(ValueError("something else"), distinct_id="u1") is None
    assert arrived(receiver, client) == []


@pytest.mark.requirement("D-51", "E-09")
def test_advisory_sends_everything_and_tells_each_threshold_once(instrument, client, receiver, caplog):
    caplog.set_level(logging.WARNING, "genops_otel_posthog")
    observed = instrument(**LIST, budgets=[budget(20)])
    for _ in range(31):
        capture(client, 1)
        PostHogInstrumentor().budgeting.governor.flush()

    assert len(arrived(receiver, client)) == 31
    assert observed.spans[-1].attributes["genops.policy.result"] == "warning"
    assert observed.spans[-1].attributes["genops.budget.id"] == "daily"
    told = [event for span in observed.spans for event in span.events]
    assert {event.name for event in told} == {"genops.budget.threshold"}
    assert [event.attributes["genops.budget.threshold"] for event in told] == [0.8, 0.95, 1.0]
    assert sum("daily" in record.getMessage() for record in caplog.records) == 3


def test_strict_refuses_at_95_percent(instrument, client, receiver):
    observed = instrument(**LIST, governance_policy="strict", team="checkout", project="shop", budgets=[budget(100)])

    capture(client, 100)

    assert len(arrived(receiver, client)) == 95
    assert observed.spans[-1].attributes["genops.policy.reason"] == "strict_limit"


def test_strict_refuses_events_without_a_team_even_without_a_budget(instrument, client, receiver):
    observed = instrument(governance_policy="strict", project="shop")

    capture(client, 1)

    assert arrived(receiver, client) == []
    assert observed.span("capture page_opened").attributes["genops.policy.result"] == "blocked"
    assert observed.span("capture page_opened").attributes["genops.policy.reason"] == "attribution_missing"


def test_the_span_of_a_refused_event_says_by_which_budget_and_costs_nothing(instrument, client):
    observed = instrument(**LIST, governance_policy="enforced", budgets=[budget(1)])
    capture(client, 2)

    allowed, refused = observed.spans
    assert allowed.attributes["genops.policy.result"] == "allowed"
    assert refused.attributes["genops.policy.result"] == "blocked"
    assert refused.attributes["genops.policy.reason"] == "budget_exceeded"
    assert refused.attributes["genops.budget.id"] == "daily"
    assert refused.attributes["genops.budget.utilization"] == 1.0
    assert refused.attributes["genops.cost.amount"] == 0.0
    assert refused.attributes["posthog.event.admitted"] is False
    (event,) = refused.events
    assert event.name == "genops.budget.exceeded"
    assert dict(event.attributes) == {
        "genops.budget.id": "daily",
        "genops.budget.utilization": 1.0,
        "genops.policy.reason": "budget_exceeded",
    }


def test_one_team_runs_out_while_the_others_go_on(instrument, client, receiver):
    instrument(**LIST, governance_policy="enforced", budgets=[budget(5, scope={"team": "growth"})])

    for team in ("growth", "checkout"):
        with governance(team=team):
            capture(client, 10, f"by_{team}")

    names = arrived(receiver, client)
    assert (names.count("by_growth"), names.count("by_checkout")) == (5, 10)


def test_free_events_pass_a_spent_budget(instrument, client, receiver):
    instrument(**LIST, governance_policy="enforced", budgets=[budget(0)])

    capture(client, 1, "$feature_flag_called")

    assert arrived(receiver, client) == ["$feature_flag_called"]


def test_critical_events_pass_a_spent_budget(instrument, client, receiver):
    observed = instrument(
        **LIST, governance_policy="enforced", budgets=[budget(0)], critical_events=["order_completed"]
    )

    capture(client, 1, "order_completed")

    assert arrived(receiver, client) == ["order_completed"]
    assert observed.span("capture order_completed").attributes["genops.policy.reason"] == "critical_event"


def test_an_event_that_before_send_drops_costs_nothing(instrument, new_client, receiver):
    instrument(**LIST, governance_policy="enforced", budgets=[budget(3)])
    client = new_client(before_send=lambda event: None if event["event"] == "unwanted" else event)

    capture(client, 10, "unwanted")
    capture(client, 10)

    assert len(arrived(receiver, client)) == 3


def test_a_client_that_sends_nothing_spends_nothing(instrument, new_client):
    instrument(**LIST, governance_policy="enforced", budgets=[budget(3)])
    client = new_client(send=False)

    assert None not in capture(client, 10)


def test_set_alias_and_groups_are_budgeted(instrument, client, receiver):
    instrument(**LIST, governance_policy="enforced", budgets=[budget(0)])

    client.set(distinct_id="u1", properties={"plan": "free"})
    client.alias("u0", "u1")
    client.group_identify("company", "acme")

    assert arrived(receiver, client) == []


# --- feature flags ---------------------------------------------------------------------------------------------------


FLAG_BUDGET = Budget(id="flags", limit=2, meter="feature_flag_requests")


def test_a_refused_flag_request_gives_the_application_its_default(instrument, client, receiver):
    receiver.set_flags([{"key": "new-checkout", "active": True, "filters": {"groups": [{"rollout_percentage": 100}]}}])
    observed = instrument(**LIST, governance_policy="enforced", budgets=[FLAG_BUDGET])

    values = [client.get_feature_flag("new-checkout", f"u{number}") for number in range(3)]

    assert values == [True, True, None]
    refused = [span for span in observed.spans if span.attributes.get("genops.policy.result") == "blocked"]
    assert [span.attributes["posthog.flags.quota_limited"] for span in refused] == [True]
    assert receiver.bill().meters["feature_flag_requests"] == 2


@pytest.mark.skipif(not hasattr(posthog.Client, "evaluate_flags"), reason="this SDK has no evaluate_flags")
def test_a_refused_evaluation_is_a_quota_limited_snapshot(instrument, client, receiver):
    receiver.set_flags([{"key": "new-checkout", "active": True, "filters": {"groups": [{"rollout_percentage": 100}]}}])
    instrument(
        **LIST, governance_policy="enforced", budgets=[Budget(id="flags", limit=0, meter="feature_flag_requests")]
    )

    snapshot = client.evaluate_flags("u1")

    assert snapshot.is_enabled("new-checkout") in (False, None)
    assert "feature_flag_requests" not in receiver.bill().meters


def test_refused_definitions_leave_those_that_are_there(instrument, new_client, receiver):
    receiver.set_flags([{"key": "new-checkout", "active": True, "filters": {"groups": [{"rollout_percentage": 100}]}}])
    poll = Budget(id="flags", limit=10, meter="feature_flag_requests")
    instrument(**LIST, governance_policy="enforced", budgets=[poll])
    client = new_client(personal_api_key="phx_test", poll_interval=3600)
    client.load_feature_flags()
    receiver.set_flags([{"key": "new-checkout", "active": False, "filters": {"groups": []}}])

    client._load_feature_flags()

    assert client.get_feature_flag("new-checkout", "u1", only_evaluate_locally=True) is True
    assert receiver.bill().meters["feature_flag_requests"] == 10


# --- sampling --------------------------------------------------------------------------------------------------------


def test_a_filling_budget_samples_what_matters_least_and_says_at_which_rate(instrument, client, receiver):
    observed = instrument(**LIST, governance_policy="enforced", budgets=[budget(1_000)], budget_sampling=True)
    governor = PostHogInstrumentor().budgeting.governor
    capture(client, 850, "user_signed_up")
    governor.flush()

    for number in range(150):
        capture(client, 1, "page_view", f"person-{number}")
    capture(client, 20, "user_signed_up")

    views = [event for event in _events(receiver, client) if event.event == "page_view"]
    assert 75 < len(views) < 150
    assert {event.properties["genops_sample_rate"] for event in views} == {0.78}
    left_out = [span for span in observed.spans if span.attributes["genops.policy.result"] == "sampled"]
    assert len(left_out) + len(views) == 150
    assert sum(event.event == "user_signed_up" for event in _events(receiver, client)) == 870


def _events(receiver: Any, client: Any) -> list[Any]:
    client.flush()
    return list(receiver.events())


# --- at runtime, in metrics, without code ----------------------------------------------------------------------------


def test_a_budget_can_be_raised_while_the_application_runs(instrument, client, receiver):
    instrument(**LIST, governance_policy="enforced", budgets=[budget(5)])
    capture(client, 10)

    PostHogInstrumentor().budgets.replace(budget(8))
    capture(client, 10)

    assert len(arrived(receiver, client)) == 8


def test_how_a_budget_stands_and_what_was_decided_are_metrics(instrument, client):
    observed = instrument(**LIST, governance_policy="enforced", budgets=[budget(5, scope={"team": "growth"})])
    with governance(team="growth"):
        capture(client, 8)
    PostHogInstrumentor().budgeting.governor.flush()

    about = {"genops.budget.id": "daily", "genops.budget.period": "day", "genops.team": "growth"}
    assert [(attributes, point.value) for attributes, point in observed.points("genops.budget.consumed")] == [
        (about, 0.00025)
    ]
    assert observed.points("genops.budget.limit")[0][1].value == 0.00025
    assert observed.points("genops.budget.utilization")[0][1].value == 1.0
    decisions = {
        (attributes["genops.policy.result"], attributes.get("genops.budget.id")): point.value
        for attributes, point in observed.points("genops.policy.decisions")
    }
    assert decisions["blocked", "daily"] == 3
    assert sum(decisions.values()) == 8
    assert observed.points("genops.ledger.sync.duration")


@pytest.mark.requirement("S4-14")
def test_budgets_of_the_environment_hold(instrument, client, receiver, monkeypatch):
    monkeypatch.setenv("GENOPS_DAILY_BUDGET_LIMIT", "0.001")
    monkeypatch.setenv("GENOPS_GOVERNANCE_POLICY", "enforced")
    monkeypatch.setenv("GENOPS_LEDGER_URL", "memory://")
    instrument(pricing_mode="list", ledger_wait_ms=10_000)

    capture(client, 30)

    assert len(arrived(receiver, client)) == 20


def test_the_ledger_outlives_the_instrumentation(instrument, client, receiver, tmp_path):
    ledger = {**LIST, "ledger_url": f"sqlite://{tmp_path}/ledger.sqlite3"}
    instrument(**ledger, governance_policy="enforced", budgets=[budget(20)])
    capture(client, 12)
    PostHogInstrumentor().uninstrument()

    instrument(**ledger, governance_policy="enforced", budgets=[budget(20)])
    capture(client, 12)

    assert len(arrived(receiver, client)) == 20


def test_without_a_budget_nothing_is_written_anywhere(instrument, client, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    instrument(team="checkout")
    capture(client, 3)

    assert list(tmp_path.iterdir()) == []
    assert PostHogInstrumentor().budgets is None


def test_a_secret_among_the_options_is_not_repeated(instrument):
    with contextlib.suppress(Exception), pytest.raises(Exception) as raised:  # noqa: PT011
        instrument(ledger_url="nonsense://user:hunter2@host")
    assert "hunter2" not in str(raised.value)

"""Tags that do something: who is told, what is traced. Those about compliance and sampling have tests of their own."""

from __future__ import annotations

import json
import threading
import warnings
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import Empty, Queue
from typing import Any

import posthog
import pytest

from genops_otel_posthog import auto_instrument

LIST_PRICE = 0.00005


class Webhook:
    """A server that takes alerts."""

    def __init__(self) -> None:
        self.told: Queue[dict[str, Any]] = Queue()
        told = self.told

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                told.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(204)
                self.end_headers()

            def log_message(self, format: str, *arguments: object) -> None:
                """Nothing: the test says what it wants to see."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}/webhook"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def webhook() -> Iterator[Webhook]:
    webhook = Webhook()
    yield webhook
    webhook.close()


@pytest.mark.requirement("E-13", "S4-56", "S4-78", "D-19")
def test_eighty_percent_of_a_day_are_told_once_to_the_webhook_of_the_tag(make_adapter: Any, webhook: Webhook) -> None:
    adapter = make_adapter(
        daily_budget_limit=10 * LIST_PRICE,
        pricing_mode="list",
        tags={
            "alert_webhook": webhook.url,
            "alert_thresholds": "daily:80",
            "escalation_policy": "team_lead,manager,finance",
        },
    )
    for _ in range(9):
        adapter.capture_event_with_governance("x")
        adapter.get_cost_summary()  # which tells the ledger

    told = webhook.told.get(timeout=20)
    assert (told["level"], told["threshold"], told["team"]) == ("warning", 80, "growth")
    assert told["utilization"] >= 80
    assert told["escalation_policy"] == ["team_lead", "manager", "finance"]
    with pytest.raises(Empty):
        webhook.told.get_nowait()


@pytest.mark.requirement("S4-47")
def test_without_alerts_nobody_is_told(make_adapter: Any, webhook: Webhook) -> None:
    adapter = make_adapter(
        daily_budget_limit=LIST_PRICE,
        pricing_mode="list",
        tags={"alert_webhook": webhook.url},
        enable_cost_alerts=False,
    )
    adapter.capture_event_with_governance("x")
    summary = adapter.get_cost_summary()

    assert (summary["cost_alerts_enabled"], summary["daily_budget_utilization"]) == (False, pytest.approx(100.0))
    assert adapter.governed.budgeting.governor.alerts._endpoint is None
    assert webhook.told.empty()


@pytest.mark.requirement("S4-55", "S4-78")
@pytest.mark.parametrize(
    ("tags", "spans"),
    [
        ({"otel_export": "enabled", "tracing_enabled": "true", "metrics_export": "datadog,grafana"}, 1),
        ({"tracing_enabled": "false"}, 0),
        ({"otel_export": "disabled"}, 0),
    ],
)
def test_tracing_can_be_switched_off_and_money_is_counted_all_the_same(
    tags: dict[str, str], spans: int, make_adapter: Any, providers: Any
) -> None:
    make_adapter(tags=tags, pricing_mode="list").capture_event_with_governance("x")

    assert len(providers.spans) == spans
    assert providers.cost() == LIST_PRICE


@pytest.mark.requirement("S4-73", "S4-74")
def test_the_first_steps_of_the_guide_are_governed_and_cost_what_it_shows(receiver: Any, providers: Any) -> None:
    receiver.set_flags(
        [
            {
                "key": "new_dashboard",
                "active": True,
                "filters": {"groups": [{"properties": [], "rollout_percentage": 100}]},
            }
        ]
    )
    adapter = auto_instrument("phc_x", team="growth", posthog_host=receiver.url, pricing_mode="list", **providers)
    result = adapter.capture_event_with_governance("user_signed_up")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of newer SDKs, which would rather be asked otherwise
        assert posthog.feature_enabled("new_dashboard", "user_123") is True

    assert f"${result['cost']:.6f}" == "$0.000050"
    assert providers.span("evaluate_flag new_dashboard").attributes["genops.team"] == "growth"


@pytest.mark.requirement("S4-32", "S4-78")
def test_tags_of_auto_instrument_do_what_those_of_an_adapter_do(
    receiver: Any, providers: Any, webhook: Webhook
) -> None:
    adapter = auto_instrument(
        "phc_x",
        team="growth",
        posthog_host=receiver.url,
        pricing_mode="list",
        daily_budget_limit=LIST_PRICE,
        tags={"alert_webhook": webhook.url, "tracing_enabled": "false", "cost_optimization": "aggressive"},
        **providers,
    )
    sampled = [adapter.capture_event_with_governance("page_view", None, f"u{n}")["sampled"] for n in range(30)]
    adapter.capture_event_with_governance("purchase")
    adapter.get_cost_summary()

    assert webhook.told.get(timeout=20)["team"] == "growth"
    assert providers.spans == ()
    assert 0 < sum(sampled) < 30


@pytest.mark.requirement("S4-32", "D-54")
def test_auto_instrument_without_governance_counts_and_asks_nobody(receiver: Any, providers: Any) -> None:
    adapter = auto_instrument(
        "phc_x",
        team="growth",
        posthog_host=receiver.url,
        pricing_mode="list",
        enable_governance=False,
        governance_policy="enforced",
        daily_budget_limit=0,
        **providers,
    )
    result = adapter.capture_event_with_governance("x")

    assert (result["cost"], result["blocked"], result["governance_applied"]) == (LIST_PRICE, False, False)
    adapter.flush()
    assert "genops_team" not in receiver.events()[0].properties

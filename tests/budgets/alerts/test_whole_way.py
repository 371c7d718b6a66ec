"""From a call that crosses a threshold to the webhook: told once by the whole fleet, and not lost on the way."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from house import House, spend

from genops_otel_posthog.budgets.alerts import AlertDelivery
from genops_otel_posthog.budgets.budget import Budget, BudgetPolicy
from genops_otel_posthog.budgets.governor import Governor

Replica = Callable[[], Governor]


@pytest.fixture
def replica(house: House, webhook) -> Replica:
    """One process of a fleet that shares a budget of 100 events a day."""

    def start() -> Governor:
        budget = Budget("checkout", 100, "day", meter="events", scope={"team": "checkout"}, thresholds="80")
        delivery = AlertDelivery(webhook.url, escalation=("team_lead", "manager", "finance"))
        return house.governor(budget, policy=BudgetPolicy.ADVISORY, alerts=delivery)

    return start


def run_until_the_webhook_was_asked(webhook, governor: Governor) -> None:
    """Lets the process talk to the ledger, and its thread for alerts come to an end."""
    governor.flush()
    delivery = governor.alerts
    assert isinstance(delivery, AlertDelivery)
    if (thread := delivery._thread) is not None:
        thread.join(20)


@pytest.mark.requirement("E-13")
def test_a_threshold_that_a_fleet_crosses_is_told_once(house: House, webhook, replica: Replica):
    fleet = [replica() for _ in range(3)]
    for governor in fleet:
        assert spend(governor, 27) == 27
    for _ in range(3):
        for governor in fleet:
            run_until_the_webhook_was_asked(webhook, governor)
        house.clock.seconds += 300
    told = webhook.next().json
    assert webhook.received.empty()
    expected = {"level": "warning", "threshold": 80, "utilization": 81, "team": "checkout"}
    assert {name: told[name] for name in expected} == expected
    assert told["escalation_policy"] == ["team_lead", "manager", "finance"]


def test_an_alert_outlives_the_process_that_could_not_deliver_it(house: House, webhook, replica: Replica):
    webhook.answer(500)
    first, second = replica(), replica()
    spend(first, 81)
    first.flush()
    first_attempt = webhook.next()
    assert first.alerts is not None
    first.alerts.close(0)  # nothing is delivered any more, as if the process had been killed
    webhook.answers.queue.clear()
    house.clock.seconds += 61
    spend(second, 1)
    run_until_the_webhook_was_asked(webhook, second)
    assert webhook.next().body == first_attempt.body

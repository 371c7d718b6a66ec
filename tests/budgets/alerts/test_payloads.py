"""The bodies: this package's own, Slack's, and both of Alertmanager's."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from genops_otel_posthog.budgets.alerts.payloads import FORMATS, body_for, format_for
from genops_otel_posthog.budgets.ledger.protocol import Alert

MakeAlert = Callable[..., Alert]

NOW = datetime(2026, 3, 29, 16, 0, 5, tzinfo=timezone.utc)
ESCALATION = ("team_lead", "manager", "finance")
RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")
MESSAGE = (
    "Budget checkout: 82.05 % of the daily budget is spent. Spent: $16.41 of $20.00, threshold 80 %. "
    "Remaining until 2026-03-30 00:00 (Europe/Berlin): $3.59."
)


def content(format_name: str, alert: Alert, now: datetime = NOW) -> Any:
    return json.loads(body_for(format_name, alert, ESCALATION, now))


def test_the_generic_body_says_everything(alert: MakeAlert):
    assert content("generic", alert()) == {
        "version": "1",
        "id": "checkout/d:2026-03-29/8000",
        "type": "budget.threshold_reached",
        "timestamp": "2026-03-29T16:00:00.123Z",
        "level": "warning",
        "message": MESSAGE,
        "budget": "checkout",
        "scope": {"team": "checkout", "environment": "production"},
        "team": "checkout",
        "policy": "enforced",
        "period": "d:2026-03-29",
        "period_kind": "day",
        "period_end": "2026-03-29T22:00:00.000Z",
        "time_zone": "Europe/Berlin",
        "threshold": 80,
        "utilization": 82.05,
        "forecast": False,
        "limit": "20",
        "spent": "16.41",
        "remaining": "3.59",
        "currency": "USD",
        "meter": None,
        "escalation_policy": ["team_lead", "manager", "finance"],
    }


def test_amounts_keep_their_last_nano_dollar(alert: MakeAlert):
    body = content("generic", alert(spent=20_000_000_001, limit=20_000_000_000))
    assert (body["spent"], body["remaining"]) == ("20.000000001", "-0.000000001")


def test_a_budget_of_units_names_its_meter_and_no_currency(alert: MakeAlert):
    body = content("generic", alert({"meter": "events"}, limit=2_000, spent=1_640))
    assert (body["limit"], body["spent"], body["remaining"]) == ("2000", "1640", "360")
    assert (body["meter"], body["currency"]) == ("events", None)


def test_a_forecast_has_a_type_of_its_own(alert: MakeAlert):
    body = content("generic", alert(forecast=True, basis_points=9_950))
    assert (body["type"], body["forecast"], body["threshold"]) == ("budget.forecast_threshold_reached", True, 99.5)


def test_a_budget_of_the_whole_organisation_has_no_team(alert: MakeAlert):
    body = content("generic", alert({"scope": {}, "policy": None}))
    assert (body["team"], body["scope"], body["policy"]) == (None, {}, None)


@pytest.mark.parametrize("format_name", FORMATS)
def test_sending_again_sends_the_same(alert: MakeAlert, format_name: str):
    later = NOW + timedelta(hours=2)
    assert body_for(format_name, alert(), ESCALATION, NOW) == body_for(format_name, alert(), ESCALATION, later)


def test_a_message_for_slack_has_a_fallback_and_blocks_within_slacks_bounds(alert: MakeAlert):
    huge = alert({"scope": {f"field-{number}": "<" * 5_000 for number in range(6)}}, budget="&" * 5_000)
    for message in (content("slack", alert()), content("slack", huge)):
        assert set(message) == {"text", "blocks"}
        assert 0 < len(message["text"]) <= 3_000
        title, details = message["blocks"]
        assert (title["type"], details["type"]) == ("section", "section")
        assert 0 < len(title["text"]["text"]) <= 3_000
        assert 0 < len(details["fields"]) <= 10
        assert all(field["type"] == "mrkdwn" and 0 < len(field["text"]) <= 2_000 for field in details["fields"])


def test_a_message_for_slack_reads_well(alert: MakeAlert):
    message = content("slack", alert())
    assert message["text"] == MESSAGE
    assert message["blocks"][0]["text"]["text"] == ":warning: *Budget checkout: 82.05 % of the daily budget is spent*"
    assert [field["text"] for field in message["blocks"][1]["fields"]] == [
        "*Spent*\n$16.41 of $20.00",
        "*Threshold*\n80 %",
        "*For*\nteam checkout, environment production",
        "*Period ends*\n2026-03-30 00:00 (Europe/Berlin)",
        "*Escalation*\nteam_lead → manager → finance",
    ]


def test_a_name_cannot_call_the_whole_channel(alert: MakeAlert):
    text = json.dumps(content("slack", alert(budget="<!channel> & co")))
    assert "<!channel>" not in text
    assert "&lt;!channel&gt; &amp; co" in text


def assert_labels(labels: Any) -> None:
    assert all(re.fullmatch("[a-zA-Z_][a-zA-Z0-9_]*", name) for name in labels)
    assert all(isinstance(value, str) and value for value in labels.values())


def test_alertmanager_gets_postable_alerts(alert: MakeAlert):
    [posted] = content("alertmanager", alert())
    assert set(posted) <= {"labels", "annotations", "startsAt", "endsAt", "generatorURL"}
    assert_labels(posted["labels"])
    assert_labels(posted["annotations"])
    assert all(RFC3339.fullmatch(posted[moment]) for moment in ("startsAt", "endsAt"))
    assert posted["labels"] == {
        "alertname": "GenOpsBudgetThreshold",
        "alert_id": "checkout/d:2026-03-29/8000",
        "severity": "warning",
        "budget": "checkout",
        "team": "checkout",
        "environment": "production",
        "period": "d:2026-03-29",
        "period_kind": "day",
        "threshold": "80",
    }
    assert posted["annotations"]["escalation_policy"] == "team_lead,manager,finance"


def test_alertmanager_holds_an_alert_to_the_end_of_the_period(alert: MakeAlert):
    [posted] = content("alertmanager", alert())
    assert (posted["startsAt"], posted["endsAt"]) == ("2026-03-29T16:00:00.123Z", "2026-03-29T22:00:00.000Z")


def test_an_alert_that_reaches_alertmanager_after_the_period_is_held_long_enough_to_be_told(alert: MakeAlert):
    [posted] = content("alertmanager", alert(), datetime(2026, 3, 30, 7, tzinfo=timezone.utc))
    assert posted["endsAt"] == "2026-03-30T08:00:00.000Z"


def test_a_scope_cannot_replace_the_labels_that_alerts_are_routed_by(alert: MakeAlert):
    [posted] = content("alertmanager", alert({"scope": {"severity": "none", "not a label": "x", "team": ""}}))
    assert posted["labels"]["severity"] == "warning"
    assert not {"not a label", "team"} & set(posted["labels"])


@pytest.mark.parametrize(
    ("url", "format_name"),
    [
        ("https://hooks.slack.com/services/T0/B0/x", "slack"),
        ("https://hooks.slack-gov.com/services/T0/B0/x", "slack"),
        ("http://127.0.0.1:9093/api/v2/alerts", "alertmanager"),
        ("https://alerts.example/prefix/api/v2/alerts/", "alertmanager"),
        ("https://alerts.example/hooks.slack.com", "generic"),
        ("https://hooks.slack.com.example/services", "generic"),
    ],
)
def test_the_address_tells_the_format(url: str, format_name: str):
    assert format_for(url) == format_name

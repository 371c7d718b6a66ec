"""An alert as the body of an HTTP request, in the form that each kind of receiver reads.

* ``generic``: this package's own, versioned; documented in ``docs/alerts.md``.
* ``slack``: a Slack incoming webhook (https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks).
* ``alertmanager``: what ``POST /api/v2/alerts`` of Prometheus Alertmanager takes
  (https://github.com/prometheus/alertmanager/blob/main/api/v2/openapi.yaml, ``postableAlerts``).
* ``alertmanager-webhook``: what Alertmanager itself sends to webhooks, version 4, for receivers that are made for it
  (https://prometheus.io/docs/alerting/latest/configuration/#webhook_config).

A body depends on the alert and on the settings alone, so that sending again sends the same; the one exception is
explained in :func:`_end_for_alertmanager`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta, timezone
from typing import Any
from urllib.parse import urlsplit

from genops_otel_posthog.budgets.alerts.wording import Statement, instant, percent, printable
from genops_otel_posthog.budgets.ledger.protocol import Alert
from genops_otel_posthog.settings.alert_thresholds import percent_text

VERSION = "1"
"""Version of the generic body. Fields may be added under the same version; nothing else changes."""

_SLACK_HOSTS = {"hooks.slack.com", "hooks.slack-gov.com"}
_ALERTMANAGER_PATH = "/api/v2/alerts"

# Slack refuses a message whose field is longer than 2,000 characters, or whose section is longer than 3,000
# (https://docs.slack.dev/reference/block-kit/blocks/section-block). Escaping makes one character five at most.
_LONGEST_SHOWN = 300
_SLACK_SIGNS = {"info": ":information_source:", "warning": ":warning:", "critical": ":rotating_light:"}

_LABEL_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_ONE_HOUR = timedelta(hours=1)
_NOT_ENDED = "0001-01-01T00:00:00Z"  # how Alertmanager writes the end of an alert that is firing


def format_for(url: str) -> str:
    """The format that the receiver at ``url`` reads, as far as the address tells."""
    parts = urlsplit(url)
    if parts.hostname in _SLACK_HOSTS:
        return "slack"
    return "alertmanager" if parts.path.rstrip("/").endswith(_ALERTMANAGER_PATH) else "generic"


def body_for(format_name: str, alert: Alert, escalation: Sequence[str], sent_at: datetime) -> bytes:
    """The body of the request that tells a receiver about an alert, as JSON in ASCII.

    Args:
        format_name: One of :data:`FORMATS`.
        alert: The alert.
        escalation: Who is to be told in which order, by whatever names the receiver knows; passed on.
        sent_at: Now.

    Raises:
        ValueError: the alert cannot be read (see :meth:`Statement.of`).
    """
    content = FORMATS[format_name](Statement.of(alert), escalation, sent_at)
    return json.dumps(content, separators=(",", ":")).encode("ascii")


def _generic(said: Statement, escalation: Sequence[str], _sent_at: datetime) -> dict[str, Any]:
    alert = said.alert
    return {
        "version": VERSION,
        "id": alert.id,
        "type": "budget.forecast_threshold_reached" if alert.forecast else "budget.threshold_reached",
        "timestamp": _iso(instant(alert.at_ms)),
        "level": alert.severity,
        "message": said.message,
        "budget": alert.budget,
        "scope": dict(said.scope),
        "team": said.scope.get("team"),
        "policy": said.policy,
        "period": alert.period,
        "period_kind": said.kind.value,
        "period_end": _iso(instant(alert.period_end_ms)),
        "time_zone": said.time_zone,
        "threshold": _percentage(alert.basis_points),
        "utilization": None if said.utilization is None else _percentage(said.utilization),
        "forecast": alert.forecast,
        # As text, because many receivers read a number of JSON as a binary fraction.
        "limit": f"{said.exact(alert.limit):f}",
        "spent": f"{said.exact(alert.spent):f}",
        "remaining": f"{said.exact(said.remaining):f}",
        "currency": "USD" if said.meter is None else None,
        "meter": said.meter,
        "escalation_policy": list(escalation),
    }


def _slack(said: Statement, escalation: Sequence[str], _sent_at: datetime) -> dict[str, Any]:
    fields = {
        "Spent": f"{said.shown(said.alert.spent)} of {said.shown(said.alert.limit)}",
        "Threshold": f"{percent(said.alert.basis_points)}{' (forecast)' if said.alert.forecast else ''}",
        "For": ", ".join(f"{field} {value}" for field, value in said.scope.items()) or "the whole organisation",
        "Period ends": said.shown_end,
    }
    if escalation:
        fields["Escalation"] = " → ".join(escalation)
    return {
        # Shown in notifications, and where blocks cannot be shown.
        "text": _slack_text(said.message),
        "blocks": [
            _section(
                text=_mrkdwn(f"{_SLACK_SIGNS.get(said.alert.severity, '')} *{_slack_text(said.summary)}*".lstrip())
            ),
            _section(fields=[_mrkdwn(f"*{name}*\n{_slack_text(value)}") for name, value in fields.items()]),
        ],
    }


def _section(**content: object) -> dict[str, object]:
    return {"type": "section", **content}


def _mrkdwn(text: str) -> dict[str, str]:
    return {"type": "mrkdwn", "text": text}


def _slack_text(text: str) -> str:
    # A bare < would let a name in a budget call the whole channel: <!channel>
    # (https://docs.slack.dev/messaging/formatting-message-text#escaping).
    cut = printable(text if len(text) <= _LONGEST_SHOWN else text[: _LONGEST_SHOWN - 1] + "…")
    return cut.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _alertmanager(said: Statement, escalation: Sequence[str], sent_at: datetime) -> list[dict[str, Any]]:
    return [
        {
            "labels": _labels(said),
            "annotations": _annotations(said, escalation),
            "startsAt": _iso(instant(said.alert.at_ms)),
            "endsAt": _iso(_end_for_alertmanager(said, sent_at)),
        }
    ]


def _alertmanager_webhook(said: Statement, escalation: Sequence[str], _sent_at: datetime) -> dict[str, Any]:
    labels, annotations = _labels(said), _annotations(said, escalation)
    group = {"alertname": labels["alertname"]}
    return {
        "version": "4",
        "groupKey": f'{{}}:{{alertname="{labels["alertname"]}"}}',
        "truncatedAlerts": 0,
        "status": "firing",
        "receiver": "genops",
        "groupLabels": group,
        "commonLabels": labels,
        "commonAnnotations": annotations,
        "externalURL": "",
        "alerts": [
            {
                "status": "firing",
                "labels": labels,
                "annotations": annotations,
                "startsAt": _iso(instant(said.alert.at_ms)),
                "endsAt": _NOT_ENDED,
                "generatorURL": "",
                "fingerprint": fingerprint(labels),
            }
        ],
    }


def _end_for_alertmanager(said: Statement, sent_at: datetime) -> datetime:
    """Until when Alertmanager is to hold the alert: to the end of the period, but for an hour at least.

    Alertmanager says nothing about an alert that has ended before its group is next looked at (``group_interval``, five
    minutes by default). One that was reached just before midnight, or could not be sent until after it, would be lost.
    """
    return max(instant(said.alert.period_end_ms), sent_at + _ONE_HOUR)


def _labels(said: Statement) -> dict[str, str]:
    # Alertmanager takes two alerts for the same one when all their labels are equal. With its id among them an alert
    # that is sent twice is one, and the next one, whichever it is, is another. Empty labels count as missing there.
    alert = said.alert
    return {
        **{field: value for field, value in said.scope.items() if _LABEL_NAME.fullmatch(field) and value},
        "alertname": "GenOpsBudgetForecast" if alert.forecast else "GenOpsBudgetThreshold",
        "alert_id": alert.id,
        "severity": alert.severity,
        "budget": alert.budget,
        "period": alert.period,
        "period_kind": said.kind.value,
        "threshold": percent_text(alert.basis_points),
    }


def _annotations(said: Statement, escalation: Sequence[str]) -> dict[str, str]:
    annotations = {
        "summary": said.summary,
        "description": said.message,
        "spent": said.shown(said.alert.spent),
        "limit": said.shown(said.alert.limit),
        "period_end": _iso(instant(said.alert.period_end_ms)),
    }
    if said.utilization is not None:
        annotations["utilization"] = percent(said.utilization)
    if escalation:
        annotations["escalation_policy"] = ",".join(escalation)
    return annotations


def fingerprint(labels: Mapping[str, str]) -> str:
    """What Alertmanager identifies a set of labels by: 64-bit FNV-1a over the sorted names and values.

    Source: ``LabelSet.Fingerprint`` in https://github.com/prometheus/common/blob/main/model/signature.go.
    """
    sum_ = 14695981039346656037
    for name, value in sorted(labels.items()):
        for byte in name.encode() + b"\xff" + value.encode() + b"\xff":
            sum_ = ((sum_ ^ byte) * 1099511628211) % 2**64
    return f"{sum_:016x}"


def _percentage(basis_points: int) -> int | float:
    # Hundredths of a percent: a float shows each of them as it is written.
    return basis_points / 100 if basis_points % 100 else basis_points // 100


def _iso(moment: datetime) -> str:
    # RFC 3339, to the millisecond.
    return f"{moment.astimezone(timezone.utc):%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"


FORMATS: Mapping[str, Callable[[Statement, Sequence[str], datetime], Any]] = {
    "generic": _generic,
    "slack": _slack,
    "alertmanager": _alertmanager,
    "alertmanager-webhook": _alertmanager_webhook,
}
"""Every format by its name."""

"""Prometheus Alertmanager itself takes the alerts, groups them and tells its receivers.

Needs its binaries on the PATH, for example from Debian: ``apt-get download prometheus-alertmanager && dpkg -x …``.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import urllib.request
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from genops_otel_posthog.budgets.alerts import AlertDelivery
from genops_otel_posthog.budgets.alerts.payloads import body_for
from genops_otel_posthog.budgets.ledger.protocol import Alert

MakeAlert = Callable[..., Alert]

EXAMPLE = Path(__file__).parents[3] / "examples" / "alertmanager" / "alertmanager.yml"
PROGRAM = shutil.which("alertmanager") or shutil.which("prometheus-alertmanager")
AMTOOL = shutil.which("amtool")
CONFIGURATION = """
route: {receiver: genops, group_by: [alertname], group_wait: 50ms, group_interval: 1s}
receivers:
  - name: genops
    webhook_configs: [{url: "http://%s/from-alertmanager"}]
"""

needs_alertmanager = pytest.mark.skipif(PROGRAM is None, reason="there is no alertmanager on the PATH")
needs_amtool = pytest.mark.skipif(AMTOOL is None, reason="there is no amtool on the PATH")


@pytest.fixture
def alertmanager(webhook, tmp_path: Path) -> Iterator[str]:
    """The address of an Alertmanager that tells the webhook."""
    assert PROGRAM is not None
    configuration = tmp_path / "alertmanager.yml"
    configuration.write_text(CONFIGURATION % webhook.host, encoding="utf-8")
    arguments = [f"--config.file={configuration}", f"--storage.path={tmp_path}", "--cluster.listen-address="]
    with subprocess.Popen(
        [PROGRAM, *arguments, "--web.listen-address=127.0.0.1:0"], stderr=subprocess.PIPE, text=True, cwd=tmp_path
    ) as process:
        assert process.stderr is not None
        try:
            for line in process.stderr:
                if found := re.search(r'msg="Listening on" address=(\S+)', line):
                    yield f"http://{found[1]}"
                    break
            else:
                pytest.fail("Alertmanager ended before it listened")
        finally:
            process.kill()
            process.stderr.read()


def current(alert: Alert) -> Alert:
    """The alert, reached a minute ago in a period that lasts another hour and a half."""
    now = datetime.now(timezone.utc).replace(microsecond=0)
    at, end = now - timedelta(minutes=1), now + timedelta(minutes=90)
    return alert._replace(at_ms=int(at.timestamp() * 1000), period_end_ms=int(end.timestamp() * 1000))


def deliver(alertmanager: str, *alerts: Alert) -> AlertDelivery:
    delivery = AlertDelivery(f"{alertmanager}/api/v2/alerts", escalation=("team_lead", "finance"))
    for alert in alerts:
        delivery.submit(alert)
    delivery.close(20)
    return delivery


def alerts_in(alertmanager: str) -> list[dict[str, Any]]:
    with urllib.request.urlopen(f"{alertmanager}/api/v2/alerts", timeout=20) as answer:
        found: list[dict[str, Any]] = json.load(answer)
        return found


@needs_alertmanager
def test_alertmanager_takes_an_alert_and_tells_its_receivers_what_we_would_tell_them(
    webhook, alertmanager: str, alert: MakeAlert
):
    sent = current(alert())
    assert deliver(alertmanager, sent).delivered() == (sent.id,)
    told = webhook.next()
    assert told.path == "/from-alertmanager"
    ours = json.loads(body_for("alertmanager-webhook", sent, ("team_lead", "finance"), datetime.now(timezone.utc)))
    theirs = {**told.json, "externalURL": ours["externalURL"]}
    for one in (*ours["alerts"], *theirs["alerts"]):
        one["startsAt"] = datetime.fromisoformat(one["startsAt"].replace("Z", "+00:00"))
    assert theirs == ours


@needs_alertmanager
def test_an_alert_that_is_sent_twice_is_one_alert(webhook, alertmanager: str, alert: MakeAlert):
    sent = current(alert())
    deliver(alertmanager, sent)
    deliver(alertmanager, sent)
    [held] = alerts_in(alertmanager)
    assert held["labels"]["alert_id"] == sent.id


@needs_alertmanager
def test_an_alert_that_comes_after_its_period_has_ended_is_told_all_the_same(
    webhook, alertmanager: str, alert: MakeAlert
):
    sent = alert(at_ms=0, period_end_ms=1)
    deliver(alertmanager, sent)
    assert webhook.next().json["alerts"][0]["labels"]["alert_id"] == sent.id


@needs_alertmanager
def test_an_alert_with_an_awkward_name_is_taken(webhook, alertmanager: str, alert: MakeAlert):
    sent = current(alert({"scope": {"team": "Käse & Brot\n"}}, budget='"<é>"\t', id="ä.b"))
    assert deliver(alertmanager, sent).delivered() == ("ä.b",)
    assert webhook.next().json["alerts"][0]["labels"]["team"] == "Käse & Brot\n"


@needs_amtool
def test_the_example_configuration_is_a_good_one():
    assert AMTOOL is not None
    checked = subprocess.run([AMTOOL, "check-config", str(EXAMPLE)], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr


@needs_amtool
@pytest.mark.parametrize(
    ("severity", "team", "receiver"),
    [("critical", "checkout", "on-call"), ("warning", "checkout", "team-checkout"), ("warning", "search", "finance")],
)
def test_the_example_configuration_tells_whom_it_says(alert: MakeAlert, severity: str, team: str, receiver: str):
    assert AMTOOL is not None
    sent = alert({"scope": {"team": team}}, severity=severity)
    [posted] = json.loads(body_for("alertmanager", sent, (), datetime.now(timezone.utc)))
    labels = [f"{name}={value}" for name, value in posted["labels"].items()]
    told = subprocess.run(
        [AMTOOL, "config", "routes", "test", f"--config.file={EXAMPLE}", *labels],
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout.strip() == receiver

"""Alerts get to the webhook and to the log, and nobody waits for them."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from genops_otel_posthog.budgets.alerts import AlertCounts, AlertDelivery
from genops_otel_posthog.budgets.ledger.protocol import Alert

MakeAlert = Callable[..., Alert]
LOG = "genops_otel_posthog.budgets.alerts"


class Time:
    """A clock that stands still until somebody waits; waiting takes no time."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.waited: list[float] = []

    def __call__(self) -> float:
        return self.seconds

    def wait(self, _changed: threading.Condition, seconds: float) -> None:
        self.waited.append(seconds)
        self.seconds += seconds


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def deliver(time: Time, caplog: pytest.LogCaptureFixture) -> Iterator[Callable[..., AlertDelivery]]:
    """Makes deliveries whose time the test decides on."""
    caplog.set_level(logging.DEBUG)
    made = []

    def make(url: str | None, **options: Any) -> AlertDelivery:
        made.append(AlertDelivery(url, **{"clock": time, "wait": time.wait, "random": lambda: 0.5, **options}))
        return made[-1]

    yield make
    for delivery in made:
        delivery.close(0)


def logged(caplog: pytest.LogCaptureFixture, level: int) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == LOG and record.levelno == level]


def test_without_a_webhook_an_alert_is_one_warning(deliver, alert: MakeAlert, caplog: pytest.LogCaptureFixture):
    delivery = deliver(None)
    delivery.submit(alert())
    delivery.submit(alert())
    [line] = logged(caplog, logging.WARNING)
    assert line.startswith("[warning] Budget checkout: 82.05 % of the daily budget is spent.")
    assert delivery.delivered() == (alert().id,)
    assert delivery.counts == AlertCounts(delivered=1)


def test_with_a_webhook_an_alert_is_one_line_for_information(
    webhook, deliver, alert: MakeAlert, caplog: pytest.LogCaptureFixture
):
    delivery = deliver(webhook.url)
    delivery.submit(alert())
    delivery.close(20)
    [line] = logged(caplog, logging.INFO)
    assert "82.05 % of the daily budget is spent" in line
    assert not logged(caplog, logging.WARNING)


def test_a_delivered_alert_is_reported_once(webhook, deliver, alert: MakeAlert):
    delivery = deliver(webhook.url)
    delivery.submit(alert(id="a"))
    delivery.submit(alert(id="b"))
    delivery.close(20)
    assert [webhook.next().json["id"] for _ in range(2)] == ["a", "b"]
    assert delivery.delivered() == ("a", "b")
    assert delivery.delivered() == ()
    assert delivery.counts == AlertCounts(delivered=2)


def test_a_server_error_is_tried_again_after_a_pause(
    webhook, deliver, time: Time, alert: MakeAlert, caplog: pytest.LogCaptureFixture
):
    webhook.answer(500, 500, 500)
    delivery = deliver(webhook.url)
    delivery.submit(alert())
    bodies = [webhook.next().body for _ in range(4)]
    delivery.close(20)
    assert time.waited == [0.5, 1.0, 2.0]
    assert len(set(bodies)) == 1
    assert delivery.counts == AlertCounts(delivered=1, retried=3)
    [line] = logged(caplog, logging.WARNING)
    assert "cannot be told of alerts: it answered 500" in line
    assert "1 waiting, the first: [warning] Budget checkout: 82.05 %" in line
    assert logged(caplog, logging.INFO)[-1].endswith("can be told of alerts again, after 3 failed attempts")


def test_retry_after_is_honoured(webhook, make_answer, deliver, time: Time, alert: MakeAlert):
    webhook.answer(make_answer(429, {"Retry-After": "7"}), make_answer(503, {"Retry-After": "9"}))
    delivery = deliver(webhook.url)
    delivery.submit(alert())
    for _ in range(3):
        webhook.next()
    delivery.close(20)
    assert time.waited == [7.0, 9.0]
    assert delivery.delivered() == (alert().id,)


def test_a_refusal_is_final_counted_and_one_error(webhook, deliver, alert: MakeAlert, caplog: pytest.LogCaptureFixture):
    webhook.answer(404)
    delivery = deliver(webhook.url)
    delivery.submit(alert())
    delivery.close(20)
    assert delivery.delivered() == (alert().id,)
    assert delivery.counts == AlertCounts(failed=1)
    [line] = logged(caplog, logging.ERROR)
    assert line.startswith(f"http://{webhook.host} refused an alert: it answered 404. It is not sent again: [warning]")


def test_what_is_not_delivered_before_its_claim_ends_is_the_ledgers_again(
    webhook, deliver, time: Time, alert: MakeAlert
):
    webhook.answer(*[500] * 100)
    delivery = deliver(webhook.url)
    delivery.submit(alert())
    thread = delivery._thread
    assert thread is not None
    thread.join(20)
    assert time.seconds <= 60
    assert delivery.delivered() == ()
    assert (delivery.counts.waiting, delivery.counts.returned) == (0, 1)


def test_the_thread_ends_when_nothing_waits_and_the_next_alert_gets_another(webhook, deliver, alert: MakeAlert):
    delivery = deliver(webhook.url)
    assert delivery._thread is None
    for number in range(2):
        delivery.submit(alert(id=str(number)))
        webhook.next()
        if (thread := delivery._thread) is not None:
            thread.join(20)
        assert delivery._thread is None
    assert delivery.delivered() == ("0", "1")


def test_a_webhook_that_hangs_delays_nobody(webhook, hang, alert: MakeAlert):
    webhook.answer(hang)
    delivery = AlertDelivery(webhook.url)
    for number in range(300):
        delivery.submit(alert(id=str(number)))
    webhook.next()
    assert threading.current_thread().name != "genops-alerts"
    assert delivery.counts == AlertCounts(waiting=256, returned=44)
    delivery.close(0.01)
    assert delivery.delivered() == ()
    assert delivery.counts == AlertCounts(returned=300)


def test_a_webhook_that_hangs_is_cut_off_and_tried_again(webhook, hang, alert: MakeAlert):
    # The claim is what bounds the wait for an answer here: a third of it for the connection, the rest for the answer.
    webhook.answer(hang)
    delivery = AlertDelivery(webhook.url, claim_seconds=3, random=lambda: 0.0)
    delivery.submit(alert(id="a"))
    webhook.next()
    if (thread := delivery._thread) is not None:
        thread.join(20)
    delivery.submit(alert(id="a"))
    assert webhook.next().json["id"] == "a"
    delivery.close(20)
    assert delivery.delivered() == ("a",)


def test_close_sends_what_waits(webhook, deliver, time: Time, alert: MakeAlert):
    blocked = threading.Event()

    def wait(changed: threading.Condition, seconds: float) -> None:
        time.waited.append(seconds)
        blocked.set()
        changed.wait(20)

    webhook.answer(500)
    delivery = deliver(webhook.url, wait=wait)
    delivery.submit(alert(id="a"))
    assert blocked.wait(20)
    delivery.submit(alert(id="b"))
    delivery.close(20)
    assert sorted(delivery.delivered()) == ["a", "b"]


def test_close_keeps_its_deadline_and_leaves_the_rest_to_the_ledger(webhook, hang, alert: MakeAlert):
    webhook.answer(hang)
    delivery = AlertDelivery(webhook.url)
    delivery.submit(alert(id="a"))
    delivery.submit(alert(id="b"))
    webhook.next()
    delivery.close(0.05)
    assert delivery.delivered() == ()
    assert delivery.counts == AlertCounts(returned=2)
    delivery.submit(alert(id="c"))
    assert delivery.counts == AlertCounts(returned=3)


def test_close_without_anything_to_do_is_done(deliver):
    for url in (None, "http://127.0.0.1:9/"):
        delivery = deliver(url)
        delivery.close(20)
        delivery.close(20)


def test_an_error_in_the_callers_context_costs_an_attempt_and_not_the_thread(
    webhook, deliver, alert: MakeAlert, caplog: pytest.LogCaptureFixture
):
    attempts = []

    @contextmanager
    def quietly() -> Iterator[None]:
        attempts.append(1)
        if len(attempts) == 1:
            raise LookupError("SECRET")
        yield

    delivery = deliver(webhook.url, quietly=quietly)
    delivery.submit(alert())
    webhook.next()
    delivery.close(20)
    assert delivery.delivered() == (alert().id,)
    assert "an unexpected LookupError" in logged(caplog, logging.WARNING)[0]
    assert "SECRET" not in caplog.text


def test_an_alert_without_a_readable_definition_still_reaches_the_log(
    deliver, alert: MakeAlert, caplog: pytest.LogCaptureFixture
):
    deliver(None).submit(alert("no JSON"))
    [line] = logged(caplog, logging.WARNING)
    assert line == "[warning] Budget checkout reached a threshold, but its definition cannot be read: 'no JSON'"


def test_no_log_shows_the_path_or_the_secret(webhook, deliver, alert: MakeAlert, caplog: pytest.LogCaptureFixture):
    webhook.answer(500, 302, 404)
    secret = "whsec_" + "A" * 43 + "="
    delivery = deliver(webhook.url, secret=secret)
    delivery.submit(alert())
    for _ in range(3):
        webhook.next()
    delivery.close(20)
    assert "T000SECRET" not in caplog.text
    assert "A" * 43 not in caplog.text + repr(delivery)


FORKED = """
import json, os, sys, warnings
from genops_otel_posthog.budgets.alerts import AlertDelivery
from genops_otel_posthog.budgets.ledger.protocol import Alert
warnings.simplefilter("ignore", DeprecationWarning)  # a fork beside a thread is what this is about

def alert(id):
    return Alert(id, "b", "{}", "d:2026-03-29", 8000, False, "warning", 10, 8, 0, 1)

delivery = AlertDelivery(sys.argv[1])
delivery.submit(alert("of the parent, in flight"))
delivery.submit(alert("of the parent, waiting"))
sys.stdin.readline()                        # the test has seen the first request, which is not answered yet
with delivery._changed:                     # whoever holds the lock at the moment of a fork does not exist in the child
    child = os.fork()
if child == 0:
    assert delivery.counts == (0, 0, 0, 0, 0), delivery.counts
    delivery.submit(alert("of the child"))
    delivery.close(20)
    assert delivery.delivered() == ("of the child",), delivery.delivered()
    os._exit(0)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
print("the child is done", flush=True)
delivery.close(20)
print(json.dumps(delivery.delivered()), flush=True)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_forked_child_sends_its_own_alerts_and_nothing_twice(webhook, make_answer):
    answered = threading.Event()
    webhook.answer(make_answer(after=answered))
    with subprocess.Popen(
        [sys.executable, "-c", FORKED, webhook.url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        ids = [webhook.next().json["id"]]
        process.stdin.write("\n")
        process.stdin.flush()
        assert process.stdout.readline() == "the child is done\n"
        answered.set()
        assert json.loads(process.stdout.readline()) == ["of the parent, in flight", "of the parent, waiting"]
    ids += [webhook.next().json["id"] for _ in range(2)]
    assert ids == ["of the parent, in flight", "of the child", "of the parent, waiting"]
    assert webhook.received.empty()

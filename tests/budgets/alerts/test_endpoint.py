"""One request: what counts as delivered, refused or failed, and what may be shown of it."""

from __future__ import annotations

import base64
import logging
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from genops_otel_posthog.budgets.alerts.endpoint import DELIVERED, FAILED, REFUSED, Endpoint, Outcome
from genops_otel_posthog.budgets.ledger.protocol import Alert
from genops_otel_posthog.errors import GenOpsConfigurationError
from genops_otel_posthog.version import __version__

MakeAlert = Callable[..., Alert]

SECRET = "whsec_" + base64.b64encode(bytes(32)).decode()
NOW = 1_774_800_005.7


def endpoint(url: str, **options: Any) -> Endpoint:
    return Endpoint(url, **{"now": lambda: NOW, **options})


def test_an_alert_arrives_signed(webhook, alert: MakeAlert):
    standardwebhooks = pytest.importorskip("standardwebhooks", reason="the standard's own library judges")
    sender = Endpoint(webhook.url, secret=SECRET, escalation=("finance",))
    assert sender.post(alert(), 20) == Outcome(DELIVERED)
    received = webhook.next()
    verified = standardwebhooks.Webhook(SECRET).verify(received.body, received.headers)
    assert (verified["id"], verified["escalation_policy"]) == ("checkout/d:2026-03-29/8000", ["finance"])


def test_a_request_says_what_it_is(webhook, alert: MakeAlert):
    endpoint(webhook.url).post(alert(), 20)
    received = webhook.next()
    assert received.path == "/hooks/T000SECRET"
    assert received.headers["content-type"] == "application/json"
    assert received.headers["user-agent"] == f"genops-otel-posthog/{__version__}"
    assert received.headers["webhook-id"] == "checkout%2Fd:2026-03-29%2F8000"
    assert received.headers["webhook-timestamp"] == "1774800005"
    assert "webhook-signature" not in received.headers


@pytest.mark.parametrize("format_name", ["slack", "alertmanager"])
def test_who_checks_no_signature_gets_none(webhook, alert: MakeAlert, format_name: str):
    endpoint(webhook.url, secret=SECRET, format=format_name).post(alert(), 20)
    assert not [name for name in webhook.next().headers if name.startswith("webhook-")]


@pytest.mark.parametrize("status", [200, 201, 202, 204])
def test_any_2xx_is_a_delivery(webhook, alert: MakeAlert, status: int):
    webhook.answer(status)
    assert endpoint(webhook.url).post(alert(), 20).verdict == DELIVERED


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 413, 422])
def test_most_4xx_are_final(webhook, alert: MakeAlert, status: int):
    webhook.answer(status)
    outcome = endpoint(webhook.url).post(alert(), 20)
    assert outcome.verdict == REFUSED
    assert f"answered {status}" in outcome.reason


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_what_may_pass_is_a_failure(webhook, alert: MakeAlert, status: int):
    webhook.answer(status)
    assert endpoint(webhook.url).post(alert(), 20) == Outcome(FAILED, f"it answered {status}")


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7.0),
        ("Sun, 29 Mar 2026 16:01:05 GMT", 59.3),
        ("Sun, 29 Mar 2026 15:00:00 GMT", 0.0),
        ("soon", None),
        ("-5", None),
        ("", None),
    ],
)
def test_the_receiver_can_say_when_to_come_back(
    webhook, make_answer, alert: MakeAlert, header: str, seconds: float | None
):
    webhook.answer(make_answer(429, {"Retry-After": header}))
    retry_after = endpoint(webhook.url).post(alert(), 20).retry_after
    assert retry_after == (None if seconds is None else pytest.approx(seconds))


def test_a_redirect_is_not_followed(webhook, make_answer, alert: MakeAlert):
    webhook.answer(make_answer(307, {"Location": webhook.url + "/elsewhere"}))
    outcome = endpoint(webhook.url).post(alert(), 20)
    assert outcome.verdict == FAILED
    assert "redirect" in outcome.reason
    webhook.next()
    assert webhook.received.empty()


def test_a_receiver_that_hangs_is_cut_off(webhook, hang, alert: MakeAlert):
    webhook.answer(hang)
    assert endpoint(webhook.url).post(alert(), 0.3) == Outcome(FAILED, "there was no answer within 0.2 s")


def test_nobody_listening_is_a_failure(alert: MakeAlert):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{unused.getsockname()[1]}/secret"
        assert endpoint(address).post(alert(), 20) == Outcome(FAILED, "there is no connection: Connection refused")


def test_a_receiver_that_hangs_up_is_a_failure(alert: MakeAlert):
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(20)

        def hang_up_first() -> Any:
            return quietly()

        @contextmanager
        def quietly() -> Iterator[None]:
            yield
            server.accept()[0].close()

        address = f"http://127.0.0.1:{server.getsockname()[1]}/secret"
        outcome = endpoint(address).post(alert(), 0.3)
    assert outcome.verdict == FAILED
    assert "secret" not in outcome.reason


def test_slacks_own_word_for_a_refusal_is_shown(webhook, make_answer, alert: MakeAlert):
    webhook.answer(make_answer(404, body=b"no_service"))
    assert endpoint(webhook.url).post(alert(), 20).reason == "it answered 404 (no_service)"


def test_a_page_that_repeats_the_address_is_not_shown(webhook, make_answer, alert: MakeAlert):
    webhook.answer(make_answer(404, body=b"<p>/hooks/T000SECRET was not found on this server</p>"))
    assert endpoint(webhook.url).post(alert(), 20).reason == "it answered 404"


def test_an_alert_that_cannot_be_written_is_refused_without_a_request(webhook, alert: MakeAlert):
    outcome = endpoint(webhook.url).post(alert("no JSON"), 20)
    assert outcome.verdict == REFUSED
    assert "its definition cannot be read: 'no JSON'" in outcome.reason
    assert webhook.received.empty()


def test_no_library_logs_the_path_of_a_webhook(webhook, alert: MakeAlert, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.DEBUG)
    webhook.answer(500, 404)
    sender = endpoint(webhook.url, secret=SECRET)
    outcomes = [sender.post(alert(), 20) for _ in range(3)]
    assert "SECRET" not in caplog.text + repr(outcomes)


def test_other_requests_are_logged_as_before(webhook, alert: MakeAlert, caplog: pytest.LogCaptureFixture):
    requests = pytest.importorskip("requests")
    caplog.set_level(logging.DEBUG)
    endpoint(webhook.url).post(alert(), 20)
    requests.post(f"http://{webhook.host}/of-the-application", data=b"", timeout=20)
    assert "/of-the-application" in caplog.text


def test_each_request_is_sent_within_the_callers_context(webhook, alert: MakeAlert):
    seen = []

    @contextmanager
    def quietly() -> Iterator[None]:
        seen.append(("enter", webhook.received.qsize()))
        yield
        seen.append(("leave", webhook.received.qsize()))

    endpoint(webhook.url, quietly=quietly).post(alert(), 20)
    assert seen == [("enter", 0), ("leave", 1)]


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://hooks.slack.com/services/T0/B0/x", "https://hooks.slack.com"),
        ("http://user:password@127.0.0.1:9093/api/v2/alerts?token=x", "http://127.0.0.1:9093"),
        ("https://[::1]:8443/x", "https://[::1]:8443"),
    ],
)
def test_of_an_address_only_scheme_and_host_are_shown(url: str, shown: str):
    assert endpoint(url).shown == shown


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("hooks.slack.com/services/SECRET", "does not begin with https:// or http://"),
        ("ftp://alerts.example/SECRET", "does not begin with http"),
        ("https:///SECRET", "names no host"),
        ("https://alerts.example:http/SECRET", "its port cannot be read"),
        ("https://alerts.example:99999/SECRET", "its port cannot be read"),
        ("https://alerts.example/ SECRET", "a space or a control character"),
        ("https://alerts.example/SECRET\n", "a space or a control character"),
        ("https://[::1/SECRET", "address .* cannot be read"),
    ],
)
def test_an_address_that_cannot_be_one_is_refused_and_not_repeated(url: str, problem: str):
    with pytest.raises(GenOpsConfigurationError, match=problem) as refused:
        endpoint(url)
    assert "SECRET" not in str(refused.value)


def test_an_unknown_format_is_refused_with_those_there_are():
    with pytest.raises(
        GenOpsConfigurationError, match=r"'teams' .* auto, generic, slack, alertmanager or alertmanager-webhook"
    ):
        endpoint("https://alerts.example/", format="teams")

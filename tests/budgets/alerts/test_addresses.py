"""Where private addresses are forbidden, none is reached; where they are not, Alertmanager next door is."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from genops_otel_posthog.budgets.alerts.addresses import (
    NotPublic,
    is_public,
    pinned_session,
    session_for_public_address,
)
from genops_otel_posthog.budgets.alerts.endpoint import DELIVERED, FAILED, Endpoint, Outcome
from genops_otel_posthog.budgets.ledger.protocol import Alert

MakeAlert = Callable[..., Alert]


@pytest.mark.parametrize(
    "address", ["1.1.1.1", "8.8.8.8", "2606:4700:4700::1111", "::ffff:1.1.1.1", "64:ff9b::101:101"]
)
def test_public_addresses(address: str):
    assert is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.0.0.1",
        "172.16.5.4",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "::1",
        "::",
        "fe80::1",
        "fd00::1",
        "ff02::1",
        "::ffff:10.0.0.1",
        "64:ff9b::a9fe:a9fe",
        "2002:7f00:1::",
    ],
)
def test_private_addresses_in_any_clothes(address: str):
    assert not is_public(address)


def test_a_private_receiver_is_not_reached_where_that_is_forbidden(webhook, alert: MakeAlert):
    outcome = Endpoint(webhook.url, private_addresses=False).post(alert(), 20)
    assert outcome == Outcome(FAILED, "its address is not a public one, and only those are allowed")
    assert webhook.received.empty()


def test_a_private_receiver_is_reached_by_default(webhook, alert: MakeAlert):
    assert Endpoint(webhook.url).post(alert(), 20).verdict == DELIVERED


def test_a_name_with_one_private_address_among_public_ones_is_not_public(monkeypatch: pytest.MonkeyPatch):
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 443)) for address in ("1.1.1.1", "10.0.0.1")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_arguments, **_keywords: found)
    with pytest.raises(NotPublic):
        session_for_public_address("https://alerts.example/")


def test_the_request_goes_to_the_address_that_was_checked_and_names_the_host(webhook):
    port = webhook.host.rpartition(":")[2]
    session, url = pinned_session(f"http://user:word@alerts.example:{port}/hook?a=b", "127.0.0.1")
    with session:
        assert session.post(url, data=b"", timeout=20).status_code == 200
    received = webhook.next()
    assert received.path == "/hook?a=b"
    assert received.headers["host"] == f"alerts.example:{port}"
    assert received.headers["authorization"] == "Basic dXNlcjp3b3Jk"


def test_no_proxy_connects_where_nobody_can_check(webhook, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "")
    session, url = pinned_session(f"http://alerts.example:{webhook.host.rpartition(':')[2]}/", "127.0.0.1")
    with session:
        assert session.post(url, data=b"", timeout=20).status_code == 200


@pytest.mark.skipif(shutil.which("openssl") is None, reason="makes its certificate with openssl")
@pytest.mark.parametrize(("name", "is_accepted"), [("alerts.example", True), ("other.example", False)])
def test_the_certificate_is_checked_for_the_name_and_not_for_the_address(
    webhook, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, is_accepted: bool
):
    import requests

    key, certificate = str(tmp_path / "key.pem"), str(tmp_path / "certificate.pem")
    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    names = ("-subj", "/CN=test", "-addext", "subjectAltName=DNS:alerts.example")
    subprocess.run(
        ["openssl", "req", "-x509", *curve, "-days", "2", *names, "-keyout", key, "-out", certificate],
        check=True,
        capture_output=True,
    )
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    webhook.speak_tls(context)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", certificate)
    session, url = pinned_session(f"https://{name}:{webhook.host.rpartition(':')[2]}/", "127.0.0.1")
    with session:
        if is_accepted:
            assert session.post(url, data=b"", timeout=20).status_code == 200
        else:
            with pytest.raises(requests.exceptions.SSLError, match="doesn't match"):
                session.post(url, data=b"", timeout=20)

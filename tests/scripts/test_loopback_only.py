"""No test can leave the machine, whatever library it uses."""

from __future__ import annotations

import socket

import pytest

from loopback_only import is_loopback


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.1", "::1", "localhost", "LOCALHOST", b"::1", "0.0.0.0", None])
def test_loopback_is_recognised(host: object):
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host", ["us.i.posthog.com", "10.0.0.1", "192.168.1.1", "2001:db8::1", b"example.com", "fe80::1%eth0"]
)
def test_everything_else_is_not_loopback(host: object):
    assert not is_loopback(host)


def test_a_name_of_the_internet_is_not_even_looked_up():
    with pytest.raises(ConnectionRefusedError, match=r"does not leave the machine: .*us\.i\.posthog\.com"):
        socket.create_connection(("us.i.posthog.com", 443), timeout=1)


def test_an_address_of_the_internet_is_refused_at_once():
    with socket.socket() as unconnected, pytest.raises(ConnectionRefusedError, match=r"192\.0\.2\.1"):
        unconnected.connect(("192.0.2.1", 443))


def test_loopback_connects():
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        assert client.getpeername() == server.getsockname()

"""The shop as a process that never outlives its demonstration."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress

import pytest

from genops_otel_posthog.demo.shop_process import ShopProcess, free_port, running_shop, terminated_like_interrupted
from genops_otel_posthog.errors import GenOpsError

SERVE = """
import signal, sys
from http.server import BaseHTTPRequestHandler, HTTPServer
class Health(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
signal.signal(signal.SIGTERM, lambda *_: sys.exit({code}))
print("the shop is open")
HTTPServer(("127.0.0.1", int(sys.argv[1])), Health).serve_forever()
"""


def serve(port: int, code: int = 0) -> list[str]:
    return [sys.executable, "-u", "-c", SERVE.format(code=code), str(port)]


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def pid_of(shop: ShopProcess) -> int:
    return shop._process.pid


def test_the_block_begins_when_the_shop_answers_and_the_shop_ends_when_it_is_asked_to() -> None:
    port = free_port()
    with running_shop(serve(port), os.environ, port) as shop:
        shop.stop()

        assert not is_running(pid_of(shop))
        assert shop.log() == "the shop is open"


def test_a_shop_that_ends_at_once_is_an_error_with_its_log() -> None:
    command = [sys.executable, "-c", "raise SystemExit('no shop today')"]

    with (
        pytest.raises(GenOpsError, match=r"exit code 1 before it answered\n\nThe shop's log:\nno shop today"),
        running_shop(command, os.environ, free_port()),
    ):
        pytest.fail("the block must not begin")


def test_a_shop_that_ends_badly_is_an_error_with_its_log() -> None:
    port = free_port()
    with (
        pytest.raises(GenOpsError, match=r"(?s)ended with exit code 3.*the shop is open"),
        running_shop(serve(port, code=3), os.environ, port) as shop,
    ):
        shop.stop()


def test_nothing_is_left_running_after_an_error() -> None:
    port = free_port()
    pids = []
    with suppress(ZeroDivisionError), running_shop(serve(port), os.environ, port) as shop:
        pids.append(pid_of(shop))
        raise ZeroDivisionError

    assert [is_running(pid) for pid in pids] == [False]


def test_the_access_log_is_left_out_of_the_log() -> None:
    port = free_port()
    with running_shop(serve(port), os.environ, port) as shop:
        shop.stop()

        assert "/health" not in shop.log()


def test_sigterm_is_an_interrupt_inside_the_block() -> None:
    with pytest.raises(KeyboardInterrupt), terminated_like_interrupted():
        signal.raise_signal(signal.SIGTERM)


def test_sigterm_is_what_it_was_after_the_block() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with terminated_like_interrupted():
        pass

    assert signal.getsignal(signal.SIGTERM) is before

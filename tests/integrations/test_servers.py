"""Servers in processes of their own, which are told to end by SIGTERM with events still in memory."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from genops_otel_posthog.receiver.server import LocalReceiver

pytestmark = [
    pytest.mark.requirement("E-39"),
    pytest.mark.skipif(sys.platform == "win32", reason="signals and forks"),
]

REQUESTS = 20

FLASK = """
import os
from flask import Flask, g
from genops_otel_posthog.integrations.flask import PostHogGovernance

app = Flask("shop")
PostHogGovernance(app, team="web-team", owner=lambda request: request.args["customer"])

@app.get("/")
def order():
    g.analytics_session.capture_event("order_completed", {"pid": os.getpid()}, distinct_id="ann")
    return str(os.getpid())
"""

STARLETTE = """
import os
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from genops_otel_posthog.integrations.asgi import PostHogGovernanceMiddleware

def customer_of(scope):
    return scope["query_string"].decode().partition("=")[2]

async def order(request):
    request.state.analytics_session.capture_event("order_completed", {"pid": os.getpid()}, distinct_id="ann")
    return PlainTextResponse(str(os.getpid()))

app = Starlette(routes=[Route("/", order)],
                middleware=[Middleware(PostHogGovernanceMiddleware, team="web-team", owner=customer_of)])
"""

_numbers = count(1)
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Server:
    """A server and its project."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, key: str, log: Path) -> None:
        self.process = process
        self.key = key
        self._port = port
        self._log = log

    def wait_until_it_listens(self) -> None:
        deadline = monotonic() + 60
        while True:
            with suppress(OSError), socket.create_connection(("127.0.0.1", self._port), timeout=5):
                return
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(timeout=0.05)
                pytest.fail(f"the server ended with code {self.process.returncode}:\n{self._log.read_text()}")
            if monotonic() > deadline:
                pytest.fail(f"nobody listened within a minute:\n{self._log.read_text()}")

    def ask(self, customer: str) -> str:
        """The process that answered."""
        answer: bytes = _opener.open(f"http://127.0.0.1:{self._port}/?customer={customer}", timeout=30).read()
        return answer.decode()

    def terminate(self) -> None:
        """Sends SIGTERM, and returns when it has ended."""
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)


@pytest.fixture
def serve(receiver: LocalReceiver, tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Starts servers of a program; the SDK would send by itself after an hour."""
    servers: list[Server] = []

    def serve(program: str, *command: str) -> Server:
        (tmp_path / "shop.py").write_text(program)
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = int(listener.getsockname()[1])
        key, log = f"phc_server{next(_numbers)}", tmp_path / "log.txt"
        variables = {"POSTHOG_API_KEY": key, "POSTHOG_HOST": receiver.url, "PYTHONPATH": str(tmp_path)}
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", *(word.replace("PORT", str(port)) for word in command)],
                cwd=tmp_path,
                env={**os.environ, **variables},
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        server = Server(process, port, key, log)
        servers.append(server)
        server.wait_until_it_listens()
        return server

    yield serve
    for server in servers:
        if server.process.poll() is None:
            server.process.kill()
            server.process.wait()


def delivered(receiver: LocalReceiver, server: Server) -> list[tuple[str, Any]]:
    """Customer and process of each event that arrived, in order."""
    events = receiver.events("order_completed", token=server.key)
    return sorted((event.properties["genops_customer_id"], str(event.properties["pid"])) for event in events)


def ask_all(server: Server) -> list[tuple[str, str]]:
    """Customer and process of each request."""
    customers = [f"customer-{number:02d}" for number in range(REQUESTS)]
    return [(customer, server.ask(customer)) for customer in customers]


@pytest.mark.requirement("E-40", "S4-70")
def test_workers_that_gunicorn_forked_deliver_everything_although_the_adapter_is_older(
    serve: Callable[..., Server], receiver: LocalReceiver
) -> None:
    options = ("--preload", "--workers=2", "--threads=2", "--bind=127.0.0.1:PORT", "shop:app")
    server = serve(FLASK, "gunicorn", *options)
    answered = ask_all(server)
    server.terminate()

    assert delivered(receiver, server) == answered
    assert str(server.process.pid) not in {pid for _, pid in answered}


@pytest.mark.requirement("S4-70")
def test_uvicorn_ends_by_the_signal_itself_and_yet_everything_is_delivered(
    serve: Callable[..., Server], receiver: LocalReceiver
) -> None:
    server = serve(STARLETTE, "uvicorn", "--port=PORT", "--log-level=warning", "shop:app")
    answered = ask_all(server)
    server.terminate()

    # No exit handler of Python has run.
    assert server.process.returncode == -signal.SIGTERM
    assert delivered(receiver, server) == answered

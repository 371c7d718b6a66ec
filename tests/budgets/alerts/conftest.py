"""An alert as the ledger hands it out, and a real receiver of webhooks."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import Queue
from types import MappingProxyType
from typing import Any, NamedTuple

import pytest

from genops_otel_posthog.budgets.ledger.protocol import Alert

DEFINITION = {
    "id": "checkout",
    "limit": "20",
    "period": "day",
    "scope": {"team": "checkout", "environment": "production"},
    "time_zone": "Europe/Berlin",
    "policy": "enforced",
}
FIRED = Alert(
    id="checkout/d:2026-03-29/8000",
    budget="checkout",
    definition=json.dumps(DEFINITION),
    period="d:2026-03-29",
    basis_points=8_000,
    forecast=False,
    severity="warning",
    limit=20_000_000_000,
    spent=16_410_000_000,
    at_ms=1_774_800_000_123,  # 2026-03-29 16:00:00.123 UTC
    period_end_ms=1_774_821_600_000,  # 2026-03-29 22:00 UTC, midnight in Berlin
)


@pytest.fixture
def alert() -> Callable[..., Alert]:
    """The alert of a daily budget of 20 USD of which 16.41 USD are spent; changed by field, or by key of its
    definition."""

    def changed(definition: dict[str, Any] | str | None = None, **fields: Any) -> Alert:
        if isinstance(definition, dict):
            definition = json.dumps({**DEFINITION, **definition})
        return FIRED._replace(**({} if definition is None else {"definition": definition}), **fields)

    return changed


class Received(NamedTuple):
    """One request as it came."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Answer(NamedTuple):
    """One answer; ``after`` is waited for before it is given."""

    status: int = 200
    headers: Mapping[str, str] = MappingProxyType({})
    body: bytes = b""
    after: threading.Event | None = None


class Webhook:
    """A server on loopback that gives the answers it was told, in their order, and then 200."""

    def __init__(self) -> None:
        self.received: Queue[Received] = Queue()
        self.answers: Queue[Answer] = Queue()
        self.ended = threading.Event()
        webhook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                answer = Answer() if webhook.answers.empty() else webhook.answers.get()
                webhook.received.put(
                    Received(self.path, {name.lower(): value for name, value in self.headers.items()}, body)
                )
                if answer.after is not None:
                    answer.after.wait(60)
                    if webhook.ended.is_set():
                        return
                self.send_response(answer.status)
                for name, value in {"Content-Length": str(len(answer.body)), **answer.headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(answer.body)

            def log_message(self, format: str, *arguments: object) -> None:
                """Nothing: the test says what it wants to see."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()
        self.host = f"127.0.0.1:{self._server.server_port}"
        self.url = f"http://{self.host}/hooks/T000SECRET"

    def answer(self, *answers: Answer | int) -> None:
        """Gives these answers to the next requests."""
        for one in answers:
            self.answers.put(Answer(one) if isinstance(one, int) else one)

    def next(self) -> Received:
        """The next request; waits for it."""
        return self.received.get(timeout=20)

    def speak_tls(self, context: ssl.SSLContext) -> None:
        """Answers connections made from now on with TLS; the handshake is done by the thread that serves them."""
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self._server.handle_error = lambda *_: None  # type: ignore[method-assign]  # a handshake that fails is no fault here

    def close(self) -> None:
        self.ended.set()
        while not self.answers.empty():
            self.answers.get()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def webhook() -> Iterator[Webhook]:
    """A receiver of webhooks on loopback."""
    webhook = Webhook()
    yield webhook
    webhook.close()


@pytest.fixture
def hang(webhook: Webhook) -> Iterator[Answer]:
    """An answer that does not come before the test ends."""
    never = threading.Event()
    yield Answer(after=never)
    webhook.ended.set()
    never.set()


@pytest.fixture
def make_answer() -> type[Answer]:
    """Makes answers with headers and bodies."""
    return Answer

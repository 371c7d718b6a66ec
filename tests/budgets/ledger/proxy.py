"""Wires that are cut and servers that refuse, when a test says so."""

from __future__ import annotations

import socket
import socketserver
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest


class Proxy:
    """Passes bytes on between 127.0.0.1 and a server's Unix socket.

    Attributes:
        cut_replies: Whether the connection ends as soon as the server answers: the request has been executed, but
            whoever sent it never learns.
        hold_replies: Whether answers are kept back for good while the connection stays open: half-open, to the client.
    """

    def __init__(self, server: Path) -> None:
        self.cut_replies = False
        self.hold_replies = False
        self._server = server
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._open: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._start(self._accept)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"redis://127.0.0.1:{self.port}"

    def close(self) -> None:
        """Ends every connection, and refuses new ones."""
        # `close` alone would not wake the thread that waits in `accept`, or those that wait for data.
        for open_socket in (self._listener, *self._open):
            try:
                open_socket.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue  # it has ended already
        for thread in self._threads:
            thread.join()
        self._listener.close()

    def _start(self, target: object, *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)  # type: ignore[arg-type]  # is callable
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.socket(socket.AF_UNIX)
            server.connect(str(self._server))
            self._open |= {client, server}
            self._start(self._pump, client, server, False)
            self._start(self._pump, server, client, True)

    def _pump(self, source: socket.socket, drain: socket.socket, replies: bool) -> None:
        try:
            while data := source.recv(65_536):
                if replies and self.cut_replies:
                    break
                if not (replies and self.hold_replies):
                    drain.sendall(data)
        except OSError:
            pass  # one side ended the connection; so does the other, below
        finally:
            # The peer's thread waits in `recv` and is woken by this; it closes its own socket.
            for end in (source, drain):
                try:
                    end.shutdown(socket.SHUT_RDWR)
                except OSError:
                    continue
            self._open.discard(source)
            source.close()


@pytest.fixture
def proxies() -> Iterator[list[Proxy]]:
    """Proxies to close at the end of a test."""
    started: list[Proxy] = []
    yield started
    for proxy in started:
        proxy.close()


class RefusingServer(socketserver.ThreadingTCPServer):
    """Speaks Redis's protocol as far as it must to answer every command of a client's work with the same error."""

    daemon_threads = True

    def __init__(self, refusal: str) -> None:
        super().__init__(("127.0.0.1", 0), _Refusal)
        self.refusal = refusal


class _Refusal(socketserver.StreamRequestHandler):
    """A connection: https://redis.io/docs/latest/develop/reference/protocol-spec/."""

    server: RefusingServer

    def handle(self) -> None:
        while words := self.rfile.readline()[1:]:
            command = [self.rfile.read(int(self.rfile.readline()[1:]) + 2) for _ in range(int(words))]
            greeting = command[0].strip().upper() == b"CLIENT"
            self.wfile.write(b"+OK\r\n" if greeting else b"-" + self.server.refusal.encode() + b"\r\n")


@pytest.fixture
def refusing_server() -> Iterator[Callable[[str], str]]:
    """Refusal -> URL of a server that answers with it."""
    started: list[RefusingServer] = []

    def start(refusal: str) -> str:
        started.append(server := RefusingServer(refusal))
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return f"redis://127.0.0.1:{server.server_address[1]}"

    yield start
    for server in started:
        server.shutdown()
        server.server_close()

"""A wire that can be cut: stands between a client and a server, and misbehaves when a test says so."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
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

"""A process that takes requests and counts what is in them, so that receiving is never what limits delivery.

It answers each POST with one write, and a GET with the number of spans and events, and of bytes, that have arrived.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path

from benchmarks.spans import MARK

_MARK = MARK.encode()
_PIECE = 1 << 20
_TAKEN = b'{"status":"Ok"}'


class Sink:
    """Counts. One thread for each connection; the numbers are guarded by the interpreter's lock alone, because each
    contender has one connection at a time."""

    def __init__(self) -> None:
        self._arrived = self._bytes = 0

    def serve(self, listening: socket.socket) -> None:
        """Answers until it is killed."""
        while True:
            connection, _ = listening.accept()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        received = bytearray()
        while True:
            end = received.find(b"\r\n\r\n")
            if end < 0:
                piece = connection.recv(_PIECE)
                if not piece:
                    connection.close()
                    return
                received += piece
                continue
            head, size = bytes(received[:end]).lower(), 0
            place = head.find(b"\r\ncontent-length:")
            if place >= 0:
                size = int(head[place + 17 :].partition(b"\r")[0])
            del received[: end + 4]
            while len(received) < size:
                received += connection.recv(_PIECE)
            self._arrived += received.count(_MARK, 0, size)
            self._bytes += size
            del received[:size]
            said = json.dumps([self._arrived, self._bytes]).encode() if head.startswith(b"get") else _TAKEN
            connection.sendall(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(said), said)
            )


@contextmanager
def running() -> Iterator[int]:
    """A sink in a process of its own; its port."""
    root = Path(__file__).resolve().parent.parent
    command = [sys.executable, "-m", "benchmarks.sink"]
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield int(process.stdout.readline())
        finally:
            process.kill()


def arrived(port: int) -> tuple[int, int]:
    """Spans or events, and bytes, that a sink has received so far."""
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", "/")
    events, size = json.loads(connection.getresponse().read())
    connection.close()
    return events, size


if __name__ == "__main__":
    with socket.create_server(("127.0.0.1", 0), backlog=16) as server:
        print(server.getsockname()[1], flush=True)
        Sink().serve(server)

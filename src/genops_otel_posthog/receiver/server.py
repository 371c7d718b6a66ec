"""Start and stop a receiver: on a thread of this process, or as a process of its own.

A thread is enough for most tests. A process of its own is for tests that measure the sender alone, and for those that
kill the receiver.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from typing_extensions import Self

from genops_otel_posthog.errors import GenOpsConfigurationError, GenOpsError
from genops_otel_posthog.receiver.client import ReceiverClient
from genops_otel_posthog.receiver.faults import FaultRule, Faults
from genops_otel_posthog.receiver.flag_evaluation import FlagDefinitions, read_definitions
from genops_otel_posthog.receiver.loopback import LOOPBACK, is_loopback
from genops_otel_posthog.receiver.store import Store

if TYPE_CHECKING:
    from genops_otel_posthog.receiver.serving import RunningServer

_START_SECONDS = 30.0


class LocalReceiver(ReceiverClient):
    """A receiver on a thread of this process, and its client.

    >>> with LocalReceiver() as receiver:  # doctest: +SKIP
    ...     client = Posthog("phc_test", host=receiver.url)

    Args:
        port: 0 for any free one.
        data: the SQLite file; ``None`` for a temporary one, removed at the end.
        flags: feature flags in PostHog's local-evaluation format, or the path of a JSON file with them.
        faults: rules in force from the start.
        keep_bodies: whether request bodies are kept as sent, for :meth:`~.client.ReceiverClient.request_body`.
        host: the address to listen on; anything but loopback needs ``allow_remote``.
        allow_remote: let other machines connect. There is no authentication.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        data: str | os.PathLike[str] | None = None,
        flags: object = None,
        faults: Sequence[FaultRule] = (),
        keep_bodies: bool = False,
        host: str = LOOPBACK,
        allow_remote: bool = False,
    ) -> None:
        super().__init__("http://receiver.not.started")
        self._port = port
        self._data = data
        self._definitions = load_definitions(flags)
        self._faults = faults
        self._keep_bodies = keep_bodies
        self._host = host
        self._allow_remote = allow_remote
        if not allow_remote and not is_loopback(host):
            raise GenOpsConfigurationError(
                f"the receiver has no authentication and listens on loopback only, not on {host!r}; "
                "use 127.0.0.1, or allow it explicitly"
            )
        self._server: RunningServer | None = None

    def start(self) -> Self:
        """Listen; returns when requests are answered.

        Raises:
            GenOpsConfigurationError: the port is taken, the data file cannot be used, or a package is missing.
        """
        try:
            from genops_otel_posthog.receiver.serving import RunningServer
        except ImportError as problem:
            raise GenOpsConfigurationError(
                f"the local receiver needs the package {problem.name!r}; "
                "install it with: pip install 'genops-otel-posthog[receiver]'"
            ) from problem
        listener = _listen(self._host, self._port)
        try:
            store = Store(self._data)
        except GenOpsError:
            listener.close()
            raise
        rules = Faults()
        for rule in self._faults:
            rules.add(rule)
        server = RunningServer(
            listener,
            store,
            definitions=self._definitions,
            faults=rules,
            keep_bodies=self._keep_bodies,
            allow_remote=self._allow_remote,
        )
        server.start()
        self._server = server
        self.data_path = store.path
        self.url = _url(listener)
        return self

    @property
    def port(self) -> int:
        """The port it listens on, once started."""
        return int(self.url.rpartition(":")[2])

    def stop(self) -> None:
        """Stop listening and close the data file; nothing happens when it is stopped."""
        if self._server is not None:
            self._server.stop()
            self._server = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


class ReceiverProcess(ReceiverClient):
    """A receiver in a process of its own, and its client.

    The process ends when this one does, however that happens: it watches its standard input.

    Args:
        port: 0 for any free one.
        data: the SQLite file; ``None`` for a temporary one.
        flags: as for :class:`LocalReceiver`, but only the path of a file.
        keep_bodies: as for :class:`LocalReceiver`.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        data: str | os.PathLike[str] | None = None,
        flags: str | os.PathLike[str] | None = None,
        keep_bodies: bool = False,
    ) -> None:
        super().__init__("http://receiver.not.started")
        self._command = [sys.executable, "-m", "genops_otel_posthog.receiver", "--port", str(port)]
        if data is not None:
            self._command += ["--data", os.fspath(data)]
        if flags is not None:
            self._command += ["--flags", os.fspath(flags)]
        if keep_bodies:
            self._command.append("--keep-bodies")
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> Self:
        """Start the process; returns when requests are answered.

        Raises:
            GenOpsError: it ended instead; the message has what it wrote.
        """
        package_parent = str(Path(__file__).resolve().parents[2])
        path = os.pathsep.join(filter(None, [package_parent, os.environ.get("PYTHONPATH")]))
        # Nothing of the measured application's own telemetry belongs into the receiver.
        environment = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
        self._process = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment | {"PYTHONPATH": path},
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            _, errors = self._process.communicate(timeout=_START_SECONDS)
            raise GenOpsError(f"the receiver process ended with {self._process.returncode}: {errors.strip()}")
        self.url = json.loads(line)["url"]
        return self

    @property
    def pid(self) -> int:
        """Process id, once started."""
        if self._process is None:
            raise GenOpsError("the receiver process is not started")
        return self._process.pid

    @property
    def port(self) -> int:
        """The port it listens on, once started."""
        return int(self.url.rpartition(":")[2])

    def stop(self) -> None:
        """End the process in good order; nothing happens when it has ended."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End the process at once, as a crash would. A given data file stays readable."""
        self._end(getattr(signal, "SIGKILL", signal.SIGTERM))

    def _end(self, how: signal.Signals) -> None:
        if self._process is None:
            return
        if self._process.poll() is None:
            self._process.send_signal(how)
        self._process.communicate(timeout=_START_SECONDS)
        self._process = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def load_definitions(flags: object) -> FlagDefinitions:
    """Feature flags from JSON content, from the path of a JSON file, or none.

    Raises:
        GenOpsConfigurationError: the file cannot be read, or the content has another shape.
    """
    if flags is None:
        return FlagDefinitions()
    if isinstance(flags, FlagDefinitions):
        return flags
    if isinstance(flags, (str, os.PathLike)):
        path = Path(flags)
        try:
            return read_definitions(json.loads(path.read_text(encoding="utf-8")), source=str(path))
        except (OSError, ValueError) as problem:
            raise GenOpsConfigurationError(
                f"the flag definitions in {str(path)!r} cannot be read: {problem}"
            ) from problem
    return read_definitions(flags, source="flags")


def environment_for(url: str) -> Mapping[str, str]:
    """Environment variables that make the PostHog SDK and OpenTelemetry talk to a receiver."""
    return {
        "POSTHOG_HOST": url,
        "POSTHOG_API_KEY": "phc_local",
        "OTEL_EXPORTER_OTLP_ENDPOINT": url,
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
    }


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=1024)
    except OSError as problem:
        raise GenOpsConfigurationError(
            f"the receiver cannot listen on {host}:{port}: {problem.strerror or problem}; choose another port, "
            "or 0 for any free one"
        ) from problem


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

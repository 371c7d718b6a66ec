"""The shop as a process: started, waited for, and stopped so that it delivers everything it holds."""

from __future__ import annotations

import http.client
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic

from typing_extensions import Self

from genops_otel_posthog.errors import GenOpsError

START_SECONDS = 60.0
STOP_SECONDS = 60.0
_LOG_LINES = 60


class ShopProcess:
    """A running shop. Its output goes to a file, because an unread pipe would stop it.

    Args:
        command: What starts it.
        environment: Its whole environment.
        port: Where it listens.
        directory: Its working directory, which also holds its log.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], port: int, directory: Path) -> None:
        self.port = port
        self.directory = directory
        self._log = directory / "shop.log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                command,
                cwd=directory,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # Ctrl-C is for the demonstration, which then stops the shop by itself.
                start_new_session=True,
            )

    def wait_until_it_serves(self) -> Self:
        """Returns when the shop answers.

        Raises:
            GenOpsError: it ended, or did not answer in time.
        """
        deadline = monotonic() + START_SECONDS
        while not self._answers():
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout=0.05)
                raise GenOpsError(f"the shop ended with exit code {self._process.returncode} before it answered")
            if monotonic() > deadline:
                raise GenOpsError(f"the shop did not answer on port {self.port} within {START_SECONDS:.0f} seconds")
        return self

    def _answers(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", "/health")
            return connection.getresponse().status == http.HTTPStatus.OK
        except OSError:
            return False
        finally:
            connection.close()

    def stop(self) -> None:
        """Asks the shop to end and returns when it has.

        Raises:
            GenOpsError: it ended badly, or not in time.
        """
        self._process.send_signal(signal.SIGTERM)
        try:
            code = self._process.wait(timeout=STOP_SECONDS)
        except subprocess.TimeoutExpired:
            raise GenOpsError(f"the shop did not end within {STOP_SECONDS:.0f} seconds of being asked to") from None
        if code:
            raise GenOpsError(f"the shop ended with exit code {code}")

    def kill(self) -> None:
        """Ends the shop at once, if it has not ended."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def log(self) -> str:
        """What the shop wrote, without its access log; the middle of a long one is left out."""
        lines = self._log.read_text(encoding="utf-8", errors="replace").splitlines()
        lines = [line for line in lines if '] "' not in line]
        if len(lines) > 2 * _LOG_LINES:
            lines[_LOG_LINES:-_LOG_LINES] = ["…"]
        return "\n".join(lines)


@contextmanager
def running_shop(command: Sequence[str], environment: Mapping[str, str], port: int) -> Iterator[ShopProcess]:
    """A shop that has ended when the block has, whatever happened in it.

    Raises:
        GenOpsError: raised in the block or by the shop's start; the shop's log is added to the message.
    """
    with tempfile.TemporaryDirectory(prefix="genops-posthog-demo-") as directory:
        shop = ShopProcess(command, environment, port, Path(directory))
        try:
            yield shop.wait_until_it_serves()
        except GenOpsError as error:
            raise type(error)(f"{error}\n\nThe shop's log:\n{shop.log() or '(empty)'}") from error
        finally:
            shop.kill()


def free_port() -> int:
    """A port on loopback that nobody listens on at this moment."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


@contextmanager
def terminated_like_interrupted() -> Iterator[None]:
    """Makes SIGTERM end the block the way Ctrl-C does, so that nothing is left running."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    try:
        previous = signal.signal(signal.SIGTERM, interrupt)
    except ValueError:  # only the main thread may; elsewhere the host of this thread decides
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)

"""A receiver, applications that capture events with ``GENOPS_DURABLE_CAPTURE=true``, and the process after them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from genops_otel_posthog.export.captures import Address
from genops_otel_posthog.export.outbox import Outbox, Tuning
from genops_otel_posthog.receiver import LocalReceiver

APPLICATION = Path(__file__).with_name("application.py")
KEY = "phc_capturing"


@dataclass
class Application:
    """A running application and what it has said so far."""

    process: subprocess.Popen[str]
    captured: list[str] = field(default_factory=list)
    said: dict[str, str] = field(default_factory=dict)
    log: str = ""

    def hear(self, *, events: int | None = None) -> None:
        """Listens until it has said so many events, or its end."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if not line.endswith("\n"):
                return  # killed in the middle of a word
            word, _, value = line.strip().partition(" ")
            if word == "captured":
                self.captured.append(value)
            else:
                self.said[word] = value
            if events is not None and len(self.captured) >= events:
                return

    def kill(self) -> None:
        """As an operator or the kernel does; then hears what had been said."""
        self.process.kill()
        self.hear()
        self.process.wait(30)

    def end(self) -> None:
        """Lets it end by itself."""
        if self.process.stdin is not None:
            self.process.stdin.close()
            self.process.stdin = None
        self.hear()
        assert self.process.stderr is not None
        self.log = self.process.stderr.read()
        assert self.process.wait(90) == 0, self.log


@pytest.fixture(scope="module")
def shared_receiver() -> Iterator[LocalReceiver]:
    with LocalReceiver() as receiver:
        yield receiver


@pytest.fixture
def receiver(shared_receiver: LocalReceiver) -> LocalReceiver:
    """The receiver, empty and well."""
    shared_receiver.recover()
    shared_receiver.clear()
    return shared_receiver


@pytest.fixture
def outbox(tmp_path: Path) -> Path:
    return tmp_path / "outbox"


@pytest.fixture
def start(receiver: LocalReceiver, outbox: Path) -> Iterator[Callable[..., Application]]:
    """Starts applications that share one outbox; those that still run at the end are killed."""
    started: list[subprocess.Popen[str]] = []
    environment = {
        **os.environ,
        "POSTHOG_HOST": receiver.url,
        "GENOPS_DURABLE_CAPTURE": "true",
        "GENOPS_OUTBOX_PATH": str(outbox),
    }

    def start(**options: Any) -> Application:
        command = [sys.executable, str(APPLICATION)]
        for name, value in options.items():
            command += [f"--{name}"] if value is True else [f"--{name}={value}"]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        started.append(subprocess.Popen(command, text=True, env=environment, **pipes))
        return Application(started[-1])

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.wait(30)
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()


@pytest.fixture
def delivered(receiver: LocalReceiver, outbox: Path) -> Callable[[], list[str]]:
    """Does what the next process does: it delivers what waits, until nothing is left.

    Returns:
        The uuids of what has arrived, each once.
    """

    def delivered() -> list[str]:
        address = Address(KEY, receiver.url)
        with Outbox(outbox, [address.destination()], tuning=Tuning(linger=0.0, survey=0.05)) as opened:
            with opened._store.changed:
                done = opened._store.changed.wait_for(lambda: not list(outbox.glob("*.seg")), 60)
            assert done, list(outbox.iterdir())
            assert opened.accounting().holds
        return sorted({event.uuid for event in receiver.events(token=KEY)})

    return delivered

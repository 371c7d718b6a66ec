"""A receiver, applications as processes of their own, and the promise they are held to."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from genops_otel_posthog.export.destinations.posthog import PostHogDestination
from genops_otel_posthog.export.outbox import Outbox, Pauses, Tuning
from genops_otel_posthog.receiver import LocalReceiver

APPLICATION = Path(__file__).with_name("application.py")
QUICK = Pauses(first=0.01, longest=0.1)
TUNING = Tuning(linger=0.0, request_timeout=1.0, retries=QUICK, probes=QUICK, survey=0.05)


@dataclass
class Application:
    """A running application and what it has said so far."""

    process: subprocess.Popen[str]
    took: list[int] = field(default_factory=list)
    said: dict[str, str] = field(default_factory=dict)

    def hear(self, *, events: int | None = None, word: str | None = None) -> None:
        """Listens until it has said so many events, or a word, or its end."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if not line.endswith("\n"):
                return  # killed in the middle of a word
            said, _, value = line.strip().partition(" ")
            if said == "took":
                self.took.append(int(value))
            else:
                self.said[said] = value
            if said == word or (events is not None and len(self.took) >= events):
                return

    def kill(self) -> None:
        """As an operator or the kernel does; then hears what had been said."""
        self.process.kill()
        self.hear()
        self.process.wait(30)

    def end(self) -> str:
        """Lets it end and returns what it logged."""
        if self.process.stdin is not None:
            self.process.stdin.close()
            self.process.stdin = None
        self.hear()
        assert self.process.stderr is not None
        log = self.process.stderr.read()
        assert self.process.wait(60) == 0, log
        return log


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
def directory(tmp_path: Path) -> Path:
    return tmp_path / "outbox"


@pytest.fixture
def start(receiver: LocalReceiver, directory: Path) -> Iterator[Callable[..., Application]]:
    """Starts applications; those that still run at the end are killed."""
    started: list[subprocess.Popen[str]] = []

    def start(*, at: Path = directory, **options: Any) -> Application:
        command = [sys.executable, str(APPLICATION), f"--directory={at}", f"--url={receiver.url}"]
        for name, value in options.items():
            flag = "--" + name.replace("_", "-")
            command += [flag] if value is True else [f"{flag}={value}"]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        started.append(subprocess.Popen(command, text=True, **pipes))
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
def deliver_rest(receiver: LocalReceiver, directory: Path) -> Callable[..., Outbox]:
    """What the next process does: everything that waits is delivered, and nothing is left."""

    def deliver_rest(*, at: Path = directory) -> Outbox:
        outbox = Outbox(at, [PostHogDestination("phc_test", receiver.url)], tuning=TUNING)
        with outbox._store.changed:
            done = outbox._store.changed.wait_for(lambda: not list(at.glob("*.seg")), 60)
        assert outbox.shutdown(30)
        assert done, list(at.iterdir())
        assert outbox.accounting().holds
        return outbox

    return deliver_rest


@pytest.fixture
def arrived(receiver: LocalReceiver) -> Callable[[], set[int]]:
    """The events that arrived, none of them under two uuids."""

    def arrived() -> set[int]:
        found: dict[int, set[str]] = {}
        for event in receiver.events():
            found.setdefault(event.properties["number"], set()).add(event.uuid)
        for number, uuids in found.items():
            assert uuids == {str(UUID(int=number))}
        return set(found)

    return arrived

"""A receiver, applications that export their spans, and what is promised of them: every span that ended, once."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from genops_otel_posthog.export.destinations.posthog import PostHogDestination
from genops_otel_posthog.export.outbox import Outbox, Tuning
from genops_otel_posthog.receiver import LocalReceiver

APPLICATION = Path(__file__).with_name("application.py")
KEY = "phc_exporting"


@dataclass
class Application:
    """A running application and what it has said so far."""

    process: subprocess.Popen[str]
    ended: list[str] = field(default_factory=list)
    said: dict[str, str] = field(default_factory=dict)
    log: str = ""

    def hear(self, *, spans: int | None = None, word: str | None = None) -> None:
        """Listens until it has said so many spans, or a word, or its end."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if not line.endswith("\n"):
                return  # killed in the middle of a word
            said, _, value = line.strip().partition(" ")
            if said == "ended":
                self.ended.append(value)
            else:
                self.said[said] = value
            if said == word or (spans is not None and len(self.ended) >= spans):
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
def start(receiver: LocalReceiver, tmp_path: Path) -> Iterator[Callable[..., Application]]:
    """Starts applications that share one outbox; those that still run at the end are killed."""
    started: list[subprocess.Popen[str]] = []
    environment = {
        **os.environ,
        "POSTHOG_API_KEY": KEY,
        "POSTHOG_HOST": receiver.url,
        "GENOPS_OUTBOX_PATH": str(tmp_path / "outbox"),
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
def arrived(receiver: LocalReceiver) -> Callable[[], Counter[str]]:
    """How many different events arrived of each trace."""

    def arrived() -> Counter[str]:
        uuids = {event.uuid: str(event.properties["$trace_id"]) for event in receiver.events(token=KEY)}
        return Counter(uuids.values())

    return arrived


@pytest.fixture
def next_process(receiver: LocalReceiver, tmp_path: Path) -> Callable[[], None]:
    """What the next process does: it delivers what waits, until nothing is left."""

    def next_process() -> None:
        directory = tmp_path / "outbox"
        outbox = Outbox(directory, [PostHogDestination(KEY, receiver.url)], tuning=Tuning(linger=0.0, survey=0.05))
        with outbox._store.changed:
            done = outbox._store.changed.wait_for(lambda: not list(directory.glob("*.seg")), 60)
        outbox.shutdown(30)
        assert done, list(directory.iterdir())
        assert outbox.accounting().holds

    return next_process

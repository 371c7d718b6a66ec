"""Destinations that answer as a test says, and an outbox that does not dawdle."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from genops_otel_posthog.export.destinations.protocol import Answer, Verdict
from genops_otel_posthog.export.outbox import Outbox, Pauses, Tuning

ACCEPTED = Answer(Verdict.ACCEPTED)
Responder = Callable[[Sequence[bytes]], Answer]

AT_ONCE = Pauses(first=0.001, longest=0.002)
QUICK = Tuning(linger=0.0, retries=AT_ONCE, probes=AT_ONCE, survey=0.05, sync=0.05)


class Recorded:
    """A destination that keeps what it takes, and answers as told: a list of answers first, then by a function."""

    def __init__(self, *answers: Answer, respond: Responder = lambda _bodies: ACCEPTED, name: str = "test") -> None:
        self.name = name
        self.account = ""
        self.max_batch_events = 100
        self.max_batch_bytes = 1_000_000
        self.max_event_bytes = 100_000
        self.respond = respond
        self.requests: list[list[bytes]] = []
        self.taken: list[bytes] = []
        self.closed = False
        self.watch: Callable[[], None] = lambda: None
        self._answers = list(answers)

    def send(self, bodies: Sequence[bytes], timeout: float) -> Answer:
        self.watch()
        self.requests.append(list(bodies))
        answer = self._answers.pop(0) if self._answers else self.respond(bodies)
        if answer.verdict is Verdict.ACCEPTED:
            left_out = {*answer.rejected, *answer.again}
            self.taken += [body for position, body in enumerate(bodies) if position not in left_out]
        return answer

    def close(self) -> None:
        self.closed = True


class Gate:
    """A respond function that waits until the test opens it, as a service that hangs does."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.opened = threading.Event()

    def __call__(self, _bodies: Sequence[bytes]) -> Answer:
        self.entered.set()
        assert self.opened.wait(60), "the test never opened the gate"
        return ACCEPTED


def event(number: int, **properties: Any) -> bytes:
    """The bytes of an event; its uuid is its number."""
    content = {
        "event": "order_completed",
        "distinct_id": "user-1",
        "uuid": str(UUID(int=number)),
        "timestamp": "2026-11-22T12:00:00+00:00",
        "properties": {"number": number, **properties},
    }
    return json.dumps(content, separators=(",", ":")).encode()


def numbers(bodies: Sequence[bytes]) -> list[int]:
    """Which events these are."""
    return [json.loads(body)["properties"]["number"] for body in bodies]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "outbox"


@pytest.fixture
def open_outbox(directory: Path) -> Iterator[Callable[..., Outbox]]:
    """Opens outboxes in one directory that are shut down at the end, whatever the test did."""
    opened: list[Outbox] = []

    def open_outbox(*destinations: Any, at: Path = directory, tuning: Tuning = QUICK, **options: Any) -> Outbox:
        opened.append(Outbox(at, destinations, tuning=tuning, **options))
        return opened[-1]

    yield open_outbox
    for outbox in opened:
        outbox.shutdown(0.3)


@pytest.fixture
def make_event() -> Callable[..., bytes]:
    return event


@pytest.fixture
def which() -> Callable[[Sequence[bytes]], list[int]]:
    return numbers


@pytest.fixture
def recorded() -> type[Recorded]:
    return Recorded


@pytest.fixture
def gate() -> Iterator[Gate]:
    made = Gate()
    yield made
    made.opened.set()


@pytest.fixture
def quick() -> Tuning:
    return QUICK


@pytest.fixture
def until() -> Callable[[Outbox, Callable[[], object]], None]:
    """Waits for something that the threads of an outbox bring about."""

    def until(outbox: Outbox, reached: Callable[[], object]) -> None:
        changed = outbox._store.changed
        with changed:
            assert changed.wait_for(reached, 30), "it never came about"

    return until

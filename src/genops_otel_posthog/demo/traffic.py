"""Visitors for the example shop: a few hundred requests, the same ones every time, sent by several threads over HTTP.

What is sent depends on the seed alone. A journey is one person's requests and runs in one thread, in order; journeys
run side by side, so only the moment of a request depends on the machine.
"""

from __future__ import annotations

import http.client
import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from itertools import chain
from random import Random
from time import perf_counter
from typing import Any

from genops_otel_posthog.errors import GenOpsError

COMPANIES = ("acme", "globex", "initech", "umbrella")
PRODUCTS = ("mug", "lamp", "desk", "chair")
MIN_REQUESTS = 50
"""Fewer requests would not contain every kind of call."""


@dataclass(frozen=True)
class Step:
    """One request.

    Attributes:
        method: HTTP method.
        path: Path.
        host: Value of the ``Host`` header, which names the company.
        cookies: Who asks.
        status: The HTTP status that the shop is expected to answer.
        form: Body, sent as JSON.
    """

    method: str
    path: str
    host: str
    cookies: Mapping[str, str]
    status: int = 200
    form: Mapping[str, Any] | None = None


Journey = tuple[Step, ...]


def plan_journeys(seed: int, requests: int) -> list[Journey]:
    """Invents journeys with exactly ``requests`` steps in all.

    Args:
        seed: The same seed gives the same journeys.
        requests: Number of requests, at least :data:`MIN_REQUESTS`.

    Raises:
        ValueError: ``requests`` is too small.
    """
    if requests < MIN_REQUESTS:
        raise ValueError(f"{requests} requests are too few to show every kind of call; use {MIN_REQUESTS} or more")
    random = Random(seed)
    journeys: list[Journey] = []
    left = requests
    for number, kind in enumerate(_kinds(random)):
        person = _Person(random, number)
        journey = tuple(kind(person))[:left]
        journeys.append(journey)
        left -= len(journey)
        if not left:
            return journeys
    raise AssertionError("kinds of journeys never end")


@dataclass
class Traffic:
    """What came of it.

    Attributes:
        requests: Requests answered as expected.
        statuses: How many of them by status.
        seconds: How long it took.
    """

    requests: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    seconds: float = 0.0


def send_journeys(
    journeys: Sequence[Journey], port: int, *, threads: int = 4, on_answer: Callable[[], object] = lambda: None
) -> Traffic:
    """Sends every journey to the shop at ``127.0.0.1:port``.

    The first is over before the others begin: what its calls cost does not depend on who else is there.

    Args:
        journeys: From :func:`plan_journeys`.
        port: Where the shop listens.
        threads: Journeys at a time.
        on_answer: Called after each answer, from any of the threads.

    Raises:
        GenOpsError: the shop did not answer, or answered with another status than expected.
    """
    traffic = Traffic()
    started = perf_counter()
    waiting, taking, is_over = iter(journeys), threading.Lock(), threading.Event()

    def visit() -> Counter[int]:
        """One visitor after the other, as long as there is one."""
        answered: Counter[int] = Counter()
        while not is_over.is_set():
            with taking:
                journey = next(waiting, None)
            if journey is None:
                break
            answered.update(_send(journey, port, on_answer))
        return answered

    # A task for each thread and not for each journey: Ctrl-C is then met while this thread waits, and not with a lock
    # of the pool in its hand.
    pool = ThreadPoolExecutor(threads, thread_name_prefix="visitor")
    try:
        if journeys:
            traffic.statuses.update(_send(next(waiting), port, on_answer))
        for answered in as_completed([pool.submit(visit) for _ in range(threads)]):
            traffic.statuses.update(answered.result())
    finally:
        # After an error or Ctrl-C, journeys that have not begun never do.
        is_over.set()
        pool.shutdown(wait=False, cancel_futures=True)
    traffic.requests = traffic.statuses.total()
    traffic.seconds = perf_counter() - started
    return traffic


def _send(journey: Journey, port: int, on_answer: Callable[[], object]) -> list[int]:
    return [_send_step(step, port, on_answer) for step in journey]


def _send_step(step: Step, port: int, on_answer: Callable[[], object]) -> int:
    headers = {"Host": step.host, "Cookie": "; ".join(f"{name}={value}" for name, value in step.cookies.items())}
    body = None
    if step.form is not None:
        headers["Content-Type"] = "application/json"
        body = json.dumps(step.form)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request(step.method, step.path, body, headers)
        answer = connection.getresponse()
        answer.read()
    except OSError as error:
        raise GenOpsError(f"the shop did not answer {step.method} {step.path}: {error}") from error
    finally:
        connection.close()
    if answer.status != step.status:
        raise GenOpsError(f"the shop answered {step.method} {step.path} with {answer.status}, not with {step.status}")
    on_answer()
    return step.status


class _Person:
    """Somebody with a cookie, at one company's shop."""

    def __init__(self, random: Random, number: int) -> None:
        self.random = random
        self.host = f"{random.choice(COMPANIES)}.shop.example"
        self.visitor = f"visitor-{random.getrandbits(48):012x}"
        self.user = f"user-{number}"
        self.plan = random.choice(("free", "free", "business"))
        self.card = "declined" if number % 7 == 1 else "good"
        self.cookies = {"visitor": self.visitor}

    def sign_in(self) -> None:
        self.cookies = {"visitor": self.visitor, "user": self.user}

    def step(self, method: str, path: str, status: int = 200, form: Mapping[str, Any] | None = None) -> Step:
        return Step(method, path, self.host, self.cookies, status, form)

    def look_around(self) -> Iterator[Step]:
        yield self.step("GET", "/")
        for sku in self.random.sample(PRODUCTS, self.random.randint(1, 3)):
            yield self.step("GET", f"/products/{sku}")

    def order(self) -> Step:
        items = self.random.choices(PRODUCTS, k=self.random.randint(1, 4))
        form = {"plan": self.plan, "items": items, "card": self.card}
        return self.step("POST", "/orders", 402 if self.card == "declined" else 201, form)


def _window_shopping(person: _Person) -> Iterator[Step]:
    yield from person.look_around()
    yield person.step("GET", "/pricing")


def _signing_up(person: _Person) -> Iterator[Step]:
    yield person.step("GET", "/")
    yield person.step("GET", "/pricing")
    yield person.step("POST", "/signup", 201, {"user": person.user, "plan": person.plan})
    person.sign_in()
    yield from person.look_around()
    yield person.order()


def _shopping(person: _Person) -> Iterator[Step]:
    person.sign_in()
    yield from person.look_around()
    yield person.order()


def _describing_products(person: _Person) -> Iterator[Step]:
    person.sign_in()
    for sku in person.random.sample(PRODUCTS, 2):
        yield person.step("POST", f"/products/{sku}/description")


def _asking_for_the_money_back(person: _Person) -> Iterator[Step]:
    person.sign_in()
    yield person.step("POST", "/questions", 200, {"question": "Where is my order? I want my money back.", "order": 17})


def _kinds(random: Random) -> Iterator[Callable[[_Person], Iterator[Step]]]:
    kinds = (_shopping, _signing_up, _window_shopping, _describing_products)
    return chain(
        (_asking_for_the_money_back,), kinds, iter(lambda: random.choices(kinds, weights=(4, 3, 4, 1))[0], None)
    )

"""The visitors of the example shop."""

from __future__ import annotations

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from genops_otel_posthog.demo.shop_process import free_port
from genops_otel_posthog.demo.traffic import MIN_REQUESTS, Step, plan_journeys, send_journeys
from genops_otel_posthog.errors import GenOpsError


class _Handler(BaseHTTPRequestHandler):
    """Answers with the status that the path names, and notes who asked where."""

    seen: list[tuple[str | None, str | None]]

    def do_GET(self) -> None:
        self.seen.append((self.headers["Host"], self.headers["Cookie"]))
        self.send_response(int(self.path.removeprefix("/")))
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[ThreadingHTTPServer]:
    _Handler.seen = []
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as listening:
        thread = Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield listening
        listening.shutdown()
        thread.join()


def step(status: int, expected: int = 200) -> Step:
    return Step("GET", f"/{status}", "acme.shop.example", {"visitor": "v-1", "user": "u-1"}, expected)


def test_the_same_seed_gives_the_same_journeys() -> None:
    assert plan_journeys(7, 200) == plan_journeys(7, 200)


def test_another_seed_gives_other_journeys() -> None:
    assert plan_journeys(7, 200) != plan_journeys(8, 200)


@pytest.mark.parametrize("requests", [MIN_REQUESTS, 51, 360])
def test_there_are_exactly_as_many_requests_as_asked_for(requests: int) -> None:
    assert sum(map(len, plan_journeys(1, requests))) == requests


def test_the_smallest_traffic_has_every_kind_of_request() -> None:
    steps = [one for journey in plan_journeys(1, MIN_REQUESTS) for one in journey]

    assert {one.path.split("/")[1] for one in steps} == {
        "",
        "products",
        "pricing",
        "signup",
        "orders",
        "questions",
    }
    assert {one.status for one in steps} == {200, 201, 402}


def test_the_first_journey_is_one_question_to_the_assistant() -> None:
    first, *others = plan_journeys(1, MIN_REQUESTS)

    assert [step.path for step in first] == ["/questions"]
    assert "/questions" not in [step.path for journey in others for step in journey]


def test_the_first_journey_is_over_before_the_others_begin(server: ThreadingHTTPServer) -> None:
    answered: list[int] = []

    def note() -> None:
        answered.append(len(_Handler.seen))

    send_journeys([(step(200), step(200)), *[(step(200),)] * 8], server.server_port, on_answer=note)

    assert answered[:2] == [1, 2]


def test_fewer_requests_than_that_are_refused() -> None:
    with pytest.raises(ValueError, match="49 requests are too few"):
        plan_journeys(1, MIN_REQUESTS - 1)


def test_a_person_is_anonymous_until_the_sign_up() -> None:
    journey = next(one for one in plan_journeys(1, 360) if any(step.path == "/signup" for step in one))
    signed_up = [step.path for step in journey].index("/signup")

    assert all("user" not in step.cookies for step in journey[: signed_up + 1])
    assert all("user" in step.cookies for step in journey[signed_up + 1 :])


def test_every_request_says_whose_shop_it_is_for_and_who_asks(server: ThreadingHTTPServer) -> None:
    send_journeys([(step(200),)], server.server_port)

    assert _Handler.seen == [("acme.shop.example", "visitor=v-1; user=u-1")]


def test_answers_are_counted_by_status(server: ThreadingHTTPServer) -> None:
    answers: list[None] = []

    traffic = send_journeys(
        [(step(200), step(200)), (step(201, 201),)], server.server_port, on_answer=lambda: answers.append(None)
    )

    assert (traffic.requests, dict(traffic.statuses), len(answers)) == (3, {200: 2, 201: 1}, 3)


def test_another_status_than_expected_is_an_error_that_names_the_request(server: ThreadingHTTPServer) -> None:
    with pytest.raises(GenOpsError, match="the shop answered GET /500 with 500, not with 200"):
        send_journeys([(step(500),)], server.server_port)


def test_no_answer_is_an_error_that_names_the_request() -> None:
    with pytest.raises(GenOpsError, match="the shop did not answer GET /200"):
        send_journeys([(step(200),)], free_port())

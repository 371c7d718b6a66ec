"""The end of a process is quick, and what it could not deliver is delivered by the next."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

import pytest


@pytest.mark.parametrize("delay", [0.2, 0.8])
def test_an_exit_with_much_undelivered_and_a_slow_server_is_quick_and_loses_nothing(
    start: Any, receiver: Any, deliver_rest: Any, arrived: Any, delay: float
) -> None:
    with receiver.fail("capture", delay=delay):
        log = start(count=8000).end()
    # 8,000 events are eight requests: at 200 ms each they may make it in the two seconds there are.
    assert log.count("not delivered yet") == 1 or delay == 0.2
    deliver_rest()
    assert arrived() == set(range(8000))


def test_an_exit_while_nobody_answers_says_in_one_line_where_the_events_are(
    start: Any, receiver: Any, deliver_rest: Any, arrived: Any, directory: Any
) -> None:
    with receiver.fail("capture", hang=True):
        log = start(count=200).end()
    assert log.count("200 events are not delivered yet") == 1
    assert str(directory) in log
    deliver_rest()
    assert arrived() == set(range(200))


def test_a_shutdown_that_cannot_deliver_is_said_once_although_the_exit_follows(start: Any, receiver: Any) -> None:
    with receiver.fail("capture", status=503):
        log = start(count=10, shutdown=True).end()
    assert log.count("not delivered yet") == 1


@pytest.mark.requirement("S3-52")
def test_an_ordinary_exit_delivers_and_says_nothing(start: Any, receiver: Any, arrived: Any, directory: Any) -> None:
    log = start(count=50).end()
    assert arrived() == set(range(50))
    assert log == ""


def test_forked_workers_that_end_without_a_word_lose_nothing(
    start: Any, receiver: Any, arrived: Any, deliver_rest: Any
) -> None:
    application = start(children=5, count=40, wait=True)
    receiver.wait_for("events", 200, timeout=60)
    application.end()
    assert sorted(application.took) == list(range(200))
    assert arrived() == set(range(200))
    assert list(deliver_rest().directory.glob("*.cur")) == []


def test_workers_that_are_replaced_one_after_the_other_lose_nothing(
    start: Any, receiver: Any, arrived: Any, deliver_rest: Any
) -> None:
    with receiver.fail("capture", status=503):
        for generation in range(4):
            start(first=generation * 100, count=100).kill()
    took = arrived()
    assert took == set()
    application = start(first=1000, count=1, wait=True)
    application.hear(word="durable")
    application.end()
    deliver_rest()
    assert 1000 in arrived()


def test_two_processes_on_one_directory_do_not_disturb_each_other(
    start: Any, receiver: Any, arrived: Any, directory: Any, deliver_rest: Any
) -> None:
    applications = [start(first=first, count=1000, wait=True, flush=60) for first in (0, 1000)]
    for application in applications:
        application.hear(word="durable")
    for application in applications:
        application.end()
        assert application.said["delivered"] == "True"
        assert application.said["holds"] == "True"
    assert arrived() == set(range(2000))
    assert len(receiver.events()) == 2000, "not one of them twice"
    deliver_rest()


def test_of_two_processes_the_one_that_lives_delivers_for_the_one_that_was_killed(
    start: Any, receiver: Any, arrived: Any
) -> None:
    with receiver.fail("capture", status=503):
        survivor = start(first=0, count=100, wait=True, flush=60)
        survivor.hear(word="durable")
        victim = start(first=1000, count=500)
        victim.hear(events=300)
        victim.kill()
    receiver.wait_for("events", 100 + len(victim.took), timeout=60)
    survivor.end()
    assert set(victim.took) | set(range(100)) <= arrived()


@pytest.mark.skipif(os.name == "nt", reason="there is no fork")
def test_the_application_is_what_it_says(start: Any, arrived: Any) -> None:
    application = start(count=3, flush=30)
    application.end()
    assert application.said == {"durable": "True", "delivered": "True", "holds": "True", "refused": "{}"}
    assert arrived() == {0, 1, 2}


@pytest.mark.requirement("S3-52", "E-39")
def test_sigterm_delivers_what_waits_and_ends_the_process_as_it_would_have(
    start: Any, receiver: Any, arrived: Any, directory: Any
) -> None:
    with receiver.fail("capture", status=503):
        application = start(count=300, wait=True)
        application.hear(word="durable")
    application.process.terminate()
    assert application.process.wait(30) == -signal.SIGTERM
    assert arrived() == set(range(300))


@pytest.mark.requirement("S3-52")
def test_sigterm_while_nobody_answers_does_not_hold_the_process_up_and_loses_nothing(
    start: Any, receiver: Any, deliver_rest: Any, arrived: Any
) -> None:
    with receiver.fail("capture", hang=True):
        application = start(count=300, wait=True)
        application.hear(word="durable")
        asked = time.monotonic()
        application.process.terminate()
        assert application.process.wait(30) == -signal.SIGTERM
        assert time.monotonic() - asked < 10  # two seconds, on a machine with nothing else to do
    deliver_rest()
    assert arrived() == set(range(300))

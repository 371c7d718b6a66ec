"""An event that the service fails at, again and again, delays nobody and is not lost."""

from __future__ import annotations

from typing import Any

import pytest

from genops_otel_posthog.export.destinations.protocol import Answer, Verdict
from genops_otel_posthog.export.outbox import Outbox, Pauses, Tuning
from genops_otel_posthog.export.outbox.dead import DeadLetters
from genops_otel_posthog.export.outbox.waiting import requeue

ACCEPTED = Answer(Verdict.ACCEPTED)
BROKEN = Answer(Verdict.RETRY, "http_500", detail="internal server error")
AT_ONCE = Pauses(first=0.001, longest=0.002)
IMPATIENT = Tuning(linger=0.0, retries=AT_ONCE, probes=AT_ONCE, survey=0.05, sync=0.05, patience=0.0)
PATIENT = Tuning(linger=0.0, retries=AT_ONCE, probes=AT_ONCE, survey=0.05, sync=0.05, patience=3600.0)


def account(outbox: Outbox) -> Any:
    accounting = outbox.accounting()
    assert accounting.holds, accounting
    return accounting.destinations["test"]


def dead(outbox: Outbox) -> list[Any]:
    return DeadLetters(outbox.directory / "dead.sqlite3").letters()


@pytest.fixture
def failing_at(recorded, which) -> Any:
    """A destination that answers 500 to every request with one of these events."""

    def failing_at(*poison: int, answer: Answer = BROKEN) -> Any:
        destination = recorded(respond=lambda bodies: answer if set(poison) & set(which(bodies)) else ACCEPTED)
        destination.poison = poison
        return destination

    return failing_at


@pytest.mark.parametrize(
    "poison",
    [(0,), (57,), (99,), (50, 51), (0, 1, 2), (3, 30, 60, 90)],
    ids=lambda numbers: "-".join(map(str, numbers)),
)
def test_everything_else_arrives_and_the_guilty_become_dead_letters(
    open_outbox, failing_at, make_event, which, poison
) -> None:
    destination = failing_at(*poison)
    outbox = open_outbox(destination, tuning=IMPATIENT)
    destination.watch = lambda: account(outbox)  # the numbers add up whenever a request is made
    for number in range(100):
        outbox.append(make_event(number))
    others = 1000
    while account(outbox).pending:
        outbox.append(make_event(others))  # an application goes on
        others += 1
        outbox.flush(0.05)
    expected = (set(range(100)) | set(range(1000, others))) - set(poison)
    assert sorted(which(destination.taken)) == sorted(expected), "each once"
    assert sorted(which([letter.body for letter in dead(outbox)])) == sorted(poison)
    assert {letter.reason for letter in dead(outbox)} == {"http_500"}
    assert "times while others were taken: internal server error" in dead(outbox)[0].detail
    assert (account(outbox).dead, account(outbox).dropped) == (len(poison), {})


def test_as_long_as_there_is_patience_it_waits_beside_the_others_and_arrives_when_it_can(
    open_outbox, failing_at, make_event, which, until
) -> None:
    destination = failing_at(3)
    outbox = open_outbox(destination, tuning=PATIENT)
    for number in range(500):
        outbox.append(make_event(number))
        if not number % 50:
            outbox.flush(0.05)
    until(outbox, lambda: account(outbox).acked == 499)
    assert (account(outbox).aside, account(outbox).pending, account(outbox).dead) == (1, 1, 0)
    assert account(outbox).state in ("ok", "retrying")
    destination.respond = lambda _: ACCEPTED
    while not outbox.flush(30):
        pass
    assert sorted(which(destination.taken)) == list(range(500))
    assert (account(outbox).acked, account(outbox).aside) == (500, 0)


def test_what_still_stands_aside_when_the_process_ends_is_delivered_by_the_next_one(
    open_outbox, failing_at, recorded, make_event, which, until
) -> None:
    destination = failing_at(3)
    outbox = open_outbox(destination, tuning=PATIENT)
    for number in range(50):
        outbox.append(make_event(number))
    until(outbox, lambda: account(outbox).acked == 49)
    assert not outbox.shutdown(0.2)
    well = recorded()
    following = open_outbox(well)
    until(following, lambda: 3 in which(well.taken) and not account(following).pending)
    assert set(which(destination.taken + well.taken)) == set(range(50))


def test_an_event_alone_is_never_condemned(open_outbox, failing_at, make_event, which) -> None:
    destination = failing_at(1)
    outbox = open_outbox(destination, tuning=IMPATIENT)
    outbox.append(make_event(1))
    for _ in range(20):
        assert not outbox.flush(0.02)
    assert (account(outbox).pending, account(outbox).dead) == (1, 0), "nothing shows that the service works"
    assert account(outbox).state == "retrying"


def test_in_an_outage_that_answers_500_nothing_is_condemned_however_long_it_lasts(
    open_outbox, recorded, make_event, which
) -> None:
    destination = recorded(respond=lambda _: BROKEN if len(destination.requests) < 400 else ACCEPTED)
    outbox = open_outbox(destination, tuning=IMPATIENT)
    for number in range(300):
        outbox.append(make_event(number))
    while not outbox.flush(30):
        pass
    assert sorted(which(destination.taken)) == list(range(300))
    assert account(outbox).dead == 0


def test_an_event_that_failed_as_the_last_of_its_file_is_left_behind_by_the_next_files(
    open_outbox, failing_at, make_event, which, until
) -> None:
    destination = failing_at(0, 1)
    outbox = open_outbox(destination, tuning=IMPATIENT)
    outbox.append(make_event(0), "critical")  # a file for each importance; this one goes first
    outbox.append(make_event(1), "critical")
    for number in range(2, 40):
        outbox.append(make_event(number))
    until(outbox, lambda: account(outbox).acked == 38)
    assert sorted(which(destination.taken)) == list(range(2, 40))


def test_an_event_that_is_asked_for_again_and_again_delays_nobody(open_outbox, recorded, make_event, which) -> None:
    def respond(bodies: Any) -> Answer:
        found = which(bodies)
        return ACCEPTED._replace(again=(found.index(7),), reason="event_retry") if 7 in found else ACCEPTED

    destination = recorded(respond=respond)
    outbox = open_outbox(destination, tuning=IMPATIENT)
    for number in range(20):
        outbox.append(make_event(number))
    others = 1000
    while account(outbox).pending:
        outbox.append(make_event(others))
        others += 1
        outbox.flush(0.05)
    assert set(which(destination.taken)) == set(range(20)) - {7} | set(range(1000, others))
    assert [(letter.reason, which([letter.body])) for letter in dead(outbox)] == [("event_retry", [7])]


def test_events_that_were_condemned_can_be_sent_again(
    open_outbox, failing_at, recorded, make_event, which, until, caplog
) -> None:
    destination = failing_at(1)
    outbox = open_outbox(destination, tuning=IMPATIENT)
    number = 2
    outbox.append(make_event(1))
    while not account(outbox).dead:
        outbox.append(make_event(number))
        number += 1
        outbox.flush(0.02)
    destination.respond = lambda _: ACCEPTED
    assert requeue(outbox.directory, dead(outbox)) == 1
    until(outbox, lambda: 1 in which(destination.taken))
    assert caplog.text.count("outbox requeue --reason http_500") == 1


def test_many_bytes_that_stand_aside_end_the_patience(open_outbox, failing_at, make_event, which) -> None:
    tuning = Tuning(
        linger=0.0, retries=AT_ONCE, probes=AT_ONCE, survey=0.05, sync=0.05, patience=3600.0, aside_bytes=500
    )
    destination = failing_at(1)
    outbox = open_outbox(destination, tuning=tuning)
    outbox.append(make_event(1, pad="x" * 1000))
    number = 2
    while not account(outbox).dead:
        outbox.append(make_event(number))
        number += 1
        outbox.flush(0.02)
    assert which([letter.body for letter in dead(outbox)]) == [1]

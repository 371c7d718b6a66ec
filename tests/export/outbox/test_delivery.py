"""What each answer of a destination leads to."""

from __future__ import annotations

import json
import logging
import random
from typing import Any

import pytest

from genops_otel_posthog.export.destinations.protocol import Answer, Verdict
from genops_otel_posthog.export.outbox import Outbox, Pauses, Tuning
from genops_otel_posthog.export.outbox.dead import DeadLetters

ACCEPTED = Answer(Verdict.ACCEPTED)
DOWN = Answer(Verdict.RETRY, "http_503")
BAD = Answer(Verdict.REJECTED, "http_400", detail="missing distinct_id")
TOO_LARGE = Answer(Verdict.TOO_LARGE, "http_413")
NO_KEY = Answer(Verdict.HELD, "http_401", detail="the key is not valid")


def account(outbox: Outbox, name: str = "test") -> Any:
    accounting = outbox.accounting()
    assert accounting.holds, accounting
    return accounting.destinations[name]


def dead(outbox: Outbox) -> list[Any]:
    return DeadLetters(outbox.directory / "dead.sqlite3").letters()


def test_events_arrive_once_and_in_order(open_outbox, recorded, make_event, which) -> None:
    destination = recorded()
    outbox = open_outbox(destination)
    for number in range(1000):
        assert outbox.append(make_event(number))
    assert outbox.flush(30)
    assert which(destination.taken) == list(range(1000))
    assert account(outbox).acked == 1000


def test_a_body_is_sent_byte_for_byte(open_outbox, recorded) -> None:
    destination = recorded()
    outbox = open_outbox(destination)
    body = '{"event": "größe",  "properties":{"a":1.0e3}}'.encode()
    outbox.append(body)
    assert outbox.flush(30)
    assert destination.taken == [body]


@pytest.mark.requirement("S0-42")
def test_a_batch_has_at_most_the_events_and_the_bytes_that_the_destination_takes(
    open_outbox, recorded, make_event, gate
) -> None:
    destination = recorded(respond=gate)
    destination.max_batch_events, destination.max_batch_bytes = 10, 1000
    outbox = open_outbox(destination)
    outbox.append(make_event(0))
    assert gate.entered.wait(30)
    for number in range(1, 50):
        outbox.append(make_event(number, pad="x" * (number * 10)))
    gate.opened.set()
    assert outbox.flush(30)
    assert max(map(len, destination.requests)) <= 10
    assert max(sum(map(len, request)) for request in destination.requests) <= 1000
    assert any(len(request) > 1 for request in destination.requests)


@pytest.mark.requirement("S0-45", "S0-46")
def test_an_outage_delays_and_loses_nothing(open_outbox, recorded, make_event, which, caplog) -> None:
    caplog.set_level(logging.INFO)
    destination = recorded(*[DOWN] * 7)
    outbox = open_outbox(destination)
    for number in range(10):
        outbox.append(make_event(number))
    while not outbox.flush(30):
        pass
    assert which(destination.taken) == list(range(10))
    assert (account(outbox).retries, account(outbox).state) == (7, "ok")
    said = [record.getMessage() for record in caplog.records if record.name.endswith("answers")]
    assert len(said) == 2, "one line when it begins and one when it ends"
    assert "test cannot be reached: http_503" in said[0]
    assert "takes events again" in said[1]


def test_while_a_destination_is_down_the_account_says_why(open_outbox, recorded, make_event) -> None:
    destination = recorded(respond=lambda _: DOWN)
    outbox = open_outbox(destination)
    outbox.append(make_event(1))
    assert not outbox.flush(0.2)
    assert (account(outbox).state, account(outbox).reason, account(outbox).pending) == ("retrying", "http_503", 1)


def test_retry_after_is_kept_even_when_somebody_flushes(open_outbox, recorded, make_event) -> None:
    destination = recorded(DOWN._replace(retry_after=3600))
    outbox = open_outbox(destination)
    outbox.append(make_event(1))
    assert not outbox.flush(0.3)
    assert not outbox.flush(0.3)
    assert len(destination.requests) == 1


def test_a_pause_of_our_own_gives_way_to_a_flush(open_outbox, recorded, make_event) -> None:
    destination = recorded(DOWN)
    outbox = open_outbox(destination, tuning=Tuning(linger=0.0, retries=Pauses(first=3600, longest=3600, at_least=1)))
    outbox.append(make_event(1))
    assert not outbox.flush(0.2)
    assert outbox.flush(30)
    assert len(destination.requests) == 2


def test_a_batch_that_is_too_large_is_halved_and_the_size_remembered(
    open_outbox, recorded, make_event, which, gate
) -> None:
    destination = recorded(
        respond=lambda bodies: gate(bodies) if sum(map(len, bodies)) <= 2000 else TOO_LARGE,
    )
    outbox = open_outbox(destination)
    outbox.append(make_event(0))
    assert gate.entered.wait(30)
    for number in range(1, 200):
        outbox.append(make_event(number))
    gate.opened.set()
    assert outbox.flush(30)
    assert which(destination.taken) == list(range(200))
    refused = [request for request in destination.requests if sum(map(len, request)) > 2000]
    assert len(refused) < 8, "the size is learned once, not with every batch"
    assert account(outbox).dead == 0


def test_a_single_event_that_is_too_large_becomes_a_dead_letter(open_outbox, recorded, make_event, which) -> None:
    destination = recorded(respond=lambda bodies: TOO_LARGE if max(map(len, bodies)) > 5000 else ACCEPTED)
    outbox = open_outbox(destination)
    outbox.append(make_event(1))
    outbox.append(make_event(2, pad="x" * 6000))
    outbox.append(make_event(3))
    assert outbox.flush(30)
    assert which(destination.taken) == [1, 3]
    assert [(letter.uuid[-1], letter.reason) for letter in dead(outbox)] == [("2", "http_413")]


def test_an_event_beyond_the_known_limit_is_not_even_sent(open_outbox, recorded, make_event, which) -> None:
    destination = recorded()
    destination.max_event_bytes = 5000
    outbox = open_outbox(destination)
    for number in range(10):
        outbox.append(make_event(number, pad="x" * (6000 if number in (0, 4, 5, 9) else 10)))
    assert outbox.flush(30)
    assert which(destination.taken) == [1, 2, 3, 6, 7, 8]
    assert all(len(body) <= 5000 for request in destination.requests for body in request)
    assert [letter.reason for letter in dead(outbox)] == ["too_large"] * 4
    assert "takes 5000" in dead(outbox)[0].detail


def test_the_guilty_event_of_a_batch_is_found_and_the_others_are_taken(
    open_outbox, recorded, make_event, which, gate
) -> None:
    guilty = {17, 63, 64}

    def judge(bodies: Any) -> Answer:
        return BAD if guilty.intersection(which(bodies)) else gate(bodies)

    destination = recorded(respond=judge)
    outbox = open_outbox(destination)
    outbox.append(make_event(0))
    assert gate.entered.wait(30)
    for number in range(1, 101):
        outbox.append(make_event(number))
    gate.opened.set()
    assert outbox.flush(30)
    assert which(destination.taken) == [number for number in range(101) if number not in guilty]
    letters = dead(outbox)
    assert sorted(json.loads(letter.body)["properties"]["number"] for letter in letters) == sorted(guilty)
    assert {(letter.reason, letter.detail) for letter in letters} == {("http_400", "missing distinct_id")}
    assert account(outbox).dead == 3
    assert len(destination.requests) < 50


def test_events_that_the_answer_names_become_dead_letters_and_the_others_are_taken(
    open_outbox, recorded, make_event, which, gate
) -> None:
    destination = recorded(
        ACCEPTED, ACCEPTED._replace(rejected={0: "event_too_big", 3: "llm_events_over_quota"}), respond=gate
    )
    destination.watch = lambda: None
    outbox = open_outbox(destination, tuning=Tuning(linger=3600))
    outbox.append(make_event(0))
    assert outbox.flush(30)
    for number in range(1, 6):
        outbox.append(make_event(number))
    assert outbox.flush(30)
    assert which(destination.taken) == [0, 2, 3, 5]
    assert [(letter.uuid[-1], letter.reason) for letter in dead(outbox)] == [
        ("1", "event_too_big"),
        ("4", "llm_events_over_quota"),
    ]


def test_events_that_are_to_be_sent_again_are_and_the_others_are_not(open_outbox, recorded, make_event, which) -> None:
    destination = recorded(ACCEPTED._replace(again=(1, 2, 4)), ACCEPTED._replace(again=(1,)))
    outbox = open_outbox(destination, tuning=Tuning(linger=3600, retries=Pauses(0.001, 0.001)))
    for number in range(6):
        outbox.append(make_event(number))
    assert outbox.flush(30)
    assert [which(request) for request in destination.requests] == [[0, 1, 2, 3, 4, 5], [1, 2, 4], [2]]
    assert account(outbox).acked == 6


def test_an_account_at_fault_holds_everything_probes_with_one_event_and_says_so_once(
    open_outbox, recorded, make_event, which, caplog
) -> None:
    destination = recorded(*[NO_KEY] * 6)
    outbox = open_outbox(destination, tuning=Tuning(linger=3600, probes=Pauses(0.001, 0.002)))
    for number in range(50):
        outbox.append(make_event(number))
    assert outbox.flush(30)
    assert [len(request) for request in destination.requests][:7] == [50, 1, 1, 1, 1, 1, 1]
    assert which(destination.taken) == list(range(50))
    assert account(outbox).dead == 0
    alarms = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(alarms) == 1
    assert "the key is not valid" in alarms[0].getMessage()


def test_a_held_account_shows_in_the_accounting(open_outbox, recorded, make_event) -> None:
    destination = recorded(respond=lambda _: NO_KEY)
    outbox = open_outbox(destination)
    outbox.append(make_event(1))
    assert not outbox.flush(0.2)
    assert (account(outbox).state, account(outbox).reason, account(outbox).dead) == ("held", "http_401", 0)


def test_when_every_event_is_refused_the_rest_is_tried_slowly(open_outbox, recorded, make_event, caplog) -> None:
    destination = recorded(respond=lambda _: BAD)
    slow = Tuning(linger=3600, retries=Pauses(3600, 3600, at_least=1), survey=0.05)
    outbox = open_outbox(destination, tuning=slow)
    for number in range(100):
        outbox.append(make_event(number))
    assert not outbox.flush(2)
    assert account(outbox).dead == 20, "rather the configuration than the events"
    assert account(outbox).pending == 80
    assert "refused 20 events in a row" in caplog.text


def test_a_batch_that_times_out_again_and_again_is_halved(open_outbox, recorded, make_event, which) -> None:
    destination = recorded(
        respond=lambda bodies: Answer(Verdict.RETRY, "timeout") if len(bodies) > 10 else ACCEPTED,
    )
    outbox = open_outbox(destination, tuning=Tuning(linger=3600, retries=Pauses(0.001, 0.001)))
    for number in range(40):
        outbox.append(make_event(number))
    assert outbox.flush(30)
    assert which(destination.taken) == list(range(40))


def test_a_destination_that_is_down_does_not_delay_another(open_outbox, recorded, make_event, which, gate) -> None:
    hanging, well = recorded(respond=gate, name="hanging"), recorded(name="well")
    outbox = open_outbox(hanging, well)
    for number in range(500):
        outbox.append(make_event(number))
    assert gate.entered.wait(30)
    while account(outbox, "well").acked < 500:
        outbox.flush(0.05)
    assert account(outbox, "hanging").acked == 0
    assert account(outbox, "hanging").pending == 500
    gate.opened.set()
    assert outbox.flush(30)
    assert which(hanging.taken) == which(well.taken) == list(range(500))


def test_a_destination_that_raises_is_tried_again(open_outbox, recorded, make_event, which, caplog) -> None:
    def fail_once(_: Any) -> Answer:
        if len(destination.requests) == 1:
            raise RuntimeError("written by somebody else")
        return ACCEPTED

    destination = recorded(respond=fail_once)
    outbox = open_outbox(destination)
    outbox.append(make_event(1))
    while not outbox.flush(30):
        pass
    assert which(destination.taken) == [1]
    assert "raised instead of answering" in caplog.text


def test_more_important_events_go_first(open_outbox, recorded, make_event, which, gate) -> None:
    destination = recorded(respond=gate)
    outbox = open_outbox(destination)
    outbox.append(make_event(0))
    assert gate.entered.wait(30)
    for number, importance in enumerate(("low", "normal", "critical"), 1):
        outbox.append(make_event(number), importance)
    gate.opened.set()
    assert outbox.flush(30)
    assert which(destination.taken) == [0, 3, 2, 1]


@pytest.mark.parametrize("seed", range(6))
def test_whatever_is_answered_each_event_ends_once_and_the_numbers_add_up_at_any_moment(
    open_outbox, recorded, make_event, which, seed
) -> None:
    draw = random.Random(seed)

    def answer(bodies: Any) -> Answer:
        chance = draw.random()
        if chance < 0.5:
            every = list(range(len(bodies)))
            rejected = {position: "bad" for position in every if draw.random() < 0.1}
            again = tuple(position for position in every if draw.random() < 0.2)
            return Answer(Verdict.ACCEPTED, rejected=rejected, again=again)
        verdict = draw.choice([Verdict.RETRY, Verdict.TOO_LARGE, Verdict.REJECTED, Verdict.HELD])
        return Answer(verdict, draw.choice(["timeout", "http_500", "x"]))

    destinations = [recorded(respond=answer, name=name) for name in ("one", "two")]
    outbox = open_outbox(*destinations)
    for destination in destinations:
        destination.max_batch_events = 16
        destination.watch = lambda: account(outbox, "one")
    for number in range(200):
        outbox.append(make_event(number), draw.choice(["low", "normal", "critical"]))
    while not outbox.flush(30):
        pass
    for destination in destinations:
        taken = which(destination.taken)
        buried = which([letter.body for letter in dead(outbox) if letter.destination == destination.name])
        assert sorted(taken + buried) == list(range(200))
        final = account(outbox, destination.name)
        assert (final.acked, final.dead, final.pending) == (len(taken), len(buried), 0)

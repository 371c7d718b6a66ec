"""Processes that are killed, recycled, forked or end in a hurry: no span that ended is lost, none is two events."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from genops_otel_posthog.receiver import LocalReceiver

Start = Callable[..., Any]
Next = Callable[[], None]
Arrived = Callable[[], "Counter[str]"]


@pytest.mark.parametrize("spans", [1, 7, 60, 400])
def test_a_process_killed_after_a_span_has_ended_has_its_event_delivered_by_the_next_one(
    start: Start, next_process: Next, arrived: Arrived, receiver: LocalReceiver, spans: int
) -> None:
    with receiver.fail("capture", status=503):
        application = start(count=100_000)
        application.hear(spans=spans)
        application.kill()
    next_process()

    # Of the last span it may have been killed before it could say that it had ended.
    assert set(application.ended) <= set(arrived())
    assert len(arrived()) <= len(application.ended) + 1
    assert set(arrived().values()) == {1}


def test_a_process_killed_while_it_delivers_has_everything_arrive_once(
    start: Start, next_process: Next, arrived: Arrived
) -> None:
    application = start(count=100_000)
    application.hear(spans=2_000)
    application.kill()
    next_process()

    assert set(application.ended) <= set(arrived())
    assert set(arrived().values()) == {1}


def test_a_burst_of_20_000_spans_with_defaults_loses_none(start: Start, receiver: LocalReceiver) -> None:
    application = start(count=5_000, threads=4, quiet=True, flush=60)
    application.end()

    assert application.said["account"] == "20000 0 0 20000 {}"
    assert application.said["flushed"] == "True"
    assert len({event.uuid for event in receiver.events(token="phc_exporting")}) == 20_000


def test_an_application_that_ends_does_not_wait_for_a_slow_posthog_and_the_next_one_delivers(
    start: Start, next_process: Next, arrived: Arrived, receiver: LocalReceiver
) -> None:
    with receiver.fail("capture", delay=0.2, status=503):
        application = start(count=8_000, shutdown=True)
        application.end()
    assert "not delivered yet" in application.log
    next_process()

    assert len(application.ended) == 8_000
    assert set(arrived()) == set(application.ended)


def test_an_outage_costs_nothing_and_what_it_held_up_arrives_once(
    start: Start, arrived: Arrived, receiver: LocalReceiver
) -> None:
    application = start(count=600, rate=500, wait=True, flush=60)
    application.hear(spans=100)
    with receiver.fail("capture", status=503) as outage:
        application.hear(word="holds")
        assert outage.struck
    application.end()

    assert application.said["flushed"] == "True"
    assert arrived() == Counter(application.ended)


def test_forked_workers_that_end_without_a_word_lose_nothing(
    start: Start, next_process: Next, arrived: Arrived
) -> None:
    application = start(children=4, count=200, flush=30)
    application.end()
    next_process()

    assert len(application.ended) == 1_000
    assert set(arrived()) == set(application.ended)
    assert set(arrived().values()) == {1}


def test_two_ways_of_export_at_once_count_and_deliver_each_span_once(start: Start, arrived: Arrived) -> None:
    application = start(count=500, batch=True, flush=30)
    application.end()

    assert application.said["account"] == "500 0 0 500 {}"
    assert arrived() == Counter(application.ended)


def test_a_directory_that_cannot_be_used_is_said_once_and_events_arrive_all_the_same(
    start: Start, arrived: Arrived, tmp_path: Path
) -> None:
    (tmp_path / "outbox").write_text("a file where the directory should be")
    application = start(count=50, flush=30)
    application.end()

    assert len([line for line in application.log.splitlines() if "cannot be used" in line]) == 1
    assert arrived() == Counter(application.ended)

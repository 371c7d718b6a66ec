"""Applications that are killed, end in a hurry or lose PostHog: no event that `capture` returned a uuid for is lost."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from genops_otel_posthog.receiver import LocalReceiver

pytestmark = pytest.mark.newest

Start = Callable[..., Any]
Delivered = Callable[[], "list[str]"]


@pytest.mark.parametrize("events", [1, pytest.param(700, marks=pytest.mark.slow)])
def test_a_process_killed_right_after_capture_returned_has_every_event_delivered_by_the_next_one(
    start: Start, delivered: Delivered, receiver: LocalReceiver, events: int
) -> None:
    with receiver.fail("capture", status=503):
        application = start(count=100_000)
        application.hear(events=events)
        application.kill()

    found = delivered()
    assert len(application.captured) >= events
    # Of the last event it may have been killed before it could say its uuid.
    assert set(application.captured) <= set(found)
    assert len(found) <= len(application.captured) + 1


def test_a_process_killed_while_it_delivers_has_everything_arrive_under_one_uuid(
    start: Start, delivered: Delivered, receiver: LocalReceiver
) -> None:
    application = start(count=100_000)
    application.hear(events=2_000)
    application.kill()

    assert set(application.captured) <= set(delivered())
    numbers = {event.uuid: event.properties["number"] for event in receiver.events(token="phc_capturing")}
    assert len(set(numbers.values())) == len(numbers)


def test_an_asynchronous_application_that_is_killed_loses_nothing(
    start: Start, delivered: Delivered, receiver: LocalReceiver
) -> None:
    with receiver.fail("capture", status=503):
        application = start(count=100_000, asynchronous=True)
        application.hear(events=300)
        application.kill()

    assert set(application.captured) <= set(delivered())


def test_a_process_in_synchronous_mode_that_is_killed_loses_nothing(
    start: Start, delivered: Delivered, receiver: LocalReceiver
) -> None:
    with receiver.fail("capture", hang=True):
        application = start(count=1, sync=True, wait=True)
        receiver.wait_for_requests(1, path="/batch")
        application.kill()  # it waits in `capture`: nobody has been told a uuid

    assert len(delivered()) == 1


def test_a_process_that_is_told_to_end_with_events_queued_has_all_of_them_delivered(
    start: Start, delivered: Delivered, receiver: LocalReceiver
) -> None:
    """SIGTERM, which nobody handles: without the outbox this is the end of all of them."""
    with receiver.fail("capture", status=503):
        application = start(count=50, wait=True)
        application.hear(events=50)
        application.process.terminate()
        application.process.wait(30)

    assert delivered() == sorted(application.captured)


def test_forked_workers_that_end_without_exit_handlers_lose_nothing(
    start: Start, delivered: Delivered, receiver: LocalReceiver
) -> None:
    with receiver.fail("capture", status=503):
        application = start(count=100, children=4)
        application.end()

    assert len(application.captured) == 400
    assert set(application.captured) == set(delivered())


def test_an_application_that_ends_during_an_outage_says_so_and_the_next_one_delivers(
    start: Start, delivered: Delivered, receiver: LocalReceiver
) -> None:
    with receiver.fail("capture", status=503):
        application = start(count=1_000, shutdown=True)
        application.end()

    assert application.said == {"account": "1000 1000 0 0", "holds": "True"}
    assert "1000 events are not delivered yet" in application.log
    assert "are lost with this process" not in application.log
    assert delivered() == sorted(application.captured)


@pytest.mark.slow
def test_a_burst_beyond_the_sdk_s_queue_loses_nothing(start: Start, receiver: LocalReceiver) -> None:
    """The queue of the SDK holds 10,000 events and refuses the rest."""
    application = start(count=4_000, threads=4, quiet=True, shutdown=True)
    application.end()

    assert application.said["account"] == "16000 16000 0 0"
    assert len({event.uuid for event in receiver.events(token="phc_capturing")}) == 16_000


def test_the_next_process_is_the_same_application_and_need_not_capture_anything(
    start: Start, receiver: LocalReceiver
) -> None:
    with receiver.fail("capture", reset=True):
        application = start(count=50)
        application.hear(events=50)
        application.kill()
    again = start(wait=True)

    assert {event.uuid for event in receiver.wait_for_events(50, timeout=60)} == set(application.captured)
    again.end()
    assert again.said["account"] == "0 0 0 0"


def test_on_a_disk_that_cannot_be_written_events_arrive_by_the_sdk_s_own_way(
    start: Start, receiver: LocalReceiver, outbox: Path
) -> None:
    outbox.write_text("in the way")
    application = start(count=50, shutdown=True)
    application.end()

    assert application.said == {"account": "50 0 0 50", "holds": "True"}
    assert application.log.count("GENOPS_DURABLE_CAPTURE") == 1
    assert {event.uuid for event in receiver.events(token="phc_capturing")} == set(application.captured)

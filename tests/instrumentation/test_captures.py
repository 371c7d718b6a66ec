"""What became of the application's own events: every one is in one state, and the states add up."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from genops_otel_posthog.instrumentation import CaptureAccount, PostHogInstrumentor
from genops_otel_posthog.instrumentation.captures import DELIVERED, DROPPED, FAILED, Captures

LARGE = "x" * (900 * 1024)


def account() -> CaptureAccount:
    found = PostHogInstrumentor().captures
    assert found.holds, found
    return found


@pytest.fixture
def stuck_client(new_client: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Makes clients of which nobody takes events from the queue."""
    monkeypatch.setattr("posthog.consumer.Consumer.run", lambda _: None)

    def stuck_client(**options: Any) -> Any:
        return new_client(**options)

    return stuck_client


@pytest.fixture
def unused_port() -> Iterator[int]:
    """A port of this machine at which nobody listens."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


def emptied(client: Any) -> None:
    """Empties the queue, so that older SDKs do not wait for it at the end."""
    while not client.queue.empty():
        client.queue.get_nowait()
        client.queue.task_done()


def test_what_was_captured_is_pending_and_then_delivered(instrument, stuck_client, new_client, monkeypatch):
    instrument()
    stuck = stuck_client()
    stuck.capture("e", distinct_id="u1")
    stuck.set(distinct_id="u1", properties={"a": 1})
    assert account() == CaptureAccount(admitted=2, pending=2)
    emptied(stuck)
    monkeypatch.undo()

    client = new_client()
    client.capture("e", distinct_id="u1")
    client.flush()
    assert account() == CaptureAccount(admitted=3, delivered=1, pending=2)


def test_the_metric_says_the_same(instrument, new_client, receiver):
    observed = instrument()
    client = new_client(before_send=lambda message: message if message["event"] == "kept" else None)
    client.capture("kept", distinct_id="u1")
    client.capture("gone", distinct_id="u1")
    client.flush()
    states = {
        (attributes["genops.capture.state"], attributes.get("genops.capture.reason")): point.value
        for attributes, point in observed.points("genops.capture.events")
    }
    assert {state: number for state, number in states.items() if number} == {
        ("admitted", None): 1,
        ("delivered", None): 1,
        ("refused", "before_send"): 1,
    }


@pytest.mark.requirement("E-21")
def test_a_full_queue_refuses_and_so_does_a_callback_when_it_is_full(instrument, stuck_client):
    instrument()
    asked = []

    def before_send(message: Any) -> Any:
        asked.append(message)
        return message if len(asked) <= 3 else None

    client = stuck_client(max_queue_size=2, before_send=before_send)
    for _ in range(3):
        client.capture("e", distinct_id="u1")
    assert account() == CaptureAccount(admitted=2, pending=2, refused={"queue_full": 1})
    emptied(client)
    client.capture("e", distinct_id="u1")
    assert account().refused == {"queue_full": 1, "before_send": 1}


@pytest.mark.newest
def test_a_callback_that_refuses_while_the_queue_is_full_is_told_apart(instrument, stuck_client):
    instrument()
    client = stuck_client(max_queue_size=1, before_send=lambda message: message if message["event"] == "kept" else None)
    client.capture("kept", distinct_id="u1")
    client.capture("gone", distinct_id="u1")
    assert account().refused == {"before_send": 1}


def test_a_client_that_is_disabled_or_does_not_send_refuses(instrument, new_client):
    instrument()
    new_client(disabled=True).capture("e", distinct_id="u1")
    assert new_client(send=False).capture("e", distinct_id="u1")
    assert account() == CaptureAccount(refused={"disabled": 1, "send_off": 1})


@pytest.mark.newest
@pytest.mark.parametrize("options", [{}, {"send": False}, {"sync_mode": True}])
def test_a_client_that_was_shut_down_refuses(instrument, new_client, options):
    instrument()
    client = new_client(**options)
    client.shutdown()
    assert client.capture("e", distinct_id="u1") is None
    assert account() == CaptureAccount(refused={"closed": 1})


@pytest.mark.newest
def test_an_event_that_cannot_be_made_is_refused(instrument, client):
    instrument()
    client.super_properties = 7
    assert client.capture("e", distinct_id="u1") is None
    assert account() == CaptureAccount(refused={"error": 1})


def test_an_event_that_is_too_large_is_dropped_in_silence_and_counted(instrument, new_client):
    instrument()
    client = new_client()
    assert client.capture("large", distinct_id="u1", properties={"text": LARGE})
    client.capture("small", distinct_id="u1")
    client.join()
    while client.queue.unfinished_tasks:  # older SDKs forget that they have dropped it, and would wait for it for ever
        client.queue.task_done()
    assert account() == CaptureAccount(admitted=2, delivered=1, dropped={"too_large": 1})


@pytest.mark.newest
def test_also_by_a_client_that_was_there_before(instrument, client):
    instrument()
    client.capture("small", distinct_id="u1")  # it has been waiting for this one since before
    client.flush()
    assert client.capture("large", distinct_id="u1", properties={"text": LARGE})
    client.capture("small", distinct_id="u1")
    client.flush()
    assert account() == CaptureAccount(admitted=3, delivered=2, dropped={"too_large": 1})


@pytest.mark.parametrize(
    ("status", "reason"), [(400, "http_400"), (401, "http_401"), (413, "http_413"), (503, "http_503")]
)
def test_a_batch_that_was_given_up_failed_for_a_reason(instrument, new_client, receiver, status, reason):
    instrument()
    client = new_client(max_retries=0)
    with receiver.fail("capture", status=status):
        client.capture("e", distinct_id="u1")
        client.flush()
    assert account() == CaptureAccount(admitted=1, failed={reason: 1})


def test_nobody_listening_is_a_failure_for_a_reason(instrument, new_client, unused_port):
    instrument()
    client = new_client(host=f"http://127.0.0.1:{unused_port}", max_retries=0)
    client.capture("e", distinct_id="u1")
    client.flush()
    assert account() == CaptureAccount(admitted=1, failed={"connection_failed": 1})


@pytest.mark.newest  # older SDKs raise it
def test_in_synchronous_mode_an_event_is_delivered_or_failed_at_once(instrument, new_client, receiver):
    instrument()
    client = new_client(sync_mode=True)
    client.capture("e", distinct_id="u1")
    with receiver.fail("capture", status=401):
        client.capture("e", distinct_id="u1")
    assert account() == CaptureAccount(admitted=2, delivered=1, failed={"http_401": 1})


@pytest.mark.newest
def test_capture_v1_says_of_each_event_what_became_of_it(instrument, new_client, receiver):
    instrument()
    client = new_client(capture_mode="v1", max_retries=0)
    with (
        receiver.fail("capture", event="bad", result="drop"),
        receiver.fail("capture", event="later", result="retry"),
    ):
        for event in ("good", "bad", "later"):
            client.capture(event, distinct_id="u1")
        client.flush()
    assert account() == CaptureAccount(admitted=3, delivered=1, failed={"rejected": 1, "retries_exhausted": 1})


@pytest.mark.newest
def test_what_waits_when_nobody_sends_any_more_is_dropped_at_shutdown(instrument, stuck_client):
    instrument()
    client = stuck_client()
    client.capture("e", distinct_id="u1")
    client.shutdown()
    assert account() == CaptureAccount(admitted=1, dropped={"shutdown": 1})


def test_a_uuid_that_is_given_twice_is_two_events(instrument, client, receiver):
    instrument()
    for _ in range(2):
        client.capture("e", distinct_id="u1", uuid="0191f0a4-6d5e-7c3b-9f00-000000000001")
    client.flush()
    assert account() == CaptureAccount(admitted=2, delivered=2)


def test_what_is_captured_while_instrumentation_is_suppressed_is_accounted_for(instrument, client):
    from opentelemetry.instrumentation.utils import suppress_instrumentation

    instrument()
    with suppress_instrumentation():
        client.capture("e", distinct_id="u1")
    client.flush()
    assert account() == CaptureAccount(admitted=1, delivered=1)


def test_without_instrumentation_there_is_no_account(instrument, client):
    instrument()
    PostHogInstrumentor().uninstrument()
    client.capture("e", distinct_id="u1")
    client.flush()
    assert PostHogInstrumentor().captures == CaptureAccount()


# --- the asynchronous client --------------------------------------------------------------------------------------


def run(receiver: Any, body: Callable[[Any], Any], **options: Any) -> None:
    from posthog import AsyncPosthog

    async def main() -> None:
        client = AsyncPosthog("phc_test", host=receiver.url, max_retries=0, **options)
        try:
            await body(client)
        finally:
            await client.shutdown()

    asyncio.run(main())


@pytest.mark.newest
def test_events_of_the_asynchronous_client_are_accounted_for(instrument, receiver):
    instrument()

    async def body(client: Any) -> None:
        client.capture("kept", distinct_id="u1")
        client.capture("gone", distinct_id="u1")
        client.capture("kept", distinct_id="u1", properties={"text": LARGE})
        assert account().pending == 3
        await client.flush()
        await client.capture_immediate("kept", distinct_id="u1")
        with receiver.fail("capture", status=401):
            await client.capture_immediate("kept", distinct_id="u1")
            client.capture("kept", distinct_id="u1")
            await client.flush()

    run(receiver, body, before_send=lambda message: message if message["event"] == "kept" else None)
    assert account() == CaptureAccount(
        admitted=6, delivered=2, failed={"http_401": 2}, dropped={"before_send": 1, "too_large": 1}
    )


@pytest.mark.newest
def test_what_the_asynchronous_client_does_not_take_is_refused(instrument, receiver):
    instrument()

    async def body(client: Any) -> None:
        for _ in range(2):
            client.capture("e", distinct_id="u1")
        await client.capture_immediate("gone", distinct_id="u1")
        await client.shutdown()
        client.capture("e", distinct_id="u1")

    run(receiver, body, max_queue_size=1, before_send=lambda m: m if m["event"] == "e" else None)
    run(receiver, lambda client: client.capture_immediate("e", properties={"text": LARGE}))
    run(receiver, lambda client: client.capture_immediate("e"), disabled=True)
    run(receiver, lambda client: client.capture_immediate("e"), send=False)
    refused = {"queue_full": 1, "before_send": 1, "closed": 1, "too_large": 1, "disabled": 1, "send_off": 1}
    assert account() == CaptureAccount(admitted=1, delivered=1, refused=refused)


# --- the account itself -------------------------------------------------------------------------------------------


def test_threads_that_capture_and_deliver_at_once_leave_nothing_pending(instrument, new_client, receiver):
    instrument()
    client = new_client(flush_at=7)
    threads = [
        threading.Thread(target=lambda: [client.capture("e", distinct_id="u1") for _ in range(100)]) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    client.flush()
    assert account() == CaptureAccount(admitted=800, delivered=800)


def test_an_event_may_be_settled_before_it_is_said_to_be_admitted():
    captures = Captures()
    captures.settle(["a", "b"], DELIVERED)
    captures.settle(["c"], FAILED, "http_503")
    assert captures.account() == CaptureAccount()
    for uuid in "abcd":
        captures.admit(uuid)
    assert captures.account() == CaptureAccount(admitted=4, delivered=2, failed={"http_503": 1}, pending=1)


def test_memory_is_bounded_where_nothing_is_ever_settled(monkeypatch):
    monkeypatch.setattr("genops_otel_posthog.instrumentation.captures._MOST_PENDING", 10)
    monkeypatch.setattr("genops_otel_posthog.instrumentation.captures._MOST_EARLY", 10)
    captures = Captures()
    for number in range(25):
        captures.admit(f"admitted-{number}")
        captures.settle([f"of another time-{number}"], DROPPED, "shutdown")
    assert captures.account() == CaptureAccount(admitted=25, pending=10, dropped={"out_of_sight": 15})
    assert len(captures._early) == 10


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_forked_child_accounts_for_itself_alone():
    captures = Captures()
    captures.admit("a")
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        captures.admit("b")
        os.write(writing, repr(captures.account().admitted).encode())
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reading, 10) == b"1"
    os.close(reading), os.close(writing)
    assert captures.account().pending == 1


@pytest.mark.newest  # older SDKs wait for all of their retries
def test_a_process_that_takes_events_with_it_says_how_many(unused_port):
    code = f"""
import logging, posthog
from genops_otel_posthog import PostHogInstrumentor
PostHogInstrumentor().instrument()
logging.basicConfig(format="%(levelname)s %(message)s")
client = posthog.Posthog("phc_test", host="http://127.0.0.1:{unused_port}", max_retries=9)
for _ in range(3):
    client.capture("e", distinct_id="u1")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    (line,) = [line for line in done.stderr.splitlines() if "are lost with this process" in line]
    assert line.startswith("WARNING 3 of 3 events that the application captured are not delivered")
    assert "GENOPS_DURABLE_CAPTURE=true" in line


def test_a_process_that_takes_nothing_with_it_says_nothing(caplog):
    captures = Captures()
    captures.admit("a")
    captures.settle(["a"], DELIVERED)
    with caplog.at_level(logging.WARNING):
        captures.tell_at_exit()
    assert not caplog.records

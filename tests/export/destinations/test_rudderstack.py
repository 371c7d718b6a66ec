"""RudderStack as a destination: what is sent, and what each answer means. Against the local receiver, which judges as
RudderStack's gateway does."""

from __future__ import annotations

import gzip
import json
import logging
import os
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from genops_otel_posthog.errors import GenOpsConfigurationError
from genops_otel_posthog.export.destinations.posthog import PostHogDestination
from genops_otel_posthog.export.destinations.protocol import Answer, Verdict, identity
from genops_otel_posthog.export.destinations.rudderstack import MAX_BODY_BYTES, RudderStackDestination
from genops_otel_posthog.export.event import Event
from genops_otel_posthog.export.outbox import Outbox, Pauses, Tuning
from genops_otel_posthog.export.outbox.dead import DeadLetters
from genops_otel_posthog.receiver import LocalReceiver

KEY = "1aBcDeFgHiJkLmNoPqRs"
TRACE = "5b8efff798038103d269b633813fc60c"
TIMEOUT = 10.0
AT_ONCE = Pauses(first=0.001, longest=0.002)
QUICK = Tuning(linger=0.0, retries=AT_ONCE, probes=AT_ONCE, survey=0.05, sync=0.05)
NOW = datetime(2026, 11, 22, 13, tzinfo=timezone.utc)


@pytest.fixture(scope="module")
def shared_receiver() -> Iterator[LocalReceiver]:
    with LocalReceiver(keep_bodies=True) as receiver:
        yield receiver


@pytest.fixture
def receiver(shared_receiver: LocalReceiver) -> LocalReceiver:
    shared_receiver.recover()
    shared_receiver.clear()
    return shared_receiver


def body(number: int, name: str = "order_completed", **properties: Any) -> bytes:
    event = Event(
        name=name,
        distinct_id="user-1",
        uuid=str(UUID(int=number)),
        timestamp="2026-11-22T12:00:00+00:00",
        properties={"number": number, "trace_id": TRACE, **properties},
    )
    return json.dumps(event.body(), separators=(",", ":")).encode()


def send(receiver: LocalReceiver, *bodies: bytes, **options: Any) -> Answer:
    destination = RudderStackDestination(KEY, receiver.url, **options)
    try:
        return destination.send(bodies, TIMEOUT)
    finally:
        destination.close()


def arrived(receiver: LocalReceiver) -> list[int]:
    return [kept.message["properties"]["number"] for kept in receiver.rudder_messages()]


# --- what is sent -------------------------------------------------------------------------------------------------


@pytest.mark.requirement("S3-24", "D-45")
def test_events_arrive_with_their_uuid_time_and_trace(receiver: LocalReceiver) -> None:
    assert send(receiver, body(1), body(2)) == Answer(Verdict.ACCEPTED)
    first, second = receiver.rudder_messages()
    assert [first.message_id, second.message_id] == [str(UUID(int=1)), str(UUID(int=2))]
    assert (first.type, first.event, first.user_id) == ("track", "order_completed", "user-1")
    assert first.timestamp == "2026-11-22T12:00:00.000000+00:00"
    assert first.message["originalTimestamp"] == first.message["timestamp"]
    assert first.message["context"]["traceId"] == first.message["properties"]["trace_id"] == TRACE
    assert first.write_key == KEY


def test_a_replay_says_when_it_is_sent_and_when_it_happened(receiver: LocalReceiver) -> None:
    send(receiver, body(1), clock=lambda: NOW)
    (kept,) = receiver.rudder_messages()
    assert (kept.sent_at, kept.timestamp) == (NOW.isoformat(), "2026-11-22T12:00:00.000000+00:00")


@pytest.mark.parametrize(
    ("options", "integrations"),
    [
        ({}, {"All": True, "PostHog": False}),
        ({"beside_posthog": False}, {"All": True}),
        ({"integrations": {"All": False, "Snowflake": True}}, {"All": False, "Snowflake": True}),
    ],
)
def test_rudderstack_does_not_send_to_posthog_what_posthog_gets_directly(
    receiver: LocalReceiver, options: dict[str, Any], integrations: dict[str, Any]
) -> None:
    send(receiver, body(1), **options)
    assert receiver.rudder_messages()[0].message["integrations"] == integrations


def test_large_bodies_are_compressed_and_small_ones_not(receiver: LocalReceiver) -> None:
    send(receiver, body(1), compression="gzip")
    send(receiver, body(2, text="x" * 5000), compression="gzip")
    small, large = [receiver.request_body(request.id) for request in receiver.requests("/v1/batch")]
    assert small.startswith(b"{")
    assert len(large) < 1000
    assert len(json.loads(gzip.decompress(large))["batch"]) == 1
    assert arrived(receiver) == [1, 2]


def test_long_events_are_shortened_to_what_rudderstack_documents(receiver: LocalReceiver) -> None:
    send(receiver, body(1, text="x" * 500_000))
    send(receiver, body(2, text="x" * 500_000), max_message_bytes=None)
    short, whole = [len(json.dumps(kept.message)) for kept in receiver.rudder_messages()]
    assert short < 33_000
    assert whole > 500_000


def test_a_data_plane_may_have_a_path(receiver: LocalReceiver) -> None:
    assert RudderStackDestination(KEY, f"{receiver.url}/").send([body(1)], TIMEOUT).verdict is Verdict.ACCEPTED
    # The receiver has nothing there, which is the proof that the path is asked for.
    assert RudderStackDestination(KEY, f"{receiver.url}/rudder/").send([body(2)], TIMEOUT).reason == "http_404"


# --- what the answers mean ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        (400, Verdict.REJECTED),
        (401, Verdict.HELD),
        (402, Verdict.HELD),
        (403, Verdict.HELD),
        (404, Verdict.HELD),
        (408, Verdict.RETRY),
        (413, Verdict.TOO_LARGE),
        (429, Verdict.RETRY),
        (500, Verdict.RETRY),
        (502, Verdict.RETRY),
        (503, Verdict.RETRY),
        (302, Verdict.HELD),
    ],
)
def test_each_answer_means_what_the_gateway_means(receiver: LocalReceiver, status: int, verdict: Verdict) -> None:
    receiver.fail("rudderstack", status=status)
    answer = send(receiver, body(1))
    assert (answer.verdict, answer.reason) == (verdict, f"http_{status}")
    assert KEY not in str(answer)


def test_a_switched_off_source_says_what_to_look_at(receiver: LocalReceiver) -> None:
    receiver.fail("rudderstack", status=404)
    assert "RUDDERSTACK_DATA_PLANE_URL" in send(receiver, body(1)).detail


def test_retry_after_is_passed_on(receiver: LocalReceiver) -> None:
    receiver.fail("rudderstack", status=429, retry_after=7)
    assert send(receiver, body(1)).retry_after == 7.0


@pytest.mark.parametrize("said", ["<html>Welcome to the hotel</html>", "Sign in", '["x"]'])
def test_a_200_in_other_words_is_not_believed(receiver: LocalReceiver, said: str) -> None:
    receiver.fail("rudderstack", status=200, body=said)
    assert send(receiver, body(1)).reason == "unreadable_answer"


@pytest.mark.parametrize("said", ["OK", "ok\n", '"OK"', '{"msg": "OK"}'])
def test_a_200_in_the_gateways_words_is(receiver: LocalReceiver, said: str) -> None:
    receiver.fail("rudderstack", status=200, body=said)
    assert send(receiver, body(1)).verdict is Verdict.ACCEPTED


@pytest.mark.parametrize("fault", [{"reset": True}, {"hang": True}])
def test_a_connection_that_breaks_or_hangs_is_tried_again(receiver: LocalReceiver, fault: dict[str, Any]) -> None:
    receiver.fail("rudderstack", **fault)
    destination = RudderStackDestination(KEY, receiver.url)
    assert destination.send([body(1)], 0.3).verdict is Verdict.RETRY


def test_nobody_at_the_address_is_tried_again() -> None:
    assert RudderStackDestination(KEY, "http://127.0.0.1:9").send([body(1)], TIMEOUT).verdict is Verdict.RETRY


def test_more_than_the_gateway_takes_is_not_sent_at_all(receiver: LocalReceiver) -> None:
    answer = send(receiver, body(1, text="x" * MAX_BODY_BYTES), max_message_bytes=None)
    assert (answer.verdict, answer.reason) == (Verdict.TOO_LARGE, "too_large")
    assert receiver.requests() == []


@pytest.mark.parametrize("unreadable", [b"", b"{", b"[]", b'{"event":""}', b"\xff"])
def test_what_is_no_event_is_refused_here_and_the_others_are_sent(receiver: LocalReceiver, unreadable: bytes) -> None:
    answer = send(receiver, body(1), unreadable, body(2))
    assert (answer.verdict, answer.rejected) == (Verdict.ACCEPTED, {1: "unreadable_event"})
    assert arrived(receiver) == [1, 2]


def test_a_batch_without_any_event_makes_no_request(receiver: LocalReceiver) -> None:
    assert send(receiver, b"{").rejected == {0: "unreadable_event"}
    assert receiver.requests() == []


# --- configuration ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["", "  ", "a key", "a:key", "schlüssel"])
def test_a_key_that_cannot_be_one_is_refused_without_being_repeated(key: str) -> None:
    with pytest.raises(GenOpsConfigurationError, match="write key of RudderStack") as caught:
        RudderStackDestination(key)
    assert not key.strip() or key not in str(caught.value)


@pytest.mark.parametrize(
    "options",
    [{"data_plane_url": "hosted.rudderlabs.com"}, {"compression": "zstd"}, {"max_message_bytes": 100}],
)
def test_what_cannot_be_right_is_refused_with_what_to_do(options: dict[str, Any]) -> None:
    with pytest.raises(GenOpsConfigurationError):
        RudderStackDestination(KEY, **options)


def test_its_identity_is_a_fingerprint_of_the_key() -> None:
    one, same, other = (identity(RudderStackDestination(key)) for key in (KEY, f" {KEY} ", "another"))
    assert one == same != other
    assert KEY not in one


# --- through the outbox -------------------------------------------------------------------------------------------


def outbox(directory: Path, *destinations: Any) -> Outbox:
    return Outbox(directory, destinations, tuning=QUICK)


def test_posthog_and_rudderstack_get_every_event_under_one_id(receiver: LocalReceiver, tmp_path: Path) -> None:
    both = (PostHogDestination("phc_of_a_test", receiver.url), RudderStackDestination(KEY, receiver.url))
    with outbox(tmp_path, *both) as box:
        for number in range(50):
            box.append(body(number))
        assert box.flush(30)
    events = {event.uuid: event.properties["trace_id"] for event in receiver.events()}
    messages = {kept.message_id: kept.message["context"]["traceId"] for kept in receiver.rudder_messages()}
    assert events == messages
    assert len(events) == 50


def test_an_outage_of_rudderstack_delays_nobody_else_and_loses_nothing(receiver: LocalReceiver, tmp_path: Path) -> None:
    both = (PostHogDestination("phc_of_a_test", receiver.url), RudderStackDestination(KEY, receiver.url))
    with outbox(tmp_path, *both) as box, receiver.fail("rudderstack", status=503) as outage:
        for number in range(20):
            box.append(body(number))
        receiver.wait_for_events(20)
        receiver.wait_for_requests(2, path="/v1/batch")
        assert receiver.rudder_messages() == []
        outage.lift()
        while not box.flush(30):
            pass
        assert sorted(arrived(receiver)) == list(range(20))
        assert box.accounting().holds


def test_a_wrong_key_holds_everything_until_it_is_right(receiver: LocalReceiver, tmp_path: Path) -> None:
    destination = RudderStackDestination(KEY, receiver.url)
    with outbox(tmp_path, destination) as box, receiver.fail("rudderstack", status=401) as wrong:
        for number in range(5):
            box.append(body(number))
        receiver.wait_for_requests(3, path="/v1/batch")
        account = box.accounting().destinations[identity(destination)]
        assert (account.acked, account.dead, account.state) == (0, 0, "held")
        wrong.lift()
        while not box.flush(30):
            pass
        assert sorted(arrived(receiver)) == list(range(5))


def test_a_batch_that_is_too_large_is_halved(receiver: LocalReceiver, tmp_path: Path) -> None:
    destination = RudderStackDestination(KEY, receiver.url, max_message_bytes=None, max_batch_bytes=MAX_BODY_BYTES)
    with outbox(tmp_path, destination) as box:
        for number in range(20):
            box.append(body(number, text="x" * 300_000))
        assert box.flush(60)
        assert sorted(arrived(receiver)) == list(range(20))
        assert box.accounting().destinations[identity(destination)].dead == 0


def test_one_bad_event_is_found_and_kept_and_the_others_arrive(receiver: LocalReceiver, tmp_path: Path) -> None:
    destination = RudderStackDestination(KEY, receiver.url)
    with outbox(tmp_path, destination) as box:
        for number in range(8):
            box.append(body(number) if number != 5 else b'{"no":"event"}')
        assert box.flush(30)
        account = box.accounting().destinations[identity(destination)]
        assert (account.acked, account.dead) == (7, 1)
    assert sorted(arrived(receiver)) == [0, 1, 2, 3, 4, 6, 7]
    (letter,) = DeadLetters(tmp_path / "dead.sqlite3").letters()
    assert letter.reason == "unreadable_event"


def test_a_refused_batch_is_halved_down_to_the_event_that_is_refused_alone(
    receiver: LocalReceiver, tmp_path: Path
) -> None:
    destination = RudderStackDestination(KEY, receiver.url)
    with outbox(tmp_path, destination) as box:
        receiver.fail("rudderstack", status=400, body="Invalid JSON", times=3)
        for number in range(4):
            box.append(body(number))
        assert box.flush(30)
        account = box.accounting().destinations[identity(destination)]
        assert account.acked + account.dead == 4
        assert account.dead >= 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_connection_is_not_shared_with_a_forked_child(receiver: LocalReceiver) -> None:
    destination = RudderStackDestination(KEY, receiver.url)
    assert destination.send([body(1)], TIMEOUT).verdict is Verdict.ACCEPTED
    child = os.fork()
    if child == 0:
        os._exit(0 if destination.send([body(2)], TIMEOUT).verdict is Verdict.ACCEPTED else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert destination.send([body(3)], TIMEOUT).verdict is Verdict.ACCEPTED
    assert arrived(receiver) == [1, 2, 3]


def test_no_log_line_holds_the_key_or_what_an_event_says(
    receiver: LocalReceiver, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with outbox(tmp_path, RudderStackDestination(KEY, receiver.url)) as box:
        receiver.fail("rudderstack", status=401, times=2)
        receiver.fail("rudderstack", status=400, times=3)
        receiver.fail("rudderstack", status=503, times=2)
        for number in range(4):
            box.append(body(number, email="anna@example.com"))
        while not box.flush(30):
            pass
    assert caplog.text
    assert KEY not in caplog.text
    assert "anna@example.com" not in caplog.text

"""PostHog as a destination: what is sent, and what each answer means. Against the local receiver, which judges as
PostHog does."""

from __future__ import annotations

import gzip
import json
import os
import socket
import threading
from collections.abc import Iterator
from datetime import datetime, timezone
from typing import Any
from uuid import UUID

import pytest

from genops_otel_posthog.errors import GenOpsConfigurationError
from genops_otel_posthog.export.destinations.http import Http, seconds_to_wait
from genops_otel_posthog.export.destinations.posthog import PostHogDestination
from genops_otel_posthog.export.destinations.protocol import Answer, Verdict, identity
from genops_otel_posthog.export.event import Event
from genops_otel_posthog.receiver import LocalReceiver

KEY = "phc_project_key_of_a_test"
TIMEOUT = 10.0


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
        properties={"number": number, **properties},
    )
    return json.dumps(event.body(), separators=(",", ":")).encode()


def send(receiver: LocalReceiver, *bodies: bytes, **options: Any) -> Answer:
    destination = PostHogDestination(KEY, receiver.url, **options)
    try:
        return destination.send(bodies, TIMEOUT)
    finally:
        destination.close()


def arrived(receiver: LocalReceiver) -> list[int]:
    return [event.properties["number"] for event in receiver.events()]


BOTH = pytest.mark.parametrize("protocol", ["batch", "v1"])


# --- what is sent -------------------------------------------------------------------------------------------------


@BOTH
def test_events_arrive_with_their_uuid_and_time(receiver: LocalReceiver, protocol: str) -> None:
    assert send(receiver, body(1), body(2), protocol=protocol) == Answer(Verdict.ACCEPTED)
    events = receiver.events()
    assert [event.uuid for event in events] == [str(UUID(int=1)), str(UUID(int=2))]
    assert {event.protocol for event in events} == {"v0" if protocol == "batch" else "v1"}
    assert {event.token for event in events} == {KEY}
    # PostHog corrects the time by the difference of the clocks, which is that of the request's own way.
    assert {event.timestamp[:16] for event in events} == {"2026-11-22T12:00"}


def test_a_body_is_joined_not_written_anew(receiver: LocalReceiver) -> None:
    odd = b'{"event" : "a",\t"distinct_id":"u","properties":{"number":1,"x":1.50e1}}'
    send(receiver, odd, body(2))
    [request] = receiver.requests("/batch")
    sent = receiver.request_body(request.id)
    assert odd + b"," + body(2) in sent
    envelope = json.loads(sent)
    assert set(envelope) == {"api_key", "batch", "sent_at"}
    assert datetime.fromisoformat(envelope["sent_at"]).tzinfo is not None


@BOTH
def test_what_is_imported_from_the_past_is_marked(receiver: LocalReceiver, protocol: str) -> None:
    send(receiver, body(1), protocol=protocol, historical_migration=True)
    assert [event.historical for event in receiver.events()] == [True]


@BOTH
def test_large_bodies_are_compressed_and_small_ones_not(receiver: LocalReceiver, protocol: str) -> None:
    send(receiver, body(1), protocol=protocol, compression="gzip")
    send(receiver, body(2, text="x" * 5000), protocol=protocol, compression="gzip")
    small, large = [receiver.request_body(request.id) for request in receiver.requests(method="POST")]
    assert small.startswith(b"{")
    assert json.loads(gzip.decompress(large))["batch"][0]["properties"]["number"] == 2
    assert len(large) < 1000
    assert arrived(receiver) == [1, 2]


def test_capture_v1_takes_zstd(receiver: LocalReceiver) -> None:
    pytest.importorskip("zstandard", reason="needs zstandard")
    send(receiver, body(1), protocol="v1", compression="zstd")
    send(receiver, body(2, text="x" * 5000), protocol="v1", compression="zstd")
    small, large = [receiver.request_body(request.id) for request in receiver.requests(method="POST")]
    assert small.startswith(b"{")
    assert large.startswith(b"\x28\xb5\x2f\xfd")
    assert len(large) < 1000
    assert arrived(receiver) == [1, 2]


def test_zstd_is_refused_where_posthog_takes_none_or_its_package_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(GenOpsConfigurationError, match="batch API takes no zstd"):
        PostHogDestination(KEY, compression="zstd")
    monkeypatch.setattr("genops_otel_posthog.export.destinations.compression._zstd", lambda: None)
    with pytest.raises(GenOpsConfigurationError, match=r"pip install 'genops-otel-posthog\[zstd\]'"):
        PostHogDestination(KEY, protocol="v1", compression="zstd")


@pytest.mark.parametrize(
    ("protocol", "has_zstd", "encoding"), [("batch", True, "gzip"), ("v1", True, "zstd"), ("v1", False, "gzip")]
)
def test_what_is_cheapest_of_what_posthog_takes_is_chosen(
    monkeypatch: pytest.MonkeyPatch, protocol: str, has_zstd: bool, encoding: str
) -> None:
    monkeypatch.setattr(
        "genops_otel_posthog.export.destinations.compression._zstd", lambda: bytes if has_zstd else None
    )
    compression = PostHogDestination(KEY, protocol=protocol)._compression
    assert compression is not None
    assert compression.encoding == encoding


def test_nothing_is_compressed_for_this_machine_unless_asked_for(receiver: LocalReceiver) -> None:
    send(receiver, body(1, text="x" * 5000))
    [request] = receiver.requests("/batch")
    assert receiver.request_body(request.id).startswith(b"{")


def test_one_connection_serves_many_requests(receiver: LocalReceiver) -> None:
    destination = PostHogDestination(KEY, receiver.url)
    for number in range(5):
        assert destination.send([body(number)], TIMEOUT).verdict is Verdict.ACCEPTED
    [pool] = [destination._http._pool.pools[key] for key in destination._http._pool.pools.keys()]  # noqa: SIM118
    assert (pool.num_connections, pool.num_requests) == (1, 5)
    destination.close()


def test_v1_gets_options_and_sessions_where_it_wants_them(receiver: LocalReceiver) -> None:
    session = "0199aaaa-0000-7000-8000-000000000000"
    answer = send(
        receiver,
        body(1, **{"$process_person_profile": False, "$session_id": session, "$lib": "mine", "$window_id": 7}),
        body(2, note='a "$session_id" in a text', nested={"$process_person_profile": False}),
        protocol="v1",
    )
    assert answer.verdict is Verdict.ACCEPTED
    [request] = receiver.requests("/i/v1/analytics/events")
    first, second = json.loads(receiver.request_body(request.id))["batch"]
    assert first["options"] == {"process_person_profile": False}
    assert first["session_id"] == session
    assert first["properties"] == {"number": 1}
    assert second["options"] == {}
    assert second["properties"]["nested"] == {"$process_person_profile": False}
    assert [event.person_mode for event in receiver.events()] == ["propertyless", "full"]


# --- what the answers mean ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "verdict", "reason"),
    [
        (301, Verdict.HELD, "http_301"),
        (400, Verdict.REJECTED, "http_400"),
        (401, Verdict.HELD, "http_401"),
        (402, Verdict.HELD, "http_402"),
        (403, Verdict.HELD, "http_403"),
        (404, Verdict.HELD, "http_404"),
        (408, Verdict.RETRY, "http_408"),
        (413, Verdict.TOO_LARGE, "http_413"),
        (418, Verdict.HELD, "http_418"),
        (422, Verdict.REJECTED, "http_422"),
        (429, Verdict.RETRY, "http_429"),
        (500, Verdict.RETRY, "http_500"),
        (503, Verdict.RETRY, "http_503"),
    ],
)
@BOTH
def test_a_status_has_a_meaning(
    receiver: LocalReceiver, protocol: str, status: int, verdict: Verdict, reason: str
) -> None:
    with receiver.fail("capture", status=status):
        answer = send(receiver, body(1), protocol=protocol)
    assert (answer.verdict, answer.reason) == (verdict, reason)
    assert KEY not in answer.detail


@pytest.mark.parametrize("given", ["17", "Sun, 22 Nov 2099 12:00:00 GMT"])
def test_the_time_that_the_service_asks_for_is_passed_on(receiver: LocalReceiver, given: str) -> None:
    with receiver.fail("capture", status=429, retry_after=given):
        answer = send(receiver, body(1))
    assert answer.retry_after is not None
    assert answer.retry_after == 17 or answer.retry_after > 1e9


def test_a_bad_event_refuses_the_batch_and_says_which_rule(receiver: LocalReceiver) -> None:
    answer = send(receiver, body(1), b'{"event":"x","properties":{}}')
    assert (answer.verdict, answer.reason) == (Verdict.REJECTED, "http_400")
    assert "distinct_id" in answer.detail
    assert arrived(receiver) == []


def test_v1_names_the_bad_events_and_takes_the_others(receiver: LocalReceiver) -> None:
    answer = send(receiver, body(1), body(2, name="x" * 300), body(3), protocol="v1")
    assert answer.verdict is Verdict.ACCEPTED
    assert answer.rejected == {1: "event_name_too_long"}
    assert arrived(receiver) == [1, 3]


def test_v1_says_what_is_to_be_sent_again(receiver: LocalReceiver) -> None:
    with receiver.fail("capture", event="signed_up", result="retry"):
        answer = send(receiver, body(1), body(2, name="signed_up"), protocol="v1")
    assert (answer.verdict, answer.again, answer.retry_after) == (Verdict.ACCEPTED, (1,), 1)
    assert arrived(receiver) == [1]


@pytest.mark.parametrize(("protocol", "reason"), [("v1", "http_402")])
def test_over_the_quota_everything_is_held(receiver: LocalReceiver, protocol: str, reason: str) -> None:
    with receiver.fail("capture", quota=["events"]):
        answer = send(receiver, body(1), protocol=protocol)
    assert (answer.verdict, answer.reason) == (Verdict.HELD, reason)
    assert "billing limit" in answer.detail


def test_v1_names_the_events_that_are_over_a_limit_of_their_own(receiver: LocalReceiver) -> None:
    with receiver.fail("capture", quota=["exceptions"]):
        answer = send(receiver, body(1), body(2, name="$exception"), protocol="v1")
    assert answer.rejected == {1: "exceptions_over_quota"}
    assert arrived(receiver) == [1]


def test_a_200_that_says_quota_limited_is_held_and_explained(receiver: LocalReceiver) -> None:
    with receiver.fail("capture", status=200, body='{"status":1,"quota_limited":["events"]}'):
        answer = send(receiver, body(1))
    assert (answer.verdict, answer.reason) == (Verdict.HELD, "quota_limited")
    assert "kept nothing of events" in answer.detail


def test_a_limit_of_recordings_is_none_of_events(receiver: LocalReceiver) -> None:
    with receiver.fail("capture", status=200, body='{"status":1,"quota_limited":["recordings"]}'):
        assert send(receiver, body(1)).verdict is Verdict.ACCEPTED


@pytest.mark.parametrize("said", ["<html>Welcome to the airport wi-fi</html>", "[]", "{}garbage", ""])
@BOTH
def test_a_200_that_is_not_posthogs_is_no_delivery(receiver: LocalReceiver, protocol: str, said: str) -> None:
    with receiver.fail("capture", status=200, body=said):
        answer = send(receiver, body(1), protocol=protocol)
    assert (answer.verdict, answer.reason) == (Verdict.RETRY, "unreadable_answer")


def test_an_answer_without_content_is_a_delivery(receiver: LocalReceiver) -> None:
    with receiver.fail("capture", status=204, body=""):
        assert send(receiver, body(1)).verdict is Verdict.ACCEPTED


# --- sizes --------------------------------------------------------------------------------------------------------


@BOTH
def test_an_event_beyond_a_megabyte_stays_behind_and_the_others_go(receiver: LocalReceiver, protocol: str) -> None:
    answer = send(receiver, body(1), body(2, text="x" * 1_000_001), body(3), protocol=protocol)
    assert (answer.verdict, answer.rejected) == (Verdict.ACCEPTED, {1: "too_large"})
    assert arrived(receiver) == [1, 3]
    assert send(receiver, body(4, text="x" * 1_000_001)).rejected == {0: "too_large"}
    assert len(receiver.requests(method="POST")) == 1


def test_an_event_about_ai_may_be_larger(receiver: LocalReceiver) -> None:
    answer = send(receiver, body(1, name="$ai_generation", text="x" * 1_500_000))
    assert (answer.verdict, dict(answer.rejected)) == (Verdict.ACCEPTED, {})
    assert arrived(receiver) == [1]


def test_a_batch_never_exceeds_what_posthog_takes() -> None:
    destination = PostHogDestination(KEY, max_batch_bytes=10**9)
    assert destination.max_batch_bytes < 20 * 1024 * 1024


# --- the network --------------------------------------------------------------------------------------------------


def test_nobody_listening_is_tried_again() -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        answer = PostHogDestination(KEY, f"http://127.0.0.1:{reserved.getsockname()[1]}").send([body(1)], TIMEOUT)
    assert (answer.verdict, answer.reason) == (Verdict.RETRY, "connection_failed")


def test_a_service_that_hangs_is_given_up_in_time(receiver: LocalReceiver) -> None:
    with receiver.fail("capture", hang=True):
        answer = PostHogDestination(KEY, receiver.url).send([body(1)], 0.2)
    assert (answer.verdict, answer.reason) == (Verdict.RETRY, "timeout")


def test_an_answer_that_breaks_off_is_no_delivery(receiver: LocalReceiver) -> None:
    with receiver.fail("capture", reset=True):
        answer = send(receiver, body(1))
    assert (answer.verdict, answer.reason) == (Verdict.RETRY, "connection_lost")


def test_a_connection_that_broke_is_replaced(receiver: LocalReceiver) -> None:
    destination = PostHogDestination(KEY, receiver.url)
    destination.send([body(1)], TIMEOUT)
    with receiver.fail("capture", reset=True):
        destination.send([body(2)], TIMEOUT)
    assert destination.send([body(3)], TIMEOUT).verdict is Verdict.ACCEPTED
    destination.close()


def test_an_answer_that_trickles_is_given_up_in_time() -> None:
    stop = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def trickle() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
                while not stop.wait(0.02):
                    try:
                        connection.sendall(b"x")
                    except OSError:
                        return

        thread = threading.Thread(target=trickle)
        thread.start()
        answer = PostHogDestination(KEY, f"http://127.0.0.1:{server.getsockname()[1]}").send([body(1)], 0.3)
        stop.set()
        thread.join()
    assert (answer.verdict, answer.reason) == (Verdict.RETRY, "timeout")


def test_a_host_without_a_secure_connection_is_held() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def speak_plainly() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(b"HTTP/1.1 400 The plain HTTP request was sent to HTTPS port\r\n\r\n")

        thread = threading.Thread(target=speak_plainly)
        thread.start()
        answer = PostHogDestination(KEY, f"https://127.0.0.1:{server.getsockname()[1]}").send([body(1)], TIMEOUT)
        thread.join()
    assert (answer.verdict, answer.reason) == (Verdict.HELD, "tls")


def test_the_proxy_of_the_environment_is_used(receiver: LocalReceiver, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as proxy:

        def serve() -> None:
            connection, _ = proxy.accept()
            with connection:
                asked.append(connection.recv(65536))
                connection.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n{"status":1}')

        thread = threading.Thread(target=serve)
        thread.start()
        monkeypatch.setenv("http_proxy", f"http://somebody:secret@127.0.0.1:{proxy.getsockname()[1]}")
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        answer = PostHogDestination(KEY, "http://posthog.example").send([body(1)], TIMEOUT)
        thread.join()
    assert answer.verdict is Verdict.ACCEPTED
    assert asked[0].startswith(b"POST http://posthog.example/batch/ HTTP/1.1\r\n")
    assert b"proxy-authorization: basic" in asked[0].lower()


def test_hosts_without_proxy_are_reached_directly(receiver: LocalReceiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert send(receiver, body(1)).verdict is Verdict.ACCEPTED


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_child_makes_a_connection_of_its_own(receiver: LocalReceiver) -> None:
    destination = PostHogDestination(KEY, receiver.url)
    destination.send([body(1)], TIMEOUT)
    child = os.fork()
    if child == 0:
        try:
            os._exit(0 if destination.send([body(2)], TIMEOUT).verdict is Verdict.ACCEPTED else 1)
        finally:
            os._exit(2)
    assert os.waitpid(child, 0)[1] == 0
    assert destination.send([body(3)], TIMEOUT).verdict is Verdict.ACCEPTED
    assert sorted(arrived(receiver)) == [1, 2, 3]
    destination.close()


# --- names and keys -----------------------------------------------------------------------------------------------


def test_the_identity_tells_accounts_apart_and_hides_the_key() -> None:
    one, same, other = PostHogDestination(KEY), PostHogDestination(KEY, "https://eu.i.posthog.com"), "phc_another"
    assert identity(one) == identity(same)
    assert identity(one) != identity(PostHogDestination(other))
    assert KEY not in identity(one)


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ({"api_key": ""}, "set POSTHOG_API_KEY"),
        ({"api_key": "phx_personal"}, "personal API key"),
        ({"api_key": KEY, "host": "eu.posthog.com"}, "is no address"),
        ({"api_key": KEY, "protocol": "v2"}, "batch or v1"),
        ({"api_key": KEY, "compression": "brotli"}, "auto, gzip, zstd, none"),
    ],
)
def test_an_argument_that_cannot_be_says_what_can(arguments: dict[str, Any], problem: str) -> None:
    with pytest.raises(GenOpsConfigurationError, match=problem):
        PostHogDestination(**arguments)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("", None),
        ("5", 5),
        ("0.5", 0.5),
        ("-3", None),
        ("inf", None),
        ("nan", None),
        ("soon", None),
        ("Sun, 22 Nov 2026 12:00:30 GMT", 30),
        ("Sun, 22 Nov 2026 11:00:00 GMT", 0),
    ],
)
def test_a_retry_after_header_is_seconds_or_a_date(header: str | None, seconds: float | None) -> None:
    assert seconds_to_wait(header, now=datetime(2026, 11, 22, 12, tzinfo=timezone.utc)) == seconds


def test_closing_twice_is_once() -> None:
    client = Http("http://127.0.0.1:9")
    client.close()
    client.close()

"""With ``durable_capture`` the application's own events wait in the outbox, and nothing else about them changes."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from genops_otel_posthog import PostHogInstrumentor
from genops_otel_posthog.export.outbox.waiting import waiting_events
from genops_otel_posthog.instrumentation import CaptureAccount
from genops_otel_posthog.instrumentation.durable import _warn
from genops_otel_posthog.receiver.server import LocalReceiver

Durable = Callable[..., Any]


@pytest.fixture
def outbox(tmp_path: Path) -> Path:
    return tmp_path / "outbox"


@pytest.fixture
def durable(instrument: Any, outbox: Path) -> Durable:
    """Instruments the SDK so that its events go to an outbox of the test's own."""

    _warn.forget()

    def durable(**options: Any) -> Any:
        return instrument(durable_capture=True, outbox_path=str(outbox), **options)

    return durable


def account() -> CaptureAccount:
    found = PostHogInstrumentor().captures
    assert found.holds, found
    return found


def waiting(outbox: Path) -> list[dict[str, Any]]:
    return [event.content() for event in waiting_events(outbox)]


# --- what is sent -------------------------------------------------------------------------------------------------


def test_an_event_is_on_disk_when_capture_returns_and_is_delivered_as_the_sdk_would_have(
    durable, instrument, new_client, receiver, outbox
):
    def capture(client: Any) -> str:
        return client.capture(
            "e",
            distinct_id="u1",
            properties={"a": 1.5, "umlaut": "ä", "nested": {"list": [1, None]}},
            groups={"company": "acme"},
            uuid="0191f0a4-6d5e-7c3b-9f00-000000000001",
            timestamp=datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc),
        )

    instrument()
    sent_by_sdk = new_client(super_properties={"s": 1})
    capture(sent_by_sdk)
    sent_by_sdk.flush()
    (bare,) = receiver.events()
    receiver.clear()
    PostHogInstrumentor().uninstrument()

    durable()
    client = new_client(super_properties={"s": 1})
    with receiver.fail("capture", status=503):
        assert capture(client) == bare.uuid
        (waits,) = waiting(outbox)
        assert waits["uuid"] == bare.uuid
    client.flush()
    (kept,) = receiver.events()
    for part in ("event", "distinct_id", "uuid", "sent_timestamp", "set"):
        assert getattr(kept, part) == getattr(bare, part)
    assert kept.properties == bare.properties
    assert account() == CaptureAccount(admitted=1, stored=1)


@pytest.mark.newest
def test_values_that_are_not_of_json_are_sent_as_the_sdk_sends_them(durable, client, receiver):
    durable()
    client.capture("e", distinct_id="u1", properties={"nan": float("nan"), "odd": "\ud800", "at": datetime(2026, 1, 2)})
    client.flush()
    (event,) = receiver.events()
    assert event.properties["nan"] is None
    assert event.properties["at"].startswith("2026-01-02T00:00:00")


@pytest.mark.newest
@pytest.mark.parametrize(
    "call",
    [
        lambda client: client.capture("e", distinct_id="u1"),
        lambda client: client.set(distinct_id="u1", properties={"a": 1}),
        lambda client: client.set_once(distinct_id="u1", properties={"a": 1}),
        lambda client: client.alias("u1", "u2"),
        lambda client: client.group_identify("company", "acme", distinct_id="u1"),
        lambda client: client.capture_exception(ValueError("no"), distinct_id="u1"),
        lambda client: client.capture_ai("$ai_generation", distinct_id="u1"),
    ],
    ids=["capture", "set", "set_once", "alias", "group_identify", "capture_exception", "capture_ai"],
)
@pytest.mark.parametrize("mode", ["v0", "v1"])
@pytest.mark.parametrize("sync_mode", [False, True], ids=["queue", "sync"])
def test_every_call_gives_the_same_event_by_the_same_endpoint(
    durable, instrument, new_client, receiver, call, mode, sync_mode
):
    def sent() -> tuple[Any, ...]:
        client = new_client(capture_mode=mode, sync_mode=sync_mode)
        uuid = call(client)
        client.flush()
        (event,) = receiver.events()
        (request,) = [request for request in receiver.requests() if request.method == "POST"]
        assert event.uuid == uuid
        receiver.clear()
        unlike = {"$exception_list", "$exception_fingerprint"}
        properties = {name: value for name, value in event.properties.items() if name not in unlike}
        at = request.path, request.user_agent, event.lane, event.protocol
        return *at, event.event, event.distinct_id, event.set, event.set_once, properties

    instrument()
    bare = sent()
    PostHogInstrumentor().uninstrument()
    durable()
    assert sent() == bare
    assert account() == CaptureAccount(admitted=1, stored=1)


def test_an_import_of_the_past_stays_one(durable, new_client, receiver):
    durable()
    client = new_client(historical_migration=True)
    client.capture("e", distinct_id="u1")
    client.flush()
    assert [event.historical for event in receiver.events()] == [True]


def test_clients_of_different_projects_and_hosts_keep_their_events_apart(durable, new_client, receiver):
    durable()
    with LocalReceiver(port=0) as other:
        clients = [new_client("phc_one"), new_client("phc_two"), new_client("phc_one", host=other.url)]
        for number, client in enumerate(clients):
            client.capture(f"e{number}", distinct_id="u1")
            client.flush()
        assert {(event.event, event.token) for event in receiver.events()} == {("e0", "phc_one"), ("e1", "phc_two")}
        assert [(event.event, event.token) for event in other.events()] == [("e2", "phc_one")]


def test_the_callback_that_changes_or_refuses_events_is_asked_before_anything_is_written(
    durable, new_client, receiver, outbox
):
    def before_send(message: Any) -> Any:
        if message["event"] == "secret":
            return None
        message["properties"]["card"] = "***"
        return message

    durable()
    client = new_client(before_send=before_send)
    with receiver.fail("capture", status=503):
        client.capture("order", distinct_id="u1", properties={"card": "4242"})
        assert client.capture("secret", distinct_id="u1") is None
        assert [(event["event"], event["properties"]["card"]) for event in waiting(outbox)] == [("order", "***")]
    assert account() == CaptureAccount(admitted=1, stored=1, refused={"before_send": 1})


def test_a_client_that_does_not_send_writes_nothing(durable, new_client, outbox):
    durable()
    assert new_client(send=False).capture("e", distinct_id="u1")
    assert new_client(disabled=True).capture("e", distinct_id="u1") is None
    assert not outbox.exists()
    assert account() == CaptureAccount(refused={"send_off": 1, "disabled": 1})


@pytest.mark.newest
def test_a_client_that_was_shut_down_takes_nothing(durable, client, receiver):
    durable()
    client.capture("e", distinct_id="u1")
    client.shutdown()
    assert client.capture("late", distinct_id="u1") is None
    assert [event.event for event in receiver.events()] == ["e"]
    assert account() == CaptureAccount(admitted=1, stored=1, refused={"closed": 1})


def test_usage_is_counted_and_spans_are_made_as_ever(durable, client):
    observed = durable(team="checkout")
    client.capture("e", distinct_id="u1")
    client.flush()
    assert observed.usage() == {"events": 1, "identified_events": 1}
    assert observed.names == ["capture e"]


def test_an_event_beyond_the_sdk_s_limit_is_a_dead_letter_and_not_lost_in_silence(durable, client, receiver):
    observed = durable()
    client.capture("large", distinct_id="u1", properties={"text": "x" * 1_100_000})
    client.capture("small", distinct_id="u1")
    client.flush()
    assert [event.event for event in receiver.events()] == ["small"]
    assert states(observed) == {"enqueued": 2, "acked": 1, "dead": 1}


def states(observed: Any) -> dict[str, int]:
    """Of the outbox, for the application's events."""
    return {
        attributes["genops.outbox.state"]: point.value
        for attributes, point in observed.points("genops.outbox.events")
        if attributes.get("genops.outbox.destination") == "posthog-captures" and point.value
    }


# --- waiting and giving up ----------------------------------------------------------------------------------------


@pytest.mark.newest
def test_flush_waits_for_delivery_and_gives_up_within_its_limit(durable, client, receiver, outbox):
    durable()
    client.capture("e", distinct_id="u1")
    client.flush()
    assert len(receiver.events()) == 1
    with receiver.fail("capture", status=503):
        client.capture("e", distinct_id="u1")
        client.flush(timeout_seconds=0.2)
        assert len(waiting(outbox)) == 1
    client.flush()
    assert len(receiver.events()) == 2


def test_shutdown_gives_up_when_the_sdk_would_and_nothing_is_lost(durable, new_client, receiver, outbox):
    durable()
    client = new_client(max_retries=0)
    with receiver.fail("capture", status=503):
        getattr(client, "capture_ai", client.capture)("$ai_generation", distinct_id="u1")
        client.capture("e", distinct_id="u1")
        client.shutdown()
        assert len(waiting(outbox)) == 2
    PostHogInstrumentor().uninstrument()

    durable()
    new_client()  # it captures nothing; what was left behind is delivered all the same
    assert len(receiver.wait_for_events(2)) == 2


@pytest.mark.newest
def test_an_account_at_fault_keeps_nobody_waiting(durable, new_client, receiver, outbox):
    durable()
    client = new_client()
    with receiver.fail("capture", status=401) as refusing:
        client.capture("e", distinct_id="u1")
        client.flush(timeout_seconds=60)
        assert refusing.struck
        assert len(waiting(outbox)) == 1
    client.flush()
    assert len(receiver.events()) == 1


@pytest.mark.newest  # the oldest SDK cannot be shut down in this mode
def test_in_synchronous_mode_an_event_outlives_an_outage_and_keeps_its_uuid(durable, new_client, receiver, outbox):
    durable()
    client = new_client(sync_mode=True, timeout=0.2)
    with receiver.fail("capture", status=503):
        uuid = client.capture("e", distinct_id="u1")
        assert uuid
        assert [event["uuid"] for event in waiting(outbox)] == [uuid]
    client.flush()
    assert [event.uuid for event in receiver.events()] == [uuid]


@pytest.mark.newest
def test_a_callback_of_the_sdk_may_flush(durable, new_client, receiver, outbox):
    """It runs in the sender's thread, which must not wait for anything."""
    outbox.write_text("in the way")
    durable()
    told = threading.Event()

    def on_error(error: Any, batch: Any) -> None:
        client.flush()
        told.set()

    client = new_client(on_error=on_error, max_retries=0)
    with receiver.fail("capture", status=401):
        client.capture("e", distinct_id="u1")
        assert told.wait(30)


# --- where the outbox cannot be used --------------------------------------------------------------------------------


def test_without_a_place_for_the_outbox_events_go_the_sdk_s_own_way_with_one_warning(
    durable, new_client, receiver, outbox, caplog
):
    outbox.write_text("in the way")
    observed = durable()
    with caplog.at_level(logging.WARNING, logger="genops_otel_posthog"):
        client = new_client()
        for _ in range(3):
            assert client.capture("e", distinct_id="u1")
        client.flush()
    assert len(receiver.wait_for_events(3)) == 3
    found = account()
    assert found == CaptureAccount(admitted=3, delivered=3, beside_outbox=3)
    warnings = [record for record in caplog.records if "GENOPS_DURABLE_CAPTURE" in record.getMessage()]
    assert len(warnings) == 1, caplog.text
    beside = [
        point.value
        for attributes, point in observed.points("genops.capture.events")
        if attributes.get("genops.capture.reason") == "outbox_unusable"
    ]
    assert beside == [3]


def test_a_key_that_is_no_project_key_goes_the_sdk_s_own_way(durable, new_client, receiver, caplog):
    durable()
    client = new_client("phx_personal")
    with caplog.at_level(logging.WARNING, logger="genops_otel_posthog"):
        client.capture("e", distinct_id="u1")
        client.flush()
    assert account().admitted == account().beside_outbox == 1
    assert "GENOPS_DURABLE_CAPTURE" in caplog.text
    assert "phx_personal" not in caplog.text


def test_after_uninstrumenting_events_go_the_sdk_s_own_way(durable, client, receiver, outbox):
    durable()
    client.capture("kept", distinct_id="u1")
    PostHogInstrumentor().uninstrument()
    client.capture("queued", distinct_id="u1")
    client.flush()
    assert {event.event for event in receiver.wait_for_events(2)} == {"kept", "queued"}
    assert not waiting(outbox)


@pytest.mark.newest
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_forked_child_delivers_what_it_captures_and_its_parent_the_rest(durable, client, receiver):
    durable()
    client.capture("before", distinct_id="u1")
    child = os.fork()
    if not child:
        client.capture("in the child", distinct_id="u1")
        client.flush()
        os._exit(0)
    os.waitpid(child, 0)
    client.capture("after", distinct_id="u1")
    client.flush()
    assert sorted(event.event for event in receiver.events()) == ["after", "before", "in the child"]


# --- the asynchronous client --------------------------------------------------------------------------------------


def run(receiver: Any, body: Callable[[Any], Any], **options: Any) -> None:
    from posthog import AsyncPosthog

    async def main() -> None:
        client = AsyncPosthog("phc_test", host=receiver.url, **options)
        try:
            await body(client)
        finally:
            await client.shutdown()

    asyncio.run(main())


@pytest.mark.newest
def test_events_of_the_asynchronous_client_are_on_disk_when_capture_returns(durable, receiver, outbox):
    durable()

    async def body(client: Any) -> None:
        with receiver.fail("capture", status=503):
            uuid = client.capture("e", distinct_id="u1")
            client.set(distinct_id="u1", properties={"a": 1})
            assert [event["event"] for event in waiting(outbox)] == ["e", "$set"]
        await client.flush()
        assert [event.uuid for event in receiver.events("e")] == [uuid]

    run(receiver, body)
    assert account() == CaptureAccount(admitted=2, stored=2)


@pytest.mark.newest
def test_a_plain_callback_of_the_asynchronous_client_is_asked_before_anything_is_written(durable, receiver, outbox):
    durable()

    def before_send(message: Any) -> Any:
        if message["event"] == "broken":
            raise ValueError("no")
        return None if message["event"] == "gone" else {**message, "properties": {"changed": True}}

    async def body(client: Any) -> None:
        with receiver.fail("capture", status=503):
            uuids = [client.capture(event, distinct_id="u1") for event in ("kept", "gone", "broken")]
            assert all(uuids)  # as without the outbox, where it is asked later
            assert [(event["event"], event["properties"]) for event in waiting(outbox)] == [("kept", {"changed": True})]

    run(receiver, body, before_send=before_send)
    assert account() == CaptureAccount(admitted=3, stored=1, dropped={"before_send": 2})
    assert [event.event for event in receiver.events()] == ["kept"]


@pytest.mark.newest
@pytest.mark.parametrize("wrapped", [False, True], ids=["coroutine function", "function that returns a coroutine"])
def test_a_callback_that_has_to_be_awaited_is_asked_once_by_the_worker(durable, receiver, wrapped):
    durable()
    asked = []

    async def before_send(message: Any) -> Any:
        asked.append(message["event"])
        return message

    async def body(client: Any) -> None:
        client.capture("e", distinct_id="u1")
        await client.flush()
        assert [event.event for event in receiver.events()] == ["e"]

    run(receiver, body, before_send=(lambda message: before_send(message)) if wrapped else before_send)
    assert asked == ["e"]
    assert account() == CaptureAccount(admitted=1, stored=1)


@pytest.mark.newest
def test_capture_immediate_waits_for_delivery_and_loses_nothing_when_it_gives_up(durable, receiver, outbox):
    durable()

    async def body(client: Any) -> None:
        first = await client.capture_immediate("e", distinct_id="u1")
        assert [event.uuid for event in receiver.events()] == [first]
        with receiver.fail("capture", status=503):
            second = await client.capture_immediate("e", distinct_id="u1")
            assert [event["uuid"] for event in waiting(outbox)] == [second]

    run(receiver, body, timeout=0.2)
    assert account() == CaptureAccount(admitted=2, stored=2)
    assert len(receiver.events()) == 2


@pytest.mark.newest
def test_the_asynchronous_client_does_without_an_outbox_that_cannot_be_used(durable, receiver, outbox):
    outbox.write_text("in the way")
    durable()

    async def body(client: Any) -> None:
        for _ in range(3):
            assert client.capture("e", distinct_id="u1")
        assert await client.capture_immediate("e", distinct_id="u1")
        await client.flush()

    run(receiver, body)
    assert len(receiver.wait_for_events(4)) == 4
    assert account() == CaptureAccount(admitted=4, delivered=4, beside_outbox=4)

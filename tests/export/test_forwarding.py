"""Calls to RudderStack as Python functions, against the local receiver."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import TracerProvider

from genops_otel_posthog.export import forwarding
from genops_otel_posthog.export.destinations.database import DatabaseDestination
from genops_otel_posthog.export.destinations.protocol import Verdict
from genops_otel_posthog.export.forwarder import Forwarder, _warn
from genops_otel_posthog.export.forwarding import map_posthog_event
from genops_otel_posthog.receiver import LocalReceiver
from genops_otel_posthog.receiver.records import ReceivedMessage

KEY = "1aBcDeFgHiJkLmNoPqRs"
TRACE = "5b8efff798038103d269b633813fc60c"
UUID = "7b4d1c70-0000-8000-8000-000000000001"
SEVEN = (
    "agent_execution",
    "agent_error",
    "flow_executed",
    "tool_used",
    "agent_created",
    "prompt_blocked",
    "rag_query_triggered",
)


@pytest.fixture(scope="module")
def shared_receiver() -> Iterator[LocalReceiver]:
    with LocalReceiver() as receiver:
        yield receiver


@pytest.fixture
def receiver(
    shared_receiver: LocalReceiver, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[LocalReceiver]:
    """RudderStack, and an environment that says where it is."""
    shared_receiver.recover()
    shared_receiver.clear()
    monkeypatch.setenv("RUDDERSTACK_WRITE_KEY", KEY)
    monkeypatch.setenv("RUDDERSTACK_DATA_PLANE_URL", shared_receiver.url)
    monkeypatch.setenv("GENOPS_OUTBOX_PATH", str(tmp_path / "outbox"))
    forwarding.shutdown()
    yield shared_receiver
    forwarding.shutdown()


@pytest.fixture
def switched_off() -> Iterator[None]:
    forwarding.shutdown()
    yield
    forwarding.shutdown()


def only(receiver: LocalReceiver) -> ReceivedMessage:
    assert forwarding.flush(30)
    (message,) = receiver.rudder_messages()
    return message


@pytest.mark.requirement("S3-27")
def test_identify_tells_who_a_user_is(receiver: LocalReceiver) -> None:
    assert forwarding.identify("user-1", {"plan": "pro"}, {"workspaceId": "w-1"})
    kept = only(receiver)
    assert (kept.type, kept.user_id) == ("identify", "user-1")
    assert kept.message["traits"] == {"plan": "pro"}
    assert kept.message["context"]["groupId"] == "w-1"


@pytest.mark.requirement("S3-28", "S3-67")
def test_track_tells_what_a_user_did_where_and_in_which_trace(receiver: LocalReceiver) -> None:
    context = {"groupId": "g-1", "workspaceId": "w-1", "organizationId": "o-1", "traceId": TRACE}
    assert forwarding.track("user-1", "order_completed", {"amount": 9}, context)
    kept = only(receiver)
    assert (kept.type, kept.event, kept.user_id) == ("track", "order_completed", "user-1")
    assert kept.message["properties"]["amount"] == 9
    assert kept.message["context"]["groupId"] == "g-1"
    assert kept.message["context"]["traits"] == {"workspaceId": "w-1", "organizationId": "o-1"}
    assert kept.message["context"]["traceId"] == kept.message["properties"]["trace_id"] == TRACE


def test_without_a_group_the_workspace_is_it(receiver: LocalReceiver) -> None:
    forwarding.track("user-1", "order_completed", context={"workspace_id": "w-1"})
    assert only(receiver).message["context"]["groupId"] == "w-1"


@pytest.mark.requirement("S3-29")
def test_group_tells_where_a_user_belongs(receiver: LocalReceiver) -> None:
    assert forwarding.group("user-1", "w-1", {"name": "Acme"})
    kept = only(receiver)
    assert (kept.type, kept.user_id, kept.message["groupId"]) == ("group", "user-1", "w-1")
    assert kept.message["traits"] == {"name": "Acme", "groupType": "workspace"}


def test_the_kind_of_a_group_may_be_another(receiver: LocalReceiver) -> None:
    forwarding.group("user-1", "o-1", {"groupType": "organization"})
    assert only(receiver).message["traits"] == {"groupType": "organization"}


def test_the_current_span_gives_the_trace_where_none_is_named(receiver: LocalReceiver) -> None:
    tracer = TracerProvider(shutdown_on_exit=False).get_tracer("test")
    with tracer.start_as_current_span("work") as span:
        forwarding.track("user-1", "order_completed")
    assert only(receiver).message["context"]["traceId"] == format(span.get_span_context().trace_id, "032x")


def test_two_equal_calls_are_two_messages(receiver: LocalReceiver) -> None:
    for _ in range(2):
        forwarding.track("user-1", "clicked")
    assert forwarding.flush(30)
    first, second = receiver.rudder_messages()
    assert first.message_id != second.message_id


# --- events of others ---------------------------------------------------------------------------------------------


@pytest.mark.requirement("S3-25", "S3-30", "S3-63")
def test_an_event_is_mapped_to_what_rudderstack_is_told() -> None:
    mapped = map_posthog_event(
        {
            "event": "flow_executed",
            "userId": "user-1",
            "properties": {
                "trace_id": TRACE,
                "execution_id": "run-1",
                "workspace_id": "w-1",
                "organization_id": "o-1",
                "success": True,
            },
        }
    )
    assert (mapped["event"], mapped["userId"]) == ("flow_executed", "user-1")
    assert mapped["properties"].items() >= {"trace_id": TRACE, "execution_id": "run-1", "success": True}.items()
    assert mapped["context"]["groupId"] == "w-1"
    assert mapped["context"]["traits"] == {"organizationId": "o-1", "workspaceId": "w-1"}
    assert mapped["context"]["traceId"] == TRACE
    assert datetime.fromisoformat(mapped["timestamp"]).tzinfo is not None


def test_what_is_not_known_of_an_event_is_null_when_it_is_mapped() -> None:
    mapped = map_posthog_event({"event": "paid", "user_id": "user-1"})
    assert (mapped["properties"], "traits" in mapped["context"]) == ({"trace_id": None, "execution_id": None}, False)


@pytest.mark.parametrize("name", SEVEN)
@pytest.mark.requirement("S3-31", "S3-62", "S3-67", "D-38")
def test_each_of_the_seven_events_is_forwarded_under_its_uuid(receiver: LocalReceiver, name: str) -> None:
    properties = {"trace_id": TRACE, "workspace_id": "w-1", "organization_id": "o-1", "user_id": "user-1"}
    assert forwarding.forward_posthog_event(
        {"event": name, "distinct_id": "user-1", "uuid": UUID, "properties": properties}
    )
    kept = only(receiver)
    assert (kept.event, kept.user_id, kept.message_id) == (name, "user-1", UUID)
    assert kept.message["properties"].items() >= properties.items()
    assert kept.message["properties"]["source"] == "posthog"


def test_an_events_own_source_stays(receiver: LocalReceiver) -> None:
    forwarding.forward_posthog_event(
        {"event": "prompt_blocked", "distinct_id": "u", "properties": {"source": "abuse_detection"}}
    )
    assert only(receiver).message["properties"]["source"] == "abuse_detection"


@pytest.mark.requirement("S3-41", "D-39")
def test_an_execution_that_posthog_and_the_database_tell_of_is_one_message(receiver: LocalReceiver) -> None:
    forwarding.forward_posthog_event(
        {"event": "agent_execution", "userId": "user-1", "properties": {"execution_id": "run-1"}}
    )
    forwarding.forward_database_event(
        "agent_execution", user_id="user-1", workspace_id="w-1", properties={"execution_id": "run-1"}
    )
    assert forwarding.flush(30)
    first, second = receiver.rudder_messages()
    assert first.message_id == second.message_id
    assert [kept.message["properties"]["source"] for kept in (first, second)] == ["posthog", "database"]


@pytest.mark.requirement("S3-32")
def test_a_row_is_forwarded_under_its_key_and_time(receiver: LocalReceiver) -> None:
    forwarding.forward_database_event(
        "model_call",
        user_id="user-1",
        workspace_id="w-1",
        organization_id="o-1",
        properties={"cost_usd": 0.002},
        trace_id=TRACE,
        uuid=UUID,
        timestamp=datetime(2026, 11, 22, 12, tzinfo=timezone.utc),
    )
    kept = only(receiver)
    assert (kept.message_id, kept.timestamp) == (UUID, "2026-11-22T12:00:00.000000+00:00")
    assert kept.message["context"]["traits"] == {"workspaceId": "w-1", "organizationId": "o-1"}
    assert kept.message["context"]["traceId"] == TRACE


def test_a_row_of_nobody_is_anonymous_and_one_person_for_each_trace(receiver: LocalReceiver) -> None:
    for trace in (TRACE, TRACE, "0" * 31 + "1"):
        forwarding.forward_database_event("model_call", trace_id=trace)
    assert forwarding.flush(30)
    kept = receiver.rudder_messages()
    assert {message.user_id for message in kept} == {None}
    first, second, third = (message.anonymous_id for message in kept)
    assert first == second != third


@pytest.mark.requirement("S3-32", "S3-42")
def test_a_row_of_nobody_and_no_trace_is_of_the_user_anonymous(receiver: LocalReceiver) -> None:
    forwarding.forward_database_event("model_call")
    kept = only(receiver)
    assert (kept.user_id, kept.anonymous_id) == (None, "anonymous")


@pytest.mark.requirement("S3-41", "S3-44")
def test_a_database_of_events_is_forwarded_in_turn(receiver: LocalReceiver, tmp_path: Path) -> None:
    pytest.importorskip("sqlalchemy", reason="needs SQLAlchemy")
    database = DatabaseDestination(f"sqlite://{tmp_path / 'events.sqlite3'}")
    bodies = [
        b'{"event":"agent_execution","distinct_id":"user-1","uuid":"00000000-0000-8000-8000-000000000001",'
        b'"timestamp":"2026-11-22T12:00:01+00:00","properties":{"workspace_id":"w-1","execution_id":"run-1"}}',
        b'{"event":"agent_execution","distinct_id":"user-1","uuid":"00000000-0000-8000-8000-000000000002",'
        b'"timestamp":"2026-11-22T12:00:02+00:00","properties":{"execution_id":"run-2"}}',
        b'{"event":"agent_execution","distinct_id":"x","uuid":"00000000-0000-8000-8000-000000000003","timestamp":'
        b'"2026-11-22T12:00:03+00:00","properties":{"workspace_id":"w-1","$process_person_profile":false}}',
        b'{"event":"tool_used","distinct_id":"user-1","uuid":"00000000-0000-8000-8000-000000000004",'
        b'"timestamp":"2026-11-22T12:00:04+00:00","properties":{"tool_id":"search"}}',
    ]
    assert database.send(bodies, 10).verdict is Verdict.ACCEPTED
    forwarder = forwarding._forwarder()
    assert forwarder is not None
    assert forwarder.forward_rows(database.events()) == 2
    assert forwarding.flush(30)
    assert [(kept.event, kept.message_id[-1]) for kept in receiver.rudder_messages()] == [
        ("agent_execution", "1"),
        ("tool_used", "4"),
    ]


# --- what cannot be said ------------------------------------------------------------------------------------------


class Taken:
    """An outbox that keeps what it is given."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []

    def append(self, body: bytes, importance: str = "normal") -> bool:
        self.bodies.append(body)
        return True


@pytest.mark.parametrize("odd", ["text", 42, ["a"], object()])
def test_properties_of_another_shape_are_left_out_with_one_warning(odd: Any, caplog: pytest.LogCaptureFixture) -> None:
    _warn.forget()
    taken = Taken()
    forwarder = Forwarder(taken)
    assert forwarder.track("user-1", "paid", odd, odd)
    assert forwarder.identify("user-1", odd)
    assert forwarder.group("user-1", "w-1", odd)
    assert forwarder.forward_posthog_event({"event": "paid", "properties": odd})
    assert len(taken.bodies) == 4
    assert [record.levelno for record in caplog.records] == [logging.WARNING]


@pytest.mark.parametrize("name", [None, "", 42])
def test_an_event_without_a_name_is_not_sent(name: Any, caplog: pytest.LogCaptureFixture) -> None:
    _warn.forget()
    taken = Taken()
    assert not Forwarder(taken).track("user-1", name)
    assert taken.bodies == []
    assert "needs a name" in caplog.text


@pytest.mark.parametrize("user", [None, "", "  "])
def test_an_event_of_nobody_is_sent_all_the_same(receiver: LocalReceiver, user: Any) -> None:
    assert forwarding.track(user, "paid")
    assert only(receiver).user_id is None


def test_a_context_that_means_nothing_is_named_once(caplog: pytest.LogCaptureFixture) -> None:
    _warn.forget()
    for _ in range(2):
        Forwarder(Taken()).track("user-1", "paid", context={"grupId": "w-1"})
    assert caplog.text.count("'grupId'") == 1
    assert "workspace_id" in caplog.text


def test_values_that_are_no_json_are_made_into_some(receiver: LocalReceiver) -> None:
    when = datetime(2026, 11, 22, tzinfo=timezone.utc)
    loop: list[Any] = []
    loop.append(loop)
    forwarding.track("user-1", "paid", {"when": when, "loop": loop, "bytes": b"\xff", "nan": float("nan")})
    assert only(receiver).message["properties"]["when"] == when.isoformat()


# --- on and off ---------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("switched_off")
@pytest.mark.requirement("S3-50")
def test_without_a_key_nothing_is_forwarded_and_one_line_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    for _ in range(3):
        assert not forwarding.track("user-1", "paid")
    assert not forwarding.identify("user-1")
    assert not forwarding.group("user-1", "w-1")
    assert not forwarding.forward_posthog_event({"event": "paid"})
    assert not forwarding.forward_database_event("paid")
    assert forwarding.flush(0)
    assert forwarding.shutdown(0)
    said = [record.getMessage() for record in caplog.records if record.name == forwarding.__name__]
    assert said == ["Nothing is forwarded to RudderStack: RUDDERSTACK_WRITE_KEY is not set"]
    assert not (tmp_path / "state").exists()


@pytest.mark.requirement("S3-33", "S3-52")
def test_shutdown_delivers_and_the_next_call_starts_anew(receiver: LocalReceiver) -> None:
    forwarding.track("user-1", "paid")
    assert forwarding.shutdown(30)
    assert len(receiver.rudder_messages()) == 1
    forwarding.track("user-1", "paid")
    assert forwarding.shutdown(30)
    assert len(receiver.rudder_messages()) == 2


def test_nothing_goes_to_posthog(receiver: LocalReceiver) -> None:
    forwarding.track("user-1", "paid")
    assert forwarding.flush(30)
    assert receiver.events() == []


def test_what_cannot_be_delivered_now_is_delivered_by_the_next_process(receiver: LocalReceiver) -> None:
    program = "from genops_otel_posthog.export import forwarding; forwarding.track('user-1', 'paid', {'n': %d})"
    with receiver.fail("rudderstack", status=503):
        subprocess.run([sys.executable, "-c", program % 1], check=True, env=os.environ, timeout=60)
    assert receiver.rudder_messages() == []
    forwarding.track("user-1", "paid", {"n": 2})
    receiver.wait_for("rudder-messages", 2, timeout=30)
    assert sorted(kept.message["properties"]["n"] for kept in receiver.rudder_messages()) == [1, 2]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_forwards_too(receiver: LocalReceiver) -> None:
    forwarding.track("user-1", "paid", {"n": 1})
    child = os.fork()
    if child == 0:
        done = forwarding.track("user-1", "paid", {"n": 2}) and forwarding.flush(30)
        os._exit(0 if done else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert forwarding.flush(30)
    receiver.wait_for("rudder-messages", 2, timeout=30)
    assert sorted(kept.message["properties"]["n"] for kept in receiver.rudder_messages()) == [1, 2]

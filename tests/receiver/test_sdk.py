"""The real PostHog SDK, unmodified, talking to the receiver."""

from __future__ import annotations

import inspect
import logging
import warnings
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from typing import Any

import posthog
import pytest
from posthog import Posthog

from genops_otel_posthog.receiver import LocalReceiver

FLAGS = [
    {
        "key": "beta",
        "active": True,
        "filters": {
            "groups": [{"properties": [{"key": "plan", "value": "pro", "type": "person"}]}],
            "payloads": {"true": '{"color": "red"}'},
        },
    },
    {
        "key": "split",
        "active": True,
        "filters": {
            "groups": [{"rollout_percentage": 100}],
            "multivariate": {
                "variants": [{"key": "a", "rollout_percentage": 50}, {"key": "b", "rollout_percentage": 50}]
            },
        },
    },
]
SECRET = "secret_key" if "secret_key" in inspect.signature(Posthog).parameters else "personal_api_key"

Connect = Callable[..., Any]


@pytest.fixture
def connect(receiver: LocalReceiver) -> Iterator[Connect]:
    """Clients of the receiver that are shut down at the end."""
    clients: list[Posthog] = []

    def build(**options: Any) -> Posthog:
        client = Posthog("phc_test", host=receiver.url, **options)
        if not options.get("sync_mode"):  # it has nothing to shut down, and 6.0 raises when asked to
            clients.append(client)
        return client

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the older getters say so in newer releases
        yield build
        for client in clients:
            client.shutdown()


def test_everything_a_client_captures_arrives(receiver: LocalReceiver, connect: Connect) -> None:
    client = connect()
    moment = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)
    client.capture("paid", distinct_id="user-1", properties={"amount": 9}, timestamp=moment)
    client.capture("visited")
    client.set(distinct_id="user-1", properties={"plan": "pro"})
    client.alias("anonymous-7", distinct_id="user-1")
    client.group_identify("company", "acme", {"size": 7})
    client.capture("paid", distinct_id="user-1", groups={"company": "acme"})
    client.flush()
    events = {event.event: event for event in receiver.wait_for_events(6)}
    assert events["visited"].person_mode == "propertyless"
    assert events["$set"].set == {"plan": "pro"}
    assert events["$create_alias"].distinct_id == "anonymous-7"
    assert events["$groupidentify"].properties["$group_set"] == {"size": 7}
    first, second = receiver.events("paid")
    assert first.sent_timestamp == "2026-01-02T03:04:05+00:00"
    assert (first.properties["amount"], first.identified, first.grouped) == (9, True, False)
    assert second.grouped
    assert {request.path for request in receiver.requests()} == {"/batch"}
    assert receiver.bill().meters == {"events": 6, "identified_events": 5}


def test_gzip_is_understood(receiver: LocalReceiver, connect: Connect) -> None:
    client = connect(gzip=True)
    client.capture("paid", distinct_id="user-1")
    client.flush()
    receiver.wait_for_events(1)
    assert receiver.requests("/batch")[0].encoding == "gzip"


def test_sync_mode_is_understood(receiver: LocalReceiver, connect: Connect) -> None:
    connect(sync_mode=True).capture("paid", distinct_id="user-1")
    assert [event.event for event in receiver.events()] == ["paid"]


def test_an_exception_has_a_meter_of_its_own(receiver: LocalReceiver, connect: Connect) -> None:
    client = connect(sync_mode=True)
    try:
        raise ValueError("broken")
    except ValueError as problem:
        client.capture_exception(problem, distinct_id="user-1")
    assert receiver.bill().meters == {"exceptions": 1}


def test_a_refused_key_is_the_sdks_error(receiver: LocalReceiver, caplog: pytest.LogCaptureFixture) -> None:
    errors: list[Exception] = []
    client = Posthog("phx_personal", host=receiver.url, on_error=lambda error, _batch: errors.append(error))
    with caplog.at_level(logging.CRITICAL):
        client.capture("paid", distinct_id="user-1")
        client.shutdown()
    assert "API key is not valid: personal_api_key" in str(errors[0])
    assert receiver.events(outcome="any") == []


def test_an_outage_is_retried_and_nothing_is_billed_twice(receiver: LocalReceiver, connect: Connect) -> None:
    receiver.fail("capture", status=503, stage="after", times=1)
    client = connect(max_retries=2)
    client.capture("paid", distinct_id="user-1", timestamp=datetime(2026, 1, 2, tzinfo=timezone.utc))
    client.flush()
    receiver.wait_for_events(2, timeout=20)
    assert [request.status for request in receiver.requests("/batch")] == [503, 200]
    assert (receiver.bill().meters["events"], receiver.bill().duplicates) == (1, 1)


# --- flags --------------------------------------------------------------------------------------------------------


def test_flags_are_evaluated_remotely(receiver: LocalReceiver, connect: Connect) -> None:
    receiver.set_flags(FLAGS)
    client = connect()
    assert client.get_feature_flag("beta", "user-1", person_properties={"plan": "pro"}) is True
    assert client.feature_enabled("beta", "user-1", person_properties={"plan": "free"}) is False
    assert client.get_feature_flag("split", "user-1") in ("a", "b")
    payload = client.get_feature_flag_payload("beta", "user-1", person_properties={"plan": "pro"})
    assert payload in ({"color": "red"}, '{"color": "red"}')
    remote = receiver.flag_requests("flags")
    assert [request.units for request in remote] == [1] * len(remote)
    assert receiver.bill().meters["feature_flag_requests"] == len(remote) >= 4


def test_flags_over_quota_are_the_sdks_quota_error(
    receiver: LocalReceiver, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    receiver.set_flags(FLAGS)
    receiver.fail("flags", quota=["feature_flag_requests"])
    client = connect()
    with caplog.at_level(logging.CRITICAL):
        assert not client.get_feature_flag("beta", "user-1", person_properties={"plan": "pro"})
    assert receiver.flag_requests("flags")[0].units == 0


def test_flags_are_evaluated_locally_from_one_poll(receiver: LocalReceiver, connect: Connect) -> None:
    receiver.set_flags(FLAGS)
    client = connect(poll_interval=3600, **{SECRET: "phx_personal"})
    client.load_feature_flags()
    assert client.get_feature_flag("beta", "user-1", person_properties={"plan": "pro"}) is True
    assert receiver.flag_requests("flags") == []
    assert receiver.bill().meters == {"feature_flag_requests": 10}


@pytest.mark.newest
def test_a_poll_of_what_is_known_costs_nothing_until_it_changes(receiver: LocalReceiver, connect: Connect) -> None:
    receiver.set_flags(FLAGS)
    client = connect(poll_interval=3600, **{SECRET: "phx_personal"})
    client.load_feature_flags()
    client.load_feature_flags()
    assert [request.status for request in receiver.flag_requests("definitions")] == [200, 304]
    receiver.set_flags(FLAGS[:1])
    client.load_feature_flags()
    assert [flag["key"] for flag in client.feature_flags] == ["beta"]
    assert receiver.bill().meters == {"feature_flag_requests": 20}


def test_a_remote_config_payload_is_answered(receiver: LocalReceiver, connect: Connect) -> None:
    receiver.set_flags([{"key": "config", "is_remote_configuration": True, "filters": {"payloads": {"true": "[1]"}}}])
    assert connect(**{SECRET: "phx_personal"}).get_remote_config_payload("config") == "[1]"


def test_a_wrong_secret_key_is_the_sdks_error(
    receiver: LocalReceiver, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    client = connect(poll_interval=3600, **{SECRET: "phc_test"})
    with caplog.at_level(logging.ERROR, logger="posthog"):
        client.load_feature_flags()
    assert "Error loading feature flags" in caplog.text
    assert receiver.flag_requests("definitions")[0].status == 401


# --- what newer releases add --------------------------------------------------------------------------------------


@pytest.mark.newest
@pytest.mark.parametrize("compression", ["none", "gzip", "deflate"])
def test_capture_mode_v1_is_understood(receiver: LocalReceiver, connect: Connect, compression: str) -> None:
    client = connect(capture_mode="v1", capture_compression=compression)
    client.capture("paid", distinct_id="user-1", properties={"amount": 9, "$session_id": "s-1"})
    client.capture("visited")
    client.flush()
    paid, visited = receiver.wait_for_events(2)
    assert {request.path for request in receiver.requests()} == {"/i/v1/analytics/events"}
    assert (paid.protocol, paid.identified, visited.identified) == ("v1", True, False)
    assert paid.properties["$session_id"] == "s-1"
    assert paid.properties["$lib"] == "posthog-python"


@pytest.mark.newest
def test_a_v1_event_to_be_retried_is_sent_again_alone(receiver: LocalReceiver, connect: Connect) -> None:
    receiver.fail("capture", event="paid", result="retry", times=1)
    client = connect(capture_mode="v1")
    client.capture("paid", distinct_id="user-1")
    client.capture("visited", distinct_id="user-1")
    client.flush()
    receiver.wait_for_events(2, timeout=20)
    assert sorted(event.event for event in receiver.events()) == ["paid", "visited"]
    assert len(receiver.requests("/i/v1/analytics/events")) == 2


@pytest.mark.newest
def test_a_v1_drop_reaches_on_error(
    receiver: LocalReceiver, connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    errors: list[Any] = []
    client = connect(capture_mode="v1", on_error=lambda error, _batch: errors.append(error))
    with caplog.at_level(logging.CRITICAL):
        client.capture("x" * 300, distinct_id="user-1")
        client.flush()
        receiver.wait_for_events(1, outcome="dropped")
        client.shutdown()
    assert [reason for _, reason in errors[0].drops] == ["event_name_too_long"]


@pytest.mark.newest
def test_the_ai_lane_is_understood(receiver: LocalReceiver, connect: Connect) -> None:
    client = connect()
    client.capture_ai("$ai_generation", distinct_id="user-1", properties={"$ai_model": "m"})
    client.flush()
    (event,) = receiver.wait_for_events(1)
    assert (event.lane, receiver.requests()[0].path) == ("ai", "/i/v0/ai/batch")
    assert receiver.bill().meters == {"llm_events": 1}


@pytest.mark.newest
def test_a_snapshot_of_all_flags_is_one_request(receiver: LocalReceiver, connect: Connect) -> None:
    receiver.set_flags(FLAGS)
    snapshot = connect().evaluate_flags("user-1", person_properties={"plan": "pro"})
    assert snapshot.is_enabled("beta")
    assert snapshot.get_flag("split") in ("a", "b")
    assert len(receiver.flag_requests("flags")) == 1


@pytest.mark.newest
async def test_the_async_client_is_understood(receiver: LocalReceiver) -> None:
    receiver.set_flags(FLAGS)
    client = posthog.AsyncPosthog("phc_test", host=receiver.url)
    client.capture("paid", distinct_id="user-1")
    snapshot = await client.evaluate_flags("user-1", person_properties={"plan": "pro"})
    assert snapshot.is_enabled("beta")
    await client.flush()
    await client.shutdown()
    assert [event.event for event in receiver.events("paid")] == ["paid"]
    assert len(receiver.flag_requests("flags")) == 1

"""The service: what it is told, what it says, what arrives."""

from __future__ import annotations

import logging
import os
import threading
from datetime import datetime, timedelta, timezone
from importlib.metadata import PackageNotFoundError

import pytest

from genops_otel_posthog.service import PostHogService

KEY = "phc_service_test_0123456789"


def arrived(receiver, service):
    assert service.flush_sync(10)
    return receiver.events()


# --- starting -----------------------------------------------------------------------------------------------------


@pytest.mark.requirement("S0-08", "S0-13")
def test_starting_a_second_time_does_nothing_and_is_true(service):
    client = service.get_client()
    assert service.initialize_sync(api_key="phc_another_0123456789")
    assert service.get_client() is client


@pytest.mark.requirement("S0-13", "D-30")
def test_milliseconds_become_the_seconds_of_the_sdk(new_service):
    client = new_service(flushAt=7, flush_interval=2500, max_queue_size=9).get_client()
    (consumer,) = client.consumers
    assert (consumer.flush_at, consumer.flush_interval, client.queue.maxsize) == (7, 2.5, 9)


@pytest.mark.requirement("S0-02", "S0-13")
def test_enabled_without_a_key_it_runs_in_mock_mode_with_a_warning(receiver, caplog):
    service = PostHogService()
    assert service.initialize_sync(enable=True, host=receiver.url)
    assert "runs in mock mode and sends nothing" in caplog.text
    assert service.is_initialized
    assert not service.is_ready()
    assert service.capture_sync("event", "ann")
    assert service.flush_sync()
    assert service.counts().withheld == {"no_key": 1}
    assert service.shutdown_sync()
    assert receiver.requests() == []


@pytest.mark.requirement("S0-13")
@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({"api_key": KEY, "flush_at": 0}, "flush_at must be a whole number"),
        ({"api_key": "phx_0123456789abcdefgh", "enable": True}, "personal API key"),
        ({"api_key": KEY, "host": "nonsense"}, "host cannot be used"),
        ({"apikey": KEY}, "did you mean 'api_key'?"),
        ("phc_text", "not str"),
    ],
)
def test_what_cannot_be_used_is_false_and_said(told, said, caplog):
    service = PostHogService()
    assert not service.initialize_sync(told)
    assert said in caplog.text
    assert not service.is_initialized


@pytest.mark.requirement("S0-13", "S0-46")
def test_an_sdk_that_cannot_be_started_is_false_and_no_exception(monkeypatch, caplog):
    monkeypatch.setattr("posthog.Posthog", lambda *_, **__: 1 / 0)
    assert not PostHogService().initialize_sync(api_key=KEY)
    assert "ZeroDivisionError" in caplog.text


@pytest.mark.parametrize(
    ("version", "said"), [(None, "The PostHog SDK is not installed"), ("5.4.0", "posthog 5.4.0 is not supported")]
)
def test_without_an_sdk_that_is_supported_the_log_says_what_to_install(version, said, monkeypatch, caplog):
    def version_of(name):
        if version is None:
            raise PackageNotFoundError(name)
        return version

    monkeypatch.setattr("genops_otel_posthog.adapter.validation.dependencies.version", version_of)
    assert not PostHogService().initialize_sync(api_key=KEY)
    assert said in caplog.text
    assert "pip install" in caplog.text


# --- telling ------------------------------------------------------------------------------------------------------

WHEN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)
TOLD = [
    pytest.param(
        lambda service: service.capture_sync(
            {"event": "signed_up", "distinctId": "ann", "properties": {"plan": "pro"}, "timestamp": WHEN}
        ),
        id="as in JavaScript",
    ),
    pytest.param(
        lambda service: service.capture_sync(
            {"event": "signed_up", "distinct_id": "ann", "properties": {"plan": "pro"}, "timestamp": WHEN.timestamp()}
        ),
        id="a dictionary",
    ),
    pytest.param(
        lambda service: service.capture_sync(
            event="signed_up", distinct_id="ann", properties={"plan": "pro"}, timestamp="2026-01-02T03:04:05Z"
        ),
        id="keywords",
    ),
    pytest.param(
        lambda service: service.capture_sync(
            "signed_up", "ann", {"plan": "pro"}, timestamp=WHEN.astimezone(timezone(timedelta(hours=5)))
        ),
        id="positions",
    ),
    pytest.param(
        lambda service: service.capture_sync(
            {"event": "signed_up"}, "ann", {"plan": "pro"}, timestamp=WHEN.replace(tzinfo=None)
        ),
        id="both",
    ),
]


@pytest.mark.requirement("S0-14")
@pytest.mark.parametrize("tell", TOLD)
def test_an_event_may_be_told_in_several_ways(tell, service, receiver):
    assert tell(service) is True
    (event,) = arrived(receiver, service)
    assert (event.event, event.distinct_id, event.properties["plan"]) == ("signed_up", "ann", "pro")
    assert datetime.fromisoformat(event.sent_timestamp.replace("Z", "+00:00")) == WHEN


@pytest.mark.requirement("S0-14")
def test_an_event_of_nobody_is_anonymous(service, receiver):
    assert service.capture_sync("opened")
    (event,) = arrived(receiver, service)
    assert event.properties["$process_person_profile"] is False


@pytest.mark.requirement("S0-15")
def test_a_person_is_told_by_set(service, receiver):
    assert service.identify_sync({"distinctId": "ann", "properties": {"plan": "pro"}})
    assert service.identify_sync("bert", {"plan": "free"})
    assert service.identify_sync(distinct_id="cleo")
    events = arrived(receiver, service)
    assert {(event.event, event.distinct_id, (event.set or {}).get("plan")) for event in events} == {
        ("$set", "ann", "pro"),
        ("$set", "bert", "free"),
        ("$set", "cleo", None),
    }


@pytest.mark.requirement("S0-16")
def test_an_alias_says_that_two_ids_are_one_person(service, receiver):
    assert service.alias_sync("ann", "ann@work")
    (event,) = arrived(receiver, service)
    assert (event.event, event.distinct_id) == ("$create_alias", "ann")
    assert (event.properties["distinct_id"], event.properties["alias"]) == ("ann", "ann@work")


@pytest.mark.requirement("S0-19", "E-34")
async def test_every_method_can_be_awaited(receiver):
    service = PostHogService()
    assert await service.initialize({"apiKey": KEY, "host": receiver.url, "flushInterval": 50})
    assert await service.capture("signed_up", "ann")
    assert await service.identify({"distinctId": "ann", "properties": {"plan": "pro"}})
    assert await service.alias("ann", "ann@work")
    assert await service.flush()
    assert {event.event for event in receiver.events()} == {"signed_up", "$set", "$create_alias"}
    assert await service.shutdown()


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda s: s.capture_sync({}), "event_name must be a str, not NoneType"),
        (lambda s: s.capture_sync({"event": ""}), "event_name is blank"),
        (lambda s: s.capture_sync("  "), "event_name is blank"),
        (lambda s: s.capture_sync(7), "give a dictionary or keywords, not int"),
        (lambda s: s.capture_sync(None), "event_name must be a str, not NoneType"),
        (lambda s: s.capture_sync({"event": "e", "distinct": "ann"}), "no field 'distinct'; did you mean"),
        (lambda s: s.capture_sync("e", "  "), "the distinct id is missing or blank"),
        (lambda s: s.capture_sync("e", ["ann"]), "distinct_id must be a str, a number or a UUID, not list"),
        (lambda s: s.capture_sync("e", "ann", [1]), "properties are a dictionary, not list"),
        (lambda s: s.capture_sync("e", "ann", timestamp="yesterday"), "timestamp 'yesterday' cannot be used"),
        (lambda s: s.capture_sync("e", "ann", timestamp=float("nan")), "timestamp 'nan' cannot be used"),
        (lambda s: s.capture_sync("e", "ann", timestamp=True), "timestamp 'True' cannot be used"),
        (lambda s: s.identify_sync({"properties": {}}), "the distinct id is missing or blank"),
        (lambda s: s.identify_sync(), "the distinct id is missing or blank"),
        (lambda s: s.alias_sync("ann", ""), "the distinct id is missing or blank"),
        (lambda s: s.alias_sync(None, "ann"), "the distinct id is missing or blank"),
    ],
)
def test_what_posthog_would_refuse_is_false_counted_and_said(call, said, service, caplog):
    assert call(service) is False
    assert said in caplog.text
    assert service.counts().refused == {"invalid": 1}


def test_a_number_is_a_distinct_id(service, receiver):
    assert service.capture_sync("e", 42)  # type: ignore[arg-type]
    assert arrived(receiver, service)[0].distinct_id == "42"


def test_many_threads_may_tell_at_once(new_service, receiver):
    service = new_service(flush_at=100)

    def tell(number):
        for event in range(20):
            assert service.capture_sync(f"event_{event}", f"user_{number}")

    threads = [threading.Thread(target=tell, args=(number,)) for number in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert service.shutdown_sync(30)
    assert service.counts() == (1000, {}, {}, 0)
    assert len({event.uuid for event in receiver.events()}) == 1000


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_process_goes_on_telling(service, receiver):
    assert service.capture_sync("before", "ann")
    assert service.flush_sync(10)
    child = os.fork()
    if child == 0:
        told = service.capture_sync("in the child", "ann") and service.shutdown_sync(10)
        os._exit(0 if told and service.counts().accepted == 2 else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert service.capture_sync("after", "ann")
    assert service.flush_sync(10)
    assert [event.event for event in receiver.events()] == ["before", "in the child", "after"]


def test_what_is_no_json_becomes_json_and_what_is_too_large_is_cut(service, receiver, caplog):
    endless: dict[str, object] = {}
    endless["self"] = endless
    odd = {
        "nan": float("nan"),
        "set": {1},
        "bytes": b"x",
        "self": endless,
        "surrogate": "\ud800",
        "planes": "\U0001f600\0é",
    }
    assert service.capture_sync("odd", "ann", odd)
    assert service.capture_sync("large", "ann", {"before": 1, "large": "x" * 10_000_000})
    by_name = {event.event: event for event in arrived(receiver, service)}
    assert by_name["odd"].properties["nan"] is None
    assert by_name["odd"].properties["planes"] == "\U0001f600\ufffdé"
    assert by_name["large"].properties["before"] == 1
    assert len(by_name["large"].properties["large"]) < 1_000_000
    assert "Properties were cut" in caplog.text


# --- switched off and not started ---------------------------------------------------------------------------------


async def every_method(service):
    return [
        await service.capture("e", "ann"),
        await service.identify("ann", {"plan": "pro"}),
        await service.alias("ann", "b"),
        await service.flush(),
        await service.shutdown(),
    ]


@pytest.mark.requirement("S0-01", "S0-13", "S0-41", "E-34", "D-36")
async def test_switched_off_every_method_is_true_and_nothing_is_requested(receiver):
    service = PostHogService()
    assert await service.initialize({"apiKey": KEY, "host": receiver.url, "enable": False})
    assert await every_method(service) == [True] * 5
    assert service.counts().withheld == {"disabled": 3}
    assert receiver.requests() == []


@pytest.mark.requirement("D-36")
async def test_not_started_every_method_but_shutdown_is_false_with_one_warning(caplog):
    service = PostHogService()
    assert await every_method(service) == [False] * 4 + [True]
    assert service.counts().refused == {"not_initialised": 3}
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "call initialize() first" in caplog.text


# --- waiting and stopping -----------------------------------------------------------------------------------------


@pytest.mark.requirement("S0-17", "D-44")
def test_a_flush_is_no_shutdown(new_service, receiver):
    service = new_service(flush_interval=2_000, flush_at=1_000)
    for name in ("first", "second"):
        assert service.capture_sync(name, "ann")
        assert service.flush_sync()
        assert receiver.events(name)
    assert service.is_ready()


@pytest.mark.requirement("S0-18")
def test_a_shutdown_sends_what_waits_and_may_be_called_twice(new_service, receiver):
    service = new_service(flush_interval=2_000, flush_at=1_000)
    for number in range(100):
        assert service.capture_sync(f"event_{number}", "ann")
    assert service.shutdown_sync()
    assert service.shutdown_sync()
    assert len(receiver.events()) == 100
    assert not service.capture_sync("late", "ann")
    assert service.counts() == (100, {}, {"not_initialised": 1}, 0)

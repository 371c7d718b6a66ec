"""Delivery: in batches, after retries, and what the application notices when PostHog is away: nothing but figures."""

from __future__ import annotations

import logging
import time

import pytest

from genops_otel_posthog.receiver.server import LocalReceiver


@pytest.fixture
def own_receiver():
    """A receiver of this test alone: what it leaves unanswered must not arrive in another one."""
    with LocalReceiver() as receiver:
        yield receiver


@pytest.mark.requirement("S0-42", "S0-44")
def test_events_are_sent_in_batches_of_the_size_that_was_asked_for(new_service, receiver):
    service = new_service(flush_at=20, flush_interval=60_000)
    for number in range(60):
        assert service.capture_sync(f"event_{number}", "ann")
    receiver.wait_for_events(60)  # nobody flushes, and the interval is far away
    assert len(receiver.requests("/batch")) == 3


@pytest.mark.requirement("S0-42", "S0-44")
def test_an_event_does_not_wait_longer_than_the_interval_for_others(new_service, receiver):
    assert new_service(flush_at=10_000, flush_interval=100).capture_sync("lonely", "ann")
    receiver.wait_for_events(1, event="lonely")


@pytest.mark.requirement("S0-45")
@pytest.mark.parametrize(
    "fault", [{"status": 500}, {"status": 503}, {"status": 429, "retry_after": "0"}, {"reset": True}]
)
def test_what_fails_once_is_repeated_and_arrives_once(fault, service, receiver):
    with receiver.fail("capture", times=1, **fault) as rule:
        assert service.capture_sync("event", "ann")
        assert service.flush_sync(20)
        assert rule.struck == 1
    assert len({event.uuid for event in receiver.events("event")}) == 1
    assert service.counts() == (1, {}, {}, 0)


@pytest.mark.requirement("S0-45", "S0-46", "E-34")
def test_while_posthog_is_down_nothing_is_raised_and_what_was_lost_is_a_number(new_service, receiver, caplog):
    service = new_service(max_retries=1)
    with receiver.fail("capture", status=500):
        assert service.capture_sync("lost", "ann")
        assert service.identify_sync("ann", {"plan": "pro"})
        assert service.alias_sync("ann", "b")
        assert not service.flush_sync(20)
    assert service.counts().undelivered == 3
    requests = receiver.requests("/batch")
    assert {request.status for request in requests} == {500}
    assert len(requests) % 2 == 0, "every batch is sent, and repeated once"
    told = [record for record in caplog.records if "PostHog has not taken events" in record.message]
    assert [record.levelno for record in told] == [logging.WARNING]

    assert service.capture_sync("afterwards", "ann")
    assert service.flush_sync(20)
    assert receiver.events("afterwards")


@pytest.mark.requirement("S0-46")
def test_a_host_that_does_not_exist_is_no_exception_either(new_service):
    service = new_service(host="http://127.0.0.1:9", max_retries=0)
    assert service.capture_sync("lost", "ann")
    assert not service.flush_sync(20)
    assert service.counts().undelivered == 1


@pytest.mark.requirement("S0-43", "S0-46")
def test_who_tells_an_event_never_waits_for_a_posthog_that_hangs(new_service, own_receiver):
    service = new_service(host=own_receiver.url, flush_at=1)
    with own_receiver.fail("capture", delay=1.0) as rule:
        assert service.capture_sync("first", "ann")
        started = time.monotonic()
        for _ in range(100):
            assert service.capture_sync("more", "ann")
        assert time.monotonic() - started < 1.0
        assert not service.flush_sync(0.01)
        rule.lift()
    assert service.shutdown_sync(20)


@pytest.mark.requirement("S0-43")
def test_what_does_not_fit_into_memory_is_refused_and_counted(new_service, own_receiver):
    service = new_service(host=own_receiver.url, max_queue_size=5, flush_at=1, max_retries=0, timeout=30.0)
    with own_receiver.fail("capture", hang=True):
        results = [service.capture_sync("event", "ann") for _ in range(50)]
        assert results[0] is True
        assert results[-1] is False
        assert service.counts().refused == {"queue_full": results.count(False)}
        assert service.counts().accepted == results.count(True)
        assert not service.shutdown_sync(0.01)


@pytest.mark.requirement("S0-18", "S0-46")
def test_a_stop_waits_as_long_as_it_is_told_and_no_longer(new_service, own_receiver):
    service = new_service(host=own_receiver.url)
    with own_receiver.fail("capture", delay=3.0) as rule:
        assert service.capture_sync("event", "ann")
        started = time.monotonic()
        assert not service.shutdown_sync(0.2)
        assert time.monotonic() - started < 2.0
        rule.lift()

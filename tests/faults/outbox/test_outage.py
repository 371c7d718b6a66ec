"""While PostHog is away, whatever the way, events wait; when it is back, all of them arrive."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from genops_otel_posthog.export.destinations.posthog import PostHogDestination
from genops_otel_posthog.export.outbox import Outbox, Pauses, Tuning
from genops_otel_posthog.export.outbox.waiting import dead_letters

FAULTS: dict[str, dict[str, Any]] = {
    "401": {"status": 401},
    "402": {"status": 402},
    "403": {"status": 403},
    "404": {"status": 404},
    "408": {"status": 408},
    "429 with Retry-After": {"status": 429, "retry_after": "0.1"},
    "500": {"status": 500},
    "503": {"status": 503},
    "hang": {"hang": True},
    "reset": {"reset": True},
    "answer lost": {"reset": True, "stage": "after"},
    "garbage": {"status": 200, "body": "<html>not PostHog</html>"},
    "quota_limited": {"status": 200, "body": '{"status":1,"quota_limited":["events"]}'},
}
QUICK = Pauses(first=0.01, longest=0.05)
TUNING = Tuning(linger=0.01, request_timeout=0.3, retries=QUICK, probes=QUICK, survey=0.1)


@pytest.fixture
def outbox(receiver: Any, directory: Any) -> Any:
    destination = PostHogDestination("phc_test", receiver.url, max_batch_events=50)
    with Outbox(directory, [destination], tuning=TUNING) as outbox:
        yield outbox


def append(outbox: Outbox, *numbers: int, size: int = 100) -> None:
    for number in numbers:
        content = {
            "event": "order_completed",
            "distinct_id": "user-1",
            "uuid": f"00000000-0000-0000-0000-{number:012x}",
            "timestamp": "2026-11-22T12:00:00+00:00",
            "properties": {"number": number, "pad": "x" * size},
        }
        assert outbox.append(json.dumps(content).encode())


def delivered(outbox: Outbox) -> Any:
    while not outbox.flush(30):
        pass
    accounting = outbox.accounting()
    assert accounting.holds
    [account] = accounting.destinations.values()
    return account


@pytest.mark.parametrize("fault", FAULTS)
def test_nothing_is_lost_over_an_outage(outbox: Any, receiver: Any, arrived: Any, fault: str) -> None:
    append(outbox, *range(100))
    with receiver.fail("capture", **FAULTS[fault]) as failing:
        append(outbox, *range(100, 300))
        receiver.wait_for("requests", 3, fault=failing.id, timeout=30)
        assert outbox.accounting().holds
    append(outbox, *range(300, 400))
    account = delivered(outbox)
    assert arrived() == set(range(400))
    assert (account.acked, account.dead, account.dropped) == (400, 0, {})


def test_413_is_answered_by_smaller_batches(receiver: Any, directory: Any, arrived: Any) -> None:
    destination = PostHogDestination("phc_test", receiver.url)
    fault = receiver.fail("capture", status=413, times=4)
    with Outbox(directory, [destination], tuning=Tuning(linger=3600)) as outbox, fault:
        append(outbox, *range(200))
        account = delivered(outbox)
    assert arrived() == set(range(200))
    assert account.dead == 0
    assert account.requests > 16


def test_one_poisonous_event_costs_only_itself(outbox: Any, receiver: Any, arrived: Any) -> None:
    with receiver.fail("capture", status=503):
        append(outbox, *range(30))
        assert outbox.append(b'{"event":"poison","uuid":"0191aaaa-0000-7000-8000-000000000000","properties":{}}')
        append(outbox, *range(30, 60))
        assert not outbox.flush(0.2)
    account = delivered(outbox)
    assert arrived() == set(range(60))
    assert (account.acked, account.dead) == (60, 1)
    [letter] = dead_letters(outbox.directory).letters()
    assert (letter.event, letter.reason) == ("poison", "http_400")
    assert "distinct_id" in letter.detail


def test_one_event_that_posthog_always_fails_at_costs_only_itself(receiver: Any, directory: Any, arrived: Any) -> None:
    destination = PostHogDestination("phc_test", receiver.url, max_batch_events=50)
    receiver.fail("capture", status=500, contains='"number": 30,')
    with Outbox(directory, [destination], tuning=replace(TUNING, patience=0.0)) as outbox:
        append(outbox, *range(60))
        number = 60
        while outbox.accounting().destinations[outbox.destinations[0]].pending:
            append(outbox, number)
            number += 1
            outbox.flush(0.1)
        [account] = outbox.accounting().destinations.values()
    assert arrived() == set(range(number)) - {30}
    assert (account.acked, account.dead, account.dropped) == (number - 1, 1, {})
    [letter] = dead_letters(directory).letters()
    assert (letter.reason, json.loads(letter.body)["properties"]["number"]) == ("http_500", 30)


@pytest.mark.parametrize("poison", [b"not json", b"[1,2]", b'"text"', b"\xff\xfe", b'{"event":"x","distinct_id":"u"'])
def test_what_is_no_event_at_all_costs_only_itself(outbox: Any, receiver: Any, arrived: Any, poison: bytes) -> None:
    append(outbox, 1, 2)
    assert outbox.append(poison)
    append(outbox, 3, 4)
    account = delivered(outbox)
    assert arrived() == {1, 2, 3, 4}
    assert (account.acked, account.dead) == (4, 1)


@pytest.mark.parametrize("rate", [5, 500])
@pytest.mark.parametrize(
    "seconds", [3, pytest.param(30, marks=[pytest.mark.slow, pytest.mark.timeout(300)])], ids=["3s", "30s"]
)
def test_an_outage_loses_nothing_at_any_rate(start: Any, receiver: Any, arrived: Any, rate: int, seconds: int) -> None:
    count = rate * (seconds + 2)
    application = start(count=count, rate=rate, wait=True, flush=60)
    application.hear(events=rate // 2)
    receiver.fail("capture", status=503, end=str(seconds))
    application.hear(word="durable")
    application.end()
    assert application.said["delivered"] == "True"
    assert application.said["holds"] == "True"
    assert arrived() == set(range(count))
    assert len(receiver.events(limit=100_000)) == count, "not one of them twice"

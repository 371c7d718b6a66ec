"""What happens when there is no room: who goes first, who is refused, and that it is counted."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from genops_otel_posthog.errors import GenOpsConfigurationError, GenOpsValidationError
from genops_otel_posthog.export.destinations.protocol import Answer, Verdict
from genops_otel_posthog.export.outbox import Outbox, OutboxFullError, Tuning
from genops_otel_posthog.export.outbox.options import Options

SMALL = 65_536
DOWN = Answer(Verdict.RETRY, "http_503", retry_after=3600.0)
BODY = 1000


def account(outbox: Outbox) -> Any:
    accounting = outbox.accounting()
    assert accounting.holds, accounting
    return accounting.destinations["test"]


def fill(outbox: Outbox, make_event: Any, importance: str = "normal", *, count: int = 200) -> int:
    """Appends more than there is room for; returns how many were taken."""
    return sum(outbox.append(make_event(number, pad="x" * BODY), importance) for number in range(count))


@pytest.fixture
def full(open_outbox, recorded, make_event):
    """An outbox of 64 KiB whose destination is down, with a policy."""

    def full(policy: str, **options: Any) -> tuple[Outbox, Any]:
        destination = recorded(respond=lambda _: DOWN)
        return open_outbox(destination, max_bytes=SMALL, policy=policy, **options), destination

    return full


def kept(outbox: Outbox) -> list[str]:
    """The importance of each event that waits."""
    with outbox._store.lock:
        return [segment.importance for segment in outbox._store.shelf.segments for _ in range(segment.records)]


def size_of(directory: Path) -> int:
    return sum(path.stat().st_size for path in directory.iterdir())


def test_drop_oldest_takes_everything_and_drops_the_oldest(full, make_event, which, directory) -> None:
    outbox, _ = full("drop_oldest")
    assert fill(outbox, make_event) == 200
    now = account(outbox)
    assert now.enqueued == 200
    assert now.dropped["queue_full"] + now.pending == 200
    assert now.dropped["queue_full"] > 100
    assert size_of(directory) <= SMALL
    assert outbox.accounting().refused == {}


def test_drop_newest_keeps_what_it_has_and_refuses(full, make_event, directory) -> None:
    outbox, _ = full("drop_newest")
    taken = fill(outbox, make_event)
    assert 40 < taken < 64
    assert (account(outbox).pending, account(outbox).dropped) == (taken, {})
    assert outbox.accounting().refused == {"queue_full": 200 - taken}
    assert size_of(directory) <= SMALL


def test_raise_says_so_and_counts_it(full, make_event) -> None:
    outbox, _ = full("raise")
    with pytest.raises(OutboxFullError, match=r"no room for .*\(queue_full\)"):
        fill(outbox, make_event)
    assert outbox.accounting().refused == {"queue_full": 1}
    assert account(outbox).holds


def test_block_waits_for_room(full, make_event, recorded, gate, open_outbox) -> None:
    destination = recorded(respond=gate)
    outbox = open_outbox(destination, max_bytes=SMALL, policy="block", block_timeout=60.0)
    done = threading.Event()
    thread = threading.Thread(target=lambda: (fill(outbox, make_event), done.set()))
    thread.start()
    assert gate.entered.wait(30)
    assert not done.wait(0.2)
    gate.opened.set()
    assert done.wait(60)
    thread.join()
    assert outbox.flush(30)
    assert account(outbox).acked == 200


def test_block_does_not_wait_for_ever(full, make_event) -> None:
    outbox, _ = full("block", block_timeout=0.01)
    taken = fill(outbox, make_event, count=80)
    assert outbox.accounting().refused == {"queue_full": 80 - taken}


@pytest.mark.parametrize("policy", ["drop_oldest", "drop_newest", "block", "raise"])
def test_what_is_critical_makes_room_at_the_cost_of_the_rest(full, make_event, policy) -> None:
    outbox, _ = full(policy, block_timeout=0.0)
    assert fill(outbox, make_event, "low", count=20) == 20
    assert fill(outbox, make_event, "normal", count=20) == 20
    assert fill(outbox, make_event, "critical", count=50) == 50
    assert kept(outbox).count("critical") == 50
    assert len(kept(outbox)) < 60
    assert account(outbox).dropped["queue_full"] > 30


def test_what_is_low_goes_before_what_is_normal(full, make_event, which, recorded) -> None:
    outbox, _ = full("drop_oldest")
    fill(outbox, make_event, "low", count=25)
    fill(outbox, make_event, "normal", count=40)
    assert kept(outbox).count("normal") == 40
    assert kept(outbox).count("low") < 25


def test_what_is_low_never_makes_room_at_the_cost_of_more_important_events(full, make_event) -> None:
    outbox, _ = full("drop_oldest")
    fill(outbox, make_event, "critical", count=25)
    fill(outbox, make_event, "normal", count=20)
    fill(outbox, make_event, "low", count=50)
    assert (kept(outbox).count("critical"), kept(outbox).count("normal")) == (25, 20)
    assert outbox.accounting().refused.get("queue_full", 0) + account(outbox).dropped.get("queue_full", 0) >= 40


def test_room_comes_back_when_events_are_delivered(full, make_event) -> None:
    outbox, destination = full("drop_newest", tuning=Tuning(linger=0.0, survey=0.05, rotate=0.0))
    destination.respond = lambda _: Answer(Verdict.RETRY, "http_503")
    taken = fill(outbox, make_event)
    destination.respond = lambda _: Answer(Verdict.ACCEPTED)
    while not outbox.flush(30):
        pass
    assert fill(outbox, make_event, count=10) == 10
    assert account(outbox).enqueued == taken + 10


def test_the_room_is_that_of_all_processes(full, make_event, directory) -> None:
    directory.mkdir(mode=0o700)
    (directory / "1700000000000-1-1.seg.new").write_bytes(bytes(SMALL))
    outbox, _ = full("drop_oldest")
    assert fill(outbox, make_event, count=3) == 0
    assert outbox.accounting().refused == {"queue_full": 3}


def test_the_last_of_a_disk_is_left_to_others(open_outbox, recorded, make_event, monkeypatch, caplog) -> None:
    from genops_otel_posthog.export.outbox import room

    free = [0, 100_000_000_000]
    monkeypatch.setattr(room, "free_bytes", lambda _: tuple(free))
    destination = recorded(respond=lambda _: DOWN)
    outbox = open_outbox(destination, tuning=Tuning(memory_bytes=20_000, disk_retry=0.0))
    taken = fill(outbox, make_event, count=50)
    assert not outbox.durable
    assert account(outbox).dropped.get("disk_full", 0) + outbox.accounting().refused.get("disk_full", 0) > 0
    assert account(outbox).enqueued == taken
    free[0] = 50_000_000_000
    assert outbox.append(make_event(1))
    assert outbox.durable
    assert "only 0 bytes are free" in caplog.text


def test_an_event_of_no_bytes_is_wrong_use(open_outbox, recorded) -> None:
    with pytest.raises(GenOpsValidationError, match="no bytes"):
        open_outbox(recorded()).append(b"")


def test_an_importance_that_is_none_is_wrong_use(open_outbox, recorded) -> None:
    with pytest.raises(GenOpsValidationError, match="low, normal, critical"):
        open_outbox(recorded()).append(b"{}", "urgent")


def test_an_event_beyond_any_limit_is_refused_and_counted(open_outbox, recorded) -> None:
    outbox = open_outbox(recorded())
    assert not outbox.append(bytes(33 * 1024 * 1024))
    assert outbox.accounting().refused == {"too_large": 1}


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"fsync": "sometimes"}, "interval, none, always"),
        ({"policy": "drop"}, "drop_oldest, drop_newest, block, raise"),
        ({"max_bytes": 100}, "65536 or more"),
        ({"max_age": 0.0}, "None for ever"),
    ],
)
def test_an_option_that_cannot_be_says_what_can(options: dict[str, Any], problem: str) -> None:
    with pytest.raises(GenOpsConfigurationError, match=problem):
        Options(**options)

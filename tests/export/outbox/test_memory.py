"""Where there can be no file, events wait in memory, within bounds, and everybody can know."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from genops_otel_posthog.export.destinations.protocol import Answer, Verdict
from genops_otel_posthog.export.outbox import Outbox, Tuning

DOWN = Answer(Verdict.RETRY, "http_503")
NEVER_AGAIN = {"linger": 0.0, "disk_retry": 3600.0}


@pytest.fixture
def nowhere(tmp_path: Path) -> Path:
    """A directory that nobody can create: its parent is a file. Works for root as well."""
    (tmp_path / "file").write_bytes(b"")
    return tmp_path / "file" / "outbox"


def warnings(caplog: Any) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def account(outbox: Outbox) -> Any:
    accounting = outbox.accounting()
    assert accounting.holds, accounting
    return accounting.destinations["test"]


def test_events_are_delivered_all_the_same_with_one_warning(
    open_outbox, recorded, make_event, which, nowhere, caplog
) -> None:
    destination = recorded()
    outbox = open_outbox(destination, at=nowhere)
    assert not outbox.durable
    for number in range(100):
        assert outbox.append(make_event(number))
    assert outbox.flush(30)
    assert which(destination.taken) == list(range(100))
    assert account(outbox).acked == 100
    assert [line for line in warnings(caplog) if "cannot be used" in line] == warnings(caplog)
    assert len(warnings(caplog)) == 1


def test_flushing_to_disk_says_that_there_is_none(open_outbox, recorded, make_event, nowhere) -> None:
    outbox = open_outbox(recorded(respond=lambda _: DOWN), at=nowhere)
    outbox.append(make_event(1))
    assert not outbox.flush(1, delivered=False)


def test_memory_is_bounded_and_what_goes_is_counted(open_outbox, recorded, make_event, nowhere) -> None:
    tuning = Tuning(memory_bytes=50_000, **NEVER_AGAIN)
    outbox = open_outbox(recorded(respond=lambda _: DOWN), at=nowhere, tuning=tuning)
    for number in range(200):
        assert outbox.append(make_event(number, pad="x" * 1000))
    assert account(outbox).dropped["queue_full"] > 100
    assert account(outbox).pending < 50
    assert sum(segment.size for segment in outbox._store.shelf.segments) <= 50_000


def test_critical_events_outlive_others_in_memory_too(open_outbox, recorded, make_event, nowhere) -> None:
    tuning = Tuning(memory_bytes=50_000, **NEVER_AGAIN)
    outbox = open_outbox(recorded(respond=lambda _: DOWN), at=nowhere, tuning=tuning)
    outbox.append(make_event(0), "critical")
    for number in range(1, 200):
        outbox.append(make_event(number, pad="x" * 1000))
    with outbox._store.lock:
        assert [segment.records for segment in outbox._store.shelf.segments if segment.importance == "critical"] == [1]


def test_what_is_refused_for_good_is_a_dead_letter_in_memory(open_outbox, recorded, make_event, nowhere) -> None:
    outbox = open_outbox(recorded(Answer(Verdict.REJECTED, "http_400")), at=nowhere)
    outbox.append(make_event(1))
    assert outbox.flush(30)
    assert account(outbox).dead == 1
    assert [letter.reason for letter in outbox._store._dead_in_memory.letters()] == ["http_400"]


def test_a_directory_that_comes_back_is_used_again(open_outbox, recorded, make_event, which, nowhere) -> None:
    destination = recorded()
    outbox = open_outbox(destination, at=nowhere, tuning=Tuning(linger=0.0, disk_retry=0.0))
    outbox.append(make_event(1))
    nowhere.parent.unlink()
    outbox.append(make_event(2))
    assert outbox.durable
    assert list(nowhere.glob("*.seg"))
    assert outbox.flush(30)
    assert sorted(which(destination.taken)) == [1, 2]


def test_a_disk_that_fails_later_is_replaced_by_memory(
    open_outbox, recorded, make_event, which, directory, monkeypatch
) -> None:
    from genops_otel_posthog.export.outbox import writer

    destination = recorded(respond=lambda _: DOWN)
    outbox = open_outbox(destination, tuning=Tuning(**NEVER_AGAIN))
    outbox.append(make_event(1))
    real = writer._write

    def fails(descriptor: int, content: bytes) -> int:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(writer, "_write", fails)
    assert outbox.append(make_event(2))
    monkeypatch.setattr(writer, "_write", real)
    assert outbox.append(make_event(3))
    assert not outbox.durable
    destination.respond = lambda _: Answer(Verdict.ACCEPTED)
    while not outbox.flush(30):
        pass
    assert sorted(which(destination.taken)) == [1, 2, 3]


def test_a_write_that_is_short_is_taken_back_and_the_event_kept_in_memory(
    open_outbox, recorded, make_event, which, directory, monkeypatch
) -> None:
    from genops_otel_posthog.export.outbox import writer

    destination = recorded(respond=lambda _: DOWN)
    outbox = open_outbox(destination, tuning=Tuning(**NEVER_AGAIN))
    outbox.append(make_event(1))
    [path] = directory.glob("*.seg")
    size = path.stat().st_size
    real = writer._write
    monkeypatch.setattr(writer, "_write", lambda descriptor, content: real(descriptor, content[:20]))
    assert outbox.append(make_event(2))
    assert path.stat().st_size == size
    monkeypatch.setattr(writer, "_write", real)
    destination.respond = lambda _: Answer(Verdict.ACCEPTED)
    while not outbox.flush(30):
        pass
    assert sorted(which(destination.taken)) == [1, 2]

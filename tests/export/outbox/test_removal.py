"""Throwing away single events of segments whose processes have ended."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from genops_otel_posthog.export.outbox.cursor import Position
from genops_otel_posthog.export.outbox.removal import remove_events
from genops_otel_posthog.export.outbox.segment_file import make_record
from genops_otel_posthog.export.outbox.segments import adopt, create, lock_orphan
from genops_otel_posthog.export.outbox.waiting import WaitingEvent, waiting_events, waiting_segments

from .conftest import event, numbers

BOTH = ("one.1", "other.2")


def leave(directory: Path, *wanted: int, importance: str = "normal", destinations: tuple[str, ...] = BOTH) -> Path:
    """A segment that a process left, with nothing of it delivered."""
    segment = create(directory, importance, destinations, number=wanted[0])
    for number in wanted:
        os.write(segment.descriptor, make_record(event(number), segment.seed))
    segment.release()
    return segment.path


def one_is_done_with(path: Path, count: int) -> None:
    descriptor = lock_orphan(path)
    assert descriptor is not None
    segment, _ = adopt(path, descriptor, BOTH)
    end = (
        segment.positions["one.1"].end if hasattr(segment.positions["one.1"], "end") else segment.positions["one.1"][0]
    )
    records = list(waiting_events(path.parent))
    for record in records[:count]:
        end += len(make_record(record.body, segment.seed))
    segment.advance("one.1", Position(end, count))
    segment.release()


def is_even(waiting_event: WaitingEvent) -> bool:
    return waiting_event.content()["properties"]["number"] % 2 == 0


def left(directory: Path, destination: str) -> list[int]:
    return sorted(numbers([each.body for each in waiting_events(directory, destination)]))


def test_others_still_wait_for_those_they_waited_for_and_as_important_as_they_were(tmp_path):
    path = leave(tmp_path, 1, 2, 3, 4, 5, importance="critical")
    one_is_done_with(path, 3)
    assert (left(tmp_path, "one"), left(tmp_path, "other")) == ([4, 5], [1, 2, 3, 4, 5])
    assert remove_events(tmp_path, is_even) == (2, 0)
    assert (left(tmp_path, "one"), left(tmp_path, "other")) == ([5], [1, 3, 5])
    assert {segment.importance for segment in waiting_segments(tmp_path)} == {"critical"}


def test_segments_without_such_an_event_are_not_touched(tmp_path):
    path = leave(tmp_path, 1, 3)
    before = path.stat()
    assert remove_events(tmp_path, is_even) == (0, 0)
    assert path.stat().st_mtime_ns == before.st_mtime_ns


def test_a_segment_of_which_nothing_is_left_is_gone(tmp_path):
    leave(tmp_path, 2, 4)
    assert remove_events(tmp_path, is_even) == (2, 0)
    assert [file.name for file in tmp_path.iterdir() if file.suffix == ".seg"] == []


def test_what_a_living_process_has_is_left_and_counted(tmp_path):
    segment = create(tmp_path, "normal", BOTH, number=1)
    os.write(segment.descriptor, make_record(event(2), segment.seed))
    assert remove_events(tmp_path, is_even) == (0, 1)
    segment.release()


def test_a_disk_that_is_full_loses_nothing(tmp_path, monkeypatch):
    leave(tmp_path, 1, 2, 3)
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:5]))
    with pytest.raises(OSError, match="No space left"):
        remove_events(tmp_path, is_even)
    monkeypatch.undo()
    assert left(tmp_path, "one") == [1, 2, 3]
    assert remove_events(tmp_path, is_even) == (1, 0)

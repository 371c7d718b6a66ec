"""What is on disk: who may read it, what a crash leaves, what the next process makes of it."""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
import stat
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from genops_otel_posthog.errors import GenOpsConfigurationError
from genops_otel_posthog.export.destinations.protocol import Answer, Verdict
from genops_otel_posthog.export.outbox import Pauses, Tuning, default_directory
from genops_otel_posthog.export.outbox.cursor import CursorFile, Position, cursor_path, read_cursor
from genops_otel_posthog.export.outbox.segment_file import make_record
from genops_otel_posthog.export.outbox.segments import adopt, create, lock_orphan, take_back

DOWN = Answer(Verdict.RETRY, "http_503")
AT_ONCE = Pauses(first=0.001, longest=0.002)


def orphan(directory: Path, *bodies: bytes, destinations: tuple[str, ...] = ("test",), tail: bytes = b"") -> Path:
    """A segment as a process leaves it that is killed."""
    directory.mkdir(mode=0o700, exist_ok=True)
    segment = create(directory, "normal", destinations, number=len(list(directory.iterdir())) + 1)
    os.write(segment.descriptor, b"".join(make_record(body, segment.seed) for body in bodies) + tail)
    segment.release()
    return segment.path


def segments(directory: Path) -> list[Path]:
    return sorted(directory.glob("*.seg"))


def test_the_default_is_in_the_users_state_directory() -> None:
    assert default_directory({"XDG_STATE_HOME": "/state"}) == Path("/state/genops-otel-posthog/outbox")


def test_without_a_home_the_variable_to_set_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", nobody)
    with pytest.raises(GenOpsConfigurationError, match="set GENOPS_OUTBOX_PATH"):
        default_directory({})


def test_only_the_user_may_read_what_waits(open_outbox, recorded, make_event, directory) -> None:
    umask = os.umask(0)
    try:
        destination = recorded(Answer(Verdict.REJECTED, "bad"), respond=lambda _: DOWN)
        destination.max_batch_events = 1
        outbox = open_outbox(destination)
        outbox.append(make_event(1))
        outbox.append(make_event(2))
        outbox.flush(0.3)
    finally:
        os.umask(umask)
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in directory.iterdir()}
    assert set(modes.values()) == {0o600}
    assert {Path(name).suffix for name in modes} == {".seg", ".cur", ".sqlite3"}


def test_names_say_when_and_by_whom_and_sort_by_age(open_outbox, recorded, make_event, directory) -> None:
    before = int(time.time() * 1000)
    open_outbox(recorded(respond=lambda _: DOWN)).append(make_event(1))
    [path] = segments(directory)
    milliseconds, process, _number = path.stem.split("-")
    assert before <= int(milliseconds) <= int(time.time() * 1000)
    assert int(process) == os.getpid()
    assert path.name > f"{before - 1}-9999999-9.seg"


def test_an_event_is_in_the_file_when_append_returns(open_outbox, recorded, make_event, directory) -> None:
    outbox = open_outbox(recorded(respond=lambda _: DOWN))
    outbox.append(make_event(1))
    assert make_event(1) in segments(directory)[0].read_bytes()


def test_delivered_events_leave_the_disk(open_outbox, recorded, make_event, directory, until) -> None:
    outbox = open_outbox(recorded(), tuning=Tuning(linger=0.0, survey=0.02, rotate=0.0))
    outbox.append(make_event(1))
    assert outbox.flush(30)
    until(outbox, lambda: segments(directory) == [])
    outbox.append(make_event(2))
    assert outbox.flush(30)


def test_a_full_segment_is_followed_by_another(open_outbox, recorded, make_event, which, directory) -> None:
    down = recorded(respond=lambda _: DOWN)
    outbox = open_outbox(down, tuning=Tuning(segment_bytes=4096, linger=0.0))
    for number in range(100):
        outbox.append(make_event(number))
    assert len(segments(directory)) > 3
    assert max(path.stat().st_size for path in segments(directory)) < 4096 + 200
    down.respond = lambda _: Answer(Verdict.ACCEPTED)
    assert outbox.flush(30)
    assert which(down.taken) == list(range(100))


def test_an_event_larger_than_a_segment_gets_one_of_its_own(open_outbox, recorded, make_event) -> None:
    destination = recorded()
    destination.max_event_bytes = 10**7
    outbox = open_outbox(destination, tuning=Tuning(segment_bytes=4096, linger=0.0))
    bodies = [make_event(1), make_event(2, pad="x" * 500_000), make_event(3)]
    assert [outbox.append(body) for body in bodies] == [True] * 3
    assert outbox.flush(30)
    assert destination.taken == bodies


def test_a_directory_that_somebody_removes_costs_nothing_and_is_made_again(
    open_outbox, recorded, make_event, which, directory, until
) -> None:
    destination = recorded(respond=lambda _: DOWN)
    outbox = open_outbox(destination, tuning=Tuning(linger=0.0, survey=0.02, disk_retry=0.0, retries=AT_ONCE))
    outbox.append(make_event(1))
    shutil.rmtree(directory)
    until(outbox, lambda: outbox._store.writer.streams["normal", ("test",)].file is None)
    outbox.append(make_event(2))
    outbox.append(make_event(3))
    assert len(segments(directory)) == 1
    assert outbox.durable
    destination.respond = lambda _: Answer(Verdict.ACCEPTED)
    while not outbox.flush(30):
        pass
    assert sorted(which(destination.taken)) == [1, 2, 3]


# --- what others left ---------------------------------------------------------------------------------------------


def test_what_a_dead_process_left_is_delivered(open_outbox, recorded, make_event, which, directory, until) -> None:
    orphan(directory, *[make_event(number) for number in range(5)])
    orphan(directory, *[make_event(number) for number in range(5, 8)])
    destination = recorded()
    outbox = open_outbox(destination)
    until(outbox, lambda: outbox.accounting().destinations["test"].acked == 8)
    assert which(destination.taken) == list(range(8))
    assert outbox.accounting().destinations["test"].adopted == 8
    assert outbox.accounting().holds
    until(outbox, lambda: not list(directory.iterdir()))


@pytest.mark.parametrize("tail", [bytes(4096), b"\x40\0\0\0half", b"\xff" * 7], ids=["zeros", "torn", "garbage"])
def test_a_torn_tail_costs_nothing_that_was_acknowledged(
    open_outbox, recorded, make_event, which, directory, tail, until
) -> None:
    orphan(directory, make_event(1), make_event(2), tail=tail)
    destination = recorded()
    outbox = open_outbox(destination)
    until(outbox, lambda: outbox.accounting().destinations["test"].acked == 2)
    assert which(destination.taken) == [1, 2]
    until(outbox, lambda: not list(directory.iterdir()))


def test_delivery_goes_on_where_the_dead_process_had_got(
    open_outbox, recorded, make_event, which, directory, until
) -> None:
    path = orphan(directory, make_event(1), make_event(2), make_event(3))
    descriptor = lock_orphan(path)
    segment, _ = adopt(path, descriptor, ["test"])
    first = next(segment.read(segment.positions["test"].offset, segment.end, nullcontext()))
    segment.advance("test", Position(first.end, 1))
    segment.release()
    destination = recorded()
    outbox = open_outbox(destination)
    until(outbox, lambda: outbox.accounting().destinations["test"].acked == 2)
    assert which(destination.taken) == [2, 3]


@pytest.mark.parametrize("damage", ["lost", "flipped", "short", "of another segment", "between records"])
def test_a_cursor_that_cannot_be_used_means_the_beginning(tmp_path: Path, make_event, damage) -> None:
    path = orphan(tmp_path, make_event(1), make_event(2))
    descriptor = lock_orphan(path)
    segment, _ = adopt(path, descriptor, ["test"])
    where = cursor_path(path, "test")
    seed = segment.seed ^ 1 if damage == "of another segment" else segment.seed
    offset = segment.end - 3 if damage == "between records" else segment.end
    writer = CursorFile(where, seed)
    writer.write(Position(offset, 2))
    writer.close()
    segment.release()
    content = where.read_bytes()
    if damage == "lost":
        where.unlink()
    elif damage == "flipped":
        where.write_bytes(content[:5] + bytes([content[5] ^ 1]) + content[6:])
    elif damage == "short":
        where.write_bytes(content[:-1])
    segment, _ = adopt(path, lock_orphan(path), ["test"])
    assert segment.positions["test"].records == 0
    segment.release()


def test_a_segment_is_removed_when_every_destination_has_it(
    open_outbox, recorded, make_event, directory, gate, until
) -> None:
    slow, fast = recorded(respond=gate, name="slow"), recorded(name="fast")
    outbox = open_outbox(slow, fast, tuning=Tuning(linger=0.0, survey=0.02, rotate=0.0))
    outbox.append(make_event(1))
    assert gate.entered.wait(30)
    until(outbox, lambda: outbox.accounting().destinations["fast"].acked == 1)
    assert len(segments(directory)) == 1
    gate.opened.set()
    assert outbox.flush(30)
    until(outbox, lambda: not list(directory.iterdir()))


def test_events_for_another_account_are_left_alone(open_outbox, recorded, make_event, directory, until) -> None:
    path = orphan(directory, make_event(1), destinations=("test.f00",))
    mine = orphan(directory, make_event(2), destinations=("test",))
    destination = recorded()
    outbox = open_outbox(destination)
    until(outbox, lambda: outbox.accounting().destinations["test"].acked == 1)
    until(outbox, lambda: not mine.exists())
    assert len(destination.taken) == 1
    assert path.exists()
    with path.open("rb+") as file:
        until(outbox, lambda: can_lock(file))


def test_of_a_segment_for_two_each_process_delivers_its_part(
    open_outbox, recorded, make_event, directory, tmp_path, until
) -> None:
    path = orphan(directory, make_event(1), make_event(2), destinations=("one", "two"))
    first = open_outbox(recorded(name="one"))
    until(first, lambda: first.accounting().destinations["one"].acked == 2)
    first.shutdown(30)
    assert path.exists()
    second = open_outbox(recorded(name="two"))
    until(second, lambda: second.accounting().destinations["two"].acked == 2)
    until(second, lambda: not list(directory.iterdir()))


def test_a_segment_of_a_living_process_is_not_touched(open_outbox, recorded, make_event, directory) -> None:
    directory.mkdir()
    living = create(directory, "normal", ("test",), number=1)
    os.write(living.descriptor, make_record(make_event(1), living.seed))
    assert lock_orphan(living.path) is None
    living.release()
    assert lock_orphan(living.path) is not None


def test_a_segment_of_a_later_format_is_left_alone_and_said(
    open_outbox, recorded, make_event, directory, caplog, until
) -> None:
    path = orphan(directory, make_event(1))
    content = path.read_bytes()
    path.write_bytes(content[:8] + b"\x63\0" + content[10:])
    mine = orphan(directory, make_event(2))
    outbox = open_outbox(recorded())
    until(outbox, lambda: not mine.exists())
    outbox.shutdown(30)
    assert path.exists()
    said = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert said == [f"{path} is left alone: it has format 99, and this version reads format 1"]


def test_what_crashes_left_is_swept(open_outbox, recorded, make_event, directory, until) -> None:
    mine = orphan(directory, make_event(1))
    stray = directory / "1700000000000-1-1.test.abc.cur"
    old, new = directory / "1700000000000-1-2.seg.new", directory / "1700000000000-1-3.seg.new"
    for path in (stray, old, new):
        path.write_bytes(b"")
    os.utime(old, (0, 0))
    outbox = open_outbox(recorded())
    until(outbox, lambda: not mine.exists() and not stray.exists() and not old.exists())
    assert new.exists(), "somebody may be about to name it"


def test_what_is_too_old_is_dropped_and_counted(open_outbox, recorded, make_event, directory, until) -> None:
    path = orphan(directory, make_event(1), make_event(2))
    os.utime(path, (time.time() - 7200, time.time() - 7200))
    outbox = open_outbox(recorded(respond=lambda _: DOWN), max_age=3600)
    until(outbox, lambda: not path.exists())
    accounting = outbox.accounting()
    assert accounting.holds
    # Those on their way when it was dropped are not taken back.
    account = accounting.destinations["test"]
    assert account.dropped.get("expired", 0) + account.pending == 2


def test_a_file_from_before_the_clock_was_set_is_not_old(open_outbox, recorded, make_event, directory, until) -> None:
    path = orphan(directory, make_event(1))
    os.utime(path, (100, 100))
    destination = recorded()
    outbox = open_outbox(destination, max_age=3600)
    until(outbox, lambda: outbox.accounting().destinations["test"].acked == 1)


def test_a_clock_that_jumps_expires_nothing(open_outbox, recorded, make_event, monkeypatch) -> None:
    destination = recorded(respond=lambda _: DOWN)
    outbox = open_outbox(destination, max_age=3600)
    outbox.append(make_event(1))
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + 10 * 365 * 86_400)
    outbox._store.keeper.survey()
    outbox.append(make_event(2))
    monkeypatch.setattr(time, "time", lambda: real() - 10 * 365 * 86_400)
    outbox._store.keeper.survey()
    outbox.append(make_event(3))
    assert outbox.accounting().destinations["test"].pending == 3
    destination.respond = lambda _: Answer(Verdict.ACCEPTED)
    assert outbox.flush(30)
    assert outbox.accounting().destinations["test"].acked == 3


# --- writing ------------------------------------------------------------------------------------------------------


def test_a_record_that_went_in_in_part_is_taken_back(tmp_path: Path, make_event) -> None:
    segment = create(tmp_path, "normal", ("test",), number=1)
    os.write(segment.descriptor, make_record(make_event(1), segment.seed)[:20])
    with pytest.raises(OSError, match="No space left"):
        take_back(segment)
    assert segment.path.stat().st_size == segment.end
    segment.release()


def test_a_new_segment_has_its_name_only_once_it_is_locked(tmp_path: Path) -> None:
    segment = create(tmp_path, "normal", ("test",), number=1)
    assert [path.suffix for path in tmp_path.iterdir()] == [".seg"]
    with segment.path.open("rb+") as file:
        assert not can_lock(file)
    segment.release()


def test_a_cursor_is_read_back_and_belongs_to_one_segment(tmp_path: Path) -> None:
    cursor = CursorFile(tmp_path / "c", 77)
    for position in (Position(100, 1), Position(2**40, 2**33)):
        cursor.write(position)
        assert read_cursor(tmp_path / "c", 77) == position
        assert read_cursor(tmp_path / "c", 78) is None
    cursor.close()


def can_lock(file: Any) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    fcntl.flock(file, fcntl.LOCK_UN)
    return True

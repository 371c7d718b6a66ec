"""``genops-posthog outbox``: looking at what waits, delivering it, and deciding about dead letters."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from click.testing import CliRunner, Result

from genops_otel_posthog.cli import main
from genops_otel_posthog.export.captures import Address
from genops_otel_posthog.export.destinations.posthog import PostHogDestination
from genops_otel_posthog.export.destinations.protocol import identity
from genops_otel_posthog.export.outbox.segment_file import make_record
from genops_otel_posthog.export.outbox.segments import FileSegment, create
from genops_otel_posthog.export.outbox.waiting import dead_letters, waiting_events
from genops_otel_posthog.receiver import LocalReceiver

KEY = "phc_key_of_a_test"
POSTHOG = identity(PostHogDestination(KEY))
TRACE = "0af7651916cd43dd8448eb211c80319c"


@pytest.fixture(scope="module")
def shared_receiver() -> Iterator[LocalReceiver]:
    with LocalReceiver() as receiver:
        yield receiver


@pytest.fixture
def receiver(shared_receiver: LocalReceiver) -> LocalReceiver:
    shared_receiver.recover()
    shared_receiver.clear()
    return shared_receiver


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    path = tmp_path / "outbox"
    path.mkdir()
    return path


@pytest.fixture
def run(receiver: LocalReceiver, directory: Path) -> Callable[..., Result]:
    """Runs a command on the directory, with PostHog at the receiver."""

    def run(*arguments: str, **environment: str) -> Result:
        given = {"POSTHOG_API_KEY": KEY, "POSTHOG_HOST": receiver.url, "GENOPS_OUTBOX_PATH": str(directory)}
        return _runner().invoke(main, ["outbox", *arguments], env={**given, **environment})

    return run


def _runner() -> CliRunner:
    """A runner that keeps output and messages apart; those of click before 8.2 have to be told to."""
    try:
        return CliRunner(mix_stderr=False)  # type: ignore[call-arg]  # newer ones have no such argument
    except TypeError:
        return CliRunner()


def body(number: int) -> bytes:
    content = {
        "event": "order_completed",
        "distinct_id": "somebody@example.com",
        "uuid": str(UUID(int=number)),
        "timestamp": "2026-11-22T12:00:00+00:00",
        "properties": {"number": number, "$trace_id": TRACE},
    }
    return json.dumps(content).encode()


def leave(directory: Path, *numbers: int, destinations: tuple[str, ...] = (POSTHOG,), number: int = 1) -> FileSegment:
    """A segment with events, still held by this process."""
    segment = create(directory, "normal", destinations, number=number)
    os.write(segment.descriptor, b"".join(make_record(body(each), segment.seed) for each in numbers))
    return segment


def document(result: Result) -> Any:
    assert result.exit_code in (0, 1), result.output
    return json.loads(result.stdout)


# --- status and tail ----------------------------------------------------------------------------------------------


def test_status_says_how_many_wait_for_whom_and_who_has_them(run, directory) -> None:
    leave(directory, 1, 2, destinations=(POSTHOG, "rudderstack.f00")).release()
    held = leave(directory, 3, number=2)
    dead_letters(directory).add(POSTHOG, body(4), "http_400", "bad")
    found = document(run("status", "--json"))
    held.release()
    assert found["directory"] == str(directory)
    posthog, rudderstack = found["destinations"][POSTHOG], found["destinations"]["rudderstack.f00"]
    assert (posthog["waiting"], posthog["without_process"], posthog["dead"]) == (3, 2, {"http_400": 1})
    assert (rudderstack["waiting"], rudderstack["without_process"], rudderstack["dead"]) == (2, 2, {})
    assert [segment["in_use"] for segment in found["segments"]] == [False, True]
    assert [segment["process"] for segment in found["segments"]] == [os.getpid()] * 2


def test_status_for_people_shows_the_same(run, directory) -> None:
    leave(directory, 1, 2).release()
    dead_letters(directory).add(POSTHOG, body(4), "http_400", "bad")
    result = run("status")
    assert result.exit_code == 0
    assert POSTHOG in result.output
    assert "1 http_400" in result.output
    assert "0 s ago" in result.output


def test_check_is_a_problem_when_nobody_delivers_or_something_is_dead(run, directory) -> None:
    assert run("status", "--check").exit_code == 0
    held = leave(directory, 1)
    assert run("status", "--check").exit_code == 0
    held.release()
    assert run("status", "--check").exit_code == 1
    held.path.unlink()
    dead_letters(directory).add(POSTHOG, body(4), "http_400", "bad")
    assert run("status", "--check").exit_code == 1


def test_an_empty_outbox_says_so_and_a_missing_one_what_to_do(run, directory, tmp_path) -> None:
    assert "Nothing waits" in run("status").output
    missing = run("status", "--path", str(tmp_path / "elsewhere"))
    assert missing.exit_code == 2
    assert "set GENOPS_OUTBOX_PATH" in missing.stderr


def test_a_segment_of_a_later_format_is_shown_and_not_read(run, directory) -> None:
    segment = leave(directory, 1)
    segment.release()
    content = segment.path.read_bytes()
    segment.path.write_bytes(content[:8] + b"\x63\0" + content[10:])
    assert "format 99" in document(run("status", "--json"))["unreadable"][0]["problem"]
    assert "is left alone: it has format 99" in run("status").output


def test_tail_shows_the_newest_and_nothing_personal(run, directory) -> None:
    leave(directory, *range(20)).release()
    found = document(run("tail", "-n", "3", "--json"))["events"]
    assert [event["uuid"] for event in found] == [str(UUID(int=number)) for number in (17, 18, 19)]
    assert {event["trace_id"] for event in found} == {TRACE}
    assert "example.com" not in run("tail").output
    assert "order_completed" in run("tail").output


def test_tail_shows_the_content_when_asked_for(run, directory) -> None:
    leave(directory, 7).release()
    assert "somebody@example.com" in run("tail", "--content").output
    assert document(run("tail", "--content", "--json"))["events"][0]["content"]["properties"]["number"] == 7


def test_tail_shows_what_waits_for_one_destination(run, directory) -> None:
    leave(directory, 1).release()
    leave(directory, 2, destinations=("rudderstack.f00",), number=2).release()
    assert len(document(run("tail", "--json", "--destination", "rudderstack"))["events"]) == 1
    assert len(document(run("tail", "--json"))["events"]) == 2


# --- replay -------------------------------------------------------------------------------------------------------


def test_replay_delivers_what_nobody_has(run, directory, receiver) -> None:
    leave(directory, *range(500)).release()
    held = leave(directory, 1000, number=2)
    result = run("replay")
    held.release()
    assert result.exit_code == 0, result.output
    assert f"{POSTHOG}: 500 delivered." in result.output
    assert sorted(event.properties["number"] for event in receiver.events()) == list(range(500))
    assert [path.name for path in directory.glob("*.seg")] == [held.path.name]


@pytest.mark.parametrize(("path", "protocol"), [("/batch/", "batch"), ("/i/v0/ai/batch/", "batch"), ("/batch/", "v1")])
def test_replay_delivers_what_an_application_captured(run, directory, receiver, path, protocol) -> None:
    address = Address(KEY, receiver.url, path, protocol)
    leave(directory, 1, destinations=(identity(address.destination()),)).release()
    result = run("replay")
    assert result.exit_code == 0, result.output
    assert [event.properties["number"] for event in receiver.events()] == [1]
    assert not list(directory.glob("*.seg"))


def test_replay_says_what_still_waits_and_why(run, directory, receiver) -> None:
    leave(directory, 1, 2).release()
    with receiver.fail("capture", status=401):
        result = run("replay", "--timeout", "0.5")
        found = document(run("replay", "--timeout", "0.5", "--json"))
    assert result.exit_code == 1
    assert "held: http_401" in result.output
    assert "2 events still wait" in result.output
    assert (found["left"], found["destinations"][POSTHOG]["state"]) == (2, "held")
    assert document(run("replay", "--json"))["left"] == 0


def test_replay_says_what_waits_for_a_destination_that_is_not_configured(run, directory) -> None:
    leave(directory, 1, 2, destinations=("rudderstack.f00",)).release()
    result = run("replay")
    assert result.exit_code == 0
    assert "2 events wait for rudderstack.f00, which is not configured here" in result.output


def test_replay_without_any_destination_is_wrong_use(run) -> None:
    result = run("replay", POSTHOG_API_KEY="")
    assert result.exit_code == 2
    assert "set POSTHOG_API_KEY" in result.stderr


# --- dead letters -------------------------------------------------------------------------------------------------


@pytest.fixture
def dead(directory: Path) -> Path:
    letters = dead_letters(directory)
    letters.add(POSTHOG, body(1), "http_400", "missing distinct_id")
    letters.add(POSTHOG, body(2), "too_large", "")
    letters.add("rudderstack.f00", body(3), "http_400", "")
    return directory


def test_dead_lists_reasons_and_nothing_personal(run, dead) -> None:
    shown = run("dead")
    assert "missing distinct_id" in shown.output
    assert "example.com" not in shown.output
    assert [letter["reason"] for letter in document(run("dead", "--json"))["dead"]] == [
        "http_400",
        "too_large",
        "http_400",
    ]


def test_dead_can_be_narrowed_and_one_shown_whole(run, dead) -> None:
    assert len(document(run("dead", "--json", "--reason", "http_400"))["dead"]) == 2
    assert len(document(run("dead", "--json", "--destination", "posthog"))["dead"]) == 2
    [letter] = document(run("dead", "--show", "2"))["dead"]
    assert json.loads(letter["content"])["properties"]["number"] == 2
    assert run("dead", "--show", "99").exit_code == 2


def test_requeued_letters_are_sent_again_with_their_uuid(run, dead, receiver) -> None:
    assert document(run("requeue", "1", "--json")) == {"requeued": 1}
    assert run("replay").exit_code == 0
    assert [event.uuid for event in receiver.events()] == [str(UUID(int=1))]
    assert len(document(run("dead", "--json"))["dead"]) == 2


def test_requeue_sends_each_letter_to_its_own_destination(run, dead) -> None:
    assert document(run("requeue", "--all", "--json")) == {"requeued": 3}
    waiting = {event.destinations: event.content()["properties"]["number"] for event in waiting_events(dead)}
    assert set(waiting) == {(POSTHOG,), ("rudderstack.f00",)}
    assert document(run("dead", "--json"))["dead"] == []


def test_requeue_wants_to_know_which(run, dead) -> None:
    result = run("requeue")
    assert result.exit_code == 2
    assert "--all" in result.stderr


# --- purge and export ---------------------------------------------------------------------------------------------


def test_purge_asks_first(run, directory) -> None:
    leave(directory, 1).release()
    assert run("purge", "--waiting").exit_code == 1
    assert len(list(directory.glob("*.seg"))) == 1


def test_purge_throws_away_what_waits_and_leaves_what_a_process_has(run, directory) -> None:
    leave(directory, 1, 2).release()
    held = leave(directory, 3, number=2)
    result = run("purge", "--waiting", "--yes", "--json")
    held.release()
    assert document(result) == {"dead": 0, "waiting": 2, "segments_left": 1}
    assert [path.name for path in directory.glob("*.seg")] == [held.path.name]


def test_purge_for_one_destination_keeps_what_another_needs(run, directory) -> None:
    leave(directory, 1, 2, destinations=(POSTHOG, "rudderstack.f00")).release()
    assert document(run("purge", "--waiting", "--yes", "--json", "--destination", "rudderstack"))["waiting"] == 2
    assert [event.destinations for event in waiting_events(directory)] == [(POSTHOG,), (POSTHOG,)]


def test_purge_of_dead_letters_by_reason(run, dead) -> None:
    assert document(run("purge", "--dead", "--reason", "too_large", "--yes", "--json"))["dead"] == 1
    assert len(document(run("dead", "--json"))["dead"]) == 2


def test_purge_of_what_is_older(run, dead) -> None:
    leave(dead, 1).release()
    result = run("purge", "--dead", "--waiting", "--older-than", "7d", "--yes", "--json")
    assert document(result) == {"dead": 0, "waiting": 0, "segments_left": 0}
    assert run("purge", "--dead", "--older-than", "soon", "--yes").exit_code == 2


def test_purge_wants_to_know_what(run) -> None:
    assert run("purge", "--yes").exit_code == 2


def test_export_writes_one_event_a_line_and_changes_nothing(run, directory, tmp_path) -> None:
    leave(directory, 1, 2).release()
    target = tmp_path / "events.jsonl"
    assert run("export", str(target)).exit_code == 0
    assert [json.loads(line)["properties"]["number"] for line in target.read_text().splitlines()] == [1, 2]
    assert len(list(waiting_events(directory))) == 2
    assert len(run("export").stdout.splitlines()) == 2


def test_export_of_dead_letters(run, dead) -> None:
    lines = run("export", "--dead").stdout.splitlines()
    assert [json.loads(line)["properties"]["number"] for line in lines] == [1, 2, 3]

"""Dead letters are kept once each, within bounds, for their user alone."""

from __future__ import annotations

import stat
import threading
from pathlib import Path
from typing import Any

import pytest

from genops_otel_posthog.export.outbox.dead import DeadLetters


@pytest.fixture(params=["file", "memory"])
def letters(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    made = DeadLetters(tmp_path / "dead.sqlite3" if request.param == "file" else None)
    yield made
    made.close()


def test_a_letter_is_kept_with_its_reason(letters: DeadLetters, make_event: Any) -> None:
    letters.add("posthog", make_event(1), "http_400", "missing distinct_id")
    [letter] = letters.letters()
    assert (letter.destination, letter.event, letter.reason, letter.detail, letter.attempts) == (
        *("posthog", "order_completed", "http_400"),
        *("missing distinct_id", 1),
    )
    assert letter.body == make_event(1)
    assert letters.counts() == {"posthog": {"http_400": 1}}


def test_the_same_event_is_one_letter_however_often_it_is_refused(letters: DeadLetters, make_event: Any) -> None:
    letters.add("posthog", make_event(1), "http_400", "")
    letters.add("posthog", make_event(1), "too_large", "now")
    letters.add("rudderstack", make_event(1), "http_400", "")
    first, second = letters.letters()
    assert (first.destination, first.reason, first.attempts) == ("posthog", "too_large", 2)
    assert first.first_at <= first.last_at
    assert second.attempts == 1


@pytest.mark.parametrize("body", [b"not json", b"[]", b'{"event":"x"}', b"\xff"])
def test_what_is_no_event_is_kept_once_too(letters: DeadLetters, body: bytes) -> None:
    letters.add("posthog", body, "http_400", "")
    letters.add("posthog", body, "http_400", "")
    [letter] = letters.letters()
    assert letter.body == body


def test_the_oldest_go_beyond_the_limit_and_are_counted(tmp_path: Path, make_event: Any) -> None:
    letters = DeadLetters(tmp_path / "dead.sqlite3", max_bytes=3500)
    gone = [letters.add("posthog", make_event(number, pad="x" * 1000), "bad", "") for number in range(5)]
    assert [sum(each.values()) for each in gone] == [0, 0, 1, 1, 1] or sum(map(len, gone)) == 3
    assert [letter.uuid[-1] for letter in letters.letters()] == ["3", "4"]


def test_letters_are_removed_by_number(letters: DeadLetters, make_event: Any) -> None:
    for number in range(3):
        letters.add("posthog", make_event(number), "bad", "")
    assert letters.remove([1, 3, 99]) == 2
    assert [letter.id for letter in letters.letters()] == [2]


def test_a_file_that_is_not_there_has_no_letters_and_is_not_made(tmp_path: Path) -> None:
    letters = DeadLetters(tmp_path / "dead.sqlite3")
    assert (letters.letters(), letters.counts(), letters.remove([1])) == ([], {}, 0)
    assert list(tmp_path.iterdir()) == []


def test_the_file_is_for_its_user_alone(tmp_path: Path, make_event: Any) -> None:
    DeadLetters(tmp_path / "dead.sqlite3").add("posthog", make_event(1), "bad", "")
    assert stat.S_IMODE((tmp_path / "dead.sqlite3").stat().st_mode) == 0o600


def test_a_file_that_is_no_database_is_an_error_that_names_it(tmp_path: Path, make_event: Any) -> None:
    (tmp_path / "dead.sqlite3").write_bytes(b"not a database" * 100)
    with pytest.raises(OSError, match=r"dead\.sqlite3 cannot be used"):
        DeadLetters(tmp_path / "dead.sqlite3").add("posthog", make_event(1), "bad", "")


def test_several_threads_may_bury_at_once(letters: DeadLetters, make_event: Any) -> None:
    def work(first: int) -> None:
        for number in range(first, first + 20):
            letters.add("posthog", make_event(number), "bad", "")

    threads = [threading.Thread(target=work, args=(first,)) for first in (0, 100, 200)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(letters.letters()) == 60


def test_while_dead_letters_cannot_be_kept_nothing_is_given_up(
    open_outbox: Any, recorded: Any, make_event: Any, which: Any, directory: Path, until: Any
) -> None:
    from genops_otel_posthog.export.destinations.protocol import Answer, Verdict

    directory.mkdir()
    blocked = directory / "dead.sqlite3"
    blocked.write_bytes(b"not a database" * 100)
    bad = Answer(Verdict.REJECTED, "http_400")
    destination = recorded(respond=lambda bodies: bad if 2 in which(bodies) else Answer(Verdict.ACCEPTED))
    outbox = open_outbox(destination)
    for number in range(1, 4):
        outbox.append(make_event(number))
    until(outbox, lambda: outbox.accounting().destinations["test"].reason == "dead_letters")
    assert outbox.accounting().holds
    blocked.unlink()
    while not outbox.flush(30):
        pass
    account = outbox.accounting().destinations["test"]
    assert (account.acked, account.dead) == (2, 1)

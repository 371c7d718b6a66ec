"""Several outboxes in one process, and what shutting down and forking means."""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import signal
import subprocess
import sys
import threading
from typing import Any

import pytest

from genops_otel_posthog.errors import GenOpsConfigurationError
from genops_otel_posthog.export.destinations.protocol import Answer, Verdict
from genops_otel_posthog.export.outbox import Outbox, Tuning

DOWN = Answer(Verdict.RETRY, "http_503")


def threads() -> list[str]:
    return sorted(thread.name for thread in threading.enumerate() if thread.name.startswith("genops-outbox"))


def test_outboxes_of_one_directory_share_one_sender(open_outbox, recorded, make_event, which, directory) -> None:
    first, second = recorded(), recorded()
    one = open_outbox(first)
    other = open_outbox(second, at=directory / ".." / "outbox")
    one.append(make_event(1))
    other.append(make_event(2))
    assert one.flush(30)
    assert other.flush(30)
    assert (which(first.taken), second.taken) == ([1, 2], [])
    assert threads() == ["genops-outbox", "genops-outbox-test"]
    assert one.accounting() == other.accounting()


def test_each_event_goes_to_the_destinations_of_its_outbox(open_outbox, recorded, make_event, which) -> None:
    first, second = recorded(name="first"), recorded(name="second")
    open_first, open_both = open_outbox(first), open_outbox(second, first)
    open_first.append(make_event(1))
    open_both.append(make_event(2))
    assert open_first.flush(30)
    assert open_both.flush(30)
    assert (sorted(which(first.taken)), which(second.taken)) == ([1, 2], [2])
    assert open_first.accounting().holds


def test_other_options_for_the_same_directory_are_said_not_to_stand(open_outbox, recorded, caplog) -> None:
    open_outbox(recorded())
    open_outbox(recorded(), policy="raise")
    assert "is open with other options, which stand" in caplog.text


def test_the_sender_ends_with_the_last_of_them(open_outbox, recorded, make_event, which) -> None:
    destination = recorded()
    one, other = open_outbox(destination), open_outbox(recorded())
    assert one.shutdown(30)
    assert not one.append(make_event(1))
    assert other.append(make_event(2))
    assert other.shutdown(30)
    assert which(destination.taken) == [2]
    assert threads() == []
    assert destination.closed
    assert other.accounting().refused == {"closed": 1}


def test_shutting_down_twice_is_once(open_outbox, recorded) -> None:
    outbox = open_outbox(recorded())
    assert outbox.shutdown(30)
    assert outbox.shutdown(30)


def test_shutting_down_leaves_what_is_left_to_the_next_one(
    open_outbox, recorded, make_event, which, caplog, until
) -> None:
    outbox = open_outbox(recorded(respond=lambda _: DOWN))
    for number in range(5):
        outbox.append(make_event(number))
    assert not outbox.shutdown(0.3)
    said = [record.getMessage() for record in caplog.records if "not delivered yet" in record.getMessage()]
    assert len(said) == 1
    assert said[0].startswith("5 events are not delivered yet. They lie in ")
    destination = recorded()
    following = open_outbox(destination)
    until(following, lambda: following.accounting().destinations["test"].acked == 5)
    assert which(destination.taken) == list(range(5))


def test_an_outbox_nobody_reads_from_is_wrong_use() -> None:
    with pytest.raises(GenOpsConfigurationError, match="at least one destination"):
        Outbox(None, [])


@pytest.mark.parametrize(("name", "account"), [("Post Hog", ""), ("../x", ""), ("", ""), ("x", "A/B")])
def test_a_destination_that_cannot_be_a_file_name_is_wrong_use(recorded, name: str, account: str) -> None:
    destination = recorded(name=name)
    destination.account = account
    with pytest.raises(GenOpsConfigurationError):
        Outbox(None, [destination])


def test_requests_are_made_in_the_context_that_was_given(open_outbox, recorded, make_event) -> None:
    log: list[str] = []

    @contextlib.contextmanager
    def quietly() -> Any:
        log.append("in")
        yield
        log.append("out")

    destination = recorded()
    destination.watch = lambda: log.append("request")
    outbox = open_outbox(destination, quietly=quietly)
    outbox.append(make_event(1))
    assert outbox.flush(30)
    assert log == ["in", "request", "out"]


def test_many_threads_append_at_once_and_nothing_is_lost_or_mixed(open_outbox, recorded, make_event, which) -> None:
    destination = recorded()
    outbox = open_outbox(destination, tuning=Tuning(segment_bytes=20_000, linger=0.0))

    def work(first: int) -> None:
        for number in range(first, first + 300):
            assert outbox.append(make_event(number))

    workers = [threading.Thread(target=work, args=(first,)) for first in range(0, 2400, 300)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert outbox.flush(30)
    assert sorted(which(destination.taken)) == list(range(2400))


@pytest.mark.parametrize("fsync", ["interval", "none", "always"])
def test_flushing_to_disk_is_true_at_once_when_the_network_is_down(open_outbox, recorded, make_event, fsync) -> None:
    outbox = open_outbox(recorded(respond=lambda _: DOWN), fsync=fsync)
    outbox.append(make_event(1))
    assert outbox.flush(1, delivered=False)
    assert not outbox.flush(0.05)


def test_flushing_nothing_is_true_at_once(open_outbox, recorded) -> None:
    assert open_outbox(recorded()).flush(0)


def test_appending_while_a_signal_handler_appends_does_not_hang(open_outbox, recorded, make_event, which) -> None:
    destination = recorded()
    outbox = open_outbox(destination)
    interruptions = itertools.count(100_000)

    def handler(_signal: int, _frame: Any) -> None:
        outbox.append(make_event(next(interruptions)))
        signal.setitimer(signal.ITIMER_REAL, 0.0005)

    previous = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.0005)
    try:
        for number in range(5000):
            outbox.append(make_event(number))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
    assert outbox.flush(30)
    assert sorted(which(destination.taken)) == [*range(5000), *range(100_000, next(interruptions))]


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_child_has_a_segment_of_its_own_and_leaves_the_parents_alone(
    open_outbox, recorded, make_event, directory
) -> None:
    outbox = open_outbox(recorded(respond=lambda _: DOWN))
    outbox.append(make_event(1))
    child = os.fork()
    if child == 0:
        code = 1
        with contextlib.suppress(BaseException):
            mine = outbox.accounting().destinations["test"]
            empty = (mine.enqueued, mine.pending) == (0, 0)
            code = 0 if empty and outbox.append(make_event(2)) and outbox.flush(1, delivered=False) else 2
        os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
    processes = {path.stem.split("-")[1] for path in directory.glob("*.seg")}
    assert processes == {str(os.getpid()), str(child)}


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_child_that_lives_on_does_not_hold_the_parents_segment(open_outbox, recorded, make_event, directory) -> None:
    from genops_otel_posthog.export.outbox.segments import lock_orphan

    outbox = open_outbox(recorded(respond=lambda _: DOWN))
    outbox.append(make_event(1))
    [path] = directory.glob("*.seg")
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(writing)
        os.read(reading, 1)
        os._exit(0)
    os.close(reading)
    assert lock_orphan(path) is None
    outbox.shutdown(0.1)
    outbox._store.lanes["test"].join(30)
    outbox._store.keeper.join(30)
    descriptor = lock_orphan(path)
    os.close(writing)
    os.waitpid(child, 0)
    assert descriptor is not None, "the child inherited the lock"
    os.close(descriptor)


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_child_whose_outbox_was_not_told_of_the_fork_notices_by_itself(
    open_outbox, recorded, make_event, directory, monkeypatch
) -> None:
    # As under uWSGI, which forks in C and by default runs no hooks.
    from genops_otel_posthog.export.outbox import outbox as module

    outbox = open_outbox(recorded(respond=lambda _: DOWN))
    outbox.append(make_event(1))
    monkeypatch.setattr(module, "_stores", {})
    child = os.fork()
    if child == 0:
        code = 1
        with contextlib.suppress(BaseException):
            code = 0 if outbox.append(make_event(2)) and outbox.flush(1, delivered=False) else 2
        os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
    assert len({path.stem.split("-")[1] for path in directory.glob("*.seg")}) == 2


def test_the_outbox_and_its_destinations_do_without_opentelemetry() -> None:
    code = (
        "import importlib.util, sys, types\n"
        "spec = importlib.util.find_spec('genops_otel_posthog')\n"
        "bare = types.ModuleType('genops_otel_posthog'); bare.__path__ = spec.submodule_search_locations\n"
        "sys.modules['genops_otel_posthog'] = bare  # the package itself imports more\n"
        "import genops_otel_posthog.export.outbox, genops_otel_posthog.export.destinations.posthog\n"
        "found = [name for name in sys.modules if name.split('.')[0] in ('opentelemetry', 'posthog', 'requests')]\n"
        "assert not found, found"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (run.returncode, run.stderr) == (0, "")


def test_nothing_is_logged_of_an_event_or_a_key(open_outbox, recorded, make_event, caplog) -> None:
    caplog.set_level(logging.DEBUG)
    refuse = Answer(Verdict.REJECTED, "http_400", detail="SECRET said the service")
    outbox = open_outbox(recorded(refuse, DOWN, DOWN, DOWN, DOWN))
    outbox.append(make_event(1, email="somebody@example.com"))
    outbox.append(make_event(2, email="somebody@example.com"))
    outbox.flush(30)
    outbox.shutdown(1)
    assert "example.com" not in caplog.text
    assert "SECRET" not in caplog.text

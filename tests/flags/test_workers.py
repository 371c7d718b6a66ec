"""Threads for what may hang."""

from __future__ import annotations

import threading
from contextvars import ContextVar

import pytest

from genops_otel_posthog.flags.workers import Workers

VARIABLE: ContextVar[str] = ContextVar("VARIABLE", default="nothing")


def test_work_is_done_on_a_thread_that_does_not_keep_the_process_from_ending():
    future = Workers().submit(threading.current_thread)
    assert future is not None
    thread = future.result(10)
    assert thread is not threading.current_thread()
    assert thread.daemon


def test_work_sees_the_context_of_who_gave_it():
    VARIABLE.set("given")
    future = Workers().submit(VARIABLE.get)
    assert future is not None
    assert future.result(10) == "given"


def test_an_error_is_that_of_who_waits():
    future = Workers().submit(lambda: 1 // 0)
    assert future is not None
    with pytest.raises(ZeroDivisionError):
        future.result(10)


def test_when_all_threads_are_busy_work_is_refused_at_once():
    workers, release = Workers(limit=2), threading.Event()
    hanging = [workers.submit(release.wait) for _ in range(2)]
    assert workers.submit(lambda: None) is None
    release.set()
    assert [each.result(10) for each in hanging if each] == [True, True]


def test_threads_are_used_again():
    workers, names = Workers(limit=8), set()
    for _ in range(20):
        future = workers.submit(threading.get_ident)
        assert future is not None
        names.add(future.result(10))
    assert len(names) <= 2  # the next piece may come before the thread has said that it is free

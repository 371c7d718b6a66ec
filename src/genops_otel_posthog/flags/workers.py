"""A few threads for what may hang, so that whoever asks for a flag never does.

Work that finds all threads taken is refused at once: waiting in a queue behind a server that does not answer would be
waiting for it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextvars import copy_context
from queue import SimpleQueue
from typing import TypeVar

from genops_otel_posthog.forks import start_over_after_fork

T = TypeVar("T")

_Job = Callable[[], None]


class Workers:
    """Threads that are started when they are first needed and do not keep the process from ending.

    Args:
        limit: Most threads, and so most pieces of work at a time.
    """

    def __init__(self, limit: int = 8) -> None:
        self._limit = limit
        self.start_over()
        start_over_after_fork(self)

    def start_over(self) -> None:
        """For a forked process, which has none of its parent's threads."""
        self._lock = threading.Lock()
        self._jobs: SimpleQueue[_Job] = SimpleQueue()
        self._busy = 0
        self._threads = 0

    def submit(self, work: Callable[[], T]) -> Future[T] | None:
        """Starts work in a copy of the caller's context.

        Returns:
            Its result to be; ``None`` if all threads are busy.
        """
        with self._lock:
            if self._busy >= self._limit:
                return None
            self._busy += 1
            needs_thread = self._threads < self._busy
            self._threads += needs_thread
        future: Future[T] = Future()
        context = copy_context()
        self._jobs.put(lambda: _run(future, lambda: context.run(work)))
        if needs_thread:
            threading.Thread(
                target=self._work, args=(self._jobs,), name=f"genops-flags-{self._threads}", daemon=True
            ).start()
        return future

    def _work(self, jobs: SimpleQueue[_Job]) -> None:
        while True:
            job = jobs.get()
            try:
                job()
            finally:
                with self._lock:
                    self._busy -= 1
            del job  # holds what was asked for, while nothing is


def _run(future: Future[T], work: Callable[[], T]) -> None:
    if not future.set_running_or_notify_cancel():
        return  # whoever asked is gone
    try:
        result = work()
    except BaseException as error:
        future.set_exception(error)
    else:
        future.set_result(result)

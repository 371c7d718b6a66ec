"""A process that is told to end (SIGTERM) leaves like one that ends by itself: ledgers are told, events delivered.

Python ends on SIGTERM without running exit handlers, unless somebody handles the signal. Servers do; scripts and
workers often do not, and containers are stopped that way.
"""

from __future__ import annotations

import _thread
import os
import signal
import threading
from collections.abc import Callable
from types import FrameType
from weakref import WeakMethod

_Leave = Callable[[], object]

_leaving: list[Callable[[], _Leave | None]] = []  # each gives the function, or nothing when its object is gone


def run_on_sigterm(leave: _Leave) -> bool:
    """Runs ``leave`` when SIGTERM would end the process, and then lets it end as it would have.

    All that is to be run is run at the same time, each in a thread of its own; until it is done, the application goes
    on. A method does not keep its object alive.

    Does nothing where the application handles the signal itself (its way out runs exit handlers), or outside the main
    thread, where Python allows no handlers.

    Returns:
        Whether ``leave`` will be run.
    """
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "SIGTERM"):
        return False
    handler = signal.getsignal(signal.SIGTERM)
    if handler is not _handle:
        if handler is not signal.SIG_DFL:
            return False
        _leaving.clear()
        signal.signal(signal.SIGTERM, _handle)
    _leaving[:] = [each for each in _leaving if each() not in (None, leave)]
    _leaving.append(WeakMethod(leave) if hasattr(leave, "__self__") else lambda: leave)
    return True


def _handle(number: int, frame: FrameType | None) -> None:
    # First of all, so that a second signal is not held up.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    # Not here: the handler interrupts the main thread, perhaps where that holds a lock that leaving needs. Nor by the
    # class Thread, whose start takes a lock as well.
    try:
        _thread.start_new_thread(_leave_and_end, (number,))
    except RuntimeError:  # the interpreter is ending and has run the exit handlers
        os.kill(os.getpid(), number)


def _leave_and_end(number: int) -> None:
    try:
        ended = [_begin(leave) for leave in [each() for each in _leaving] if leave is not None]
        for each in ended:
            each.acquire()
    finally:
        os.kill(os.getpid(), number)


def _begin(leave: _Leave) -> _thread.LockType:
    """Runs it in a thread of its own; the lock is free when that has ended."""
    running = _thread.allocate_lock()
    running.acquire()

    def run() -> None:
        try:
            leave()
        finally:
            running.release()

    _thread.start_new_thread(run, ())
    return running

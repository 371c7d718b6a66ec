"""A process that is told to end (SIGTERM) leaves like one that ends by itself: it tells the ledger and returns leases.

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


def run_on_sigterm(leave: Callable[[], object]) -> bool:
    """Runs ``leave`` when SIGTERM would end the process, and then lets it end as it would have.

    ``leave`` runs in a thread of its own; until it is done, the application goes on.

    Does nothing where the application handles the signal itself (its way out runs exit handlers), or outside the main
    thread, where Python allows no handlers.

    Returns:
        Whether the handler was installed.
    """
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "SIGTERM"):
        return False
    if signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        return False

    def handle(number: int, frame: FrameType | None) -> None:
        # First of all, so that a second signal is not held up.
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        # Not here: the handler interrupts the main thread, perhaps where that holds a lock that leaving needs. Nor by
        # the class Thread, whose start takes a lock as well.
        try:
            _thread.start_new_thread(leave_and_end, (number,))
        except RuntimeError:  # the interpreter is ending and has run the exit handlers
            os.kill(os.getpid(), number)

    def leave_and_end(number: int) -> None:
        try:
            leave()
        finally:
            os.kill(os.getpid(), number)

    signal.signal(signal.SIGTERM, handle)
    return True

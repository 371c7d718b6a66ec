"""The PostHog SDK twice in one process: once bare, once instrumented.

The instrumentor wraps the SDK's classes and module globals, so within one copy of the SDK there is no bare call left
to compare with. A second copy, imported under the same name and taken out of ``sys.modules`` again, has classes,
globals and bytecode caches of its own. Instrumenting and un-instrumenting between slices would be the alternative; it
was not taken because every change of a class makes the interpreter forget what it has specialised, on both sides of
the comparison.
"""

from __future__ import annotations

import sys
from importlib import import_module
from itertools import count
from queue import Empty
from types import ModuleType
from typing import Any

_key_numbers = count(1)
_QUEUE_SIZE = 100_000  # more than a slice ever queues


def import_private_copy(package: str, module: str) -> ModuleType:
    """Imports ``module`` of ``package`` such that the next import of the package makes another copy.

    Raises:
        RuntimeError: the package has been imported before, so that the copy would be shared.
    """
    if package in sys.modules:
        raise RuntimeError(f"{package} has been imported already; its private copy must be imported first")
    copy = import_module(module)
    for name in [name for name in sys.modules if name == package or name.startswith(package + ".")]:
        del sys.modules[name]
    return copy


def bare_posthog() -> Any:
    """``posthog.client`` of a copy that no instrumentor will find. Call it before anything imports ``posthog``."""
    return import_private_copy("posthog", "posthog.client")


def queueing_client(client_module: Any) -> Any:
    """A client in its usual asynchronous mode that sends, but has no consumer thread: events are queued for real, and
    nothing takes the interpreter away from the calls that are timed. :func:`drain` empties the queue."""
    return client_module.Client(
        f"phc_benchmark{next(_key_numbers)}",
        host="http://127.0.0.1",
        thread=0,
        max_queue_size=_QUEUE_SIZE,
        sync_mode=False,
        send=True,
    )


def drain(client: Any) -> int:
    """Takes every event out of the client's queue; returns how many there were."""
    taken = 0
    while True:
        try:
            client.queue.get_nowait()
        except Empty:
            return taken
        client.queue.task_done()
        taken += 1

"""Waiting for something of the SDK for so long and no longer, whatever version it is of."""

from __future__ import annotations

import inspect
import logging
import threading
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from posthog import Posthog

_logger = logging.getLogger(__name__)


def done_within(seconds: float, what: str, work: Callable[[], object]) -> bool:
    """Whether ``work`` was done in time, without an error. It goes on in the background when it was not.

    Args:
        seconds: How long to wait.
        what: The name of it, for the log.
        work: To be done in a thread of its own; in this one where the interpreter, about to end, starts none.
    """
    finished = threading.Event()
    errors: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:
            errors.append(error)
        finally:
            finished.set()

    try:
        threading.Thread(target=run, name=f"genops-posthog-{what}", daemon=True).start()
    except RuntimeError:
        run()
    in_time = finished.wait(seconds)
    if errors:
        _logger.warning("PostHog's SDK could not %s: %s", what, type(errors[0]).__name__)
    return in_time and not errors


def flush_for(client: Posthog, seconds: float) -> Callable[[], object]:
    """The client's ``flush``. That of newer versions gives up by itself, and is told when."""
    if "timeout_seconds" in inspect.signature(client.flush).parameters:
        return partial(client.flush, timeout_seconds=seconds)
    return client.flush

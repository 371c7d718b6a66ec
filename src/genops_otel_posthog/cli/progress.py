"""What a command is doing now, on standard error, where somebody looks; and the log kept quiet meanwhile."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_Progress = Callable[[str], object]


@contextmanager
def checking(*, quiet: bool = False) -> Iterator[_Progress]:
    """A line that says what is checked, gone at the end. Only on a terminal.

    Yields:
        What is told the name of the next check; the line appears with the first.
    """
    if quiet or not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console

    status = Console(stderr=True).status("Checking …")

    def tell(name: str) -> None:
        status.start()
        status.update(f"Checking {name} …")

    try:
        yield tell
    finally:
        status.stop()


@contextmanager
def without_log() -> Iterator[None]:
    """Keeps our log quiet: what it would say, the findings say."""
    logger = logging.getLogger("genops_otel_posthog")
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(level)

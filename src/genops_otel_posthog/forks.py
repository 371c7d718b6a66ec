"""What must be made anew in a forked process: locks that nobody will release, and threads that are not there."""

from __future__ import annotations

import os
import weakref
from typing import Protocol


class _StartsOver(Protocol):
    def start_over(self) -> None: ...


_everyone: weakref.WeakSet[_StartsOver] = weakref.WeakSet()


def start_over_after_fork(one: _StartsOver) -> None:
    """Has ``one.start_over()`` called in every process forked from here on, as long as ``one`` is in use."""
    _everyone.add(one)


def _after_fork() -> None:
    for one in list(_everyone):
        one.start_over()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)

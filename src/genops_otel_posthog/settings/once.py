"""Warnings that are said once.

What is wrong with a value is wrong every time the value comes by, which may be on every call. And a value that differs
on every call (a session id in the wrong field) makes a new message each time, so there is a limit to those as well.
"""

from __future__ import annotations

import logging


class WarnOnce:
    """Logs each different message once per process, up to a limit per topic.

    Takes no lock, so that a process forked at any moment goes on without one that nobody releases.

    Args:
        logger: Where the messages go.
        limit: Different messages per topic; after them one line says that the topic has been closed.
    """

    def __init__(self, logger: logging.Logger, limit: int = 10) -> None:
        self._logger = logger
        self._limit = limit
        self._said: dict[str, dict[str, object]] = {}

    def __call__(self, topic: str, message: str, level: int = logging.WARNING) -> None:
        """Logs ``message`` unless it has been logged before."""
        said = self._said.setdefault(topic, {})
        if message in said or len(said) > self._limit:
            return
        mine = object()
        if said.setdefault(message, mine) is not mine:
            return  # another thread was first
        if len(said) <= self._limit:
            self._logger.log(level, "%s", message)
        else:
            self._logger.log(level, "There are more warnings about %s; they are not logged", topic)

    def forget(self) -> None:
        """Starts over, as a new process would."""
        self._said.clear()

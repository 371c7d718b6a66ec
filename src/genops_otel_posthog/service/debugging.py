"""``DEBUG=posthog*``: the loggers of the PostHog SDK and of this package in detail, and without what is private.

The pattern language is that of Node's ``debug``: patterns separated by commas or spaces, ``*`` for anything, ``-`` in
front for what is not meant. Values of other programs (``DEBUG=1``, ``DEBUG=true``) match nothing.

The SDK logs whole events in detail. What it logs is therefore reduced on its way: of an event its name and the names of
its properties are shown, of a request its size; keys and addresses of e-mail are blotted out in every message.
"""

from __future__ import annotations

import logging
import os
import re
import sys
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any, Final

from genops_otel_posthog.settings import Settings

LOGGERS: Final[Mapping[str, str]] = {"posthog": "posthog", "genops": "genops_otel_posthog"}
"""By the name that patterns are compared with, the logger."""

_KEY = re.compile(r"\b(ph[a-z]_)[A-Za-z0-9_-]+")
_EMAIL = re.compile(r"[\w.+-]+@[\w-]+\.[\w.-]+")
_DOCUMENT = re.compile(r"\s*[\[{]")


def debug_as_asked() -> list[str]:
    """Sets the loggers that ``DEBUG`` names to DEBUG. Messages go to standard error where nobody has a handler.

    A client of the SDK sets the level of the SDK's logger when it is made: call this after.

    Returns:
        The names of these loggers.
    """
    patterns = Settings.from_environ({"DEBUG": os.environ.get("DEBUG", "")}).debug or ()
    asked = [logger for name, logger in LOGGERS.items() if _is_meant(name, patterns)]
    for name in asked:
        logger = logging.getLogger(name)
        if not any(isinstance(each, WithoutPrivateValues) for each in logger.filters):
            logger.filters.insert(
                0, WithoutPrivateValues()
            )  # the SDK's own filter makes one text of message and values
        logger.setLevel(logging.DEBUG)
        if not logger.hasHandlers():
            handler = logging.StreamHandler(sys.stderr)
            handler.setFormatter(logging.Formatter("%(asctime)s %(name)s %(levelname)s %(message)s"))
            logger.addHandler(handler)
    return asked


def _is_meant(name: str, patterns: tuple[str, ...]) -> bool:
    lowered = [pattern.lower() for pattern in patterns]
    if any(fnmatchcase(name, pattern[1:]) for pattern in lowered if pattern.startswith("-")):
        return False
    return any(fnmatchcase(name, pattern) for pattern in lowered if not pattern.startswith("-"))


class WithoutPrivateValues(logging.Filter):
    """Lets every record pass, without what an event says."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Reduces the record in place."""
        if isinstance(record.args, Mapping):  # what logging makes of one mapping given as the only value
            by_name = isinstance(record.msg, str) and "%(" in record.msg
            shown = {name: reduced(value) for name, value in record.args.items()}
            record.args = shown if by_name else (reduced(record.args),)
        elif record.args:
            record.args = tuple(reduced(value) for value in record.args)
        if isinstance(record.msg, str):
            record.msg = blotted(record.msg)
        return True


def reduced(value: Any) -> Any:
    """A value of a message as it may be shown: numbers as they are, events and requests by name and size."""
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, Mapping):
        return _outline(value)
    if isinstance(value, (list, tuple, set)):
        return f"<{len(value)} items>"
    if isinstance(value, (bytes, bytearray)):
        return f"<{len(value)} bytes>"
    text = str(value)
    return f"<{len(text)} characters of JSON>" if _DOCUMENT.match(text) else blotted(text)


def blotted(text: str) -> str:
    """A text without keys and addresses of e-mail."""
    return _EMAIL.sub("…@…", _KEY.sub(r"\1…", text))


def _outline(event: Mapping[Any, Any]) -> str:
    properties = event.get("properties") or event.get("$set")
    names = sorted(map(str, properties)) if isinstance(properties, Mapping) else sorted(map(str, event))
    told = event.get("event")
    return f"<{told if isinstance(told, str) else 'mapping'}: {', '.join(names)[:500]}>"

"""The two ways in which a call is written: one dictionary as in JavaScript, or keywords as in Python."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from genops_otel_posthog.errors import GenOpsValidationError

_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


@lru_cache(maxsize=256)
def snake_case(name: str) -> str:
    """``distinctId`` as ``distinct_id``."""
    return _HUMP.sub("_", name).lower()


def camel_case(name: str) -> str:
    """``distinct_id`` as ``distinctId``."""
    first, *others = name.split("_")
    return first + "".join(other.capitalize() for other in others)


def merged_fields(
    what: str, given: Mapping[str, Any] | None, keywords: Mapping[str, Any], known: Iterable[str]
) -> dict[str, Any]:
    """The fields of a call by their names in Python; what is ``None`` is not given.

    Args:
        what: The kind of thing, for messages.
        given: The dictionary, ``camelCase`` or ``snake_case``.
        keywords: The keywords; they come before the dictionary.
        known: The names that there are.

    Raises:
        GenOpsValidationError: A name is not among them, or ``given`` is no dictionary. No value is repeated.
    """
    if given is not None and not isinstance(given, Mapping):
        raise GenOpsValidationError(f"{what}: give a dictionary or keywords, not {type(given).__name__}")
    known = tuple(known)
    fields: dict[str, Any] = {}
    for name, value in [*(given or {}).items(), *keywords.items()]:
        snake = snake_case(str(name))
        if snake not in known:
            shown = repr(name)[:60]
            close = difflib.get_close_matches(snake, known, n=1)
            meant = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(known)}"
            raise GenOpsValidationError(f"{what} has no field {shown}; {meant}")
        if value is not None:
            fields[snake] = value
    return fields

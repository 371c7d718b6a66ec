"""What may be given to an adapter's calls. A clear error here is better than an event that is lost on its way."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final
from uuid import UUID

from genops_otel_posthog.errors import GenOpsValidationError

MAX_EVENT_BYTES: Final = 900 * 1024
"""The largest event that PostHog's SDK sends (``consumer.py``, ``MAX_MSG_SIZE``). It drops a larger one after its
``capture`` has returned."""

_ENVELOPE_BYTES = 4096  # what the SDK and governance add, at most
_SUSPICIOUS = 100_000  # characters from which on an event is measured for real


def event_name(given: object) -> str:
    """The name of an event.

    Raises:
        GenOpsValidationError: It is no text, or blank.
    """
    if type(given) is not str:
        if not isinstance(given, str):
            raise GenOpsValidationError(f"event_name must be a str, not {type(given).__name__}")
        given = str(given)
    if not given or given.isspace():
        raise GenOpsValidationError("event_name is blank; PostHog refuses an event without a name")
    return given


def llm_event_name(given: object) -> str:
    """The name of an event of a language model.

    Raises:
        GenOpsValidationError: It does not begin with ``$ai_``.
    """
    name = event_name(given)
    if not name.startswith("$ai_"):
        raise GenOpsValidationError(
            f"event_name={name[:40]!r} is no event of a language model: PostHog bills as such only what begins with "
            "$ai_"
        )
    return name


def flag_key(given: object) -> str:
    """The key of a flag.

    Raises:
        GenOpsValidationError: It is no text, or blank.
    """
    if not isinstance(given, str) or not given.strip():
        raise GenOpsValidationError(f"flag_key must be the key of a flag, not {str(given)[:40]!r}")
    return given


def session_name(given: object) -> str:
    """What a session is for.

    Raises:
        GenOpsValidationError: It is no text, or blank.
    """
    if not isinstance(given, str) or not given.strip():
        raise GenOpsValidationError(f"session_name must say what the session is for, not {str(given)[:40]!r}")
    return given


def count(given: object) -> int:
    """How many.

    Raises:
        GenOpsValidationError: It is not a whole number of 1 or more.
    """
    if isinstance(given, bool) or not isinstance(given, int) or given < 1:
        raise GenOpsValidationError(f"count={given!r} cannot be used: it must be a whole number of 1 or more")
    return given


def distinct_id(given: object) -> str | None:
    """Whose event it is; ``None`` for nobody.

    Raises:
        GenOpsValidationError: It is neither text, nor a number, nor a UUID.
    """
    if given is None or type(given) is str:
        return given or None
    if isinstance(given, bool) or not isinstance(given, (str, int, float, UUID)):
        raise GenOpsValidationError(f"distinct_id must be a str, a number or a UUID, not {type(given).__name__}")
    return str(given) or None


def event_uuid(given: object) -> str:
    """The uuid of an event.

    Raises:
        GenOpsValidationError: It is none; PostHog's SDK would make up another, and a repeated event would count twice.
    """
    try:
        return str(UUID(str(given)))
    except ValueError:
        raise GenOpsValidationError(f"uuid={str(given)[:40]!r} cannot be used: it must be a UUID") from None


def properties(given: object, name: str = "properties") -> dict[str, Any]:
    """A copy of the properties.

    Raises:
        GenOpsValidationError: They are no mapping, or more than PostHog's SDK would send.
    """
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise GenOpsValidationError(f"{name} must be a dict, not {type(given).__name__}")
    copied = dict(given)
    if _weight(copied.values(), _SUSPICIOUS) >= _SUSPICIOUS:
        _refuse_too_large(copied, name)
    return copied


def _weight(values: Iterable[object], most: int) -> int:
    """About how many characters values are, counted no further than ``most``."""
    weight = 0
    waiting = [iter(values)]
    seen: set[int] = set()
    while waiting and weight < most:
        for value in waiting[-1]:
            kind = type(value)
            if kind is str or kind is bytes:
                weight += len(value)  # type: ignore[arg-type]  # both have a length
            elif kind is int or kind is float or kind is bool or value is None:
                weight += 8
            elif isinstance(value, (Mapping, list, tuple, set, frozenset)) and id(value) not in seen:
                seen.add(id(value))
                weight += 8
                waiting.append(iter(value.items() if isinstance(value, Mapping) else value))
                break
            else:
                weight += 32
            if weight >= most:
                break
        else:
            waiting.pop()
    return weight


def _refuse_too_large(given: Mapping[str, Any], name: str) -> None:
    try:
        size = len(json.dumps(given, default=str, skipkeys=True).encode("utf-8", "surrogatepass"))
    except ValueError:  # it holds itself; the SDK cuts that short
        return
    if size > MAX_EVENT_BYTES - _ENVELOPE_BYTES:
        raise GenOpsValidationError(
            f"{name} are {size:,} bytes, and PostHog's SDK drops an event of more than {MAX_EVENT_BYTES:,} without a "
            "word. Send a part of them, or where the whole can be found"
        )

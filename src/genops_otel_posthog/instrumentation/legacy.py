"""Call shapes of ``capture`` from before version 6 of the SDK, which its readers still copy from old guides.

``capture(event, {...})`` and ``capture(distinct_id, event[, {...}])`` raise ``TypeError`` in every supported version.
Under instrumentation they are understood, each with one ``DeprecationWarning``.
"""

from __future__ import annotations

import warnings
from typing import Any

_warned: set[str] = set()


def accept_legacy_capture(
    args: tuple[Any, ...], kwargs: dict[str, Any], *, stacklevel: int
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The same call in today's shape; unchanged when it is none of the known old shapes, so that the SDK refuses it
    itself.

    Args:
        args: Positional arguments, more than one.
        kwargs: Keyword arguments.
        stacklevel: Frames up to the line that is warned about, counted from here.
    """
    match args:
        case (str() as event, dict() as properties) if "properties" not in kwargs:
            _warn_once(
                f"capture(event, {{...}}): write capture({event!r}, properties={{...}})", "properties", stacklevel
            )
            return (event,), {**kwargs, "properties": properties}
        case (str() as distinct_id, str() as event) if "distinct_id" not in kwargs:
            given: dict[str, Any] = {"distinct_id": distinct_id}
        case (str() as distinct_id, str() as event, dict() as properties) if not kwargs.keys() & {
            "distinct_id",
            "properties",
        }:
            given = {"distinct_id": distinct_id, "properties": properties}
        case _:
            return args, kwargs
    _warn_once(f"capture(distinct_id, event): write capture({event!r}, distinct_id=...)", "distinct_id", stacklevel)
    return (event,), {**kwargs, **given}


def _warn_once(shape: str, key: str, stacklevel: int) -> None:
    if key not in _warned:
        _warned.add(key)
        warnings.warn(
            f"PostHog's SDK has not known this form since version 6.0: {shape}",
            DeprecationWarning,
            stacklevel=stacklevel + 1,
        )

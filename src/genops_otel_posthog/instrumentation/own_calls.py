"""Calls that this package makes itself, and wants to know what became of.

The application's own calls need not be instrumented for that: the meters at the SDK's waists are put in place for these
calls alone, and step back while :class:`~.instrumentor.PostHogInstrumentor` has its own there.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from genops_otel_posthog.instrumentation.call import PostHogCall, latest_call
from genops_otel_posthog.instrumentation.patches import Patches, Switch
from genops_otel_posthog.instrumentation.telemetry import Telemetry
from genops_otel_posthog.instrumentation.waists import WAISTS

_T = TypeVar("_T")

_lock = threading.Lock()
_switch = Switch(on=False)
_patches = Patches()
_users = 0


def begin_own_calls(telemetry: Telemetry) -> None:
    """Puts the meters in place for somebody who will make calls; once for each :func:`end_own_calls`.

    Args:
        telemetry: Any; what a call opens with is asked about it.
    """
    global _users
    with _lock:
        _users += 1
        if _users == 1:
            for module, name, meter in WAISTS:
                _patches.replace(module, name, meter(telemetry, _switch))


def end_own_calls() -> None:
    """Takes the meters off when nobody makes calls any more."""
    global _users
    with _lock:
        _users -= 1
        if not _users:
            _patches.undo()


def step_back(*, back: bool) -> None:
    """Whether somebody else observes all calls, these too, at the same places."""
    _switch.in_calls = not back


def make(call: PostHogCall, function: Callable[..., _T], args: tuple[Any, ...], kwargs: dict[str, Any]) -> _T:
    """Makes a call that was opened by :meth:`Telemetry.open_call`, and finishes it.

    Args:
        call: The call; says afterwards what became of it.
        function: A method of the SDK, taken from its class.
        args: Its arguments, the client first.
        kwargs: Its keyword arguments.

    Returns:
        What the SDK returned.
    """
    token = latest_call.set(call)
    result = error = None
    try:
        result = function(*args, **kwargs)
    except BaseException as raised:
        error = raised
        raise
    finally:
        call.closed = True
        latest_call.reset(token)
        call.telemetry.finish_call(call, args, kwargs, result, error)
    return result


def _after_fork_in_child() -> None:
    global _lock
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)

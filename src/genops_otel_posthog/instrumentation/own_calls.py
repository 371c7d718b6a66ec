"""Calls that this package makes itself, and wants to know what became of.

The application's own calls need not be instrumented for that: the meters at the SDK's waists are put in place for these
calls alone, and step back while :class:`~.instrumentor.PostHogInstrumentor` has its own there. What becomes of captured
events is accounted for whoever captured them, and they are durable if the environment says so.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from opentelemetry.metrics import Meter

from genops_otel_posthog.instrumentation.call import PostHogCall, latest_call
from genops_otel_posthog.instrumentation.patches import Patches, Switch
from genops_otel_posthog.instrumentation.telemetry import Telemetry
from genops_otel_posthog.instrumentation.waists import WAISTS
from genops_otel_posthog.instrumentation.watch import CaptureWatch
from genops_otel_posthog.settings import Settings

_T = TypeVar("_T")

_lock = threading.Lock()
_calls = Switch(on=False)
_events = Switch()
_patches = Patches()
_begun: tuple[Telemetry, CaptureWatch] | None = None
_is_back = False


def begin_own_calls(telemetry: Telemetry, settings: Settings, meter: Meter) -> None:
    """Puts the meters in place for calls that will be made, and the account of captured events with them. Once they
    are there, nothing more.

    Args:
        telemetry: Any; what a call opens with is asked about it.
        settings: Whether captured events are durable, and where they wait then.
        meter: Reports what becomes of them.
    """
    global _begun
    with _lock:
        if _begun is None:
            _begun = telemetry, CaptureWatch(settings, meter)
            if not _is_back:
                _put(*_begun)


def is_ready() -> bool:
    """Whether what becomes of a call is noted, here or by somebody who observes all calls."""
    return _is_back or _begun is not None


def end_own_calls() -> None:
    """Takes all of it off; nobody makes such calls any more."""
    global _begun
    with _lock:
        if _begun is not None:
            _take_off()
            _begun[1].close()
            _begun = None


def step_back() -> None:
    """Makes room for somebody who will observe all calls, these too, at the same places."""
    global _is_back
    with _lock:
        _is_back = True
        _take_off()


def step_forth() -> None:
    """They have taken theirs off."""
    global _is_back
    with _lock:
        _is_back = False
        if _begun is not None:
            _put(*_begun)


def _put(telemetry: Telemetry, watch: CaptureWatch) -> None:
    _calls.in_calls = _events.on = True
    watch.put_around(_patches, _events)
    for module, name, meter in WAISTS:
        _patches.replace(module, name, meter(telemetry, _calls))


def _take_off() -> None:
    _calls.in_calls = _events.on = False
    _patches.undo()


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

"""The wrappers around the SDK's public methods: open the call, let the SDK work, finish the call.

A call inside another one (the SDK calls itself: a flag read captures ``$feature_flag_called``) goes straight through;
what it does is written into the outer call by the waists.
"""

from __future__ import annotations

import functools
import logging
import warnings
from collections.abc import Callable
from typing import Any

from opentelemetry.instrumentation.utils import is_instrumentation_enabled

from genops_otel_posthog.instrumentation.call import PostHogCall, current_call, enter_call, leave_call
from genops_otel_posthog.instrumentation.legacy import accept_legacy_capture
from genops_otel_posthog.instrumentation.telemetry import Telemetry
from genops_otel_posthog.instrumentation.wrapped_calls import WrappedCall

_logger = logging.getLogger(__name__)

#: A wrapt wrapper: ``(wrapped, instance, args, kwargs) -> result``.
Wrapper = Callable[[Callable[..., Any], Any, tuple[Any, ...], dict[str, Any]], Any]


class Switch:
    """Whether instrumentation is on. Bound methods taken before ``uninstrument()`` stay wrapped, so the wrappers
    ask."""

    __slots__ = ("on",)

    def __init__(self) -> None:
        self.on = True


def _open(
    telemetry: Telemetry, switch: Switch, what: WrappedCall, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> PostHogCall | None:
    """The call to be recorded, ``None`` when this one is not. Never raises."""
    if not switch.on or current_call() is not None or not is_instrumentation_enabled():
        return None
    try:
        properties = kwargs.get("properties") if what.properties else None
        return telemetry.open_call(what.operation, what.target_of(args, kwargs), properties)
    except Exception:
        _logger.exception("A PostHog call could not be observed; it is made all the same")
        return None


def wrap_method(telemetry: Telemetry, switch: Switch, what: WrappedCall) -> Wrapper:
    """The wrapper of a plain method."""
    accepts_legacy = what.method == "capture"

    def wrapper(wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if accepts_legacy and len(args) > 1 and switch.on:
            args, kwargs = accept_legacy_capture(args, kwargs, stacklevel=3)
        call = _open(telemetry, switch, what, args, kwargs)
        if call is None:
            return wrapped(*args, **kwargs)
        token = enter_call(call)
        result = error = None
        try:
            result = wrapped(*args, **kwargs)
        except BaseException as raised:
            error = raised
            raise
        finally:
            leave_call(call, token)
            telemetry.finish_call(call, instance, args, kwargs, result, error, what.result_attributes)
        return result

    return wrapper


def wrap_coroutine(telemetry: Telemetry, switch: Switch, what: WrappedCall) -> Wrapper:
    """The wrapper of a coroutine method. The call begins when it is awaited."""

    async def wrapper(wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        call = _open(telemetry, switch, what, args, kwargs)
        if call is None:
            return await wrapped(*args, **kwargs)
        token = enter_call(call)
        result = error = None
        try:
            result = await wrapped(*args, **kwargs)
        except BaseException as raised:
            error = raised
            raise
        finally:
            leave_call(call, token)
            telemetry.finish_call(call, instance, args, kwargs, result, error, what.result_attributes)
        return result

    return wrapper


def warn_at_caller(wrapper: Wrapper) -> Wrapper:
    """Keeps the place of the warning that ``AsyncClient.capture(send_feature_flags=True)`` gives two frames up.

    The wrapper's own frame would take the caller's place, and Python shows such a warning only in the caller's own
    module.
    """

    @functools.wraps(wrapper)
    def keeping(wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if not kwargs.get("send_feature_flags"):
            return wrapper(wrapped, instance, args, kwargs)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            result = wrapper(wrapped, instance, args, kwargs)
        for warning in caught:
            warnings.warn(warning.message, warning.category, stacklevel=2)
        return result

    return keeping

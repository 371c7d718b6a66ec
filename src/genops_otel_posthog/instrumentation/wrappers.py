"""The functions around the SDK's public methods: open the call, let the SDK work, finish the call.

A call inside another one (the SDK calls itself: a flag read captures ``$feature_flag_called``) goes straight through;
what it does is written into the outer call by the waists.

``args`` begins with the client everywhere: to take it apart and put it together again would cost as much as opening the
call.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any

from genops_otel_posthog.instrumentation.call import context_to_observe, latest_call
from genops_otel_posthog.instrumentation.legacy import accept_legacy_capture
from genops_otel_posthog.instrumentation.operations import CAPTURE, Operation
from genops_otel_posthog.instrumentation.patches import Around, Switch
from genops_otel_posthog.instrumentation.telemetry import Telemetry


def around_method(telemetry: Telemetry, switch: Switch, operation: Operation) -> Around:
    """Replaces a plain method."""
    accepts_legacy = operation is CAPTURE

    def around(original: Callable[..., Any]) -> Callable[..., Any]:
        def governed(*args: Any, **kwargs: Any) -> Any:
            if accepts_legacy and len(args) > 2 and switch.on:
                legacy_args, kwargs = accept_legacy_capture(args[1:], kwargs, stacklevel=3)
                args = (args[0], *legacy_args)
            context = context_to_observe(switch)
            if context is None:
                return original(*args, **kwargs)
            call = telemetry.open_call(operation, kwargs, context)
            token = latest_call.set(call)
            result = error = None
            try:
                result = original(*args, **kwargs)
            except BaseException as raised:
                error = raised
                raise
            finally:
                call.closed = True
                latest_call.reset(token)
                telemetry.finish_call(call, args, kwargs, result, error)
            if call.decision is not None:
                telemetry.raise_if_refused(call, args, kwargs)
            return result

        return governed

    return around


def around_coroutine(telemetry: Telemetry, switch: Switch, operation: Operation) -> Around:
    """Replaces a coroutine method. The call begins when it is awaited."""

    def around(original: Callable[..., Any]) -> Callable[..., Any]:
        async def governed(*args: Any, **kwargs: Any) -> Any:
            context = context_to_observe(switch)
            if context is None:
                return await original(*args, **kwargs)
            call = telemetry.open_call(operation, kwargs, context)
            token = latest_call.set(call)
            result = error = None
            try:
                result = await original(*args, **kwargs)
            except BaseException as raised:
                error = raised
                raise
            finally:
                call.closed = True
                latest_call.reset(token)
                telemetry.finish_call(call, args, kwargs, result, error)
            if call.decision is not None:
                telemetry.raise_if_refused(call, args, kwargs)
            return result

        return governed

    return around


def around_module_capture(switch: Switch) -> Around:
    """``posthog.capture`` takes one positional argument, so the old call shapes have to be understood before it."""

    def around(original: Callable[..., Any]) -> Callable[..., Any]:
        def capture(*args: Any, **kwargs: Any) -> Any:
            if len(args) > 1 and switch.on:
                args, kwargs = accept_legacy_capture(args, kwargs, stacklevel=3)
            return original(*args, **kwargs)

        return capture

    return around


def warning_at_caller(around: Around) -> Around:
    """Keeps the place of the warning that ``AsyncClient.capture(send_feature_flags=True)`` gives two frames up.

    Our own frame would take the caller's place, and Python shows such a warning only in the caller's own module.
    """

    def keeping(original: Callable[..., Any]) -> Callable[..., Any]:
        governed = around(original)

        @functools.wraps(original)
        def capture(self: Any, *args: Any, **kwargs: Any) -> Any:
            if not kwargs.get("send_feature_flags"):
                return governed(self, *args, **kwargs)
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                result = governed(self, *args, **kwargs)
            for warning in caught:
                warnings.warn(warning.message, warning.category, stacklevel=2)
            return result

        return capture

    return keeping

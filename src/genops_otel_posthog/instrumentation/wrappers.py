"""The functions around the SDK's public methods: open the call, let the SDK work, finish the call.

A call inside another one (the SDK calls itself: a flag read captures ``$feature_flag_called``) goes straight through;
what it does is written into the outer call by the waists.
"""

from __future__ import annotations

import functools
import logging
import warnings
from collections.abc import Callable
from typing import Any

from opentelemetry.context import get_current

from genops_otel_posthog.instrumentation.call import PostHogCall, latest_call
from genops_otel_posthog.instrumentation.legacy import accept_legacy_capture
from genops_otel_posthog.instrumentation.operations import CAPTURE, Operation
from genops_otel_posthog.instrumentation.patches import Around, Switch
from genops_otel_posthog.instrumentation.suppression import is_suppressed
from genops_otel_posthog.instrumentation.telemetry import Telemetry

_logger = logging.getLogger(__name__)


def _open(
    telemetry: Telemetry, switch: Switch, operation: Operation, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> PostHogCall | None:
    """The call to be observed, ``None`` when this one is not. Never raises."""
    outer = latest_call.get()
    if (outer is not None and not outer.closed) or not switch.on:
        return None
    context = get_current()
    if is_suppressed(context):
        return None
    try:
        properties = kwargs.get("properties") if operation.takes_properties else None
        return telemetry.open_call(operation, operation.target_of(args, kwargs), context, properties)
    except Exception:
        _logger.exception("A PostHog call could not be observed; it is made all the same")
        return None


def around_method(telemetry: Telemetry, switch: Switch, operation: Operation) -> Around:
    """Replaces a plain method."""
    accepts_legacy = operation is CAPTURE

    def around(original: Callable[..., Any]) -> Callable[..., Any]:
        def governed(self: Any, *args: Any, **kwargs: Any) -> Any:
            if accepts_legacy and len(args) > 1 and switch.on:
                args, kwargs = accept_legacy_capture(args, kwargs, stacklevel=3)
            call = _open(telemetry, switch, operation, args, kwargs)
            if call is None:
                return original(self, *args, **kwargs)
            token = latest_call.set(call)
            result = error = None
            try:
                result = original(self, *args, **kwargs)
            except BaseException as raised:
                error = raised
                raise
            finally:
                call.closed = True
                latest_call.reset(token)
                telemetry.finish_call(call, self, args, kwargs, result, error)
            return result

        return governed

    return around


def around_coroutine(telemetry: Telemetry, switch: Switch, operation: Operation) -> Around:
    """Replaces a coroutine method. The call begins when it is awaited."""

    def around(original: Callable[..., Any]) -> Callable[..., Any]:
        async def governed(self: Any, *args: Any, **kwargs: Any) -> Any:
            call = _open(telemetry, switch, operation, args, kwargs)
            if call is None:
                return await original(self, *args, **kwargs)
            token = latest_call.set(call)
            result = error = None
            try:
                result = await original(self, *args, **kwargs)
            except BaseException as raised:
                error = raised
                raise
            finally:
                call.closed = True
                latest_call.reset(token)
                telemetry.finish_call(call, self, args, kwargs, result, error)
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

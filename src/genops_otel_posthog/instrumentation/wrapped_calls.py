"""The table of what is wrapped: which method of the SDK is which operation, and where its target stands among the
arguments.

``capture_exception``, ``feature_enabled``, ``get_feature_flag`` and ``get_feature_flag_payload`` are not in it on
purpose. A frame around them would become the crash frame of exceptions that were never raised, and would take the
place of the caller in the SDK's deprecation warnings. They all pass through methods that are.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from genops_otel_posthog import semconv
from genops_otel_posthog.instrumentation.call import PostHogCall
from genops_otel_posthog.instrumentation.spans import flag_result_attributes, flags_result_attributes


@dataclass(frozen=True)
class WrappedCall:
    """One method of an SDK class.

    Attributes:
        method: Its name.
        operation: ``posthog.operation.name``.
        target: Name of its first argument when that is what the call is about, else ``None``.
        properties: Whether it takes event properties, which may name an owner.
        result_attributes: What its result says about the call, as span attributes.
    """

    method: str
    operation: str
    target: str | None = None
    properties: bool = False
    result_attributes: Callable[[Any, PostHogCall], dict[str, Any]] | None = None

    def target_of(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str | None:
        """What this call is about, as text; ``None`` when the arguments do not say."""
        if self.target is None:
            return None
        value = args[0] if args else kwargs.get(self.target)
        return value if value is None or isinstance(value, str) else str(value)


_CAPTURE = WrappedCall("capture", semconv.OPERATION_CAPTURE, target="event", properties=True)
_SET = WrappedCall("set", semconv.OPERATION_SET)
_SET_ONCE = WrappedCall("set_once", semconv.OPERATION_SET_ONCE)
_ALIAS = WrappedCall("alias", semconv.OPERATION_ALIAS)
_GROUP_IDENTIFY = WrappedCall("group_identify", semconv.OPERATION_GROUP_IDENTIFY)
_EVALUATE_FLAGS = WrappedCall(
    "evaluate_flags", semconv.OPERATION_EVALUATE_FLAGS, result_attributes=flags_result_attributes
)
_REMOTE_CONFIG = WrappedCall("get_remote_config_payload", semconv.OPERATION_REMOTE_CONFIG, target="key")

#: Methods of ``posthog.client.Client``; a version of the SDK that lacks one simply has nothing to wrap.
CLIENT_CALLS: tuple[WrappedCall, ...] = (
    _CAPTURE,
    WrappedCall("capture_ai", semconv.OPERATION_CAPTURE_AI, target="event", properties=True),
    _SET,
    _SET_ONCE,
    _ALIAS,
    _GROUP_IDENTIFY,
    WrappedCall(
        "_get_feature_flag_result",
        semconv.OPERATION_EVALUATE_FLAG,
        target="key",
        result_attributes=flag_result_attributes,
    ),
    replace(_EVALUATE_FLAGS, method="get_all_flags_and_payloads"),
    replace(_EVALUATE_FLAGS, method="get_flags_decision"),
    _EVALUATE_FLAGS,
    _REMOTE_CONFIG,
    WrappedCall("load_feature_flags", semconv.OPERATION_LOAD_FLAG_DEFINITIONS),
)

#: Plain methods of ``posthog.async_client.AsyncClient``.
ASYNC_CLIENT_CALLS: tuple[WrappedCall, ...] = (_CAPTURE, _SET, _SET_ONCE, _ALIAS, _GROUP_IDENTIFY)

#: Coroutine methods of the same class.
ASYNC_CLIENT_COROUTINES: tuple[WrappedCall, ...] = (
    replace(_CAPTURE, method="capture_immediate"),
    _EVALUATE_FLAGS,
    _REMOTE_CONFIG,
)

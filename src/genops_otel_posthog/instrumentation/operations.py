"""The table of what is wrapped: which method of the SDK is which operation, and what its span is called.

``capture_exception``, ``feature_enabled``, ``get_feature_flag`` and ``get_feature_flag_payload`` are not in it on
purpose. A frame around them would become the crash frame of exceptions that were never raised, and would take the place
of the caller in the SDK's deprecation warnings. They all pass through methods that are.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from opentelemetry.trace import SpanKind

from genops_otel_posthog import semconv
from genops_otel_posthog.instrumentation.flag_results import flag_result_attributes, flags_result_attributes


@dataclass(frozen=True)
class Operation:
    """One operation on PostHog.

    Attributes:
        name: ``posthog.operation.name``.
        span_name: Name of the span, without the target.
        switch: Which of ``GENOPS_SPANS`` turns the span of a call on or off that waited for PostHog.
        local_switch: The same for a call that did not.
        kind: Kind of the span of a call that waited for PostHog.
        local_kind: The same for a call that did not.
        target: Name of the first argument when that is what the call is about, else ``None``.
        sends_event: Whether its purpose is to send an event.
        reads_flags: Whether its purpose is to read flags.
        takes_properties: Whether it takes event properties, which may name an owner.
        result_attributes: What its result says, as span attributes; also told whether PostHog was asked.
    """

    name: str
    span_name: str
    switch: str
    local_switch: str
    kind: SpanKind = SpanKind.CLIENT
    local_kind: SpanKind = SpanKind.INTERNAL
    target: str | None = None
    sends_event: bool = False
    reads_flags: bool = False
    takes_properties: bool = False
    result_attributes: Callable[[Any, bool], dict[str, Any]] | None = None

    def target_of(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str | None:
        """What a call with these arguments, the client first, is about, as text; ``None`` when they do not say."""
        if self.target is None:
            return None
        value = args[1] if len(args) > 1 else kwargs.get(self.target)
        return value if value is None or isinstance(value, str) else str(value)


def _event(name: str, span_name: str, target: str | None = None) -> Operation:
    return Operation(
        name,
        span_name,
        switch="capture",
        local_switch="capture",
        kind=SpanKind.PRODUCER,
        local_kind=SpanKind.PRODUCER,
        target=target,
        sends_event=True,
        takes_properties=target is not None,
    )


CAPTURE = _event(semconv.OPERATION_CAPTURE, "capture", "event")
CAPTURE_AI = _event(semconv.OPERATION_CAPTURE_AI, "capture", "event")
SET = _event(semconv.OPERATION_SET, "set")
SET_ONCE = _event(semconv.OPERATION_SET_ONCE, "set_once")
ALIAS = _event(semconv.OPERATION_ALIAS, "alias")
GROUP_IDENTIFY = _event(semconv.OPERATION_GROUP_IDENTIFY, "group_identify")
EVALUATE_FLAG = Operation(
    semconv.OPERATION_EVALUATE_FLAG,
    "evaluate_flag",
    switch="flags",
    local_switch="local_flags",
    target="key",
    reads_flags=True,
    result_attributes=flag_result_attributes,
)
EVALUATE_FLAGS = Operation(
    semconv.OPERATION_EVALUATE_FLAGS,
    "evaluate_flags",
    switch="flags",
    local_switch="local_flags",
    reads_flags=True,
    result_attributes=flags_result_attributes,
)
REMOTE_CONFIG = Operation(
    semconv.OPERATION_REMOTE_CONFIG, "remote_config", switch="config", local_switch="config", target="key"
)
LOAD_FLAG_DEFINITIONS = Operation(
    semconv.OPERATION_LOAD_FLAG_DEFINITIONS,
    "load_flag_definitions",
    switch="definitions",
    local_switch="definitions",
)
RECORD_RECORDINGS = Operation(
    semconv.OPERATION_RECORD_RECORDINGS,
    "record_recordings",
    switch="capture",
    local_switch="capture",
    kind=SpanKind.INTERNAL,
)

_EVENTS: tuple[tuple[str, Operation], ...] = (
    ("capture", CAPTURE),
    ("set", SET),
    ("set_once", SET_ONCE),
    ("alias", ALIAS),
    ("group_identify", GROUP_IDENTIFY),
)

#: Methods of ``posthog.client.Client``; a version of the SDK that lacks one simply has nothing to wrap.
CLIENT_METHODS: tuple[tuple[str, Operation], ...] = (
    *_EVENTS,
    ("capture_ai", CAPTURE_AI),
    ("_get_feature_flag_result", EVALUATE_FLAG),
    ("get_all_flags_and_payloads", EVALUATE_FLAGS),
    ("get_flags_decision", EVALUATE_FLAGS),
    ("evaluate_flags", EVALUATE_FLAGS),
    ("get_remote_config_payload", REMOTE_CONFIG),
    ("load_feature_flags", LOAD_FLAG_DEFINITIONS),
)

#: Plain methods of ``posthog.async_client.AsyncClient``.
ASYNC_CLIENT_METHODS: tuple[tuple[str, Operation], ...] = _EVENTS

#: Coroutine methods of the same class.
ASYNC_CLIENT_COROUTINES: tuple[tuple[str, Operation], ...] = (
    ("capture_immediate", CAPTURE),
    ("evaluate_flags", EVALUATE_FLAGS),
    ("get_remote_config_payload", REMOTE_CONFIG),
)

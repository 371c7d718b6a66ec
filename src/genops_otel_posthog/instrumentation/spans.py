"""From a finished :class:`PostHogCall` to its span: name, kind and attributes. Pure functions, tested without a
tracer."""

from __future__ import annotations

from collections.abc import Mapping, Sized
from typing import Any
from urllib.parse import urlsplit

from opentelemetry.trace import SpanKind

from genops_otel_posthog import semconv
from genops_otel_posthog.instrumentation.call import PostHogCall
from genops_otel_posthog.money import float_usd_from_nano

_MAX_NAME_LENGTH = 200  # PostHog itself keeps the first 200 characters of an event's name

_EVENT_OPERATIONS = frozenset(
    {
        semconv.OPERATION_CAPTURE,
        semconv.OPERATION_CAPTURE_AI,
        semconv.OPERATION_SET,
        semconv.OPERATION_SET_ONCE,
        semconv.OPERATION_ALIAS,
        semconv.OPERATION_GROUP_IDENTIFY,
    }
)
_FLAG_OPERATIONS = frozenset({semconv.OPERATION_EVALUATE_FLAG, semconv.OPERATION_EVALUATE_FLAGS})
_CAPTURES = frozenset({semconv.OPERATION_CAPTURE, semconv.OPERATION_CAPTURE_AI})


def kind_of_span(call: PostHogCall) -> str:
    """Which of ``GENOPS_SPANS`` switches the call's span on or off."""
    if call.operation in _EVENT_OPERATIONS:
        return "capture"
    if call.operation in _FLAG_OPERATIONS:
        return "flags" if call.touched_network else "local_flags"
    return "definitions" if call.operation == semconv.OPERATION_LOAD_FLAG_DEFINITIONS else "config"


def span_name(call: PostHogCall) -> str:
    """``capture user_signed_up``, ``evaluate_flag new-checkout``, ``set``."""
    if call.target is None:
        return call.operation
    verb = semconv.OPERATION_CAPTURE if call.operation in _CAPTURES else call.operation
    return f"{verb} {call.target[:_MAX_NAME_LENGTH]}"


def span_kind(call: PostHogCall) -> SpanKind:
    """PRODUCER for what is queued, CLIENT for what waited for PostHog, INTERNAL for what was answered locally."""
    if call.operation in _EVENT_OPERATIONS:
        return SpanKind.PRODUCER
    return SpanKind.CLIENT if call.touched_network else SpanKind.INTERNAL


def call_attributes(call: PostHogCall, constant: dict[str, Any], *, record_distinct_id: bool) -> dict[str, Any]:
    """The attributes of the call's span.

    Args:
        call: The call.
        constant: What is the same for all calls to the same host.
        record_distinct_id: Whether the distinct id may be recorded.
    """
    attributes = {
        **constant,
        **call.owner.span_attributes(),
        semconv.POSTHOG_OPERATION_NAME: call.operation,
        semconv.GENOPS_COST_AMOUNT: float_usd_from_nano(call.amount_nano),
        semconv.GENOPS_COST_LIST_AMOUNT: float_usd_from_nano(call.list_nano),
    }
    _add_units(attributes, call)
    if call.operation in _EVENT_OPERATIONS:
        _add_event(attributes, call)
    else:
        _add_flags(attributes, call)
    if record_distinct_id and call.distinct_id is not None:
        attributes[semconv.POSTHOG_DISTINCT_ID] = call.distinct_id
    return attributes


def _add_units(attributes: dict[str, Any], call: PostHogCall) -> None:
    if call.meter is None:
        attributes[semconv.GENOPS_COST_UNITS] = 0
    else:
        attributes[semconv.GENOPS_COST_METER] = call.meter
        attributes[semconv.GENOPS_COST_UNITS] = call.units[call.meter]


def _add_event(attributes: dict[str, Any], call: PostHogCall) -> None:
    if call.events:
        attributes[semconv.POSTHOG_EVENT_NAME] = call.event
        attributes[semconv.POSTHOG_EVENT_UUID] = call.event_uuid
        attributes[semconv.POSTHOG_EVENT_IDENTIFIED] = call.identified
        if call.events > 1:
            attributes[semconv.POSTHOG_EVENT_COUNT] = call.events
    else:
        if call.target is not None:
            attributes[semconv.POSTHOG_EVENT_NAME] = call.target
        attributes[semconv.POSTHOG_EVENT_ADMITTED] = False
    if call.flag_requests:
        attributes[semconv.POSTHOG_FLAGS_REQUESTS] = call.flag_requests


def _add_flags(attributes: dict[str, Any], call: PostHogCall) -> None:
    if call.operation in _FLAG_OPERATIONS:
        attributes[semconv.FEATURE_FLAG_PROVIDER_NAME] = "PostHog"
        if call.target is not None:
            attributes[semconv.FEATURE_FLAG_KEY] = call.target
        attributes[semconv.POSTHOG_FLAGS_REQUESTS] = call.flag_requests
        attributes[semconv.POSTHOG_FLAGS_LOCALLY_EVALUATED] = not call.touched_network
        if call.quota_limited:
            attributes[semconv.POSTHOG_FLAGS_QUOTA_LIMITED] = True
        if call.events:
            attributes[semconv.POSTHOG_EVENT_COUNT] = call.events
    if call.definition_polls or call.operation == semconv.OPERATION_LOAD_FLAG_DEFINITIONS:
        attributes[semconv.POSTHOG_FLAGS_DEFINITION_POLLS] = call.definition_polls


def flag_result_attributes(result: Any, call: PostHogCall) -> dict[str, Any]:
    """What a flag read answered, in the words of OpenTelemetry's feature flag conventions.

    https://opentelemetry.io/docs/specs/semconv/feature-flags/feature-flags-events/

    Args:
        result: The SDK's ``FeatureFlagResult``, or ``None`` when it has no answer.
        call: The call that asked.
    """
    if result is None:
        return {semconv.FEATURE_FLAG_RESULT_REASON: "error" if call.touched_network else "unknown"}
    variant = getattr(result, "variant", None)
    if variant is not None:
        return {semconv.FEATURE_FLAG_RESULT_VARIANT: variant, semconv.FEATURE_FLAG_RESULT_REASON: "split"}
    enabled = bool(getattr(result, "enabled", False))
    return {
        semconv.FEATURE_FLAG_RESULT_VALUE: enabled,
        semconv.FEATURE_FLAG_RESULT_REASON: "targeting_match" if enabled else "default",
    }


def flags_result_attributes(result: Any, _: PostHogCall) -> dict[str, Any]:
    """How many flags an answer holds.

    Args:
        result: A snapshot of the SDK (``FeatureFlagEvaluations``), a response of the server, or a mapping of flags.
    """
    if isinstance(result, Mapping):
        flags = result.get("flags", result.get("featureFlags", result))
    else:
        flags = getattr(result, "keys", None)
    return {semconv.POSTHOG_FLAGS_COUNT: len(flags)} if isinstance(flags, Sized) else {}


def host_attributes(host: object) -> dict[str, Any]:
    """``server.address``, and ``server.port`` where it is not the scheme's own."""
    if not isinstance(host, str):
        return {}
    try:
        url = urlsplit(host)
        address, port = url.hostname, url.port
    except ValueError:
        return {}
    if address is None:
        return {}
    if port is None or (url.scheme, port) in (("https", 443), ("http", 80)):
        return {semconv.SERVER_ADDRESS: address}
    return {semconv.SERVER_ADDRESS: address, semconv.SERVER_PORT: port}

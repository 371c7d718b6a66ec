"""From a finished :class:`PostHogCall` to its span: name and attributes. Pure, tested without a tracer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from genops_otel_posthog import semconv
from genops_otel_posthog.attribution import Attribution
from genops_otel_posthog.instrumentation.call import PostHogCall
from genops_otel_posthog.instrumentation.operations import Operation
from genops_otel_posthog.money import NANO_PER_USD

_MAX_TARGET_LENGTH = 200  # PostHog itself keeps the first 200 characters of an event's name


def span_name(operation: Operation, target: str | None) -> str:
    """``capture user_signed_up``, ``evaluate_flag new-checkout``, ``set``."""
    if target is None:
        return operation.span_name
    return f"{operation.span_name} {target[:_MAX_TARGET_LENGTH]}"


def common_attributes(operation: Operation, owner: Attribution, constant: Mapping[str, Any]) -> dict[str, Any]:
    """What all spans of an operation, an owner and a host have in common, with the amounts of a call that is free.

    Args:
        operation: What was asked for.
        owner: Whose calls they are.
        constant: What is the same for all calls to the host.
    """
    attributes = {
        **constant,
        **owner.span_attributes(),
        semconv.POSTHOG_OPERATION_NAME: operation.name,
        semconv.GENOPS_COST_AMOUNT: 0.0,
        semconv.GENOPS_COST_LIST_AMOUNT: 0.0,
        semconv.GENOPS_COST_UNITS: 0,
    }
    if operation.reads_flags:
        attributes[semconv.FEATURE_FLAG_PROVIDER_NAME] = "PostHog"
    return attributes


def span_attributes(call: PostHogCall, target: str | None, common: dict[str, Any]) -> dict[str, Any]:
    """The attributes of the call's span.

    Args:
        call: The call.
        target: What it is about: the event's name, the flag's key, or ``None``.
        common: What :func:`common_attributes` gives for it.
    """
    attributes = common.copy()  # a third of the time of building it
    if call.meter is not None:
        attributes[semconv.GENOPS_COST_AMOUNT] = call.amount_nano / NANO_PER_USD
        attributes[semconv.GENOPS_COST_LIST_AMOUNT] = call.list_nano / NANO_PER_USD
        attributes[semconv.GENOPS_COST_UNITS] = call.units
        attributes[semconv.GENOPS_COST_METER] = call.meter
    if not call.operation.sends_event:
        _add_flags(attributes, call, target)
        return attributes
    if call.events:
        attributes[semconv.POSTHOG_EVENT_NAME] = call.event
        attributes[semconv.POSTHOG_EVENT_UUID] = call.event_uuid
        attributes[semconv.POSTHOG_EVENT_IDENTIFIED] = call.identified
        if call.events > 1:
            attributes[semconv.POSTHOG_EVENT_COUNT] = call.events
    else:
        if target is not None:
            attributes[semconv.POSTHOG_EVENT_NAME] = target
        attributes[semconv.POSTHOG_EVENT_ADMITTED] = False
    if call.flag_requests:
        attributes[semconv.POSTHOG_FLAGS_REQUESTS] = call.flag_requests
    return attributes


def _add_flags(attributes: dict[str, Any], call: PostHogCall, target: str | None) -> None:
    if call.operation.reads_flags:
        if target is not None:
            attributes[semconv.FEATURE_FLAG_KEY] = target
        attributes[semconv.POSTHOG_FLAGS_REQUESTS] = call.flag_requests
        attributes[semconv.POSTHOG_FLAGS_LOCALLY_EVALUATED] = not call.touched_network
        if call.quota_limited:
            attributes[semconv.POSTHOG_FLAGS_QUOTA_LIMITED] = True
        if call.events:
            attributes[semconv.POSTHOG_EVENT_COUNT] = call.events
    if call.definition_polls or call.operation.switch == "definitions":
        attributes[semconv.POSTHOG_FLAGS_DEFINITION_POLLS] = call.definition_polls


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

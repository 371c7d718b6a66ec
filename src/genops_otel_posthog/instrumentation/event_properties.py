"""The properties that an event carries to PostHog so that its owner, cost and trace can be seen there."""

from __future__ import annotations

from collections.abc import Mapping
from time import time
from typing import Any

from opentelemetry.context import Context
from opentelemetry.trace import INVALID_SPAN, set_span_in_context

from genops_otel_posthog import semconv
from genops_otel_posthog.attribution import NOBODY, Attribution
from genops_otel_posthog.money import NANO_PER_USD

# Where a context keeps its current span, seen by putting one there. Looking there takes a quarter of the time of
# `get_current_span`.
_SPAN_KEY = next(iter(set_span_in_context(INVALID_SPAN, Context())))

#: Properties by which a single call can name its own owner, with the attribution field each sets.
OWNER_PROPERTIES: Mapping[str, str] = {
    semconv.PROPERTY_GENOPS_TEAM: "team",
    semconv.PROPERTY_GENOPS_PROJECT: "project",
    semconv.PROPERTY_GENOPS_ENVIRONMENT: "environment",
    semconv.PROPERTY_GENOPS_CUSTOMER_ID: "customer_id",
    semconv.PROPERTY_GENOPS_COST_CENTER: "cost_center",
    semconv.PROPERTY_GENOPS_FEATURE: "feature",
}
_OWNER_PROPERTY_NAMES = frozenset(OWNER_PROPERTIES)


def owner_in_properties(properties: object) -> Attribution:
    """The owner that a call's own ``genops_*`` properties name."""
    # The SDK wants a dict; asking for any Mapping would cost more than all the rest.
    if not isinstance(properties, dict) or _OWNER_PROPERTY_NAMES.isdisjoint(properties):
        return NOBODY
    return Attribution(**{field: properties.get(name) for name, field in OWNER_PROPERTIES.items()})


def governance_properties(owner: Attribution, cost_nano: int, context: Context) -> dict[str, Any]:
    """Owner, estimated cost and trace as properties of an event.

    Args:
        owner: Whose event it is.
        cost_nano: Estimated marginal cost, nano-USD.
        context: The OpenTelemetry context of the call.
    """
    added = {
        **owner.event_properties(),
        semconv.PROPERTY_GENOPS_COST_ESTIMATED: cost_nano / NANO_PER_USD,
        semconv.PROPERTY_GENOPS_TIMESTAMP: int(time()),
    }
    span: Any = context.get(_SPAN_KEY)
    if span is not None:
        span_context = span.get_span_context()
        if span_context.is_valid:
            # Hexadecimal as in a `traceparent` header; a quarter of the time of formatting so long an integer.
            trace_id = span_context.trace_id.to_bytes(16, "big").hex()
            added[semconv.PROPERTY_TRACE_ID] = trace_id
            added[semconv.PROPERTY_DOLLAR_TRACE_ID] = trace_id
            added[semconv.PROPERTY_DOLLAR_SPAN_ID] = span_context.span_id.to_bytes(8, "big").hex()
    return added


def merge_with_application(
    given: Mapping[str, Any], added: dict[str, Any], surrounding: Attribution, *, application_wins: bool
) -> dict[str, Any]:
    """Joins the application's properties with ours where both name the same.

    Names without the prefix ``genops_`` (``user_id``, ``$trace_id``) belong to the application and to the SDK, whatever
    the policy.

    Args:
        given: What the SDK is about to send.
        added: What :func:`governance_properties` adds.
        surrounding: Whose event it would be if its properties named nobody.
        application_wins: Whether a ``genops_*`` property that the application set stays as it is. Where it then differs
            from what the surroundings say, ``genops_overridden`` names it. Otherwise the governance value replaces it.
    """
    if not application_wins:
        governed = {name: value for name, value in added.items() if name.startswith("genops_")}
        return {**added, **given, **governed}
    expected = {**added, **surrounding.event_properties()}
    # JSON has names of other types too, as their text.
    overridden = sorted(
        name for name, value in given.items() if str(name).startswith("genops_") and expected.get(name, value) != value
    )
    if overridden:
        added[semconv.PROPERTY_GENOPS_OVERRIDDEN] = overridden
    return {**added, **given}

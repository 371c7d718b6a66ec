"""Capturing an event: checked, asked about, sent by PostHog's SDK, and told about."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

from opentelemetry.context import get_current

from genops_otel_posthog import semconv
from genops_otel_posthog.adapter import arguments
from genops_otel_posthog.adapter.complying import admitted, make_admitted, tell
from genops_otel_posthog.adapter.governed_client import GovernedClient
from genops_otel_posthog.adapter.moments import Moment, moment_utc
from genops_otel_posthog.adapter.results import CaptureResult, json_ready
from genops_otel_posthog.adapter.session import PostHogAnalyticsSession
from genops_otel_posthog.adapter.withholding import raise_if_refused, set_aside_for_session, withheld_for_owner
from genops_otel_posthog.attribution import Attribution
from genops_otel_posthog.budgets.sampling import keeps
from genops_otel_posthog.instrumentation.call import PostHogCall
from genops_otel_posthog.instrumentation.enforcement import LeftOut, Withheld
from genops_otel_posthog.instrumentation.operations import CAPTURE
from genops_otel_posthog.money import NANO_PER_USD
from genops_otel_posthog.pricing.billing import ALWAYS_IDENTIFIED, FLAG_REQUEST
from genops_otel_posthog.settings.once import WarnOnce

_warn = WarnOnce(logging.getLogger(__name__))

_PERSONLESS = "$process_person_profile"


def capture(
    governed: GovernedClient,
    session: PostHogAnalyticsSession | None,
    named: Attribution,
    event_name: str,
    properties: Mapping[str, Any] | None,
    distinct_id: object,
    is_identified: bool,
    timestamp: Moment | None,
    options: dict[str, Any],
    *,
    always: bool,
    raises: bool,
) -> CaptureResult:
    """See :meth:`~.adapter.GenOpsPostHogAdapter.capture_event_with_governance`.

    Args:
        governed: Who sends it.
        session: Whose call it is.
        named: The owner that comes before the surroundings.
        event_name: Name of the event.
        properties: Its properties.
        distinct_id: Whose it is.
        is_identified: Whether it belongs to a person.
        timestamp: When it happened; now when not given.
        options: Further arguments for the SDK.
        always: Whether no sampling may leave it out.
        raises: Whether a refusal is raised.
    """
    name = arguments.event_name(event_name)
    person = arguments.distinct_id(distinct_id)
    sent = arguments.properties(properties)
    count = len(sent)
    at = None if timestamp is None else moment_utc(timestamp)
    if "uuid" in options:
        options = {**options, "uuid": arguments.event_uuid(options["uuid"])}
    withheld: Withheld | LeftOut | None = None
    compliance = governed.compliance
    if compliance is not None:
        person, sent, withheld = admitted(compliance, "capture", name, person, sent)
    is_admitted = withheld is None
    if not is_identified and name not in ALWAYS_IDENTIFIED:
        sent.setdefault(_PERSONLESS, False)
    if withheld is None and governed.sampling is not None and not always:
        withheld = _left_out(governed, name, person, sent)
    kwargs: dict[str, Any] = {"properties": sent, **options}
    if person is not None:
        kwargs["distinct_id"] = person
    if at is not None:
        kwargs["timestamp"] = at
    client = governed.client
    context = get_current() if session is None else session.context_in(get_current())
    call = governed.open_call(CAPTURE, kwargs, context, named)
    call.always = always
    withheld = withheld or withheld_for_owner(governed, named, context)
    aside = 0
    if withheld is None and session is not None and session.spending.is_limited:
        amount = _most_it_costs(governed, client, name, kwargs)
        withheld = set_aside_for_session(governed, session, amount)
        aside = amount if withheld is None else 0
    try:
        if withheld is not None:
            governed.withhold(call, withheld, (client, name), kwargs)
        elif compliance is None:
            governed.make(call, type(client).capture, (client, name), kwargs)
        else:
            make_admitted(governed, call, type(client).capture, (client, name), kwargs)
    finally:
        if aside and session is not None:
            session.spending.settle(aside)
        if compliance is not None and is_admitted:
            made, uuid = ("sent", call.event_uuid) if call.events else ("not_sent", None)
            tell(compliance, "capture", call, person, trace_id_of(call), made=made, event=name, event_uuid=uuid)
    if raises and call.decision is not None:
        raise_if_refused(governed, call, f"capture {name}")
    if not call.events and call.decision is None and not client.disabled:
        _warn(
            "events that PostHog's SDK does not take",
            "PostHog's SDK did not take an event (its queue is full, before_send dropped it, or it cannot be "
            "serialised); the result says so with event_uuid None",
        )
    return _told(governed, call, name, sent, count, at, session)


def _most_it_costs(governed: GovernedClient, client: Any, name: str, kwargs: dict[str, Any]) -> int:
    """What an event costs at the present prices, nano-USD, with the flag request that it may make first."""
    telemetry = governed.telemetry
    message = {"event": name, "properties": kwargs["properties"], "distinct_id": kwargs.get("distinct_id", "")}
    amount = telemetry.pricer.quote(telemetry.charges_for(client, message)).amount_nano
    if kwargs.get("send_feature_flags"):
        amount += telemetry.pricer.quote(FLAG_REQUEST).amount_nano
    return amount


def _left_out(governed: GovernedClient, name: str, person: str | None, sent: dict[str, Any]) -> LeftOut | None:
    """Whether the sampling of the adapter leaves the event out. One that it keeps carries the rate of its kind."""
    assert governed.sampling is not None
    rate = governed.sampling.rate(name)
    if rate >= 1.0:
        return None
    if not keeps(f"{person}\0{name}", rate):
        return LeftOut(rate)
    sent[semconv.PROPERTY_GENOPS_SAMPLE_RATE] = rate
    return None


def _told(
    governed: GovernedClient,
    call: PostHogCall,
    name: str,
    sent: dict[str, Any],
    count: int,
    at: datetime | None,
    session: PostHogAnalyticsSession | None,
) -> CaptureResult:
    decision = call.decision
    result = semconv.POLICY_RESULT_ALLOWED if decision is None else decision.result
    when = at or datetime.fromtimestamp(call.started_ns / 1e9, timezone.utc)
    is_taken = bool(call.events)
    return {
        "event_name": name,
        "distinct_id": call.distinct_id if is_taken else None,
        "cost": call.amount_nano / NANO_PER_USD,
        "list_cost": call.list_nano / NANO_PER_USD,
        "governance_applied": governed.governs,
        "timestamp": when.isoformat(),
        "properties_count": count,
        "properties": json_ready(sent if call.sent is None else call.sent),
        "is_identified": is_taken and call.identified,
        "event_uuid": call.event_uuid if is_taken else None,
        "trace_id": trace_id_of(call),
        "session_id": None if session is None else session.session_id,
        "blocked": result == semconv.POLICY_RESULT_BLOCKED,
        "sampled": result == semconv.POLICY_RESULT_SAMPLED,
        "policy_result": result,
        "policy_reason": None if decision is None or result == semconv.POLICY_RESULT_ALLOWED else decision.reason,
    }


def trace_id_of(call: PostHogCall) -> str | None:
    """The trace that a finished call belongs to, 32 hexadecimal digits."""
    if call.span is None:
        return None
    context = call.span.get_span_context()
    return context.trace_id.to_bytes(16, "big").hex() if context.is_valid else None

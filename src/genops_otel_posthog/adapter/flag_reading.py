"""Reading a flag: answered by PostHog's SDK, and told about."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timezone
from functools import partial
from typing import Any

from opentelemetry.context import get_current

from genops_otel_posthog import semconv
from genops_otel_posthog.adapter import arguments
from genops_otel_posthog.adapter.capturing import trace_id_of
from genops_otel_posthog.adapter.complying import admitted, make_admitted, tell
from genops_otel_posthog.adapter.governed_client import GovernedClient
from genops_otel_posthog.adapter.results import FlagMetadata
from genops_otel_posthog.adapter.session import PostHogAnalyticsSession
from genops_otel_posthog.adapter.withholding import set_aside_for_session, withheld_for_owner
from genops_otel_posthog.attribution import Attribution
from genops_otel_posthog.budgets.decision import ATTRIBUTION_MISSING
from genops_otel_posthog.errors import GenOpsValidationError
from genops_otel_posthog.instrumentation.call import PostHogCall
from genops_otel_posthog.instrumentation.enforcement import Withheld
from genops_otel_posthog.instrumentation.flag_results import flag_result_attributes
from genops_otel_posthog.instrumentation.operations import EVALUATE_FLAG
from genops_otel_posthog.money import NANO_PER_USD
from genops_otel_posthog.pricing.billing import FLAG_REQUEST


def read_flag(
    governed: GovernedClient,
    session: PostHogAnalyticsSession | None,
    named: Attribution,
    flag_key: str,
    distinct_id: object,
    properties: Mapping[str, Any] | None,
    groups: Mapping[str, Any] | None,
    group_properties: Mapping[str, Mapping[str, Any]] | None,
    default: Any,
    *,
    only_evaluate_locally: bool,
) -> tuple[Any, FlagMetadata]:
    """See :meth:`~.adapter.GenOpsPostHogAdapter.evaluate_feature_flag_with_governance`.

    Args:
        governed: Who asks.
        session: Whose call it is.
        named: The owner that comes before the surroundings.
        flag_key: The flag.
        distinct_id: Whom for.
        properties: What is known of the person.
        groups: The person's groups.
        group_properties: What is known of these.
        default: The value where there is no answer.
        only_evaluate_locally: Whether PostHog's server is not to be asked.
    """
    flag_key = arguments.flag_key(flag_key)
    person = arguments.distinct_id(distinct_id)
    if person is None:
        raise GenOpsValidationError("distinct_id is blank; a flag is evaluated for somebody")
    known = arguments.properties(properties)
    count = len(known)
    described = {kind: dict(each) for kind, each in (group_properties or {}).items()}
    aside, error = 0, None
    compliance = governed.compliance
    if compliance is not None:
        whose, known, withheld = admitted(compliance, "flag", flag_key, person, known)
        if withheld is not None:
            return _withheld(governed, named, flag_key, person, count, default, withheld, session)
        person = whose or person
        described = {kind: compliance.cleaned(each) for kind, each in described.items()}
    client = governed.client
    context = get_current() if session is None else session.context_in(get_current())
    if not only_evaluate_locally and withheld_for_owner(governed, named, context) is not None:
        only_evaluate_locally, error = True, ATTRIBUTION_MISSING
    kwargs: dict[str, Any] = {
        "groups": dict(groups or {}),
        "person_properties": known,
        "group_properties": described,
        "only_evaluate_locally": only_evaluate_locally,
    }
    call = governed.open_call(EVALUATE_FLAG, kwargs, context, named)
    if not only_evaluate_locally and session is not None and session.spending.is_limited:
        aside = governed.telemetry.pricer.quote(FLAG_REQUEST).amount_nano
        if set_aside_for_session(governed, session, aside) is not None:
            aside, kwargs["only_evaluate_locally"], error = 0, True, "budget_exceeded"
    result = None
    try:
        made_by = governed.make if compliance is None else partial(make_admitted, governed)
        result = made_by(call, type(client).get_feature_flag_result, (client, flag_key, person), kwargs)
    finally:
        if aside and session is not None:
            session.spending.settle(aside)
        if compliance is not None:
            made = "unanswered" if result is None else "answered"
            tell(compliance, "flag", call, person, trace_id_of(call), made=made, flag=flag_key)
    if call.flag_requests:
        governed.counts.asked(call.started_ns, flag_key, person)
    return _told(governed, call, flag_key, person, count, result, default, error, session)


def _withheld(
    governed: GovernedClient,
    named: Attribution,
    flag_key: str,
    person: str,
    count: int,
    default: Any,
    withheld: Withheld,
    session: PostHogAnalyticsSession | None,
) -> tuple[Any, FlagMetadata]:
    """The default, without a word to PostHog and without the person on a span."""
    context = get_current() if session is None else session.context_in(get_current())
    call = governed.open_call(EVALUATE_FLAG, {}, context, named)
    governed.withhold(call, withheld, (governed.client, flag_key), {})
    return _told(governed, call, flag_key, person, count, None, default, withheld.reason, session)


def _told(
    governed: GovernedClient,
    call: PostHogCall,
    flag_key: str,
    person: str,
    count: int,
    result: Any,
    default: Any,
    error: str | None,
    session: PostHogAnalyticsSession | None,
) -> tuple[Any, FlagMetadata]:
    metadata: FlagMetadata = {
        "flag_key": flag_key,
        "distinct_id": person,
        "cost": call.amount_nano / NANO_PER_USD,
        "list_cost": call.list_nano / NANO_PER_USD,
        "governance_applied": governed.governs,
        "timestamp": datetime.fromtimestamp(call.started_ns / 1e9, timezone.utc).isoformat(),
        "evaluation_context": count,
        "cached": False,
        "locally_evaluated": result is not None and not call.touched_network,
        "variant": None if result is None else result.variant,
        "payload": None if result is None else _payload(result.payload),
        "reason": flag_result_attributes(result, call.touched_network)[semconv.FEATURE_FLAG_RESULT_REASON],
        "error": None if result is not None else error or _error(governed, call),
        "trace_id": trace_id_of(call),
        "session_id": None if session is None else session.session_id,
    }
    return (default if result is None else result.get_value()), metadata


def _error(governed: GovernedClient, call: PostHogCall) -> str:
    """Why there is no answer. The SDK's own answer is the same for all of these."""
    if governed.client.disabled:
        return "disabled"
    if call.decision is not None and not call.decision.allowed:
        return "budget_exceeded"
    if call.quota_limited:
        return "quota_limited"
    if call.unanswered is not None:
        return call.unanswered
    return "flag_not_found" if call.touched_network else "not_evaluated_locally"


def _payload(given: Any) -> Any:
    if not isinstance(given, str):
        return given
    try:
        return json.loads(given)
    except ValueError:
        return given

"""Session recordings: made by a browser or an app, billed to the same organisation, told by the application."""

from __future__ import annotations

from typing import Any

from opentelemetry.context import get_current

from genops_otel_posthog.adapter import arguments
from genops_otel_posthog.adapter.capturing import trace_id_of
from genops_otel_posthog.adapter.complying import tell
from genops_otel_posthog.adapter.governed_client import GovernedClient
from genops_otel_posthog.adapter.session import PostHogAnalyticsSession
from genops_otel_posthog.adapter.withholding import raise_if_refused, set_aside_for_session, withheld_for_owner
from genops_otel_posthog.attribution import Attribution
from genops_otel_posthog.instrumentation.operations import RECORD_RECORDINGS
from genops_otel_posthog.money import NANO_PER_USD
from genops_otel_posthog.pricing.billing import Charge
from genops_otel_posthog.pricing.meters import RECORDINGS


def record_recordings(
    governed: GovernedClient, session: PostHogAnalyticsSession | None, named: Attribution, count: int
) -> float:
    """See :meth:`~.adapter.GenOpsPostHogAdapter.record_session_recording`.

    Args:
        governed: Who counts them.
        session: Whose they are.
        named: The owner that comes before the surroundings.
        count: How many.
    """
    count = arguments.count(count)
    charges = (Charge(RECORDINGS, count),)
    telemetry = governed.telemetry
    context = get_current() if session is None else session.context_in(get_current())
    call = governed.open_call(RECORD_RECORDINGS, {}, context, named)
    args, kwargs = (governed.client,), dict[str, Any]()
    withheld = withheld_for_owner(governed, named, context)
    aside = 0
    if withheld is None and session is not None and session.spending.is_limited:
        amount = telemetry.pricer.quote(charges).amount_nano
        withheld = set_aside_for_session(governed, session, amount)
        aside = amount if withheld is None else 0

    def count_them(_client: object) -> None:
        decision = telemetry.judge_request(charges)
        if decision is None or decision.allowed:
            telemetry.conclude(decision, made=True)
            telemetry.count_request(charges)

    try:
        if withheld is None:
            governed.make(call, count_them, args, kwargs)
        else:
            governed.withhold(call, withheld, args, kwargs)
    finally:
        if aside and session is not None:
            session.spending.settle(aside)
    if governed.compliance is not None:
        tell(governed.compliance, "recordings", call, None, trace_id_of(call), made="counted", count=count)
    raise_if_refused(governed, call, f"recording of {count} session{'' if count == 1 else 's'}")
    return call.amount_nano / NANO_PER_USD

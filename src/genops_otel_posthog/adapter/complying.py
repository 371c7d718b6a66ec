"""An adapter's calls and compliance: asked before anything of a call goes anywhere, and told afterwards."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from genops_otel_posthog.instrumentation.call import PostHogCall
from genops_otel_posthog.instrumentation.enforcement import Withheld
from genops_otel_posthog.money import usd_from_nano
from genops_otel_posthog.settings import Settings

if TYPE_CHECKING:
    from genops_otel_posthog.adapter.compliance import Compliance
    from genops_otel_posthog.adapter.governed_client import GovernedClient


def compliance_of(settings: Settings) -> Compliance | None:
    """What the tags ask for; ``None`` when they ask for nothing.

    Raises:
        GenOpsConfigurationError: A tag cannot be used.
    """
    if not settings.tags:
        return None
    from genops_otel_posthog.adapter.compliance import Compliance

    return Compliance.from_tags(settings.tags, policy=settings.governance_policy, host=settings.host, settings=settings)


def admitted(
    compliance: Compliance, kind: str, name: str, person: str | None, properties: Mapping[str, Any]
) -> tuple[str | None, dict[str, Any], Withheld | None]:
    """Whose call it is from now on and what it carries; nobody's and nothing where it is withheld.

    Args:
        compliance: Who is asked.
        kind: ``capture`` or ``flag``.
        name: The event, or the flag.
        person: Whose it is.
        properties: What it carries.
    """
    from genops_otel_posthog.adapter.compliance.compliance import Admitted

    answer = compliance.admit(kind, name, person, properties)
    if isinstance(answer, Admitted):
        return answer.distinct_id, answer.properties, None
    return None, {}, Withheld(answer.reason)


def make_admitted(
    governed: GovernedClient,
    call: PostHogCall,
    function: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Any:
    """Makes a call that was admitted, see :meth:`.GovernedClient.make`."""
    from genops_otel_posthog.adapter.compliance.passing import already_admitted

    with already_admitted():
        return governed.make(call, function, args, kwargs)


def tell(
    compliance: Compliance,
    kind: str,
    call: PostHogCall,
    person: str | None,
    trace_id: str | None,
    *,
    made: str,
    **facts: Any,
) -> None:
    """Writes to the audit trail what became of a call that was admitted.

    Args:
        compliance: Who keeps it.
        kind: The action.
        call: The call, finished.
        person: Whose it was.
        trace_id: The trace it belongs to.
        made: The outcome of a call that nobody refused.
        **facts: What else there is to say.
    """
    if compliance.trail is None:
        return
    decision, owner = call.decision, call.owner
    outcome, reason = made, None
    if decision is not None and not decision.allowed:
        outcome, reason = decision.result, decision.reason
    compliance.record(
        kind,
        outcome,
        distinct_id=person,
        reason=reason,
        trace_id=trace_id,
        cost=usd_from_nano(call.amount_nano),
        list_cost=usd_from_nano(call.list_nano),
        team=None if owner is None else owner.team,
        project=None if owner is None else owner.project,
        **facts,
    )

"""Calls that an adapter does not make, and how it says so."""

from __future__ import annotations

import logging
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from genops_otel_posthog import semconv
from genops_otel_posthog.budgets.decision import ATTRIBUTION_MISSING, Refusal
from genops_otel_posthog.errors import GenOpsBudgetExceededError
from genops_otel_posthog.instrumentation.call import PostHogCall
from genops_otel_posthog.instrumentation.enforcement import Withheld
from genops_otel_posthog.money import usd_from_nano
from genops_otel_posthog.settings.once import WarnOnce

if TYPE_CHECKING:
    from genops_otel_posthog.adapter.governed_client import GovernedClient
    from genops_otel_posthog.adapter.session import PostHogAnalyticsSession

_warn = WarnOnce(logging.getLogger(__name__))


def not_made(*_args: Any, **_kwargs: Any) -> None:
    """What is called in place of the SDK's method."""


def withheld_for_owner() -> Withheld:
    """Policy strict wants an owner, and the adapter has none."""
    return Withheld(ATTRIBUTION_MISSING)


def withheld_for_session(
    governed: GovernedClient, session: PostHogAnalyticsSession, amount_nano: int
) -> Withheld | None:
    """Sets aside what a call of a session will cost; refuses it where that is more than the session may spend.

    Policy advisory refuses nothing and says so once.
    """
    if session.has_room_for(amount_nano):
        return None
    if governed.settings.governance_policy == "advisory":
        session.reserve(amount_nano)
        _warn(
            "session limits",
            f"Session {session.session_name!r} spends more than its budget_limit of ${session.budget_limit}; policy "
            "advisory refuses nothing",
        )
        return None
    return Withheld(semconv.POLICY_REASON_SESSION_LIMIT)


def raise_if_refused(
    governed: GovernedClient, call: PostHogCall, what: str, session: PostHogAnalyticsSession | None
) -> None:
    """Tells the application that its call was refused for money, or for want of an owner.

    What is withheld for compliance or left out of a sample is said in the result alone.

    Raises:
        GenOpsBudgetExceededError: It was.
    """
    decision = call.decision
    if isinstance(decision, Refusal):
        raise decision.error(what)
    if not isinstance(decision, Withheld):
        return
    if decision.reason == ATTRIBUTION_MISSING:
        fields = " and ".join(governed.unnamed)
        raise GenOpsBudgetExceededError(
            f"{what} was refused: under policy strict every call needs a {fields}, and nobody named one. Pass "
            f"{', '.join(f'{name}=…' for name in governed.unnamed)} to the adapter, or set "
            f"{', '.join(f'GENOPS_{name.upper()}' for name in governed.unnamed)}"
        )
    if decision.reason == semconv.POLICY_REASON_SESSION_LIMIT and session is not None:
        spent = Decimal(str(session.total_cost))
        limit = session.budget_limit or Decimal(0)
        raise GenOpsBudgetExceededError(
            f"{what} was refused: session {session.session_name!r} has spent ${spent} of its budget_limit of ${limit}. "
            "Raise it, or end the session",
            limit,
            spent,
            usd_from_nano(0),
            budget_id=f"session:{session.session_id}",
        )

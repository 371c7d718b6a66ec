"""Calls that an adapter does not make, and how it says so."""

from __future__ import annotations

import logging
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from opentelemetry.context import Context

from genops_otel_posthog import semconv
from genops_otel_posthog.adapter.options import NOBODY_NAMED
from genops_otel_posthog.adapter.session_spending import SessionSpending
from genops_otel_posthog.attribution import Attribution
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


class WithheldForSession(Withheld):
    """The call is not made, because a session has no money for it.

    Attributes:
        spending: What that session has spent.
    """

    __slots__ = ("spending",)

    def __init__(self, spending: SessionSpending) -> None:
        super().__init__(semconv.POLICY_REASON_SESSION_LIMIT)
        self.spending = spending


def withheld_for_owner(governed: GovernedClient, named: Attribution, context: Context) -> Withheld | None:
    """Policy strict wants an owner, and neither the adapter nor the call nor its surroundings name one."""
    if not governed.unnamed:
        return None
    owner = governed.telemetry.resolver.resolve(context, named)
    if all(getattr(owner, field) != NOBODY_NAMED for field in governed.unnamed):
        return None
    return Withheld(ATTRIBUTION_MISSING)


def set_aside_for_session(
    governed: GovernedClient, session: PostHogAnalyticsSession, amount_nano: int
) -> WithheldForSession | None:
    """Sets aside what a call of a session will cost; refuses it where that is more than the session may spend.

    Policy advisory refuses nothing and says so once. Where it is not refused, ``session.spending.settle`` has to
    follow.
    """
    is_advisory = governed.settings.governance_policy == "advisory"
    over = session.spending.set_aside(amount_nano, refuses=not is_advisory)
    if over is None:
        return None
    if is_advisory:
        _warn(
            "session limits",
            f"Session {over.session_name!r} spends more than its budget_limit of ${over.limit}; policy advisory "
            "refuses nothing",
        )
        return None
    return WithheldForSession(over)


def raise_if_refused(governed: GovernedClient, call: PostHogCall, what: str) -> None:
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
            f"{', '.join(f'{name}=…' for name in governed.unnamed)} to the adapter or the session, or set "
            f"{', '.join(f'GENOPS_{name.upper()}' for name in governed.unnamed)}"
        )
    if isinstance(decision, WithheldForSession):
        spending = decision.spending
        spent, limit = usd_from_nano(spending.spent_nano), spending.limit or Decimal(0)
        raise GenOpsBudgetExceededError(
            f"{what} was refused: session {spending.session_name!r} has spent ${spent} of its budget_limit of ${limit}"
            ". Raise it, or end the session",
            limit,
            spent,
            usd_from_nano(0),
            budget_id=f"session:{spending.session_id}",
        )

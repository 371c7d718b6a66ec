"""Budgets at the SDK's waists: each thing that PostHog would bill is asked about where it is exactly known.

The decision is taken at the waist and not at the public method, because only there it is known what will be billed; a
refused event is not queued, a refused flag request is answered as PostHog answers over its own quota, a refused
download of definitions leaves those that are there. The public method raises, if it is to raise, when the SDK is
through (see ``wrappers.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias
from uuid import UUID

from opentelemetry.context import Context
from opentelemetry.trace import get_current_span

from genops_otel_posthog import semconv
from genops_otel_posthog.attribution import Attribution
from genops_otel_posthog.budgets.account import Account
from genops_otel_posthog.budgets.decision import Refusal, Reservation
from genops_otel_posthog.budgets.ledger.protocol import BASIS_POINTS, Standing
from genops_otel_posthog.budgets.opening import Budgeting
from genops_otel_posthog.budgets.sampling import keeps
from genops_otel_posthog.pricing.billing import Charge


class LeftOut:
    """The event is not sent: of such events a budget that fills keeps only a part.

    Attributes:
        rate: The part that is kept.
    """

    __slots__ = ("rate",)

    allowed: Final = False
    result: Final = semconv.POLICY_RESULT_SAMPLED
    reason: Final = semconv.POLICY_REASON_SAMPLED
    account: Final = None

    def __init__(self, rate: float) -> None:
        self.rate = rate


class Withheld:
    """The call is not made, for a reason that no budget knows of.

    Attributes:
        reason: Why.
    """

    __slots__ = ("reason",)

    allowed: Final = False
    result: Final = semconv.POLICY_RESULT_BLOCKED
    account: Final = None

    def __init__(self, reason: str) -> None:
        self.reason = reason


Decision: TypeAlias = "Reservation | Refusal | LeftOut | Withheld"

_WEIGHT = {
    semconv.POLICY_RESULT_ALLOWED: 0,
    semconv.POLICY_RESULT_WARNING: 1,
    semconv.POLICY_RESULT_SAMPLED: 2,
    semconv.POLICY_RESULT_BLOCKED: 3,
}


def weightier(one: Decision | None, other: Decision) -> Decision:
    """Of two decisions about one call, the one that its span tells of."""
    return other if one is None or _WEIGHT[other.result] > _WEIGHT[one.result] else one


class Enforcement:
    """Decides about events and requests, and says on spans what was decided.

    Args:
        budgeting: The governor and its rules.
    """

    def __init__(self, budgeting: Budgeting) -> None:
        self.governor = budgeting.governor
        self.raises = budgeting.raises
        self.settle: Callable[[Reservation], None] = budgeting.governor.settle
        self.release: Callable[[Reservation], None] = budgeting.governor.release
        self._sampling = budgeting.sampling
        self._critical_events = budgeting.critical_events
        self._told: dict[str, Standing | None] = {}
        self._reached: dict[str, tuple[str, int]] = {}

    # --- deciding --------------------------------------------------------------------------------------------------

    def judge_event(
        self,
        message: dict[str, Any],
        owner: Attribution,
        charges: tuple[Charge, ...],
        context: Context,
        *,
        always: bool = False,
    ) -> Decision:
        """Whether an event may be queued. One that is kept although others are not carries the rate of its kind, times
        the rate at which it was chosen before.

        Args:
            message: The event as the SDK is about to queue it.
            owner: Whose it is.
            charges: What PostHog would bill.
            context: The OpenTelemetry context of the call.
            always: Whether no sampling may leave it out.
        """
        name = message["event"]
        if self._sampling is not None and charges and not always:
            rate = self._sampling.rate(name, self.governor.utilization(owner))
            if rate < 1.0:
                if not keeps(_sampling_key(message, context), rate):
                    self.governor.note(LeftOut.result, LeftOut.reason)
                    return LeftOut(rate)
                given = message.get("properties") or {}
                before = given.get(semconv.PROPERTY_GENOPS_SAMPLE_RATE)
                if isinstance(before, (int, float)) and 0 < before < 1:
                    rate *= before
                message["properties"] = {**given, semconv.PROPERTY_GENOPS_SAMPLE_RATE: rate}
        return self.governor.admit(owner, charges, critical=name in self._critical_events)

    def judge_request(self, owner: Attribution, charges: tuple[Charge, ...]) -> Decision:
        """Whether a request that PostHog bills by itself may be made: flags, definitions."""
        return self.governor.admit(owner, charges)

    # --- telling ---------------------------------------------------------------------------------------------------

    def attributes(self, decision: Decision) -> dict[str, Any]:
        """The decision as attributes of the call's span."""
        attributes: dict[str, Any] = {semconv.GENOPS_POLICY_RESULT: decision.result}
        if decision.result == semconv.POLICY_RESULT_ALLOWED:
            return attributes
        attributes[semconv.GENOPS_POLICY_REASON] = decision.reason
        account = decision.account
        if account is not None:
            attributes[semconv.GENOPS_POLICY_NAME] = account.policy.value
            attributes[semconv.GENOPS_BUDGET_ID] = account.budget.id
            attributes[semconv.GENOPS_BUDGET_UTILIZATION] = account.utilization
        if isinstance(decision, LeftOut):
            attributes[semconv.GENOPS_SAMPLE_RATE] = decision.rate
        return attributes

    def span_event(self, decision: Decision) -> tuple[str, Mapping[str, Any]] | None:
        """The event that the call's span gets: a refusal, or a threshold that was reached since the call before."""
        account = decision.account
        if account is None or decision.result == semconv.POLICY_RESULT_ALLOWED:
            return None
        about = {
            semconv.GENOPS_BUDGET_ID: account.budget.id,
            semconv.GENOPS_BUDGET_UTILIZATION: account.utilization,
        }
        if isinstance(decision, Refusal):
            return semconv.EVENT_GENOPS_BUDGET_EXCEEDED, {**about, semconv.GENOPS_POLICY_REASON: decision.reason}
        reached = self._newly_reached(account)
        if reached is None:
            return None
        return semconv.EVENT_GENOPS_BUDGET_THRESHOLD, {**about, semconv.GENOPS_BUDGET_THRESHOLD: reached / BASIS_POINTS}

    def _newly_reached(self, account: Account) -> int | None:
        """The highest threshold that a budget has reached, the first time it is asked about in a period."""
        if self._told.get(account.budget.id) is account.standing:
            return None  # nothing was heard of the budget since
        self._told[account.budget.id] = account.standing
        reached, key = account.highest_threshold, account.key
        if reached is None or key is None or self._reached.get(account.budget.id) == (key.period, reached):
            return None
        self._reached[account.budget.id] = key.period, reached
        return reached


def _sampling_key(message: Mapping[str, Any], context: Context) -> str:
    """Whose event it is; of one that nobody sent, the trace it belongs to.

    Where the application names nobody, the SDK makes up a random id (UUID version 4) for each event and marks it as
    personless.
    """
    distinct_id = str(message.get("distinct_id"))
    properties = message.get("properties") or {}
    if properties.get("$process_person_profile") is False and _is_made_up(distinct_id):
        span_context = get_current_span(context).get_span_context()
        if span_context.is_valid:
            return f"{span_context.trace_id:032x}"
    return distinct_id


def _is_made_up(distinct_id: str) -> bool:
    try:
        return UUID(distinct_id).version == 4
    except ValueError:
        return False

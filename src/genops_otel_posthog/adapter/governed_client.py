"""A PostHog client together with who answers for its calls, what they cost and what they may spend.

Adapters are cheap because they hold one of these, and those with the same options hold the same. Budgets belong to an
owner and not to an adapter: a new adapter for the same owner goes on where the last one was.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from opentelemetry.context import Context

from genops_otel_posthog.adapter.clients import ModuleClient, SharedClient
from genops_otel_posthog.adapter.complying import compliance_of
from genops_otel_posthog.adapter.day_counts import DayCounts
from genops_otel_posthog.adapter.sampling import EventSampling
from genops_otel_posthog.adapter.withholding import not_made
from genops_otel_posthog.attribution import NOBODY, Attribution
from genops_otel_posthog.budgets.budget import Budget, BudgetPolicy
from genops_otel_posthog.budgets.environment_budgets import settings_budgets
from genops_otel_posthog.budgets.opening import Budgeting
from genops_otel_posthog.instrumentation.call import PostHogCall
from genops_otel_posthog.instrumentation.enforcement import Enforcement, LeftOut, Withheld
from genops_otel_posthog.instrumentation.event_properties import owner_in_properties
from genops_otel_posthog.instrumentation.operations import Operation
from genops_otel_posthog.instrumentation.own_calls import begin_own_calls, is_ready, make
from genops_otel_posthog.instrumentation.telemetry import Telemetry
from genops_otel_posthog.metering.metering import Metering
from genops_otel_posthog.pricing.meters import LLM_EVENTS, RECORDINGS
from genops_otel_posthog.settings import Settings

if TYPE_CHECKING:
    from genops_otel_posthog.adapter.compliance import Compliance
    from genops_otel_posthog.adapter.session import PostHogAnalyticsSession

_T = TypeVar("_T")


class GovernedClient:
    """See the module. Safe to use from any thread, and after a fork.

    Args:
        settings: Whose calls they are, and how they are shown.
        named: The owner that comes before the surroundings of a call.
        telemetry: Prices, counts and shows calls.
        metering: Where that was opened.
        budgeting: The budgets; ``None`` where nothing is asked.
        client: The SDK's client.
        unnamed: Owner fields that policy strict wants and nobody gave.
        sampling: Which events are left out whatever the budget; ``None`` where none is.
        alerts: Whether somebody is told when a budget reaches a threshold.
        compliance: Asked before every call; what the tags ask for when not given.
        governance: Whether budgets are to be asked, now or when there are some.

    Attributes:
        has_changed: Whether limits or policy are not those that it was made with.
        counts: What was used on which day.
        sessions: Those that are not over, by id.
    """

    def __init__(
        self,
        settings: Settings,
        named: Attribution,
        telemetry: Telemetry,
        metering: Metering,
        budgeting: Budgeting | None,
        client: SharedClient | ModuleClient,
        *,
        unnamed: tuple[str, ...] = (),
        sampling: EventSampling | None = None,
        alerts: bool = True,
        compliance: Compliance | None = None,
        governance: bool = True,
    ) -> None:
        self.settings = settings
        self.named = named
        self.telemetry = telemetry
        self.metering = metering
        self.budgeting = budgeting
        self._unnamed = unnamed
        self._governance = governance
        self.has_changed = False
        self.sampling = sampling
        self.alerts = alerts
        self._own_compliance = compliance
        self.compliance = compliance or compliance_of(settings)
        self.counts = DayCounts()
        self.sessions: weakref.WeakValueDictionary[str, PostHogAnalyticsSession] = weakref.WeakValueDictionary()
        self._client = client

    @property
    def client(self) -> Any:
        """The SDK's client."""
        return self._client.sdk

    @property
    def shared(self) -> SharedClient | ModuleClient:
        """That, as others share it."""
        return self._client

    @property
    def host(self) -> str:
        """The host that it sends to."""
        return self._client.host

    def flush(self, timeout: float) -> bool:
        """Waits until the queue of the SDK is empty, at most so many seconds; whether it is."""
        return self._client.flush(timeout)

    def end_client(self, timeout: float) -> bool:
        """Ends the SDK's client, at most so many seconds; whether it sent everything."""
        return self._client.end(timeout)

    @property
    def unnamed(self) -> tuple[str, ...]:
        """Owner fields that the present policy wants and the adapter does not have."""
        return self._unnamed if self.settings.governance_policy == "strict" else ()

    @property
    def governs(self) -> bool:
        """Whether budgets are asked and events carry their owner."""
        return self.budgeting is not None or self.settings.event_properties != "off"

    # --- calls ------------------------------------------------------------------------------------------------------

    def open_call(
        self, operation: Operation, kwargs: dict[str, Any], context: Context, named: Attribution
    ) -> PostHogCall:
        """Opens a call.

        Args:
            operation: What is asked for.
            kwargs: The arguments for the SDK.
            context: Where it is made.
            named: The owner that comes before those surroundings.
        """
        telemetry = self.telemetry
        if operation.takes_properties and telemetry.application_wins:
            declared = owner_in_properties(kwargs.get("properties"))
            if declared is not NOBODY:
                named = declared.over(named)
        return PostHogCall(telemetry, operation, telemetry.resolver.resolve(context, named), context)

    def make(self, call: PostHogCall, function: Callable[..., _T], args: tuple[Any, ...], kwargs: dict[str, Any]) -> _T:
        """Makes a call and counts it under its day.

        Args:
            call: From :meth:`open_call`.
            function: A method of the SDK.
            args: Its arguments, the client first.
            kwargs: Its keyword arguments.
        """
        if not is_ready():  # it is older than the last uninstrumentation
            begin_own_calls(self.telemetry, self.settings, self.metering.meter)
        try:
            return make(call, function, args, kwargs)
        finally:
            self._count(call)

    def withhold(
        self, call: PostHogCall, decision: Withheld | LeftOut, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        """Shows a call that is not made.

        Args:
            call: From :meth:`open_call`.
            decision: Why.
            args: Its arguments, the client first.
            kwargs: Its keyword arguments.
        """
        call.decision = decision
        if self.budgeting is not None:
            self.budgeting.governor.note(decision.result, decision.reason)
        make(call, not_made, args, kwargs)

    def _count(self, call: PostHogCall) -> None:
        counts = self.counts
        with counts.lock:
            day = counts.at(call.started_ns)
            day.cost_nano += call.amount_nano
            day.flag_requests += call.flag_requests
            day.definition_polls += call.definition_polls
            operation = call.operation
            if operation.reads_flags:
                day.flags_evaluated += 1
            elif operation.sends_event and call.events:
                day.events += 1
                day.identified_events += call.identified
                day.llm_events += call.meter == LLM_EVENTS
                name = call.event
                if name in day.by_event or len(day.by_event) < counts.MOST_EVENT_NAMES:
                    day.by_event[name] = day.by_event.get(name, 0) + 1
            elif call.meter == RECORDINGS:
                day.recordings += call.units

    # --- budgets ----------------------------------------------------------------------------------------------------

    def budgets(self) -> tuple[Budget, ...]:
        """The budgets of this owner's limits."""
        return owner_budgets(self.settings)

    def change_limits(self, changes: Mapping[str, Any]) -> None:
        """Changes limits or the policy while the application runs; what has been spent stays spent.

        Args:
            changes: Fields of the settings.
        """
        with _changing:
            before = {budget.id for budget in self.budgets()}
            settings = replace(self.settings, **changes)
            if settings.governance_policy != self.settings.governance_policy and self._own_compliance is None:
                self.compliance = compliance_of(settings)
            self.settings = settings
            self.has_changed = True
            if self.budgeting is None and self._governance:
                self.budgeting = self.metering.open_budgets(self.budgets(), replacing=True)
            elif self.budgeting is not None:
                budgets = self.budgeting.governor.budgets
                for budget in self.budgets():
                    before.discard(budget.id)
                    budgets.replace(budget)
                for budget_id in before:
                    budgets.remove(budget_id)
            enforcement = self.telemetry.enforcement
            if enforcement is None and self.budgeting is not None:
                enforcement = Enforcement(self.budgeting)
            self.telemetry.hold_to(settings.governance_policy, enforcement)


def owner_budgets(settings: Settings) -> tuple[Budget, ...]:
    """The budgets of the limits that settings give their owner.

    Args:
        settings: The limits, the owner and the policy.
    """
    policy = BudgetPolicy(settings.governance_policy)
    # One that only warns, because nobody has set its limit, stays so.
    return tuple(
        budget if budget.policy is not None else replace(budget, policy=policy) for budget in settings_budgets(settings)
    )


_changing = threading.RLock()


def _after_fork_in_child() -> None:
    global _changing
    _changing = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)

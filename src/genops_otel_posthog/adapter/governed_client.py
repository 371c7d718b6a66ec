"""A PostHog client together with who answers for its calls, what they cost and what they may spend.

Adapters are cheap because they hold one of these, and those with the same options hold the same. Budgets belong to an
owner and not to an adapter: a new adapter for the same owner goes on where the last one was.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, TypeVar

from opentelemetry import metrics, trace
from opentelemetry.context import Context

from genops_otel_posthog import semconv
from genops_otel_posthog.adapter.clients import ModuleClient, SharedClient, comparable, shared_client
from genops_otel_posthog.adapter.complying import compliance_of
from genops_otel_posthog.adapter.day_counts import DayCounts
from genops_otel_posthog.adapter.options import AdapterOptions, environment_now
from genops_otel_posthog.adapter.sampling import EventSampling
from genops_otel_posthog.adapter.withholding import not_made
from genops_otel_posthog.attribution import NOBODY, Attribution, AttributionResolver
from genops_otel_posthog.budgets.budget import Budget, BudgetPolicy
from genops_otel_posthog.budgets.environment_budgets import settings_budgets
from genops_otel_posthog.budgets.opening import Budgeting
from genops_otel_posthog.instrumentation.call import PostHogCall
from genops_otel_posthog.instrumentation.enforcement import Enforcement, LeftOut, Withheld
from genops_otel_posthog.instrumentation.event_properties import owner_in_properties
from genops_otel_posthog.instrumentation.operations import Operation
from genops_otel_posthog.instrumentation.own_calls import begin_own_calls, end_own_calls, is_ready, make
from genops_otel_posthog.instrumentation.telemetry import Telemetry
from genops_otel_posthog.metering.metering import SCOPE, Metering, budget_key
from genops_otel_posthog.pricing.meters import LLM_EVENTS, RECORDINGS
from genops_otel_posthog.settings import Settings
from genops_otel_posthog.version import __version__

if TYPE_CHECKING:
    from genops_otel_posthog.adapter.compliance import Compliance
    from genops_otel_posthog.adapter.session import PostHogAnalyticsSession

_T = TypeVar("_T")

_KEPT: Final = 1024
"""How many of the latest are kept although no adapter holds them, for those that are made for each request."""


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
        return _budgets(self.settings)

    def change_limits(self, changes: Mapping[str, Any]) -> None:
        """Changes limits or the policy while the application runs; what has been spent stays spent.

        Args:
            changes: Fields of the settings.
        """
        with _lock:
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


def _budgets(settings: Settings) -> tuple[Budget, ...]:
    policy = BudgetPolicy(settings.governance_policy)
    # One that only warns, because nobody has set its limit, stays so.
    return tuple(
        budget if budget.policy is not None else replace(budget, policy=policy) for budget in settings_budgets(settings)
    )


# --- one for all adapters with the same options ----------------------------------------------------------------------

_lock = threading.RLock()
_known: weakref.WeakValueDictionary[object, GovernedClient] = weakref.WeakValueDictionary()
_latest: OrderedDict[object, GovernedClient] = OrderedDict()
_changed: dict[object, GovernedClient] = {}
"""Those of an earlier time whose limits were changed: who comes again is to find them changed."""

_meterings: dict[tuple[object, ...], Metering] = {}


def governed_client(
    arguments: Mapping[str, Any],
    tracer_provider: trace.TracerProvider | None,
    meter_provider: metrics.MeterProvider | None,
) -> GovernedClient:
    """The governed client of an adapter's arguments.

    Args:
        arguments: Those that were given, without the providers.
        tracer_provider: Where spans go; the global one when not given.
        meter_provider: Where metrics go; the global one when not given.

    Raises:
        GenOpsConfigurationError: An argument or a variable cannot be used, or the SDK is missing or not supported.
    """
    key = _key(arguments, tracer_provider, meter_provider)
    known = _known.get(key)
    if known is not None:
        try:
            _latest.move_to_end(key)
        except KeyError:  # too many came since; an adapter has held it meanwhile
            _keep(key, known)
        return known
    with _lock:
        made = _known.get(key)
        if made is None:
            made = _known[key] = _make(AdapterOptions.of(arguments), tracer_provider, meter_provider)
            _keep(key, made)
        return made


def _keep(key: object, one: GovernedClient) -> None:
    with _lock:
        _latest[key] = one
        while len(_latest) > _KEPT:
            old, unused = _latest.popitem(last=False)
            if unused.has_changed:
                _changed[old] = unused


def _key(arguments: Mapping[str, Any], *providers: object) -> object:
    """What tells adapters apart."""
    given = tuple(
        [
            (name, comparable(value) if isinstance(value, (Mapping, list, set)) else value)
            for name, value in arguments.items()
        ]
    )
    key = (given, providers, environment_now())
    try:
        hash(key)
    except TypeError:
        return comparable(key)
    return key


def _make(
    options: AdapterOptions,
    tracer_provider: trace.TracerProvider | None,
    meter_provider: metrics.MeterProvider | None,
) -> GovernedClient:
    settings = options.settings
    client = shared_client(options.key, settings.host, options.secret_key, options.client_options)
    metering = _metering(options.shared, meter_provider, strict=settings.governance_policy != "advisory")
    budgeting = None
    if options.enable_governance:
        budgeting = metering.open_budgets(_budgets(settings), replacing=True)
    else:
        settings = replace(settings, event_properties="off")
    owner = Attribution.from_settings(settings)
    telemetry = Telemetry(
        settings,
        AttributionResolver(owner, settings.baggage_in),
        metering,
        trace.get_tracer(SCOPE, __version__, tracer_provider, schema_url=semconv.SCHEMA_URL),
        None if budgeting is None else Enforcement(budgeting),
    )
    if budgeting is not None:
        budgeting.governor.prepare(owner)
    # They stay for as long as the process runs, and cost a call that is no adapter's a look-up.
    begin_own_calls(telemetry, settings, metering.meter)
    return GovernedClient(
        settings,
        options.named,
        telemetry,
        metering,
        budgeting,
        client,
        unnamed=options.unnamed,
        sampling=options.sampling,
        alerts=options.alerts,
        compliance=options.compliance,
        governance=options.enable_governance,
    )


def _metering(settings: Settings, meter_provider: metrics.MeterProvider | None, *, strict: bool) -> Metering:
    """Prices and totals are the same for all adapters that agree on where they are counted."""
    key = (*budget_key(settings), settings.metric_labels, meter_provider)
    metering = _meterings.get(key)
    if metering is None:
        metering = _meterings[key] = Metering(settings, meter_provider=meter_provider, strict=strict)
    return metering


def forget_all() -> None:
    """Lets go of everything, as at the end of the process; adapters that are made later start anew."""
    with _lock:
        end_own_calls()
        _known.clear()
        _latest.clear()
        _changed.clear()
        for metering in _meterings.values():
            metering.close()
        _meterings.clear()


def _after_fork_in_child() -> None:
    global _lock
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)

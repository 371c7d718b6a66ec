"""The adapter of the guide: PostHog calls with an owner, a price and a budget, which tell what became of them."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from opentelemetry import metrics, trace
from opentelemetry.context import get_current

from genops_otel_posthog.adapter import arguments
from genops_otel_posthog.adapter.capturing import capture
from genops_otel_posthog.adapter.flag_reading import read_flag
from genops_otel_posthog.adapter.governed_client import GovernedClient
from genops_otel_posthog.adapter.known_clients import governed_client
from genops_otel_posthog.adapter.limits import changed_limits
from genops_otel_posthog.adapter.metrics_export import Gauges, figures, prometheus_text, send_gauges
from genops_otel_posthog.adapter.moments import Moment
from genops_otel_posthog.adapter.recommendations import Projection
from genops_otel_posthog.adapter.recordings import record_recordings
from genops_otel_posthog.adapter.results import CaptureResult, FlagMetadata
from genops_otel_posthog.adapter.session import PostHogAnalyticsSession, session_in
from genops_otel_posthog.adapter.session_arguments import session_owner
from genops_otel_posthog.adapter.summary import cost_summary, weekly_trend
from genops_otel_posthog.attribution import Attribution
from genops_otel_posthog.settings.once import WarnOnce

if TYPE_CHECKING:
    from genops_otel_posthog.adapter.compliance import Compliance

_warn = WarnOnce(logging.getLogger(__name__))


class GenOpsPostHogAdapter:
    """PostHog calls of one owner. Safe to use from any thread; cheap to make for each request.

    Adapters for the same key and host share one PostHog client, and adapters for the same owner one budget: what was
    spent is kept in the ledger, not here. Where nothing is given, the environment holds, and where that says nothing,
    what the guide says.

    Args:
        posthog_api_key: Project key (``phc_…``); else ``POSTHOG_API_KEY``. Without one nothing is sent and nothing
            costs anything, unless ``POSTHOG_ENABLE=true`` wants it otherwise.
        posthog_host: Ingestion host; else ``POSTHOG_HOST``, else PostHog's in the US.
        team: Who answers for the cost; else ``GENOPS_TEAM``, else ``default``.
        project: Else ``GENOPS_PROJECT``, else ``default``.
        environment: Else ``GENOPS_ENVIRONMENT``, else ``production``.
        customer_id: Else ``GENOPS_CUSTOMER_ID``.
        cost_center: Else ``GENOPS_COST_CENTER``.
        daily_budget_limit: What the owner may spend per day, US dollars, 0 or more; ``"unlimited"`` for no limit. Else
            ``GENOPS_DAILY_BUDGET_LIMIT``, else 1000.
        monthly_budget_limit: Per calendar month; else ``GENOPS_MONTHLY_BUDGET_LIMIT``, else none.
        enable_governance: Whether budgets are asked and events carry their owner. Cost is counted either way.
        enable_cost_alerts: Whether the webhook is told when a budget reaches a threshold.
        governance_policy: ``advisory`` (nothing is refused), ``enforced``, or ``strict`` (from 95 percent on, without a
            named owner, and without a ledger). The guide's ``basic``, ``standard`` and ``enhanced`` stand for these
            three. Else ``GENOPS_GOVERNANCE_POLICY``, else ``advisory``.
        tags: Free tags, on spans and events; added to ``GENOPS_TAGS``. Some have a meaning: ``alert_webhook``,
            ``alert_thresholds``, ``escalation_policy``, ``cost_optimization``, and those about compliance.
        weekly_budget_limit: Per ISO week; else ``GENOPS_WEEKLY_BUDGET_LIMIT``, else none.
        feature: Else ``GENOPS_FEATURE``.
        secret_key: A secret key of the project, with which the SDK evaluates flags locally.
        sampling: ``off``, ``enabled`` or ``aggressive``; else the tag ``cost_optimization``, else ``off``.
        compliance: Asked before every call, and told afterwards; what the tags ask for when not given.
        client_options: Further arguments of ``posthog.Posthog``, such as ``flush_at``, ``max_retries`` or
            ``before_send``; adapters that agree on them share a client.
        tracer_provider: Where spans go; the global one when not given.
        meter_provider: Where metrics go; the global one when not given.
        **options: Further options of :meth:`PostHogInstrumentor.instrument`: ``pricing_mode``, ``price_book``,
            ``usage_to_date``, ``ledger_url``, ``alert_webhook``, ``alert_thresholds`` and the others.

    Raises:
        GenOpsConfigurationError: An argument or a variable cannot be used, or no supported PostHog SDK is installed.
        TypeError: There is no such argument.

    Example:
        >>> adapter = GenOpsPostHogAdapter(team="growth", project="web", daily_budget_limit=50)  # doctest: +SKIP
        >>> with adapter.track_analytics_session("onboarding", customer_id="acme") as session:  # doctest: +SKIP
        ...     session.capture_event("signup_completed", {"plan": "pro"}, "user-42")["cost"]
        0.00005
    """

    def __init__(
        self,
        posthog_api_key: str | None = None,
        posthog_host: str | None = None,
        team: str | None = None,
        project: str | None = None,
        environment: str | None = None,
        customer_id: str | None = None,
        cost_center: str | None = None,
        daily_budget_limit: Decimal | float | str | None = None,
        monthly_budget_limit: Decimal | float | str | None = None,
        enable_governance: bool = True,
        enable_cost_alerts: bool = True,
        governance_policy: str | None = None,
        tags: Mapping[str, str] | None = None,
        *,
        weekly_budget_limit: Decimal | float | str | None = None,
        feature: str | None = None,
        secret_key: str | None = None,
        sampling: str | None = None,
        compliance: Compliance | None = None,
        client_options: Mapping[str, Any] | None = None,
        tracer_provider: trace.TracerProvider | None = None,
        meter_provider: metrics.MeterProvider | None = None,
        **options: Any,
    ) -> None:
        self.governed: GovernedClient = governed_client(
            {
                "posthog_api_key": posthog_api_key,
                "posthog_host": posthog_host,
                "team": team,
                "project": project,
                "environment": environment,
                "customer_id": customer_id,
                "cost_center": cost_center,
                "daily_budget_limit": daily_budget_limit,
                "monthly_budget_limit": monthly_budget_limit,
                "enable_governance": enable_governance,
                "enable_cost_alerts": enable_cost_alerts,
                "governance_policy": governance_policy,
                "tags": tags,
                "weekly_budget_limit": weekly_budget_limit,
                "feature": feature,
                "secret_key": secret_key,
                "sampling": sampling,
                "compliance": compliance,
                "client_options": client_options,
                **options,
            },
            tracer_provider,
            meter_provider,
        )

    @classmethod
    def over(cls, governed: GovernedClient) -> GenOpsPostHogAdapter:
        """An adapter over what is there already."""
        adapter = cls.__new__(cls)
        adapter.governed = governed
        return adapter

    @property
    def compliance(self) -> Compliance | None:
        """What is asked before every call; ``None`` when no tag asks for it."""
        return self.governed.compliance

    # --- calls ------------------------------------------------------------------------------------------------------

    def capture_event_with_governance(
        self,
        event_name: str,
        properties: Mapping[str, Any] | None = None,
        distinct_id: str | None = None,
        is_identified: bool = False,
        session_id: str | None = None,
        *,
        timestamp: Moment | None = None,
        always: bool = False,
        raises: bool = True,
        **options: Any,
    ) -> CaptureResult:
        """Captures an event: PostHog's SDK takes it, and sends it with others from a thread of its own.

        Args:
            event_name: Its name.
            properties: Its properties; at most 900 KiB with what is added.
            distinct_id: Whose it is; nobody's when not given.
            is_identified: Whether it is processed with a person profile, which PostHog bills besides.
            session_id: The governance session it belongs to; that of the block around the call when not given.
            timestamp: When it happened; now when not given.
            always: Whether no sampling may leave it out.
            raises: Whether a refusal is raised; else the result tells of it.
            **options: Further arguments of the SDK's ``capture``: ``groups``, ``uuid``, ``send_feature_flags``,
                ``flags``, ``disable_geoip``.

        Returns:
            What became of it.

        Raises:
            GenOpsBudgetExceededError: A budget refuses it, and its policy is ``enforced`` or ``strict``.
            GenOpsValidationError: An argument cannot be used.
            TypeError: There is no such argument.
        """
        unknown = options.keys() - _CAPTURE_OPTIONS
        if unknown:
            raise TypeError(
                f"capture_event_with_governance() got an unexpected keyword argument {sorted(unknown)[0]!r}; besides "
                f"its own it takes {', '.join(sorted(_CAPTURE_OPTIONS))}"
            )
        session = self._session(session_id)
        return capture(
            self.governed,
            session,
            self._named(session),
            event_name,
            properties,
            distinct_id,
            is_identified,
            timestamp,
            {name: value for name, value in options.items() if value is not None} if options else options,
            always=always,
            raises=raises,
        )

    def evaluate_feature_flag_with_governance(
        self,
        flag_key: str,
        distinct_id: str,
        properties: Mapping[str, Any] | None = None,
        session_id: str | None = None,
        *,
        groups: Mapping[str, Any] | None = None,
        group_properties: Mapping[str, Mapping[str, Any]] | None = None,
        default: Any = False,
        only_evaluate_locally: bool = False,
    ) -> tuple[Any, FlagMetadata]:
        """Reads a feature flag.

        A budget that refuses the request to PostHog's server raises nothing: the answer is then the default, as where
        PostHog cannot be reached, and the metadata says why.

        Args:
            flag_key: The flag.
            distinct_id: Whom for.
            properties: What is known of the person, for the flag's conditions.
            session_id: The governance session; that of the block around the call when not given.
            groups: The person's groups by type.
            group_properties: What is known of these, by type.
            default: The value where there is no answer.
            only_evaluate_locally: Whether PostHog's server is not to be asked.

        Returns:
            The value (a boolean, or the variant of a multivariate flag), and how it was found.

        Raises:
            GenOpsValidationError: An argument cannot be used.
        """
        session = self._session(session_id)
        return read_flag(
            self.governed,
            session,
            self._named(session),
            flag_key,
            distinct_id,
            properties,
            groups,
            group_properties,
            default,
            only_evaluate_locally=only_evaluate_locally,
        )

    def capture_llm_event(
        self,
        event_name: str = "$ai_generation",
        properties: Mapping[str, Any] | None = None,
        distinct_id: str | None = None,
        session_id: str | None = None,
    ) -> CaptureResult:
        """Captures an event of a language model, which PostHog bills by a meter of its own.

        Args:
            event_name: Begins with ``$ai_``.
            properties: Its properties, such as ``$ai_model``.
            distinct_id: Whose it is.
            session_id: The governance session.

        Raises:
            GenOpsBudgetExceededError: As for :meth:`capture_event_with_governance`.
            GenOpsValidationError: The name does not begin with ``$ai_``, or another argument cannot be used.
        """
        return self.capture_event_with_governance(
            arguments.llm_event_name(event_name), properties, distinct_id, distinct_id is not None, session_id
        )

    def record_session_recording(self, count: int = 1, session_id: str | None = None) -> float:
        """Tells of session recordings that are made, by a browser say, so that their cost is counted.

        Args:
            count: How many, 1 or more.
            session_id: The governance session; that of the block around the call when not given.

        Returns:
            Their marginal cost, US dollars.

        Raises:
            GenOpsBudgetExceededError: A budget refuses them.
            GenOpsValidationError: The count cannot be used.
        """
        session = self._session(session_id)
        return record_recordings(self.governed, session, self._named(session), count)

    # --- sessions ---------------------------------------------------------------------------------------------------

    def track_analytics_session(
        self,
        session_name: str,
        customer_id: str | None = None,
        cost_center: str | None = None,
        environment: str | None = None,
        **governance_attributes: Any,
    ) -> PostHogAnalyticsSession:
        """A session: a piece of work whose PostHog calls have one owner, one span above them and one sum.

        Args:
            session_name: What it is for.
            customer_id: Whom it is for; the adapter's when not given, as for the following.
            cost_center: Who is charged.
            environment: Where it runs.
            **governance_attributes: Other fields of the owner (``team``, ``feature``, ``user_id``, …);
                ``budget_limit``, what the session may spend, US dollars; everything else becomes tags of its spans and
                events.

        Returns:
            The session, which begins with its ``with`` block.

        Raises:
            GenOpsConfigurationError: ``budget_limit`` is no amount of money.
            GenOpsValidationError: The name is blank.
        """
        session_name = arguments.session_name(session_name)
        governed = self.governed
        owner, attributes, limit = session_owner(
            governance_attributes,
            {"customer_id": customer_id, "cost_center": cost_center, "environment": environment},
        )
        named = owner.over(governed.named)
        resolved = governed.telemetry.resolver.resolve(get_current(), named)
        session = PostHogAnalyticsSession(
            self, session_name, named, resolved, attributes, limit, governed.telemetry.tracer
        )
        governed.sessions[session.session_id] = session
        return session

    def _session(self, session_id: str | None) -> PostHogAnalyticsSession | None:
        if session_id is None:
            return session_in(get_current())
        session = self.governed.sessions.get(session_id)
        if session is None or session.end_time is not None:
            _warn(
                "session ids",
                f"There is no session {str(session_id)[:40]!r} of this adapter, or it is over; its calls are made "
                "without one",
            )
            return None
        return session

    def _named(self, session: PostHogAnalyticsSession | None) -> Attribution:
        return session.named if session is not None and session.is_of(self) else self.governed.named

    # --- money ------------------------------------------------------------------------------------------------------

    def get_cost_summary(self) -> dict[str, Any]:
        """What this owner has spent, of how much.

        Amounts of a period that has a budget are of everybody who shares the ledger; without one they are of this
        process.

        Returns:
            JSON-ready values: ``daily_costs``, ``weekly_costs``, ``monthly_costs`` (USD), ``…_budget_limit`` (USD or
            ``None``), ``…_budget_utilization`` (percent), ``projected_monthly_cost`` (USD), ``events_today``,
            ``flags_evaluated_today``, ``active_sessions``, ``team``, ``project``, ``environment``, ``customer_id``,
            ``governance_enabled``, ``governance_policy``, ``cost_alerts_enabled``; of the whole process ``total_cost``
            (USD), ``cost_by_meter`` (USD), ``usage`` (units by meter), and ``month_to_date_usage`` and
            ``free_tier_remaining`` (units by meter, of the organisation as far as this process knows), ``price_book``,
            ``pricing_mode``.
        """
        # Not `values()`: other threads begin sessions meanwhile.
        known = [session_of() for session_of in self.governed.sessions.valuerefs()]
        active = sum(session is not None and session.is_active for session in known)
        return cost_summary(self.governed, active)

    def analyze_weekly_cost_trend(self) -> dict[str, float]:
        """The last seven days beside the seven before, as this process saw them.

        Returns:
            ``current_week_cost`` and ``previous_week_cost``, USD; ``growth_rate``, percent (0 without a week before).
        """
        return weekly_trend(self.governed)

    def get_volume_discount_analysis(self, projected_monthly_events: int) -> dict[str, Any]:
        """What a month of so many events would cost, and how it could cost less.

        Identified events, flag requests, recordings and events of models are taken in the proportion to events in which
        this process has seen them in the last 30 days.

        Args:
            projected_monthly_events: Events of the month, 0 or more.

        Returns:
            JSON-ready values: ``projected_monthly_events``, ``projected_monthly_cost`` (USD), ``cost_per_event`` (USD),
            ``projected_usage`` (units by meter), ``cost_breakdown`` (USD by meter), ``free_tier_utilization`` (percent
            by meter), ``tier`` (where the events end among the tiers of their price), and
            ``optimization_recommendations``, the one that saves most first, each with ``optimization_type``, ``meter``,
            ``potential_savings_per_month`` (USD), ``priority_score`` (the saving as percent of the month, 0 to 100),
            ``arithmetic``, ``how``, and the fields of ``tier``.

        Raises:
            GenOpsValidationError: The number cannot be used.
        """
        pricer = self.governed.telemetry.pricer
        return Projection(
            pricer.book,
            is_metered=pricer.mode == "metered",
            observed=self.governed.counts.last_days(30),
            events=projected_monthly_events,
        ).analysis()

    def export_analytics_metrics(self) -> dict[str, float]:
        """The guide's five numbers: ``posthog_daily_cost`` (USD), ``posthog_budget_utilization`` (percent),
        ``posthog_governance_active`` (0 or 1), ``posthog_events_today``, ``posthog_flags_evaluated``."""
        return figures(self)

    def render_prometheus(self) -> str:
        """The same in Prometheus' text format, labelled with the owner."""
        return prometheus_text(self)

    def send_to_datadog(self, statsd: Gauges) -> None:
        """Hands the same to a statsd client as gauges, with the owner as tags.

        Args:
            statsd: ``datadog.statsd``, or anything with its ``gauge(metric, value, tags=…)``.
        """
        send_gauges(self, statsd)

    def update_budget(
        self,
        daily: Decimal | float | str | None = None,
        weekly: Decimal | float | str | None = None,
        monthly: Decimal | float | str | None = None,
        governance_policy: str | None = None,
    ) -> None:
        """Changes what this owner may spend, for all adapters of this process with the same options. What has been
        spent stays spent.

        Args:
            daily: US dollars per day; unchanged when not given, as for the following; ``"unlimited"`` for no limit.
            weekly: Per ISO week.
            monthly: Per calendar month.
            governance_policy: As for the adapter.

        Raises:
            GenOpsConfigurationError: A value cannot be used.
        """
        self.governed.change_limits(changed_limits(daily, weekly, monthly, governance_policy))

    # --- what it is -------------------------------------------------------------------------------------------------

    @property
    def client(self) -> Any:
        """The PostHog client that it calls, shared with others of the same key and host."""
        return self.governed.client

    @property
    def owner(self) -> Attribution:
        """Who answers for its calls, where nobody else is named."""
        return self.governed.telemetry.resolver.defaults

    @property
    def governance_policy(self) -> str:
        """``advisory``, ``enforced`` or ``strict``."""
        return self.governed.settings.governance_policy

    @property
    def governance_enabled(self) -> bool:
        """Whether budgets are asked and events carry their owner."""
        return self.governed.governs

    @property
    def posthog_host(self) -> str:
        """The host that it sends to."""
        return self.governed.host

    @property
    def daily_budget_limit(self) -> Decimal | None:
        """US dollars per day; ``None``: no limit."""
        return self.governed.settings.daily_budget_limit

    @property
    def weekly_budget_limit(self) -> Decimal | None:
        """US dollars per ISO week."""
        return self.governed.settings.weekly_budget_limit

    @property
    def monthly_budget_limit(self) -> Decimal | None:
        """US dollars per calendar month."""
        return self.governed.settings.monthly_budget_limit

    @property
    def team(self) -> str | None:
        """The team that answers for the cost."""
        return self.owner.team

    @property
    def project(self) -> str | None:
        """The project within the team."""
        return self.owner.project

    @property
    def environment(self) -> str | None:
        """The deployment environment."""
        return self.owner.environment

    @property
    def customer_id(self) -> str | None:
        """The customer that it serves."""
        return self.owner.customer_id

    @property
    def cost_center(self) -> str | None:
        """The cost centre that is charged."""
        return self.owner.cost_center

    @property
    def feature(self) -> str | None:
        """The product feature."""
        return self.owner.feature

    @property
    def tags(self) -> Mapping[str, str]:
        """The free tags."""
        return self.owner.tags

    # --- ending -----------------------------------------------------------------------------------------------------

    def flush(self, timeout: float = 10.0) -> bool:
        """Waits until PostHog has what was captured.

        Args:
            timeout: Most seconds.

        Returns:
            Whether the queue of the SDK is empty.
        """
        return self.governed.flush(timeout)

    def shutdown(self, timeout: float = 10.0) -> bool:
        """Delivers what it can and ends the client, for every adapter that shares it; a new adapter gets a new one.

        Args:
            timeout: Most seconds.

        Returns:
            Whether everything was delivered.
        """
        return self.governed.end_client(timeout)

    def close(self) -> None:
        """:meth:`shutdown` with its default. A process that ends does as much by itself."""
        self.shutdown()


_CAPTURE_OPTIONS = frozenset({"groups", "uuid", "send_feature_flags", "flags", "disable_geoip"})

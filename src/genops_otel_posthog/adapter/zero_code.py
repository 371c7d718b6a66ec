"""One line of code instead of ``opentelemetry-instrument``: the guide's ``auto_instrument()`` and its companions."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from opentelemetry import trace

from genops_otel_posthog.adapter.adapter import GenOpsPostHogAdapter
from genops_otel_posthog.adapter.clients import ModuleClient, require_supported_sdk
from genops_otel_posthog.adapter.governed_client import GovernedClient
from genops_otel_posthog.adapter.module_hook import judge_module_captures, leave_module_captures
from genops_otel_posthog.adapter.options import checked_key_and_host, options_in_tags, sampling_in_tags
from genops_otel_posthog.attribution import NOBODY, Attribution
from genops_otel_posthog.instrumentation import PostHogInstrumentor
from genops_otel_posthog.settings import Settings

_logger = logging.getLogger(__name__)

_LIMITS = ("daily_budget_limit", "weekly_budget_limit", "monthly_budget_limit")

_current: GenOpsPostHogAdapter | None = None


def auto_instrument(
    posthog_api_key: str | None = None,
    team: str | None = None,
    project: str | None = None,
    *,
    posthog_host: str | None = None,
    environment: str | None = None,
    customer_id: str | None = None,
    cost_center: str | None = None,
    feature: str | None = None,
    tags: Mapping[str, str] | None = None,
    governance_policy: str | None = None,
    **instrumentor_options: Any,
) -> GenOpsPostHogAdapter:
    """Instruments the PostHog SDK and configures its module-level client, so that existing code works unchanged.

    What is not given is taken from the environment. Calling it again replaces the owner and the options; what was
    counted so far stays counted.

    Args:
        posthog_api_key: Project key (``phc_…``) for ``posthog.capture`` and the other module functions. Else the one
            that the application has set itself, else ``POSTHOG_API_KEY``.
        team: Else ``GENOPS_TEAM``, else the resource's ``genops.team``, else ``auto-instrumented``.
        project: Else ``GENOPS_PROJECT``, else the resource's ``genops.project``, else ``default``.
        posthog_host: Ingestion host of the same client. Else the application's own, else ``POSTHOG_HOST``.
        environment: Else ``GENOPS_ENVIRONMENT``.
        customer_id: Else ``GENOPS_CUSTOMER_ID``.
        cost_center: Else ``GENOPS_COST_CENTER``.
        feature: Else ``GENOPS_FEATURE``.
        tags: Else ``GENOPS_TAGS``. Those with a meaning have it here as well (``docs/adapter.md``, "Tags"); sampling is
            of the adapter's own captures alone.
        governance_policy: Else ``GENOPS_GOVERNANCE_POLICY``.
        **instrumentor_options: Further options of :meth:`PostHogInstrumentor.instrument`; and ``enable_governance``:
            ``False`` for spans and cost without limits and without properties on events.

    Returns:
        The adapter, also returned by :func:`get_current_adapter` from now on.

    Raises:
        GenOpsConfigurationError: an argument or an environment variable cannot be used, or no supported version of the
            PostHog SDK is installed. The SDK is then not instrumented.
    """
    return _instrument(
        "auto-instrumented",
        posthog_api_key,
        posthog_host,
        {
            **instrumentor_options,
            "team": team,
            "project": project,
            "environment": environment,
            "customer_id": customer_id,
            "cost_center": cost_center,
            "feature": feature,
            "tags": tags,
            "governance_policy": governance_policy,
        },
    )


def instrument_posthog(
    posthog_api_key: str | None = None,
    team: str | None = None,
    project: str | None = None,
    *,
    posthog_host: str | None = None,
    **options: Any,
) -> GenOpsPostHogAdapter:
    """The same as :func:`auto_instrument`, with ``default`` as the team that nobody named."""
    return _instrument("default", posthog_api_key, posthog_host, {**options, "team": team, "project": project})


def _instrument(
    team_of_nobody: str, api_key: str | None, host: str | None, options: dict[str, Any]
) -> GenOpsPostHogAdapter:
    global _current
    require_supported_sdk()
    settings = Settings.from_environ(strict=True)
    api_key, host = checked_key_and_host(api_key, host)
    # A default must not win over what the resource says, which is weaker than an option.
    resource = getattr(options.get("tracer_provider") or trace.get_tracer_provider(), "resource", None)
    named = Attribution.from_settings(settings).over(Attribution.from_resource(getattr(resource, "attributes", {})))
    options["team"] = options["team"] or named.team or team_of_nobody
    options["project"] = options["project"] or named.project or "default"
    for option, value in options_in_tags(options.get("tags")).items():
        if options.get(option) is None:
            options[option] = value
    if not options.pop("enable_governance", True):
        # Nobody is asked and nothing is enriched; spans and cost are as ever.
        options |= {"event_properties": "off", "governance_policy": "advisory", **dict.fromkeys(_LIMITS)}
    sampling = sampling_in_tags(options.get("tags"))
    uninstrument_posthog()
    instrumentor = PostHogInstrumentor()
    instrumentor.instrument(**options)
    _configure_module_client(settings, api_key, host)
    _current = GenOpsPostHogAdapter.over(
        GovernedClient(
            instrumentor.settings,
            NOBODY,
            instrumentor.telemetry,
            instrumentor.metering,
            instrumentor.budgeting,
            ModuleClient(),
            sampling=sampling,
        )
    )
    if _current.compliance is not None:
        judge_module_captures(_current.compliance)
    return _current


def uninstrument_posthog() -> None:
    """Takes the instrumentation off; the SDK behaves as if it had never been there."""
    global _current
    _current = None
    leave_module_captures()
    instrumentor = PostHogInstrumentor()
    if instrumentor.is_instrumented_by_opentelemetry:
        instrumentor.uninstrument()


def get_current_adapter() -> GenOpsPostHogAdapter | None:
    """The adapter of the last :func:`auto_instrument`, ``None`` before the first."""
    return _current


def _configure_module_client(settings: Settings, api_key: str | None, host: str | None) -> None:
    """Gives the module functions key and host where the application has not."""
    import posthog

    if settings.enabled is False:
        posthog.disabled = True
    if posthog.default_client is not None:
        _remark_on_late_arguments(posthog.default_client, api_key, host)
        return
    if api_key is not None or not (posthog.api_key or posthog.project_api_key):
        posthog.api_key = api_key or settings.api_key
    if host is not None or posthog.host is None:
        posthog.host = host or settings.host
    if not (posthog.disabled or posthog.api_key or posthog.project_api_key):
        _logger.warning(
            "No PostHog project key: posthog.capture() and the other module functions send nothing. "
            "Set POSTHOG_API_KEY=phc_…, or pass posthog_api_key."
        )


def _remark_on_late_arguments(client: Any, api_key: str | None, host: str | None) -> None:
    from posthog.request import determine_server_host

    if api_key not in (None, client.api_key) or (host is not None and determine_server_host(host) != client.host):
        _logger.warning(
            "posthog.capture() or another module function was called before, so their client exists and keeps its key "
            "and host. Pass posthog_api_key and posthog_host before the first of these calls."
        )

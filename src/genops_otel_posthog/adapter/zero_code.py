"""One line of code instead of ``opentelemetry-instrument``: the guide's ``auto_instrument()`` and its companions."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from genops_otel_posthog.adapter.adapter import GenOpsPostHogAdapter
from genops_otel_posthog.instrumentation import PostHogInstrumentor
from genops_otel_posthog.settings import Settings

_logger = logging.getLogger(__name__)

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

    What is not given is taken from the environment. Calling it again replaces the owner and the options.

    Args:
        posthog_api_key: Project key (``phc_…``) for ``posthog.capture`` and the other module functions, unless the
            application
            has set one itself. Else ``POSTHOG_API_KEY``.
        team: Else ``GENOPS_TEAM``, else ``auto-instrumented``.
        project: Else ``GENOPS_PROJECT``, else ``default``.
        posthog_host: Ingestion host of the same client. Else ``POSTHOG_HOST``.
        environment: Else ``GENOPS_ENVIRONMENT``.
        customer_id: Else ``GENOPS_CUSTOMER_ID``.
        cost_center: Else ``GENOPS_COST_CENTER``.
        feature: Else ``GENOPS_FEATURE``.
        tags: Else ``GENOPS_TAGS``.
        governance_policy: Else ``GENOPS_GOVERNANCE_POLICY``.
        **instrumentor_options: Further options of :meth:`PostHogInstrumentor.instrument`.

    Returns:
        The adapter, also returned by :func:`get_current_adapter` from now on.

    Raises:
        GenOpsConfigurationError: an option or an environment variable cannot be used.
        ModuleNotFoundError: the PostHog SDK is not installed.
    """
    global _current
    settings = Settings.from_environ(strict=True)
    _configure_module_client(settings, posthog_api_key, posthog_host)
    instrumentor = PostHogInstrumentor()
    if instrumentor.is_instrumented_by_opentelemetry:
        instrumentor.uninstrument()
    instrumentor.instrument(
        team=team or settings.team or "auto-instrumented",
        project=project or settings.project or "default",
        environment=environment,
        customer_id=customer_id,
        cost_center=cost_center,
        feature=feature,
        tags=tags,
        governance_policy=governance_policy,
        **instrumentor_options,
    )
    _current = GenOpsPostHogAdapter(posthog_host or settings.host, instrumentor.telemetry)
    return _current


def instrument_posthog(
    posthog_api_key: str | None = None, team: str | None = None, project: str | None = None, **kwargs: Any
) -> GenOpsPostHogAdapter:
    """The same as :func:`auto_instrument`, with ``default`` as the team that nobody named."""
    return auto_instrument(
        posthog_api_key, team or Settings.from_environ(strict=True).team or "default", project, **kwargs
    )


def uninstrument_posthog() -> None:
    """Takes the instrumentation off; the SDK behaves as if it had never been there."""
    global _current
    _current = None
    instrumentor = PostHogInstrumentor()
    if instrumentor.is_instrumented_by_opentelemetry:
        instrumentor.uninstrument()


def get_current_adapter() -> GenOpsPostHogAdapter | None:
    """The adapter of the last :func:`auto_instrument`, ``None`` before the first."""
    return _current


def _configure_module_client(settings: Settings, api_key: str | None, host: str | None) -> None:
    import posthog

    if api_key is not None or not (posthog.api_key or posthog.project_api_key):
        posthog.api_key = api_key or settings.api_key
    if host is not None or posthog.host is None:
        posthog.host = host or settings.host
    if not (posthog.api_key or posthog.project_api_key):
        _logger.warning(
            "No PostHog project key: posthog.capture() and the other module functions send nothing. "
            "Set POSTHOG_API_KEY=phc_…, or pass posthog_api_key."
        )

"""What the instrumentor can be told, and how it is merged: argument before environment before default.

OpenTelemetry's declarative configuration (``instrumentation/development: python: posthog: {...}``) gives the options of
:class:`PostHogConfig` too, so its field names are a public contract.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from decimal import Decimal
from typing import Any

from genops_otel_posthog.errors import GenOpsConfigurationError
from genops_otel_posthog.settings import VARIABLES, Settings

_logger = logging.getLogger(__name__)

_VARIABLE_OF = {variable.field: variable for variable in VARIABLES}


@dataclass(frozen=True)
class PostHogConfig:
    """Options of :meth:`PostHogInstrumentor.instrument`; ``None`` means "as the environment says".

    Each has the meaning, and takes the values, of the environment variable named beside it; lists may be given as
    lists.
    """

    team: str | None = None  # GENOPS_TEAM
    project: str | None = None  # GENOPS_PROJECT
    environment: str | None = None  # GENOPS_ENVIRONMENT
    customer_id: str | None = None  # GENOPS_CUSTOMER_ID
    cost_center: str | None = None  # GENOPS_COST_CENTER
    feature: str | None = None  # GENOPS_FEATURE
    tags: dict[str, str] | None = None  # GENOPS_TAGS
    price_book: str | None = None  # GENOPS_PRICE_BOOK
    pricing_mode: str | None = None  # GENOPS_PRICING_MODE
    usage_to_date: str | None = None  # GENOPS_USAGE_TO_DATE
    group_analytics: bool | None = None  # GENOPS_GROUP_ANALYTICS
    governance_policy: str | None = None  # GENOPS_GOVERNANCE_POLICY
    event_properties: str | None = None  # GENOPS_EVENT_PROPERTIES
    spans: list[str] | None = None  # GENOPS_SPANS
    metric_labels: list[str] | None = None  # GENOPS_METRIC_LABELS
    baggage_in: list[str] | None = None  # GENOPS_BAGGAGE_IN
    record_distinct_id: bool | None = None  # GENOPS_RECORD_DISTINCT_ID
    posthog_project_url: str | None = None  # GENOPS_POSTHOG_PROJECT_URL
    daily_budget_limit: Decimal | float | str | None = None  # GENOPS_DAILY_BUDGET_LIMIT
    weekly_budget_limit: Decimal | float | str | None = None  # GENOPS_WEEKLY_BUDGET_LIMIT
    monthly_budget_limit: Decimal | float | str | None = None  # GENOPS_MONTHLY_BUDGET_LIMIT
    budget_time_zone: str | None = None  # GENOPS_BUDGET_TIME_ZONE
    budget_share: str | None = None  # GENOPS_BUDGET_SHARE
    budgets_file: str | None = None  # GENOPS_BUDGETS_FILE
    on_budget_exceeded: str | None = None  # GENOPS_ON_BUDGET_EXCEEDED
    critical_events: list[str] | None = None  # GENOPS_CRITICAL_EVENTS
    budget_sampling: bool | None = None  # GENOPS_BUDGET_SAMPLING
    ledger_url: str | None = None  # GENOPS_LEDGER_URL
    ledger_wait_ms: int | None = None  # GENOPS_LEDGER_WAIT
    alert_webhook: str | None = None  # GENOPS_ALERT_WEBHOOK
    alert_format: str | None = None  # GENOPS_ALERT_FORMAT
    alert_secret: str | None = None  # GENOPS_ALERT_SECRET
    alert_thresholds: str | None = None  # GENOPS_ALERT_THRESHOLDS
    alert_escalation: list[str] | None = None  # GENOPS_ALERT_ESCALATION
    durable_capture: bool | None = None  # GENOPS_DURABLE_CAPTURE
    outbox_path: str | None = None  # GENOPS_OUTBOX_PATH


OPTION_NAMES = frozenset(option.name for option in fields(PostHogConfig))


def merge_options(settings: Settings, options: Mapping[str, Any], *, strict: bool = True) -> Settings:
    """The settings with the given options in place of what the environment says; tags add up.

    Args:
        settings: What the environment says.
        options: What was given; ``None`` is the same as not given.
        strict: Raise on an option that does not exist or a value that cannot be used. Otherwise each is logged, and is
            as if it had not been given.

    Raises:
        GenOpsConfigurationError: ``strict``, and there is at least one; the message names all, one per line.
    """
    given: dict[str, Any] = {}
    problems: list[str] = []
    unknown = sorted(options.keys() - OPTION_NAMES)
    if unknown:
        problems.append(f"there is no option {', '.join(unknown)}; there are {', '.join(sorted(OPTION_NAMES))}")
    for name, value in options.items():
        if value is None or name in unknown:
            continue
        variable = _VARIABLE_OF[name]
        try:
            parsed = value if isinstance(value, Mapping) else variable.parse(_as_text(value))
        except ValueError as error:
            shown = name if variable.secret else f"{name}={value!r}"
            problems.append(f"{shown} cannot be used: {error}; for example {name}={variable.example!r}")
            continue
        given[name] = {**getattr(settings, name), **parsed} if isinstance(parsed, Mapping) else parsed
    if problems and strict:
        raise GenOpsConfigurationError("\n".join(problems))
    for problem in problems:
        _logger.warning("PostHogInstrumentor: %s. It counts as not given.", problem)
    return replace(settings, **given)


def _as_text(value: object) -> str:
    """The value as the environment would spell it, so that there is one parser."""
    if isinstance(value, str):
        return value
    if isinstance(value, Iterable):
        return ",".join(str(entry) for entry in value) or "none"
    return str(value)

"""What the instrumentor can be told, and how it is merged: argument before environment before default.

:class:`PostHogConfig` is also the schema of OpenTelemetry's declarative configuration
(``instrumentation/development: python: posthog: {...}``), so its field names are a public contract.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from genops_otel_posthog.errors import GenOpsConfigurationError
from genops_otel_posthog.settings import VARIABLES, Settings

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


OPTION_NAMES = frozenset(option.name for option in fields(PostHogConfig))


def merge_options(settings: Settings, options: Mapping[str, Any]) -> Settings:
    """The settings with the given options in place of what the environment says; tags add up.

    Raises:
        GenOpsConfigurationError: an option has a value that its environment variable would not accept either.
    """
    given: dict[str, Any] = {}
    problems: list[str] = []
    for name, value in options.items():
        if value is None:
            continue
        variable = _VARIABLE_OF[name]
        try:
            parsed = value if isinstance(value, Mapping) else variable.parse(_as_text(value))
        except ValueError as error:
            problems.append(f"{name}={value!r} cannot be used: {error}; for example {name}={variable.example!r}")
            continue
        given[name] = {**getattr(settings, name), **parsed} if isinstance(parsed, Mapping) else parsed
    if problems:
        raise GenOpsConfigurationError("\n".join(problems))
    return replace(settings, **given)


def _as_text(value: object) -> str:
    """The value as the environment would spell it, so that there is one parser."""
    if isinstance(value, str):
        return value
    if isinstance(value, Iterable):
        return ",".join(str(entry) for entry in value) or "none"
    return str(value)

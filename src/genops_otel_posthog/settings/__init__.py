"""Every environment variable of this package, read in one place into one frozen object.

``Settings.from_environ(strict=True)`` raises on a bad value. ``strict=False`` is for zero-code loading, where a bad
value is one log line and the default stands, because an application must never fail to start over its telemetry.
``VARIABLES`` is also the source of the environment table in the documentation.
"""

from __future__ import annotations

from genops_otel_posthog.settings.environment import Settings
from genops_otel_posthog.settings.values import BAGGAGE_FIELDS, POLICIES, POLICY_ALIASES, parse_tags
from genops_otel_posthog.settings.variable import Variable
from genops_otel_posthog.settings.variables import (
    ANNOUNCED,
    DEFAULT_HOST,
    DEFAULT_PRICE_BOOK,
    METRIC_LABELS,
    SPAN_KINDS,
    VARIABLES,
)

__all__ = [
    "ANNOUNCED",
    "BAGGAGE_FIELDS",
    "DEFAULT_HOST",
    "DEFAULT_PRICE_BOOK",
    "METRIC_LABELS",
    "POLICIES",
    "POLICY_ALIASES",
    "SPAN_KINDS",
    "VARIABLES",
    "Settings",
    "Variable",
    "parse_tags",
]

"""PostHog calls as priced, owned OpenTelemetry spans.

Names are loaded when they are first used, so that importing the package needs neither the OpenTelemetry SDK nor
PostHog's.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from genops_otel_posthog.version import __version__

if TYPE_CHECKING:
    from genops_otel_posthog.adapter.adapter import GenOpsPostHogAdapter
    from genops_otel_posthog.adapter.session import PostHogAnalyticsSession
    from genops_otel_posthog.adapter.validation import print_validation_result, validate_setup
    from genops_otel_posthog.adapter.zero_code import (
        auto_instrument,
        get_current_adapter,
        instrument_posthog,
        uninstrument_posthog,
    )
    from genops_otel_posthog.attribution import Attribution, governance
    from genops_otel_posthog.budgets.budget import Budget, BudgetPolicy
    from genops_otel_posthog.errors import (
        GenOpsBudgetExceededError,
        GenOpsConfigurationError,
        GenOpsError,
        GenOpsProviderError,
        GenOpsValidationError,
    )
    from genops_otel_posthog.export.exporter import PostHogSpanExporter
    from genops_otel_posthog.export.rules.rule import SpanRule
    from genops_otel_posthog.instrumentation import PostHogInstrumentor
    from genops_otel_posthog.pricing.book import PriceBook
    from genops_otel_posthog.pricing.calculator import PostHogCostCalculator
    from genops_otel_posthog.processor import GovernanceSpanProcessor
    from genops_otel_posthog.service.analytics.service import AnalyticsService
    from genops_otel_posthog.service.egress import is_posthog_egress_ip
    from genops_otel_posthog.service.posthog_service import PostHogService

#: Where each public name is defined.
_HOME = {
    "AnalyticsService": "service.analytics.service",
    "Attribution": "attribution",
    "Budget": "budgets.budget",
    "BudgetPolicy": "budgets.budget",
    "GenOpsBudgetExceededError": "errors",
    "GenOpsConfigurationError": "errors",
    "GenOpsError": "errors",
    "GenOpsPostHogAdapter": "adapter.adapter",
    "GenOpsProviderError": "errors",
    "GenOpsValidationError": "errors",
    "GovernanceSpanProcessor": "processor",
    "PostHogAnalyticsSession": "adapter.session",
    "PostHogCostCalculator": "pricing.calculator",
    "PostHogInstrumentor": "instrumentation",
    "PostHogService": "service.posthog_service",
    "PostHogSpanExporter": "export.exporter",
    "PriceBook": "pricing.book",
    "SpanRule": "export.rules.rule",
    "auto_instrument": "adapter.zero_code",
    "get_current_adapter": "adapter.zero_code",
    "governance": "attribution",
    "instrument_posthog": "adapter.zero_code",
    "is_posthog_egress_ip": "service.egress",
    "print_validation_result": "adapter.validation",
    "uninstrument_posthog": "adapter.zero_code",
    "validate_setup": "adapter.validation",
}

__all__ = [
    "AnalyticsService",
    "Attribution",
    "Budget",
    "BudgetPolicy",
    "GenOpsBudgetExceededError",
    "GenOpsConfigurationError",
    "GenOpsError",
    "GenOpsPostHogAdapter",
    "GenOpsProviderError",
    "GenOpsValidationError",
    "GovernanceSpanProcessor",
    "PostHogAnalyticsSession",
    "PostHogCostCalculator",
    "PostHogInstrumentor",
    "PostHogService",
    "PostHogSpanExporter",
    "PriceBook",
    "SpanRule",
    "__version__",
    "auto_instrument",
    "get_current_adapter",
    "governance",
    "instrument_posthog",
    "is_posthog_egress_ip",
    "print_validation_result",
    "uninstrument_posthog",
    "validate_setup",
]


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

"""Is this set up right? Real checks, each problem with what to do about it and what to copy.

:func:`validate_setup` is all of it; the other functions are its parts. ``genops-posthog doctor`` is the same for the
command line.
"""

from __future__ import annotations

from genops_otel_posthog.adapter.validation.connection import validate_posthog_connection
from genops_otel_posthog.adapter.validation.costs import validate_cost_tracking_configuration
from genops_otel_posthog.adapter.validation.delivery import validate_delivery
from genops_otel_posthog.adapter.validation.dependencies import validate_sdk, validate_sdk_dependencies
from genops_otel_posthog.adapter.validation.environment import validate_environment_config
from genops_otel_posthog.adapter.validation.findings import ValidationIssue, ValidationLevel, ValidationResult
from genops_otel_posthog.adapter.validation.integration import validate_genops_posthog_integration
from genops_otel_posthog.adapter.validation.obligations import validate_compliance
from genops_otel_posthog.adapter.validation.printing import print_validation_result
from genops_otel_posthog.adapter.validation.setup import get_setup_recommendations, validate_setup
from genops_otel_posthog.adapter.validation.wizard import interactive_setup_wizard

__all__ = [
    "ValidationIssue",
    "ValidationLevel",
    "ValidationResult",
    "get_setup_recommendations",
    "interactive_setup_wizard",
    "print_validation_result",
    "validate_compliance",
    "validate_cost_tracking_configuration",
    "validate_delivery",
    "validate_environment_config",
    "validate_genops_posthog_integration",
    "validate_posthog_connection",
    "validate_sdk",
    "validate_sdk_dependencies",
    "validate_setup",
]

"""The guide's import paths, for code that was written for it: ``genops.providers.posthog`` and its neighbours.

Opt-in: ``import genops_otel_posthog.compat`` (or :func:`install_aliases`) before the first ``genops`` import. A real
``genops`` distribution always wins: where one is installed, nothing is registered.
"""

from __future__ import annotations

import logging
import sys
from importlib import import_module
from importlib.machinery import ModuleSpec
from importlib.util import find_spec, module_from_spec
from types import ModuleType

_logger = logging.getLogger(__name__)

_PACKAGE = "genops_otel_posthog"

_ERRORS = dict.fromkeys(
    (
        "GenOpsBudgetExceededError",
        "GenOpsConfigurationError",
        "GenOpsError",
        "GenOpsProviderError",
        "GenOpsValidationError",
    ),
    "errors",
)

#: Alias module → {name: module of ours that defines it}. The guide uses names that it forgets to import; they can be
#: imported from where it says that their neighbours are.
ALIASES: dict[str, dict[str, str]] = {
    "genops.providers.posthog": {
        "auto_instrument": "adapter.zero_code",
        "instrument_posthog": "adapter.zero_code",
        "uninstrument_posthog": "adapter.zero_code",
        "get_current_adapter": "adapter.zero_code",
        "GenOpsPostHogAdapter": "adapter.adapter",
        "PostHogAnalyticsSession": "adapter.session",
        "PostHogCostCalculator": "pricing.calculator",
        "BatchEventProcessor": "adapter.batch",
        "CachedFeatureFlagEvaluator": "adapter.flag_cache",
        "ScalablePostHogAnalytics": "adapter.high_volume",
        "FailoverAdapter": "adapter.failover",
        "create_tenant_adapter": "adapter.tenants",
        **dict.fromkeys(
            (
                "analyze_weekly_cost_trend",
                "export_analytics_metrics",
                "get_daily_event_count",
                "get_daily_flag_count",
                "send_alert",
                "send_to_datadog",
                "smart_event_sampling",
            ),
            "adapter.guide_functions",
        ),
        **_ERRORS,
    },
    "genops.providers.posthog_validation": dict.fromkeys(
        (
            "ValidationIssue",
            "ValidationLevel",
            "ValidationResult",
            "get_setup_recommendations",
            "interactive_setup_wizard",
            "print_validation_result",
            "validate_cost_tracking_configuration",
            "validate_environment_config",
            "validate_genops_posthog_integration",
            "validate_posthog_connection",
            "validate_sdk_dependencies",
            "validate_setup",
        ),
        "adapter.validation",
    ),
    "genops.core.exceptions": _ERRORS,
}


def install_aliases() -> bool:
    """Registers the alias modules where no ``genops`` distribution is present.

    Returns:
        Whether the aliases are in place. ``False`` is logged with the reason.
    """
    root = sys.modules.get("genops")
    foreign = find_spec("genops") is not None if root is None else "__genops_otel_posthog__" not in root.__dict__
    if foreign:
        _logger.warning(
            "Another distribution provides 'genops', so its import paths are not taken over. Import from %s instead.",
            _PACKAGE,
        )
        return False
    for alias, names in ALIASES.items():
        parent: ModuleType | None = None
        path = ""
        for part in alias.split("."):
            path = f"{path}.{part}" if path else part
            module = sys.modules.get(path) or _new_package(path)
            if parent is not None:
                setattr(parent, part, module)
            parent = module
        for name, home in names.items():
            setattr(parent, name, getattr(import_module(f"{_PACKAGE}.{home}"), name))
    return True


def _new_package(path: str) -> ModuleType:
    # With a spec, so that whoever looks for `genops` finds a package and not an inconsistent entry.
    module = module_from_spec(ModuleSpec(path, None, is_package=True))
    module.__doc__ = f"Alias of {_PACKAGE}, see {__name__}."
    module.__dict__["__genops_otel_posthog__"] = True
    sys.modules[path] = module
    return module


install_aliases()

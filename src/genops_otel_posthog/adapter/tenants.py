"""An adapter for each tenant, with an owner, a budget and a host of its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from genops_otel_posthog.adapter.adapter import GenOpsPostHogAdapter
from genops_otel_posthog.errors import GenOpsConfigurationError

_WANTED: Final = ("tenant_id",)
_KNOWN: Final = frozenset({"tenant_id", "tier", "daily_budget", "compliance_level", "sla", "region", "compliance"})


def create_tenant_adapter(tenant_config: Mapping[str, Any], **options: Any) -> GenOpsPostHogAdapter:
    """The adapter of a tenant. What one tenant spends comes from no other's budget.

    Args:
        tenant_config: As in the guide: ``tenant_id``; ``daily_budget`` (US dollars); ``compliance_level`` (the policy);
            ``tier``, ``sla``; ``region`` (``us`` or ``eu``: where PostHog keeps the data); ``compliance`` (names of
            frameworks).
        **options: Further arguments of :class:`GenOpsPostHogAdapter`, such as ``posthog_api_key`` or ``posthog_host``.

    Raises:
        GenOpsConfigurationError: The configuration has no ``tenant_id``, or a key or value that cannot be used.
    """
    unknown = sorted(str(key) for key in tenant_config.keys() - _KNOWN)
    missing = [key for key in _WANTED if not tenant_config.get(key)]
    if unknown or missing:
        raise GenOpsConfigurationError(
            f"the tenant's configuration cannot be used: it has {', '.join(unknown) or 'nothing'} that is unknown and "
            f"lacks {', '.join(missing) or 'nothing'}; there are {', '.join(sorted(_KNOWN))}"
        )
    tenant, tier = str(tenant_config["tenant_id"]), tenant_config.get("tier")
    tags = {
        "tenant_tier": tier,
        "sla_level": tenant_config.get("sla"),
        "data_residency": tenant_config.get("region"),
        "compliance_requirements": _joined(tenant_config.get("compliance")),
    }
    given = {name: str(value) for name, value in tags.items() if value}
    return GenOpsPostHogAdapter(
        **{
            "team": f"tenant_{tenant}",
            "project": "multi_tenant_analytics",
            "customer_id": tenant,
            "cost_center": f"tenant_{tier}" if tier else None,
            "daily_budget_limit": tenant_config.get("daily_budget"),
            "governance_policy": tenant_config.get("compliance_level"),
            **options,
            "tags": {**given, **(options.get("tags") or {})},
        }
    )


def _joined(names: str | Iterable[str] | None) -> str:
    return names if isinstance(names, str) else ",".join(names or ())

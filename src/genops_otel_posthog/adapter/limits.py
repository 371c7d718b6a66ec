"""Limits and policy as an application changes them while it runs."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from genops_otel_posthog.adapter.options import UNLIMITED
from genops_otel_posthog.instrumentation.options import merge_options
from genops_otel_posthog.settings import Settings


def changed_limits(
    daily: Decimal | float | str | None,
    weekly: Decimal | float | str | None,
    monthly: Decimal | float | str | None,
    governance_policy: str | None,
) -> dict[str, Any]:
    """The fields of the settings that change.

    Args:
        daily: US dollars per day; unchanged when ``None``, as for the following.
        weekly: Per ISO week.
        monthly: Per calendar month.
        governance_policy: The policy.

    Raises:
        GenOpsConfigurationError: A value cannot be used.
    """
    given = {
        "daily_budget_limit": daily,
        "weekly_budget_limit": weekly,
        "monthly_budget_limit": monthly,
        "governance_policy": governance_policy,
    }
    unlimited = {name: None for name, value in given.items() if value == UNLIMITED and name != "governance_policy"}
    named = {name: value for name, value in given.items() if value is not None and name not in unlimited}
    parsed = merge_options(Settings(), named)
    return {**unlimited, **{name: getattr(parsed, name) for name in named}}

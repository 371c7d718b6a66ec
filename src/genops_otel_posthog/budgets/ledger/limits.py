"""The limit that holds now: as configured, or as people changed it, and what overrides add to it."""

from __future__ import annotations

from collections.abc import Mapping

from genops_otel_posthog.budgets.ledger.storage import Records


def effective_limits(records: Records, now_ms: int) -> tuple[Mapping[str, int], Mapping[str, int]]:
    """Budget -> limit where it was changed, and budget -> what overrides add to it now."""
    added: dict[str, int] = {}
    for override in records.overrides(now_ms):
        if override.from_ms <= now_ms:
            added[override.budget] = added.get(override.budget, 0) + override.amount
    return records.changed_limits(), added


def limit_of(
    budget: str, configured: int, changed: Mapping[str, int], added: Mapping[str, int], largest_amount: int
) -> int:
    """A budget's limit with changes and overrides; never negative, never more than the ledger can count."""
    limit = changed.get(budget, configured) + added.get(budget, 0)
    return max(0, min(limit, largest_amount))

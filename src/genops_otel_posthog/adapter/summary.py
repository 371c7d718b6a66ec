"""What an adapter's owner has spent, of how much."""

from __future__ import annotations

import calendar
from datetime import datetime, timezone
from typing import Any, Final

from genops_otel_posthog.adapter.day_counts import Day
from genops_otel_posthog.adapter.governed_client import GovernedClient
from genops_otel_posthog.budgets.account import Account
from genops_otel_posthog.budgets.periods import PeriodKind
from genops_otel_posthog.money import float_usd_from_nano

LEDGER_WAIT_SECONDS: Final = 0.25
"""How long a summary waits for the ledger to be told what this process has counted."""

_PERCENT = 100.0


def accounts(governed: GovernedClient, wait: float = LEDGER_WAIT_SECONDS) -> dict[PeriodKind, Account]:
    """How the budgets of an owner stand, by period.

    Args:
        governed: The owner's client.
        wait: Most seconds to wait for the ledger.
    """
    if governed.budgeting is None:
        return {}
    governor = governed.budgeting.governor
    found: dict[PeriodKind, Account] = {}
    for budget in governed.budgets():
        account = governor.account(budget.id, wait)
        wait = 0.0  # one answer is about all of them
        if account is not None:
            found[budget.period] = account
    return found


def cost_summary(governed: GovernedClient, active_sessions: int) -> dict[str, Any]:
    """See :meth:`~.adapter.GenOpsPostHogAdapter.get_cost_summary`."""
    standing = accounts(governed)
    counts, settings = governed.counts, governed.settings
    today, month = counts.today(), counts.this_month()
    pricer = governed.telemetry.pricer
    sums = governed.telemetry.totals.by_meter()
    used = {meter: pricer.usage.used(meter) for meter in sums}
    monthly = _spent(standing, PeriodKind.MONTH, month)
    return {
        "daily_costs": _spent(standing, PeriodKind.DAY, today),
        "weekly_costs": _spent(standing, PeriodKind.WEEK, counts.last_days(datetime.now(timezone.utc).isoweekday())),
        "monthly_costs": monthly,
        "daily_budget_limit": _number(settings.daily_budget_limit),
        "weekly_budget_limit": _number(settings.weekly_budget_limit),
        "monthly_budget_limit": _number(settings.monthly_budget_limit),
        "daily_budget_utilization": _utilization(standing, PeriodKind.DAY),
        "weekly_budget_utilization": _utilization(standing, PeriodKind.WEEK),
        "monthly_budget_utilization": _utilization(standing, PeriodKind.MONTH),
        "projected_monthly_cost": monthly + _projected_rest(month),
        "events_today": today.events,
        "flags_evaluated_today": today.flags_evaluated,
        "active_sessions": active_sessions,
        "team": settings.team,
        "project": settings.project,
        "environment": settings.environment,
        "customer_id": settings.customer_id,
        "governance_enabled": governed.governs,
        "governance_policy": settings.governance_policy,
        "cost_alerts_enabled": governed.alerts,
        "total_cost": float_usd_from_nano(sum(nano for _, nano in sums.values())),
        "cost_by_meter": {meter: float_usd_from_nano(nano) for meter, (_, nano) in sums.items()},
        "usage": {meter: units for meter, (units, _) in sums.items()},
        "month_to_date_usage": used,
        "free_tier_remaining": {
            meter: pricer.book.free_units_left(meter, used[meter]) for meter in sums if pricer.book.prices(meter)
        },
        "price_book": pricer.book.name,
        "pricing_mode": pricer.mode,
    }


def weekly_trend(governed: GovernedClient) -> dict[str, float]:
    """See :meth:`~.adapter.GenOpsPostHogAdapter.analyze_weekly_cost_trend`."""
    this_week = governed.counts.last_days(7).cost_nano
    week_before = governed.counts.last_days(7, before=7).cost_nano
    growth = _PERCENT * (this_week - week_before) / week_before if week_before else 0.0
    return {
        "current_week_cost": float_usd_from_nano(this_week),
        "previous_week_cost": float_usd_from_nano(week_before),
        "growth_rate": growth,
    }


def _spent(standing: dict[PeriodKind, Account], period: PeriodKind, counted: Day) -> float:
    """What everybody of the owner has spent, where a budget counts it; else what this process has."""
    account = standing.get(period)
    if account is None or account.standing is None:
        return float_usd_from_nano(counted.cost_nano)
    return float_usd_from_nano(account.spent)


def _utilization(standing: dict[PeriodKind, Account], period: PeriodKind) -> float:
    """Percent of the limit; 0 where there is none."""
    account = standing.get(period)
    return 0.0 if account is None else _PERCENT * account.utilization


def _number(limit: object) -> float | None:
    return None if limit is None else float(str(limit))


def _projected_rest(month: Day) -> float:
    """What the rest of the month will cost if it goes on as on the days so far on which there was something."""
    now = datetime.now(timezone.utc)
    days = calendar.monthrange(now.year, now.month)[1]
    part_of_today = (now.hour * 60 + now.minute) / (24 * 60)
    passed = now.day - 1 + max(part_of_today, 1 / 24)
    return float_usd_from_nano(int(month.cost_nano / passed * max(0.0, days - passed)))

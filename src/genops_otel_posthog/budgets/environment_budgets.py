"""The budgets that environment variables give: one per day, per week and per month, for the owner that they name.

The budget belongs to that owner and not to the process, so its id says whose it is: every process with the same owner
spends from the same budget, and a process with another owner never resets it.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from genops_otel_posthog.budgets import amounts
from genops_otel_posthog.budgets.budget import Budget, BudgetPolicy
from genops_otel_posthog.budgets.fields import MAX_ID_LENGTH
from genops_otel_posthog.budgets.ledger.protocol import Threshold
from genops_otel_posthog.budgets.periods import PeriodKind
from genops_otel_posthog.budgets.thresholds import thresholds_by_period
from genops_otel_posthog.money import nano_from_usd, usd_from_nano
from genops_otel_posthog.settings import Settings
from genops_otel_posthog.settings.alert_thresholds import PERIOD_WORDS
from genops_otel_posthog.settings.once import WarnOnce

warn_once = WarnOnce(logging.getLogger("genops_otel_posthog.budgets"))

#: The fields of an owner that the variables' budgets are for; cost centre and feature divide an owner's calls.
OWNER_FIELDS: Final = ("team", "project", "environment", "customer_id")

DAYS_OF_A_WEEK: Final = 7

_WORDS: Final = {period: word for word, period in PERIOD_WORDS.items()}
_DIGEST_LENGTH = 16
_TOPIC = "the budgets"


def budget_id(period: PeriodKind, scope: Mapping[str, str]) -> str:
    """The id of the budget of an owner: ``daily:team=checkout,project=web-shop``; ``daily`` for the whole organisation.

    Different owners have different ids: what has a meaning in an id is escaped in values, and an id that would be too
    long ends with a digest.
    """
    parts = [f"{name}={_escaped(value)}" for name, value in scope.items()]
    text = ":".join(filter(None, (_WORDS[period.value], ",".join(parts))))
    if len(text) <= MAX_ID_LENGTH:
        return text
    digest = hashlib.sha256(text.encode()).hexdigest()[:_DIGEST_LENGTH]
    return f"{text[: MAX_ID_LENGTH - _DIGEST_LENGTH - 1].rstrip()}~{digest}"


def settings_thresholds(settings: Settings) -> Mapping[PeriodKind, tuple[Threshold, ...]]:
    """The thresholds of budgets that have none of their own, by period."""
    return thresholds_by_period(settings.alert_thresholds) if settings.alert_thresholds else {}


def settings_budgets(settings: Settings, *, has_weekly: bool = False) -> tuple[Budget, ...]:
    """The budgets of ``GENOPS_DAILY_BUDGET_LIMIT`` and its like.

    A threshold of the week needs a limit of the week. Where there is only one of the day, seven of them are taken, to
    be told about and not to refuse anything: nobody has set a limit.

    Args:
        settings: The environment.
        has_weekly: Whether there are other budgets per week, which the thresholds of the week are for.
    """
    given = {name: value for name in OWNER_FIELDS if (value := getattr(settings, name)) is not None}
    thresholds = settings_thresholds(settings)
    limits = {
        PeriodKind.DAY: settings.daily_budget_limit,
        PeriodKind.WEEK: settings.weekly_budget_limit,
        PeriodKind.MONTH: settings.monthly_budget_limit,
    }
    budgets = {}
    for period, limit in limits.items():
        if limit is not None:
            # Rounded down: several shares together are never more than the whole.
            nano = int(nano_from_usd(limit) * settings.budget_share)
            budgets[period] = _budget(settings, period, given, nano, thresholds)
    daily = budgets.get(PeriodKind.DAY)
    if PeriodKind.WEEK in thresholds and PeriodKind.WEEK not in budgets and not has_weekly and daily is not None:
        nano = DAYS_OF_A_WEEK * daily.amount
        warn_once(
            _TOPIC,
            "GENOPS_ALERT_THRESHOLDS has thresholds for the week and GENOPS_WEEKLY_BUDGET_LIMIT is not given: "
            f"{DAYS_OF_A_WEEK} times the daily limit, {amounts.shown(nano, None)}, is used for alerts. Nothing is "
            "refused because of it",
        )
        budgets[PeriodKind.WEEK] = _budget(
            settings, PeriodKind.WEEK, given, nano, thresholds, policy=BudgetPolicy.ADVISORY
        )
    return tuple(budgets[period] for period in limits if period in budgets)


def _budget(
    settings: Settings,
    period: PeriodKind,
    scope: Mapping[str, str],
    nano: int,
    thresholds: Mapping[PeriodKind, tuple[Threshold, ...]],
    policy: BudgetPolicy | None = None,
) -> Budget:
    unnamed = Budget(
        _WORDS[period.value],
        usd_from_nano(nano),
        period,
        scope=scope,
        time_zone=settings.budget_time_zone,
        policy=policy,
        thresholds=thresholds.get(period, ()),
    )
    # The id is made of the scope as owners have it, blanks and odd characters removed.
    return replace(unnamed, id=budget_id(period, unnamed.scope))


def _escaped(value: str) -> str:
    return value.replace("%", "%25").replace(",", "%2C").replace("=", "%3D")

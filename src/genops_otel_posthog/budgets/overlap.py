"""Budgets that contradict each other.

Any number of budgets may apply to one call: a team's and the organisation's, a day's and a month's, money's and a
meter's. Two for the same owner, the same periods and the same unit cannot both be meant, for only the lower one ever
does anything; most likely one of them was forgotten.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date

from genops_otel_posthog.budgets.budget import Budget


def contradicted(budget: Budget, others: Iterable[Budget]) -> Budget | None:
    """The first among ``others`` that cannot be meant together with ``budget``."""
    return next((other for other in others if _overlap(budget, other)), None)


def contradiction(budget: Budget, other: Budget) -> str:
    """What is wrong with the two, and what to do."""
    return (
        f"is for {budget.whose}, per {budget.period}, in {budget.meter or 'US dollars'}, and so is {other.id!r}. Only "
        "the lower limit of the two would do anything: remove one, narrow its scope, or give them starts and ends that "
        "do not overlap. To be warned before the limit, use thresholds"
    )


def _overlap(one: Budget, other: Budget) -> bool:
    return (
        one.scope == other.scope
        and _periods(one) == _periods(other)
        and one.meter == other.meter
        and (one.starts or date.min) <= (other.ends or date.max)
        and (other.starts or date.min) <= (one.ends or date.max)
    )


def _periods(budget: Budget) -> tuple[object, ...]:
    """The same for budgets with the same periods, whatever their time zones."""
    phase = budget.anchor.toordinal() % budget.days if budget.anchor and budget.days else None
    return budget.period, budget.days, phase

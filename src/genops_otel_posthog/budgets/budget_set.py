"""The budgets of one process, which may change while it runs.

Changes are rare and reading is on the way of calls, so a change replaces the whole collection at once: readers take no
lock, and see the budgets as they were before it or as they are after it.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Iterable, Iterator

from genops_otel_posthog.attribution.owner import Attribution
from genops_otel_posthog.budgets.budget import Budget, BudgetPolicy
from genops_otel_posthog.budgets.budget_file import BudgetFile
from genops_otel_posthog.budgets.environment_budgets import settings_budgets, settings_thresholds, warn_once
from genops_otel_posthog.budgets.ledger.protocol import BASIS_POINTS, part_of
from genops_otel_posthog.budgets.overlap import contradicted, contradiction
from genops_otel_posthog.budgets.periods import PeriodKind
from genops_otel_posthog.errors import GenOpsConfigurationError
from genops_otel_posthog.settings import Settings
from genops_otel_posthog.settings.alert_thresholds import PERIOD_WORDS


class BudgetSet:
    """Budgets by id. Safe to use from any thread; iterates in the order in which they were added.

    Attributes:
        version: Rises with each change, after it. Whoever keeps something that depends on the budgets compares this
            number instead of asking again.

    Args:
        budgets: The budgets to begin with.

    Raises:
        GenOpsConfigurationError: Two of them have one id, or cannot both be meant.
    """

    def __init__(self, budgets: Iterable[Budget] = ()) -> None:
        self.version = 0
        self._budgets: dict[str, Budget] = {}
        self._lock = threading.Lock()
        _alive.add(self)
        for budget in budgets:
            self.add(budget)

    @classmethod
    def from_settings(cls, settings: Settings, file: BudgetFile | None = None, *, strict: bool = True) -> BudgetSet:
        """The budgets of the environment and of the budgets file.

        Args:
            settings: The environment.
            file: The budgets file, where it has been read; read here otherwise.
            strict: Raise on what is wrong. Otherwise each problem is logged once: without the file where it cannot be
                used, and without a variable's budget that contradicts the file.

        Raises:
            GenOpsConfigurationError: ``strict``, and the file cannot be used, or contradicts the variables.
        """
        if file is None:
            file = BudgetFile.from_settings(settings, strict=strict)
        budgets = cls(file.budgets)
        has_weekly = any(budget.period is PeriodKind.WEEK for budget in budgets)
        for budget in settings_budgets(settings, has_weekly=has_weekly):
            try:
                budgets.add(budget)
            except GenOpsConfigurationError as error:
                problem = f"The limits of the environment contradict {file.path}: {error}"
                if strict:
                    raise GenOpsConfigurationError(problem) from None
                warn_once("the budgets", f"{problem}. Until it is corrected, the budget of the file stands.")
        budgets._remark_on_idle_thresholds(settings)
        return budgets

    def add(self, budget: Budget) -> None:
        """Adds a budget. One that is there already, equal in everything, is not added again.

        Raises:
            GenOpsConfigurationError: Another budget has its id, or the two cannot both be meant.
        """
        with self._lock:
            present = self._budgets.get(budget.id)
            if present is None:
                self._put(budget)
            elif present != budget:
                raise GenOpsConfigurationError(
                    f"budget {budget.id!r}: there is another budget of this id; give it another id, or replace that one"
                )

    def replace(self, budget: Budget) -> None:
        """Puts a budget in the place of the one with its id, or adds it where there is none.

        What has been spent stays: the ledger keeps it under the id.

        Raises:
            GenOpsConfigurationError: It and another budget cannot both be meant.
        """
        with self._lock:
            if self._budgets.get(budget.id) != budget:
                self._put(budget)

    def remove(self, budget_id: str) -> bool:
        """Removes a budget; whether there was one."""
        with self._lock:
            if budget_id not in self._budgets:
                return False
            self._change({key: budget for key, budget in self._budgets.items() if key != budget_id})
            return True

    def get(self, budget_id: str) -> Budget | None:
        """The budget with an id."""
        return self._budgets.get(budget_id)

    def matching(self, owner: Attribution) -> tuple[Budget, ...]:
        """The budgets that pay for the calls of an owner. All of them must agree to a call."""
        return tuple([budget for budget in self._budgets.values() if budget.matches(owner)])

    def check(self, largest_amount: int) -> None:
        """Checks that a ledger can count what the budgets allow.

        Args:
            largest_amount: The largest amount that it counts exactly (``Ledger.largest_amount``).

        Raises:
            GenOpsConfigurationError: It cannot; the message names every such budget.
        """
        problems = []
        for budget in self:
            most = _most(budget)
            if most > largest_amount:
                problems.append(
                    f"budget {budget.id!r}: its limit, with grace and overrides, is up to {budget.shown(most)}, but "
                    f"the ledger counts exactly only up to {budget.shown(largest_amount)}; lower it, or choose a "
                    "ledger that counts further (sqlite:///…)"
                )
        if problems:
            raise GenOpsConfigurationError("\n".join(problems))

    def __iter__(self) -> Iterator[Budget]:
        return iter(tuple(self._budgets.values()))

    def __len__(self) -> int:
        return len(self._budgets)

    def __contains__(self, budget_id: object) -> bool:
        return budget_id in self._budgets

    def _put(self, budget: Budget) -> None:
        other = contradicted(budget, (other for other in self._budgets.values() if other.id != budget.id))
        if other is not None:
            raise GenOpsConfigurationError(f"budget {budget.id!r} {contradiction(budget, other)}")
        self._change({**self._budgets, budget.id: budget})

    def _change(self, budgets: dict[str, Budget]) -> None:
        self._budgets = budgets
        self.version += 1

    def _remark_on_idle_thresholds(self, settings: Settings) -> None:
        periods = {budget.period for budget in self}
        idle = [word for word, period in PERIOD_WORDS.items() if PeriodKind(period) not in periods]
        for word in idle:
            if PeriodKind(PERIOD_WORDS[word]) in settings_thresholds(settings):
                warn_once(
                    "the budgets",
                    f"GENOPS_ALERT_THRESHOLDS has thresholds that are {word}, and no budget is: they raise no alert "
                    "until there is one",
                )


def _most(budget: Budget) -> int:
    """The most that a budget may ever allow in one period, in the ledger's unit."""
    raised = budget.amount + sum(max(0, override.amount) for override in budget.ledger_overrides())
    cap = budget.cap_basis_points(BudgetPolicy.ENFORCED) or BASIS_POINTS
    return max(raised, part_of(raised, cap))


_alive: weakref.WeakSet[BudgetSet] = weakref.WeakSet()


def _renew_locks() -> None:
    for budgets in _alive:
        budgets._lock = threading.Lock()


# A thread may hold the lock at the moment of a fork; it does not exist in the child, which would wait for it for ever.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_locks)

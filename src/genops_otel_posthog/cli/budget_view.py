"""How budgets stand, put together from what the configuration says and what the ledger knows.

Either may know a budget that the other does not: the ledger holds the budgets of every service that spends, the
configuration those of this one, and a budget that nobody has spent from yet is in no ledger.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from genops_otel_posthog.budgets.budget import Budget, BudgetPolicy
from genops_otel_posthog.budgets.ledger.limits import limit_of
from genops_otel_posthog.budgets.ledger.protocol import (
    BASIS_POINTS,
    Ledger,
    Override,
    PeriodRecord,
    Window,
    part_of,
)
from genops_otel_posthog.errors import GenOpsConfigurationError, GenOpsError, GenOpsValidationError

_EARLIEST_FORECAST = BASIS_POINTS // 10  # part of a period; before, an average says nothing


@dataclass(frozen=True)
class BudgetView:
    """One budget in its present period. Amounts are in the budget's unit: nano-USD, or units of its meter.

    Attributes:
        budget: The budget, as configured here; otherwise as the ledger was told last.
        configured: Whether it is configured here.
        spent_from: Whether the ledger knows the present period, that is, whether anybody has asked for it.
        window: The present period.
        limit: Limit with changes and overrides.
        changed_limit: The limit that was set in the ledger in place of the configured one.
        cap: Amount from which on calls are refused; ``None``: never.
        committed: Spent within the limit.
        overdraft: Spent past it by critical events.
        leased: Lent out to processes.
        held: Lent out to processes that fell silent.
        now_ms: The ledger's clock.
    """

    budget: Budget
    configured: bool
    spent_from: bool
    window: Window
    limit: int
    changed_limit: int | None
    cap: int | None
    committed: int
    overdraft: int
    leased: int
    held: int
    now_ms: int

    @property
    def spent(self) -> int:
        """Spent in all."""
        return self.committed + self.overdraft

    @property
    def left(self) -> int:
        """Not spent of the limit; what is lent out is a part of it."""
        return max(0, self.limit - self.committed)

    @property
    def utilization(self) -> Fraction | None:
        """Spent part of the limit; ``None`` for a limit of 0."""
        return Fraction(self.spent, self.limit) if self.limit else None

    @property
    def forecast(self) -> int | None:
        """Spent at the end of the period if it goes on as on average so far; ``None`` in its first tenth."""
        passed = (self.now_ms - self.window.start_ms) * BASIS_POINTS // (self.window.end_ms - self.window.start_ms)
        return self.spent * BASIS_POINTS // passed if passed >= _EARLIEST_FORECAST else None


class Budgets:
    """All budgets that the ledger or the configuration knows.

    Args:
        ledger: The ledger.
        configured: The budgets of the configuration.
        policy: The general policy, for budgets that have none.

    Attributes:
        unreadable: Ids of budgets that a newer version has put into the ledger in a form that this one cannot read,
            with the reason.
    """

    def __init__(self, ledger: Ledger, configured: Iterable[Budget], policy: BudgetPolicy) -> None:
        self._ledger = ledger
        self._policy = policy
        self._now_ms = ledger.now_ms()
        self._records: dict[str, list[PeriodRecord]] = {}
        for record in ledger.periods(current=False):
            self._records.setdefault(record.budget, []).append(record)
        self._configured = {budget.id: budget for budget in configured}
        self._budgets = dict(self._configured)
        self.unreadable: dict[str, str] = {}
        for name in self._records.keys() - self._configured.keys():
            try:
                self._budgets[name] = Budget.from_definition(self._records[name][-1].definition)
            except GenOpsConfigurationError as error:
                self.unreadable[name] = str(error)
        self._changed = ledger.changed_limits()
        self._overrides = list(ledger.overrides())
        known = {override.id for override in self._overrides}
        for budget in self._configured.values():
            self._overrides += [one for one in budget.ledger_overrides() if one.id not in known]

    def refreshed(self) -> Budgets:
        """The same, asked again after a change."""
        return Budgets(self._ledger, self._configured.values(), self._policy)

    def __iter__(self) -> Iterator[BudgetView]:
        """Every budget that can be read, by id."""
        return map(self.view, sorted(self._budgets))

    def find(self, name: str) -> BudgetView:
        """One budget.

        Raises:
            GenOpsValidationError: There is none of this id; the message names the nearest.
            GenOpsError: It cannot be read.
        """
        if name in self._budgets:
            return self.view(name)
        if name in self.unreadable:
            raise GenOpsError(unreadable_text(name, self.unreadable[name]))
        known = sorted(self._budgets)
        close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
        hint = (
            f"did you mean {close[0]}?" if close else f"there are {', '.join(known[:20])}" if known else "none is known"
        )
        raise GenOpsValidationError(f"there is no budget {name!r}; {hint}")

    def view(self, name: str) -> BudgetView:
        """A budget that is known."""
        record = self.current_record(name)
        budget = self._budgets[name]
        changed = self._changed.get(name)
        if record is not None:
            return BudgetView(
                budget,
                configured=name in self._configured,
                spent_from=True,
                window=record.window,
                limit=record.limit,
                changed_limit=changed,
                cap=record.cap,
                committed=record.committed,
                overdraft=record.overdraft,
                leased=record.leased,
                held=record.held,
                now_ms=self._now_ms,
            )
        added = sum(one.amount for one in self.overrides(name) if one.from_ms <= self._now_ms)
        limit = limit_of(name, budget.amount, self._changed, {name: added}, self._ledger.largest_amount)
        part = budget.cap_basis_points(self._policy)
        return BudgetView(
            budget,
            configured=name in self._configured,
            spent_from=False,
            window=budget.windows_around(self._now_ms)[0],
            limit=limit,
            changed_limit=changed,
            cap=None if part is None else part_of(limit, part),
            committed=0,
            overdraft=0,
            leased=0,
            held=0,
            now_ms=self._now_ms,
        )

    def current_record(self, name: str) -> PeriodRecord | None:
        """What the ledger holds about the present period."""
        records = self._records.get(name, ())
        return next((r for r in records if r.window.start_ms <= self._now_ms < r.window.end_ms), None)

    def past(self, name: str) -> Sequence[PeriodRecord]:
        """The periods that are over and kept, the newest first."""
        past = [record for record in self._records.get(name, ()) if record.window.end_ms <= self._now_ms]
        return sorted(past, key=lambda record: record.window.start_ms, reverse=True)

    def overrides(self, name: str) -> Sequence[Override]:
        """The overrides that have not ended, the earliest first; those that are only configured among them."""
        mine = [one for one in self._overrides if one.budget == name and one.until_ms > self._now_ms]
        return sorted(mine, key=lambda one: (one.from_ms, one.id))

    def by_id(self) -> Mapping[str, Budget]:
        """The budgets that can be read, by id."""
        return self._budgets


def unreadable_text(name: str, reason: str) -> str:
    """What is said about a budget that cannot be read."""
    return (
        f"the ledger holds budget {name!r} in a form that this version cannot read; update genops-otel-posthog. "
        f"{reason}"
    )

"""What the governor answers when it is asked whether a call may be made.

Two answers: a :class:`Reservation` (yes; the money is set aside until the call is settled or released) and a
:class:`Refusal` (no). Both say why in the words of the span attributes ``genops.policy.result`` and
``genops.policy.reason``.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Final

from genops_otel_posthog.budgets.ledger.protocol import PeriodKey
from genops_otel_posthog.budgets.periods import PeriodKind
from genops_otel_posthog.errors import GenOpsBudgetExceededError
from genops_otel_posthog.pricing.billing import Charge

if TYPE_CHECKING:
    from genops_otel_posthog.budgets.account import Account
    from genops_otel_posthog.budgets.plan import Plan

ALLOWED: Final = "allowed"
WARNING: Final = "warning"
BLOCKED: Final = "blocked"

WITHIN_BUDGET: Final = "within_budget"
BUDGET_WARNING: Final = "budget_warning"
BUDGET_EXCEEDED: Final = "budget_exceeded"
STRICT_LIMIT: Final = "strict_limit"
ATTRIBUTION_MISSING: Final = "attribution_missing"
LEDGER_UNREACHABLE: Final = "ledger_unreachable"
CRITICAL_EVENT: Final = "critical_event"


_PERIODS: Final = {
    PeriodKind.DAY: "today",
    PeriodKind.WEEK: "this week",
    PeriodKind.MONTH: "this month",
    PeriodKind.QUARTER: "this quarter",
    PeriodKind.CUSTOM: "in this period",
}


class Reservation:
    """Yes, for calls of one kind: the same budgets, the same charges. Shared by all of them, so that admitting a call
    creates nothing.

    Attributes:
        plan: The budgets that agreed, and how full they are.
        charges: What such a call is billed for.
        holds: From which lease how much is set aside for each call, in the budget's unit.
        eras: The era of each of these leases, see :attr:`Account.era`.
        charged: The periods that pay.
        overdrawn: The periods that it goes past the limit of, being critical.
        reason: Why it was admitted, where that is not simply that there is money.
        settled: Calls settled since the last message to the ledger.
    """

    __slots__ = ("charged", "charges", "eras", "exception", "holds", "overdrawn", "plan", "settled")

    allowed: Final = True
    decided: bool = True
    """Whether somebody asked; see :class:`Spent`."""

    def __init__(
        self,
        plan: Plan,
        charges: tuple[Charge, ...],
        holds: tuple[tuple[Account, int], ...],
        charged: tuple[PeriodKey, ...],
        overdrawn: tuple[PeriodKey, ...] = (),
        exception: str | None = None,
    ) -> None:
        self.plan = plan
        self.charges = charges
        self.holds = holds
        self.eras = tuple(account.era for account, _ in holds)
        self.charged = charged
        self.overdrawn = overdrawn
        self.exception = exception
        self.settled = 0

    @property
    def result(self) -> str:
        """``allowed``, or ``warning`` when a budget has reached a threshold."""
        return WARNING if self.exception is not None or self.plan.fullest is not None else ALLOWED

    @property
    def reason(self) -> str:
        """Why."""
        if self.exception is not None:
            return self.exception
        return WITHIN_BUDGET if self.plan.fullest is None else BUDGET_WARNING

    @property
    def account(self) -> Account | None:
        """The fullest of the budgets that have reached a threshold."""
        return self.plan.fullest


class Spent(Reservation):
    """What was spent before anybody could be asked, see :meth:`~.governor.Governor.record`."""

    __slots__ = ()

    decided = False


class Refusal:
    """No.

    Attributes:
        reason: Why: one of the reasons of this module.
        account: The budget that refused; ``None`` when none was asked.
        amount: What the call could have cost at most, in the budget's unit.
        missing: The fields of attribution that were missing.
    """

    __slots__ = ("account", "amount", "missing", "reason")

    allowed: Final = False
    result: Final = BLOCKED

    def __init__(
        self, reason: str, account: Account | None = None, amount: int = 0, missing: tuple[str, ...] = ()
    ) -> None:
        self.reason = reason
        self.account = account
        self.amount = amount
        self.missing = missing

    def error(self, what: str) -> GenOpsBudgetExceededError:
        """The refusal as an exception.

        Args:
            what: The call, as people know it: ``capture user_signed_up``.
        """
        if self.account is None:
            fields = " and ".join(self.missing)
            return GenOpsBudgetExceededError(
                f"{what} was refused: under policy strict every call needs a {fields}. "
                f"Use governance({', '.join(f'{name}=...' for name in self.missing)}) around it, or set "
                f"{', '.join(f'GENOPS_{name.upper()}' for name in self.missing)}"
            )
        budget, standing = self.account.budget, self.account.standing
        limit = budget.amount if standing is None else standing.limit
        spent = 0 if standing is None else standing.committed
        if self.reason == LEDGER_UNREACHABLE:
            message = (
                f"{what} was refused: the ledger of budget {budget.id} cannot be reached, and policy "
                f"{self.account.policy.value} spends no more than it knows of. Make the ledger reachable "
                "(GENOPS_LEDGER_URL), or use policy advisory until it is"
            )
        else:
            message = (
                f"{what} was refused: budget {budget.id} has spent {budget.shown(spent)} of {budget.shown(limit)} "
                f"{_PERIODS[budget.period]}, and the call may cost {budget.shown(self.amount)}. Raise the limit "
                f"(genops-posthog budget set {budget.id} --limit ...) or add an override for some time "
                f"(genops-posthog budget override {budget.id} --add ... --until ...)"
            )
        return GenOpsBudgetExceededError(
            message,
            Decimal(budget.as_decimal(limit)),
            Decimal(budget.as_decimal(spent)),
            Decimal(budget.as_decimal(self.amount)),
            budget_id=budget.id,
        )

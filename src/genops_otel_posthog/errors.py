"""The exceptions this package raises.

Every message answers three questions: what is wrong, with which value and from where, and what to do about it.
Under zero-code loading none of these reaches the application (see :mod:`genops_otel_posthog.settings`).
"""

from __future__ import annotations

from decimal import Decimal


class GenOpsError(Exception):
    """Base of every error raised by this package."""


class GenOpsConfigurationError(GenOpsError):
    """A setting, file or argument cannot be used as given."""


class GenOpsProviderError(GenOpsError):
    """PostHog, or the PostHog SDK, did not do what was asked of it."""


class GenOpsValidationError(GenOpsError):
    """A value handed to the public API is not acceptable."""


class GenOpsBudgetExceededError(GenOpsError):
    """A call was refused because it would have exceeded a budget. It was not made.

    Args:
        message: What was refused, by which budget, and what can be done.
        budget_limit: Limit of the budget, US dollars (units of the meter, where the budget counts units).
        current_cost: What has been spent of it in this period.
        operation_cost: What the call could have cost at most.
        budget_id: The budget that refused.
    """

    def __init__(
        self,
        message: str,
        budget_limit: Decimal = Decimal(0),
        current_cost: Decimal = Decimal(0),
        operation_cost: Decimal = Decimal(0),
        *,
        budget_id: str | None = None,
    ) -> None:
        super().__init__(message)
        self.budget_limit = budget_limit
        self.current_cost = current_cost
        self.operation_cost = operation_cost
        self.budget_id = budget_id

    def __reduce__(self) -> tuple[object, ...]:
        # Exceptions travel between processes (task queues); the default would lose the keyword.
        return _budget_error, (str(self), self.budget_limit, self.current_cost, self.operation_cost, self.budget_id)


def _budget_error(
    message: str, limit: Decimal, current: Decimal, operation: Decimal, budget_id: str | None
) -> GenOpsBudgetExceededError:
    return GenOpsBudgetExceededError(message, limit, current, operation, budget_id=budget_id)

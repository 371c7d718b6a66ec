"""A change of a budget's limit for some time, written beside the budget."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

from genops_otel_posthog.budgets.amounts import exact_number
from genops_otel_posthog.budgets.dates import date_or_time
from genops_otel_posthog.errors import GenOpsConfigurationError


@dataclass(frozen=True, init=False)
class DatedOverride:
    """More, or less, may be spent for some time.

    Attributes:
        amount: What is added to the limit, in the budget's unit: US dollars, or units of its meter. Negative to lower
            it.
        starts: The first day, in the budget's time zone, or the first instant.
        until: The last day, which is included, or the first instant after it. A time without offset is one in the
            budget's time zone.
        reason: Why; for the ledger's journal.
    """

    amount: Decimal
    starts: date | datetime
    until: date | datetime
    reason: str

    def __init__(
        self,
        amount: Decimal | int | str | float,
        starts: date | datetime | str,
        until: date | datetime | str,
        reason: str = "",
    ) -> None:
        """See the attributes; dates and times may be text, as ISO 8601 writes them.

        Raises:
            GenOpsConfigurationError: The amount is not a number or is 0, or a moment is neither a date nor a time.
        """
        try:
            number = exact_number(amount)
        except ValueError as error:
            raise GenOpsConfigurationError(f"override: amount {amount!r} {error}") from None
        if not number:
            raise GenOpsConfigurationError("override: amount 0 changes nothing; write what is added to the limit")
        if not isinstance(reason, str):
            raise GenOpsConfigurationError(f"override: reason {reason!r} is not a text")
        object.__setattr__(self, "amount", number)
        object.__setattr__(self, "reason", reason.strip())
        for name, moment in (("starts", starts), ("until", until)):
            try:
                object.__setattr__(self, name, date_or_time(moment))
            except ValueError as error:
                raise GenOpsConfigurationError(f"override: {name} {moment!r} {error}") from None

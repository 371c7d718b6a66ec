"""What an alert says: the amounts in the budget's unit, and the sentences people read.

Everything is taken from the alert alone, so that it reads the same however often and by whichever process it is sent.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone, tzinfo
from decimal import Decimal
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from genops_otel_posthog.budgets import amounts
from genops_otel_posthog.budgets.ledger.protocol import BASIS_POINTS, Alert
from genops_otel_posthog.budgets.periods import PeriodKind
from genops_otel_posthog.settings.alert_thresholds import percent_text

_KINDS = {kind.value[0]: kind for kind in PeriodKind}  # by the letter that a period's id begins with
_NOUNS = {
    PeriodKind.DAY: "the daily budget",
    PeriodKind.WEEK: "the weekly budget",
    PeriodKind.MONTH: "the monthly budget",
    PeriodKind.QUARTER: "the quarterly budget",
    PeriodKind.CUSTOM: "the budget",
}
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_LONGEST_SHOWN = 200


class Statement(NamedTuple):
    """An alert as people understand it.

    Attributes:
        alert: The alert. Its amounts are nano-USD, or units of ``meter``.
        scope: What the budget is for: field of attribution -> value; empty for the whole organisation.
        policy: The budget's policy, if it has one of its own.
        time_zone: IANA name of the zone its periods are reckoned in.
        meter: What it counts; ``None`` for money.
        kind: The kind of its period.
        utilization: Ten-thousandths of the limit that were spent, rounded down, so that it is never above what was
            spent nor below a threshold that was reached; ``None`` when the limit is 0 or less.
    """

    alert: Alert
    scope: Mapping[str, str]
    policy: str | None
    time_zone: str
    meter: str | None
    kind: PeriodKind
    utilization: int | None

    @classmethod
    def of(cls, alert: Alert) -> Statement:
        """Reads an alert.

        Raises:
            ValueError: the budget's definition cannot be read, so that nobody knows what the amounts are.
        """
        definition = _definition(alert)
        return cls(
            alert=alert,
            scope=definition.get("scope") or {},
            policy=definition.get("policy"),
            time_zone=definition.get("time_zone") or "UTC",
            meter=definition.get("meter"),
            kind=_KINDS.get(alert.period[:1], PeriodKind.CUSTOM),
            utilization=alert.spent * BASIS_POINTS // alert.limit if alert.limit > 0 else None,
        )

    @property
    def remaining(self) -> int:
        """Limit less what was spent; negative when more was spent."""
        return self.alert.limit - self.alert.spent

    @property
    def summary(self) -> str:
        """One short sentence. A percentage always says how much is spent, never how much is left."""
        whose, noun = f"Budget {printable(self.alert.budget)}:", _NOUNS[self.kind]
        if self._is_forecast:
            return f"{whose} {percent(self.alert.basis_points)} of {noun} will be spent by the end of its period"
        if self.utilization is None:
            return f"{whose} {noun} is spent, its limit is {self.shown(self.alert.limit)}"
        if self.remaining <= 0:
            return f"{whose} {noun} is spent, {percent(self.utilization)} of it"
        return f"{whose} {percent(self.utilization)} of {noun} is spent"

    @property
    def message(self) -> str:
        """The summary, the amounts, and until when the period lasts."""
        alert = self.alert
        spent = (
            f"Spent: {self.shown(alert.spent)} of {self.shown(alert.limit)}, threshold {percent(alert.basis_points)}"
        )
        how = ", if spending goes on as it did on average" if self._is_forecast else ""
        left = self.shown(self.remaining) if self.remaining > 0 else "nothing"
        return f"{self.summary}{how}. {spent}. Remaining until {self.shown_end}: {left}."

    @property
    def shown_end(self) -> str:
        """The end of the period, in the budget's time zone."""
        zone: tzinfo
        try:
            zone, name = ZoneInfo(self.time_zone), self.time_zone
        except (KeyError, ValueError, OSError):
            # Known where the budget was defined, but not on this machine: the instant is right in UTC, too.
            zone, name = timezone.utc, "UTC"
        return f"{instant(self.alert.period_end_ms).astimezone(zone):%Y-%m-%d %H:%M} ({name})"

    def shown(self, amount: int) -> str:
        """An amount for people: ``$16.41``, ``12,000 events``."""
        return amounts.shown(amount, self.meter)

    def exact(self, amount: int) -> Decimal:
        """An amount in US dollars, or in units."""
        return amounts.as_decimal(amount, self.meter)

    @property
    def _is_forecast(self) -> bool:
        # What has happened meanwhile is no forecast any more.
        return self.alert.forecast and self.remaining > 0


def _definition(alert: Alert) -> dict[str, Any]:
    try:
        definition = json.loads(alert.definition)
    except ValueError:
        definition = None
    if isinstance(definition, dict):
        scope = definition.get("scope") or {}
        texts = [definition.get(name) for name in ("meter", "policy", "time_zone")]
        if isinstance(scope, dict):
            texts += scope.values()
            if all(text is None or isinstance(text, str) for text in texts):
                return definition
    raise ValueError(f"its definition cannot be read: {alert.definition[:_LONGEST_SHOWN]!r}")


def percent(basis_points: int) -> str:
    """``80 %``, ``82.5 %``."""
    return f"{percent_text(basis_points)} %"


def printable(text: str) -> str:
    """``text`` on one line and without control characters, which could forge a line of a log."""
    return "".join(character if character.isprintable() else " " for character in text)


def instant(milliseconds: int) -> datetime:
    """Milliseconds since the epoch, in UTC."""
    return _EPOCH + timedelta(milliseconds=milliseconds)

"""A budget: how much may be spent, by whom, per which period, and what happens when it is spent.

A budget belongs to the owner that its scope names, not to a process: whoever spends on behalf of that owner spends from
it, in every process that shares the ledger.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from dataclasses import fields as dataclass_fields
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from functools import partial
from typing import Any, Final
from zoneinfo import ZoneInfo

from genops_otel_posthog.attribution.owner import Attribution
from genops_otel_posthog.budgets import amounts, fields
from genops_otel_posthog.budgets.dates import only_date
from genops_otel_posthog.budgets.ledger.protocol import BASIS_POINTS, Override, Threshold, Window
from genops_otel_posthog.budgets.override import DatedOverride
from genops_otel_posthog.budgets.periods import PeriodKind, instant_ms, windows_around
from genops_otel_posthog.budgets.thresholds import threshold_text
from genops_otel_posthog.errors import GenOpsConfigurationError

DEFAULT_STRICT_PERCENT: Final = Decimal(95)
"""A strict budget refuses from here on, unless it says otherwise."""

CONFIGURATION: Final = "configuration"
"""The actor of overrides that are written beside a budget; people's have their names."""


class BudgetPolicy(str, Enum):
    """What happens when a budget is spent."""

    ADVISORY = "advisory"
    """Nothing is refused; thresholds are told."""
    ENFORCED = "enforced"
    """What would exceed the limit, and its grace, is refused."""
    STRICT = "strict"
    """Refused from 95 percent on (or what ``strict_percent`` says), without a known owner, and without a ledger."""

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, init=False)
class Budget:
    """What one owner may spend per period. Immutable; equal when everything is equal.

    Attributes:
        id: Unique among the budgets that share a ledger; what has been spent is kept under it.
        limit: US dollars; or units, where there is a ``meter``. 0: nothing may be spent.
        period: How often it starts anew.
        scope: Whose calls it pays for: every call whose owner has these values, exactly as written. Empty: the whole
            organisation.
        time_zone: IANA name of the time zone whose dates begin the periods.
        meter: The meter whose units count, instead of money.
        policy: What happens when it is spent; ``None``: what the general policy says.
        thresholds: When to raise alerts, beside 100 percent, which always does.
        grace_percent: What an enforced budget admits past its limit, in percent of it, 0 to 100.
        strict_percent: From which part of it on a strict budget refuses, in percent, 0.01 to 100.
        anchor: First day of one of its periods; for a custom period only.
        days: Length of its periods, 1 to 366; for a custom period only.
        starts: The first day on which it applies.
        ends: The last day on which it applies.
        overrides: Changes of the limit for some time.
        hold: Whether what a process held that fell silent is kept aside until the period ends, instead of being lent to
            others: a process that was paused then cannot make others overshoot, at the price of what dead ones held.
    """

    id: str
    limit: Decimal
    period: PeriodKind
    scope: Mapping[str, str] = field(hash=False)
    time_zone: str
    meter: str | None
    policy: BudgetPolicy | None
    thresholds: tuple[Threshold, ...]
    grace_percent: Decimal
    strict_percent: Decimal
    anchor: date | None
    days: int | None
    starts: date | None
    ends: date | None
    overrides: tuple[DatedOverride, ...]
    hold: bool

    # Computed once, because they are asked for on the way of calls.
    _amount: int = field(init=False, repr=False, compare=False)
    _scope_pairs: tuple[tuple[str, str], ...] = field(init=False, repr=False, compare=False)
    _definition: str = field(init=False, repr=False, compare=False)

    def __init__(
        self,
        id: str,
        limit: Decimal | int | str | float,
        period: PeriodKind | str = PeriodKind.DAY,
        *,
        scope: Mapping[str, str] | None = None,
        time_zone: str = "UTC",
        meter: str | None = None,
        policy: BudgetPolicy | str | None = None,
        thresholds: Iterable[Threshold | Decimal | int | float | str] | str = (),
        grace_percent: Decimal | int | str | float = 0,
        strict_percent: Decimal | int | str | float = DEFAULT_STRICT_PERCENT,
        anchor: date | str | None = None,
        days: int | None = None,
        starts: date | str | None = None,
        ends: date | str | None = None,
        overrides: Iterable[DatedOverride] = (),
        hold: bool = False,
    ) -> None:
        """See the attributes. Texts are taken for what they mean: ``"12.50"``, ``"month"``, ``"95:critical"``.

        Raises:
            GenOpsConfigurationError: A value cannot be used; the message names the budget, the field, the value and
                the reason.
        """
        read = partial(fields.read, fields.budget_id(id))
        meter = read("meter", meter, fields.meter)
        named = read("policy", policy, fields.policy)
        values: dict[str, Any] = {
            "id": id,
            "limit": read("limit", limit, partial(fields.limit, meter=meter)),
            "period": read("period", period, fields.period),
            "scope": read("scope", scope, fields.scope),
            "time_zone": read("time_zone", time_zone, fields.time_zone),
            "meter": meter,
            "policy": None if named is None else BudgetPolicy(named),
            "thresholds": read("thresholds", thresholds, fields.thresholds),
            "grace_percent": read("grace_percent", grace_percent, fields.grace_percent),
            "strict_percent": read("strict_percent", strict_percent, fields.strict_percent),
            "anchor": None if anchor is None else read("anchor", anchor, only_date),
            "days": read("days", days, fields.days),
            "starts": None if starts is None else read("starts", starts, only_date),
            "ends": None if ends is None else read("ends", ends, only_date),
            "overrides": read("overrides", overrides, fields.overrides),
            "hold": read("hold", hold, fields.switch),
        }
        for name, value in values.items():
            object.__setattr__(self, name, value)
        self._check_together()
        object.__setattr__(self, "_amount", amounts.counted(self.limit, meter))
        object.__setattr__(self, "_scope_pairs", tuple(self.scope.items()))
        object.__setattr__(self, "_definition", self._written())

    def _check_together(self) -> None:
        custom = self.period is PeriodKind.CUSTOM
        if custom != (self.anchor is not None) or custom != (self.days is not None):
            raise self._refusal(
                "a custom period has an anchor, the first day of one of its periods, and days, its length; other "
                f"periods have neither. Given are period {self.period}, anchor {self.anchor} and days {self.days}"
            )
        if self.grace_percent and self.policy not in (None, BudgetPolicy.ENFORCED):
            raise self._refusal(
                f"grace_percent {self.grace_percent} is for policy enforced, and the policy is {self.policy}; leave it "
                "out, or write policy enforced"
            )
        if self.grace_percent and self.strict_percent != DEFAULT_STRICT_PERCENT:
            raise self._refusal(
                f"grace_percent {self.grace_percent} lets calls past the limit and strict_percent "
                f"{self.strict_percent} refuses them before it; keep one of the two"
            )
        if self.starts and self.ends and self.ends < self.starts:
            raise self._refusal(f"ends {self.ends} is before starts {self.starts}")
        found: set[str] = set()
        for override in self.overrides:
            shown = f"the override from {override.starts} until {override.until}"
            try:
                self._counted(override.amount)
            except ValueError as error:
                raise self._refusal(f"{shown}: amount {override.amount} {error}") from None
            timed = self._timed(override)
            if timed.from_ms >= timed.until_ms:
                raise self._refusal(f"{shown} ends before it begins")
            if timed.id in found:
                raise self._refusal(f"{shown} is given twice; add the amounts up")
            found.add(timed.id)

    def _refusal(self, problem: str) -> GenOpsConfigurationError:
        return GenOpsConfigurationError(f"budget {self.id!r}: {problem}")

    @classmethod
    def from_definition(cls, text: str) -> Budget:
        """The budget that :meth:`definition` wrote, also of a later version: what this one does not know is left out.

        Raises:
            GenOpsConfigurationError: The text is not the definition of a budget.
        """
        try:
            written = json.loads(text)
            written = {name: value for name, value in written.items() if name in _FIELD_NAMES}
            overrides = [
                DatedOverride(*(override[name] for name in _OVERRIDE_NAMES))
                for override in written.pop("overrides", ())
            ]
            return cls(**written, overrides=overrides)
        except (ValueError, TypeError, AttributeError, LookupError) as error:
            raise GenOpsConfigurationError(f"{text[:80]!r} is not the definition of a budget: {error}") from None

    def definition(self) -> str:
        """The budget as one line of JSON, the same for equal budgets; the ledger keeps it for whoever lists budgets."""
        return self._definition

    @property
    def amount(self) -> int:
        """The limit in the ledger's unit: nano-USD, or units of the meter."""
        return self._amount

    @property
    def zone(self) -> ZoneInfo:
        """The time zone."""
        return ZoneInfo(self.time_zone)

    @property
    def whose(self) -> str:
        """Whose budget it is, for people: ``team=checkout,project=web-shop``, or ``the whole organisation``."""
        return scope_text(self.scope) or "the whole organisation"

    def matches(self, owner: Attribution) -> bool:
        """Whether it pays for the calls of an owner."""
        return all(getattr(owner, name) == value for name, value in self._scope_pairs)

    def policy_under(self, general: BudgetPolicy) -> BudgetPolicy:
        """Its own policy, and the general one where it has none."""
        return self.policy or general

    def cap_basis_points(self, policy: BudgetPolicy) -> int | None:
        """Up to which part of the limit calls are admitted.

        Args:
            policy: The general policy; the budget's own comes before it.

        Returns:
            Ten-thousandths of the limit; ``None`` where nothing is ever refused.
        """
        own = self.policy_under(policy)
        if own is BudgetPolicy.ADVISORY:
            return None
        if own is BudgetPolicy.ENFORCED:
            return BASIS_POINTS + fields.basis_points(self.grace_percent)
        return fields.basis_points(self.strict_percent)

    def windows_around(self, now_ms: int) -> tuple[Window, Window]:
        """The period that an instant (milliseconds since the epoch) lies in, and the one after it."""
        return windows_around(self.period, self.zone, now_ms, anchor=self.anchor, days=self.days)

    def applies_at(self, now_ms: int) -> bool:
        """Whether an instant (milliseconds since the epoch) lies between its first and its last day."""
        return (self.starts is None or instant_ms(self.starts, self.zone) <= now_ms) and (
            self.ends is None or now_ms < _end_ms(self.ends, self.zone)
        )

    def ledger_overrides(self) -> tuple[Override, ...]:
        """Its overrides as the ledger takes them. Their ids stay when an amount is changed, and so replace what was."""
        return tuple(self._timed(override) for override in self.overrides)

    def as_decimal(self, amount: int) -> Decimal:
        """An amount of the ledger in US dollars, or units of the meter."""
        return amounts.as_decimal(amount, self.meter)

    def shown(self, amount: int) -> str:
        """An amount of the ledger for people: ``$12.50``, or ``1,200 events``."""
        return amounts.shown(amount, self.meter)

    def _counted(self, number: Decimal) -> int:
        return amounts.counted(number, self.meter)

    def _timed(self, override: DatedOverride) -> Override:
        from_ms = instant_ms(override.starts, self.zone)
        until_ms = _end_ms(override.until, self.zone)
        return Override(
            id=f"{self.id}@{from_ms}-{until_ms}",
            budget=self.id,
            amount=self._counted(override.amount),
            from_ms=from_ms,
            until_ms=until_ms,
            reason=override.reason,
            actor=CONFIGURATION,
        )

    def _written(self) -> str:
        written: dict[str, object] = {
            "id": self.id,
            "limit": str(self.limit),
            "period": self.period.value,
            "scope": dict(self.scope),
            "time_zone": self.time_zone,
            "meter": self.meter,
            "policy": self.policy and self.policy.value,
            "thresholds": [threshold_text(threshold) for threshold in self.thresholds],
            "grace_percent": str(self.grace_percent) if self.grace_percent else None,
            "strict_percent": str(self.strict_percent) if self.strict_percent != DEFAULT_STRICT_PERCENT else None,
            "anchor": self.anchor and self.anchor.isoformat(),
            "days": self.days,
            "starts": self.starts and self.starts.isoformat(),
            "ends": self.ends and self.ends.isoformat(),
            "overrides": [
                {
                    "amount": str(override.amount),
                    "starts": override.starts.isoformat(),
                    "until": override.until.isoformat(),
                    "reason": override.reason,
                }
                for override in self.overrides
            ],
            "hold": self.hold,
        }
        given = {name: value for name, value in written.items() if value or name == "limit"}
        return json.dumps(given, ensure_ascii=False, separators=(",", ":"))

    def __reduce__(self) -> tuple[object, ...]:
        # A view of a mapping cannot be pickled.
        return Budget.from_definition, (self.definition(),)


_FIELD_NAMES: Final = frozenset(entry.name for entry in dataclass_fields(Budget) if entry.init)
_OVERRIDE_NAMES: Final = ("amount", "starts", "until", "reason")


def scope_text(scope: Mapping[str, str]) -> str:
    """A scope as ``team=checkout,project=web-shop``; nothing for the whole organisation."""
    return ",".join(f"{name}={value}" for name, value in scope.items())


def _end_ms(last: date | datetime, zone: ZoneInfo) -> int:
    """The first instant after a day; a time is one itself."""
    return instant_ms(last if isinstance(last, datetime) else last + timedelta(days=1), zone)

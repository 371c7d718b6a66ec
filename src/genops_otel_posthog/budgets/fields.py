"""What the fields of a budget may be.

One function per field; each raises ``ValueError`` with the end of a sentence that begins with the field and its value.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from functools import partial
from types import MappingProxyType
from typing import Any, Final, TypeVar

from genops_otel_posthog.attribution.clean import clean_value
from genops_otel_posthog.budgets.amounts import counted, exact_number
from genops_otel_posthog.budgets.ledger.protocol import BASIS_POINTS, Threshold
from genops_otel_posthog.budgets.override import DatedOverride
from genops_otel_posthog.budgets.periods import PeriodKind
from genops_otel_posthog.budgets.thresholds import thresholds_of_one
from genops_otel_posthog.errors import GenOpsConfigurationError
from genops_otel_posthog.pricing.meters import METERS, unknown_meter
from genops_otel_posthog.settings.alert_thresholds import PERIOD_WORDS
from genops_otel_posthog.settings.time_zones import time_zone as existing_time_zone
from genops_otel_posthog.settings.values import POLICIES
from genops_otel_posthog.settings.values import policy as existing_policy

SCOPE_FIELDS: Final = ("team", "project", "environment", "customer_id", "cost_center", "feature")
"""The fields of an owner that a scope may name."""

MAX_ID_LENGTH: Final = 200
"""Longest id in characters: it is a label of metrics and part of every key of the ledger."""

MAX_CUSTOM_DAYS: Final = 366
"""Longest custom period in days."""

_LONGEST_SHOWN = 80
_T = TypeVar("_T")


def read(budget: str, name: str, value: Any, parse: Callable[[Any], _T]) -> _T:
    """The value that a field of a budget has.

    Raises:
        GenOpsConfigurationError: It cannot be used; the message names the budget, the field, the value and the reason.
    """
    try:
        return parse(value)
    except ValueError as error:
        raise GenOpsConfigurationError(f"budget {budget!r}: {name} {shown(value)} {error}") from None


def shown(value: object) -> str:
    """A value as it was written, or its beginning."""
    plainly = isinstance(value, Decimal) and abs(value.adjusted()) < _LONGEST_SHOWN
    text = f"{value:f}" if plainly else repr(value)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}…"


def budget_id(value: object) -> str:
    """The id of a budget.

    Raises:
        GenOpsConfigurationError: It is none.
    """
    if not isinstance(value, str) or not value.strip():
        raise GenOpsConfigurationError(f"a budget needs an id, which is a text like 'checkout-daily', not {value!r}")
    if len(value) > MAX_ID_LENGTH or not value.isprintable() or value != value.strip():
        raise GenOpsConfigurationError(
            f"{value[:_LONGEST_SHOWN]!r} cannot be the id of a budget: an id has up to {MAX_ID_LENGTH} printable "
            "characters and no blank at its ends"
        )
    return value


def meter(value: object) -> str | None:
    """The name of a meter, or ``None`` for money."""
    if value is None or (isinstance(value, str) and value in METERS):
        return value
    raise ValueError(f"cannot be counted: {unknown_meter(str(value)[:_LONGEST_SHOWN])}")


def limit(value: object, meter: str | None) -> Decimal:
    """A limit, in US dollars or units of ``meter``."""
    number = exact_number(value)
    if number < 0:
        raise ValueError("is negative; a limit is 0 (nothing may be spent) or more")
    counted(number, meter)
    return plain(number)


def period(value: object) -> PeriodKind:
    """A kind of period; ``daily`` is a day."""
    kinds = [kind.value for kind in PeriodKind]
    if isinstance(value, str):
        word = value.value if isinstance(value, PeriodKind) else value.strip().lower()
        word = PERIOD_WORDS.get(word, word)
        if word in kinds:
            return PeriodKind(word)
    raise ValueError(f"is not one of {', '.join(kinds)}")


def scope(value: object) -> Mapping[str, str]:
    """The values that an owner must have, in the order of :data:`SCOPE_FIELDS`."""
    if value is None:
        return MappingProxyType({})
    if not isinstance(value, Mapping):
        raise ValueError("is not a mapping of fields to values, like team = 'checkout'")
    for name in value:
        if name not in SCOPE_FIELDS:
            raise ValueError(f"names {name!r}, which no budget can be limited to; {choices(str(name), SCOPE_FIELDS)}")
    cleaned: dict[str, str] = {}
    for name in SCOPE_FIELDS:
        if name in value:
            given = value[name]
            text = None if isinstance(given, (Mapping, list, tuple, set)) else clean_value(name, given)
            if text is None:
                # Whoever computed it expects a budget for somebody, and would get one for everybody.
                raise ValueError(f"names no {name}; write one, or leave {name} out for all")
            cleaned[name] = text
    return MappingProxyType(cleaned)


def time_zone(value: object) -> str:
    """The name of a time zone."""
    if not isinstance(value, str):
        raise ValueError("is not a text; write a name of the IANA database, like Europe/Berlin")
    try:
        return existing_time_zone(value)
    except ValueError as error:
        raise ValueError(f"cannot be used: {error}") from None


def policy(value: object) -> str | None:
    """The name of a policy, ``None`` for the general one."""
    if value is None:
        return None
    if not isinstance(value, str):
        raise ValueError(f"is not one of {', '.join(POLICIES)}")
    try:
        return existing_policy(value)
    except ValueError as error:
        raise ValueError(f"cannot be used: {error}") from None


def thresholds(value: Any) -> tuple[Threshold, ...]:
    """Thresholds, the lowest first."""
    try:
        return thresholds_of_one(value)
    except TypeError:
        raise ValueError("is not a list like [80, '95:critical', '100:critical:forecast']") from None
    except ValueError as error:
        raise ValueError(f"cannot be used: {error}") from None


def percent(value: object, *, least: Decimal) -> Decimal:
    """A percentage from ``least`` to 100, to two decimals."""
    number = exact_number(value)
    if not least <= number <= 100 or number * 100 != (number * 100).to_integral_value():
        raise ValueError(f"is not a percentage from {least} to 100, with up to two decimals")
    return plain(number)


grace_percent = partial(percent, least=Decimal(0))
strict_percent = partial(percent, least=Decimal("0.01"))


def days(value: object) -> int | None:
    """The length of a custom period."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MAX_CUSTOM_DAYS:
        raise ValueError(f"is not a whole number from 1 to {MAX_CUSTOM_DAYS}")
    return value


def overrides(value: Any) -> tuple[DatedOverride, ...]:
    """Overrides, as they are."""
    try:
        given = tuple(value)
    except TypeError:
        given = (None,)
    if not all(isinstance(override, DatedOverride) for override in given):
        raise ValueError("is not a list of overrides; write DatedOverride(amount, starts, until, reason)")
    return given


def switch(value: object) -> bool:
    """``True`` or ``False``."""
    if not isinstance(value, bool):
        raise ValueError("is neither true nor false")
    return value


def basis_points(percentage: Decimal) -> int:
    """A percentage in ten-thousandths."""
    return int(percentage * BASIS_POINTS / 100)


def plain(number: Decimal) -> Decimal:
    """A number without an exponent and without zeros at its end, so that equal numbers are written alike."""
    text = f"{number:f}"
    return Decimal(text.rstrip("0").rstrip(".") if "." in text else text)


def choices(given: str, known: Sequence[str]) -> str:
    """The end of a sentence about an unknown name: the one that was probably meant, or all there are."""
    close = difflib.get_close_matches(given, known, n=1)
    return f"did you mean {close[0]}?" if close else f"known are {', '.join(known)}"

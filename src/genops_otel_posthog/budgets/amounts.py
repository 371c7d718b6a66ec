"""Amounts of a budget: US dollars, or units of a meter, as people write them and as the ledger counts them.

The ledger counts whole numbers: nano-USD, or units. What people write must be one exactly, so that nothing is rounded
between a configuration and a decision.
"""

from __future__ import annotations

from decimal import Decimal, DecimalException

from genops_otel_posthog.money import nano_from_usd, usd_from_nano

#: More digits than any amount has. Decimal would take a number of a billion digits, and int() hours to convert it.
_MOST_DIGITS = 30
_CENTS = 2


def exact_number(value: object) -> Decimal:
    """A number as a ``Decimal``, exactly as it is written.

    Args:
        value: ``Decimal``, ``int`` or text. A ``float`` is taken as Python prints it: 0.1 is a tenth, as its author
            meant.

    Raises:
        ValueError: It is no number, or one that no amount can be.
    """
    if isinstance(value, float):
        value = repr(value)
    if isinstance(value, bool) or not isinstance(value, (Decimal, int, str)):
        raise ValueError("is not a number; write it like 20 or 12.50")
    try:
        number = Decimal(value)
    except (DecimalException, ValueError):
        raise ValueError("is not a number; write it like 20 or 12.50") from None
    if not number.is_finite() or number.adjusted() > _MOST_DIGITS:
        raise ValueError("is not an amount; write a number like 20 or 12.50")
    return number


def counted(number: Decimal, meter: str | None) -> int:
    """A number of US dollars in nano-USD, or a number of units of ``meter``.

    Raises:
        ValueError: It is not a whole number of them.
    """
    if meter is None:
        try:
            return nano_from_usd(number)
        except ValueError:
            raise ValueError("USD is not a whole number of nano-USD; round it to nine decimals") from None
    if number != number.to_integral_value():
        raise ValueError(f"is not a whole number of {meter}")
    return int(number)


def as_decimal(amount: int, meter: str | None) -> Decimal:
    """Nano-USD as US dollars; units as they are."""
    return Decimal(amount) if meter else usd_from_nano(amount)


def shown(amount: int, meter: str | None) -> str:
    """An amount for people: ``$12.50``, ``$0.000248``, ``1,200 events``."""
    if meter:
        return f"{amount:,} {meter}"
    whole, _, decimals = f"{usd_from_nano(abs(amount)):,f}".partition(".")
    return f"{'-' if amount < 0 else ''}${whole}.{decimals.rstrip('0').ljust(_CENTS, '0')}"

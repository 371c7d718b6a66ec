"""Money as integers: one unit is a nano-USD, a billionth of a US dollar.

Every price that PostHog publishes is a whole number of nano-USD (the smallest today is 0.000001 USD = 1,000), so sums are
exact and do not depend on their order. ``Decimal`` is the type at the Python surface; ``float`` appears only where
OpenTelemetry demands it.
"""

from __future__ import annotations

from decimal import Decimal, InvalidOperation

NANO_PER_USD = 1_000_000_000


def nano_from_usd(amount: Decimal | int | str) -> int:
    """Converts an amount of US dollars to nano-USD, exactly.

    Args:
        amount: US dollars. ``float`` is not accepted: 0.1 is not a tenth of a dollar.

    Raises:
        ValueError: ``amount`` is not a finite number, or not a whole number of nano-USD.
    """
    try:
        nano = Decimal(amount) * NANO_PER_USD
    except (InvalidOperation, TypeError) as error:
        raise ValueError(f"{amount!r} is not an amount of US dollars; write it like '0.0000343'") from error
    if not nano.is_finite() or nano != nano.to_integral_value():
        raise ValueError(f"{amount!r} USD is not a whole number of nano-USD (0.000000001 USD)")
    return int(nano)


def usd_from_nano(nano: int) -> Decimal:
    """Converts nano-USD to US dollars, exactly."""
    return Decimal(nano) / NANO_PER_USD


def float_usd_from_nano(nano: int) -> float:
    """Converts nano-USD to the nearest ``float`` of US dollars, for span attributes and metric values."""
    return nano / NANO_PER_USD

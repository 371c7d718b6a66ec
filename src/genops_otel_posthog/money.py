"""Money as integers: one unit is a nano-USD, a billionth of a US dollar.

Every price that PostHog publishes is a whole number of nano-USD (the smallest today is 0.000001 USD = 1,000), so sums
are exact and do not depend on their order. ``Decimal`` is the type at the Python surface; ``float`` appears only where
OpenTelemetry demands it.
"""

from __future__ import annotations

from decimal import Context, Decimal, DecimalException, Inexact, InvalidOperation, Overflow

NANO_PER_USD = 1_000_000_000

# Our own, because the application may have set the current context to a precision of a few digits. What does not
# fit into it is no amount of money.
_EXACT = Context(prec=60, Emax=60, Emin=-60, traps=[Inexact, InvalidOperation, Overflow])


def nano_from_usd(amount: Decimal | int | str) -> int:
    """Converts an amount of US dollars to nano-USD, exactly.

    Args:
        amount: US dollars. ``float`` is not accepted: 0.1 is not a tenth of a dollar.

    Raises:
        ValueError: ``amount`` is not a finite number, or not a whole number of nano-USD.
    """
    try:
        if isinstance(amount, (float, bool)):
            raise TypeError(f"a {type(amount).__name__} is not an exact amount")
        nano = _EXACT.multiply(Decimal(amount), NANO_PER_USD)
    except (DecimalException, TypeError, ValueError) as error:
        raise ValueError(f"{amount!r} is not an amount of US dollars; write it like '0.0000343'") from error
    if not nano.is_finite() or nano != nano.to_integral_value():
        raise ValueError(f"{amount!r} USD is not a whole number of nano-USD (0.000000001 USD)")
    return int(nano)


def usd_from_nano(nano: int) -> Decimal:
    """Converts nano-USD to US dollars, exactly."""
    return _EXACT.divide(nano, NANO_PER_USD)


def float_usd_from_nano(nano: int) -> float:
    """Converts nano-USD to the nearest ``float`` of US dollars, for span attributes and metric values."""
    return nano / NANO_PER_USD

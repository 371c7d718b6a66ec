"""Month-to-date usage: how many units of each meter the organisation has used this month, which decides the price of
the next.

The interface is small, so that a ledger shared by many processes can stand behind it; the implementation here counts
within one process. PostHog gives one free tier per organisation, so what a single process counts is a lower bound:
start it with what the organisation had used before (``GENOPS_USAGE_TO_DATE``, or PostHog's billing page).
"""

from __future__ import annotations

import os
import re
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timezone
from decimal import Decimal
from typing import NamedTuple, Protocol

from genops_otel_posthog.errors import GenOpsConfigurationError
from genops_otel_posthog.pricing.meters import METERS, unknown_meter

_QUANTITY = re.compile(r"(?P<number>[0-9]+(_[0-9]+)*(\.[0-9]+)?)(?P<suffix>[kKmMbB]?)")
_SUFFIXES = {"": 1, "k": 1_000, "m": 1_000_000, "b": 1_000_000_000}


class MonthToDateUsage(Protocol):
    """Counts units per meter and billing month, for the whole organisation as far as it knows."""

    def add(self, meter: str, units: int) -> int:
        """Counts units and returns what had been used before them.

        The counting and the answer are one atomic step: whatever runs at the same time, the ranges
        ``[before, before + units)`` of a month follow each other without a gap or an overlap. Prices rely on it.

        Args:
            meter: Name of the meter.
            units: Units to count, 0 or more.
        """
        ...

    def add_all(self, charges: Iterable[tuple[str, int]]) -> list[int]:
        """:meth:`add` for several meters in one step, as one call of the application needs it."""
        ...

    def used(self, meter: str) -> int:
        """Units used so far this month."""
        ...

    def used_all(self, charges: Iterable[tuple[str, int]]) -> list[int]:
        """:meth:`used` of the meters of several charges, in their order."""
        ...


class BillingMonth(NamedTuple):
    """A calendar month in UTC, PostHog's billing month.

    Attributes:
        id: ``2026-11``; counters are kept by it, so a new month begins by using a new key and nothing is ever reset.
        start: First second, in seconds since the epoch.
        end: First second of the next month, in seconds since the epoch.
    """

    id: str
    start: float
    end: float

    @classmethod
    def at(cls, seconds: float) -> BillingMonth:
        """The month that holds an instant, given in seconds since the epoch."""
        moment = datetime.fromtimestamp(seconds, timezone.utc)
        start = moment.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        following = start.replace(year=start.year + start.month // 12, month=start.month % 12 + 1)
        return cls(f"{start:%Y-%m}", start.timestamp(), following.timestamp())


class InProcessUsage:
    """Usage as one process counts it; safe to use from any thread.

    Args:
        start: What the organisation had used this month before this process; it belongs to the month in which it is
            given.
        clock: Seconds since the epoch.

    Raises:
        GenOpsConfigurationError: ``start`` names an unknown meter or holds a negative number.
    """

    def __init__(self, start: Mapping[str, int] | None = None, clock: Callable[[], float] = time.time) -> None:
        start = dict(start or {})
        for meter, units in start.items():
            if meter not in METERS:
                raise GenOpsConfigurationError(f"usage to date: {unknown_meter(meter)}")
            if units < 0:
                raise GenOpsConfigurationError(f"usage to date: {meter} is {units:,}, and usage is never negative")
        self._clock = clock
        self._by_month: dict[str, dict[str, int]] = {}
        self._renew_lock()
        self._enter(BillingMonth.at(clock()))
        self._counts.update(start)
        _alive.add(self)

    def add(self, meter: str, units: int) -> int:
        """Counts units and returns what had been used before them, see :meth:`MonthToDateUsage.add`."""
        return self.add_all(((meter, units),))[0]

    def add_all(self, charges: Iterable[tuple[str, int]]) -> list[int]:
        """:meth:`add` for several meters in one step; the answers stand in the order of the charges."""
        used = []
        # Every call of the application comes through here; `with` would double the cost of the lock.
        self._acquire()
        try:
            now = self._clock()
            if not self._month_start <= now < self._month_end:
                self._enter(BillingMonth.at(now))
            counts = self._counts
            for meter, units in charges:
                before = counts.get(meter, 0)
                counts[meter] = before + units
                used.append(before)
        finally:
            self._release()
        return used

    def used(self, meter: str) -> int:
        """Units used so far this month."""
        return self.used_all(((meter, 0),))[0]

    def used_all(self, charges: Iterable[tuple[str, int]]) -> list[int]:
        """:meth:`used` of the meters of several charges. Takes no lock: others may count while this one looks."""
        if not self._month_start <= self._clock() < self._month_end:
            with self._lock:
                self._enter(BillingMonth.at(self._clock()))
        counts = self._counts
        return [counts.get(meter, 0) for meter, _ in charges]

    def raise_to(self, month: str, units: Mapping[str, int]) -> None:
        """Takes note that the organisation has used at least so much: others count as well.

        Args:
            month: Id of the billing month; another one than the present is of no interest.
            units: Units per meter.
        """
        with self._lock:
            now = self._clock()
            if not self._month_start <= now < self._month_end:
                self._enter(BillingMonth.at(now))
            if self._by_month.get(month) is self._counts:
                for meter, used in units.items():
                    self._counts[meter] = max(used, self._counts.get(meter, 0))

    def _enter(self, month: BillingMonth) -> None:
        # Kept as plain attributes: they are compared in every call of the application.
        self._month_start = month.start
        self._month_end = month.end
        self._counts = self._by_month.setdefault(month.id, {})
        # A clock that is set back across the boundary finds its month again; older months are not needed.
        for old in sorted(self._by_month)[:-2]:
            del self._by_month[old]

    def _renew_lock(self) -> None:
        self._lock = threading.Lock()
        self._acquire = self._lock.acquire
        self._release = self._lock.release


_alive: weakref.WeakSet[InProcessUsage] = weakref.WeakSet()


def _renew_locks() -> None:
    for usage in _alive:
        usage._renew_lock()


# A thread may hold the lock at the moment of a fork; it does not exist in the child, which would wait for it for ever.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_locks)


def parse_units(text: str) -> int:
    """Reads a number of units as people write it: ``250000``, ``250_000``, ``250k``, ``1.5M``, ``2B``.

    Raises:
        ValueError: it is not such a number, or not a whole number of units.
    """
    match = _QUANTITY.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not a number of units; write it like 250000, 250_000, 250k or 1.5M")
    units = Decimal(match["number"].replace("_", "")) * _SUFFIXES[match["suffix"].lower()]
    if units != units.to_integral_value():
        raise ValueError(f"{text!r} is not a whole number of units")
    return int(units)


def parse_usage_to_date(text: str, origin: str = "usage to date") -> dict[str, int]:
    """Reads usage per meter: ``events=900000,feature_flag_requests=10``.

    Args:
        text: Pairs ``meter=units`` separated by commas; units as in :func:`parse_units`. An empty text is no usage.
        origin: Where the text comes from, for the error: the name of a variable or an option.

    Raises:
        GenOpsConfigurationError: a pair is malformed, a meter unknown or given twice, a number negative or not whole.
    """
    usage: dict[str, int] = {}
    for pair in filter(None, (part.strip() for part in text.split(","))):
        meter, equals, quantity = (part.strip() for part in pair.partition("="))
        if not equals:
            reason = f"{pair!r} is not meter=units"
        elif meter not in METERS:
            reason = unknown_meter(meter)
        elif meter in usage:
            reason = f"{meter} is given twice"
        elif quantity.startswith("-"):
            reason = f"{meter} is {quantity}, and usage is never negative"
        else:
            try:
                usage[meter] = parse_units(quantity)
                continue
            except ValueError as error:
                reason = f"{meter}: {error}"
        raise GenOpsConfigurationError(
            f"{origin}={text!r}: {reason} (write it like events=900000,feature_flag_requests=10)"
        )
    return usage

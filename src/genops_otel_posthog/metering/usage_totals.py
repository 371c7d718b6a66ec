"""What the process has used and spent, as plain integers, and the observable metrics that read them.

The hot path only adds two integers under a lock; OpenTelemetry asks for the sums when it exports. The number of series
is
bounded: what does not fit is added to one series marked ``genops.overflow``, so totals stay exact whatever the
    cardinality.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Iterator
from typing import ClassVar
from weakref import WeakKeyDictionary, WeakSet

from opentelemetry.metrics import CallbackOptions, Meter, Observation

from genops_otel_posthog import semconv
from genops_otel_posthog.attribution import Attribution
from genops_otel_posthog.money import float_usd_from_nano
from genops_otel_posthog.pricing.billing import Charge
from genops_otel_posthog.pricing.pricer import Price

#: Owners told apart. OpenTelemetry's SDK keeps 2,000 attribute sets of an instrument and drops the meter of the rest;
#: an owner is one set for each of the seven meters that calls are billed by.
MAX_SERIES = 250
_OWNER_CACHE_SIZE = 2048
_OTHER = "_OTHER"  # OpenTelemetry's own word for names that are too many
_MOST_PRICES = 32  # of a series, before they are multiplied out; an application has a handful at a time


class Series:
    """What one combination of labels has used.

    Calls are counted by their price, which is one object until a tier ends, and multiplied out when somebody asks: one
    addition for a call instead of two for each of its meters.

    Attributes:
        attributes: The labels.
        calls: By the identity of a price: that price, what it was asked for, and how many calls had it.
    """

    __slots__ = ("_sums", "attributes", "calls")

    def __init__(self, attributes: dict[str, str | bool]) -> None:
        self.attributes = attributes
        self.calls: dict[int, tuple[Price, tuple[Charge, ...], list[int]]] = {}
        self._sums: dict[str, tuple[int, int]] = {}

    def begin(self, price: Price, charges: tuple[Charge, ...]) -> None:
        """Counts the first call of a price."""
        if len(self.calls) >= _MOST_PRICES:
            self.sums()
        self.calls[id(price)] = (price, charges, [1])

    def add_once(self, price: Price, charges: tuple[Charge, ...]) -> None:
        """Counts a call whose price no other has."""
        for meter, units, amount_nano in _parts(price, charges):
            before_units, before_nano = self._sums.get(meter, (0, 0))
            self._sums[meter] = (before_units + units, before_nano + amount_nano)

    def sums(self) -> dict[str, tuple[int, int]]:
        """Units and nano-USD by meter. Units of a meter without a price are counted, and cost nothing known."""
        for price, charges, (count,) in self.calls.values():
            for meter, units, amount_nano in _parts(price, charges):
                before_units, before_nano = self._sums.get(meter, (0, 0))
                self._sums[meter] = (before_units + count * units, before_nano + count * amount_nano)
        self.calls.clear()
        return self._sums


def _parts(price: Price, charges: tuple[Charge, ...]) -> tuple[tuple[str, int, int], ...]:
    """Meter, units and nano-USD of everything a call is charged for; what has no price costs nothing known."""
    if not price.unpriced:
        return price.parts
    return (*price.parts, *((meter, units, 0) for meter, units in charges if meter in price.unpriced))


class UsageTotals:
    """Usage and cost of this process since it started.

    Args:
        labels: The attribution fields that tell series apart.
    """

    _every: ClassVar[WeakSet[UsageTotals]] = WeakSet()

    def __init__(self, labels: Iterable[str]) -> None:
        self._labels = frozenset(labels)
        self._clear()
        UsageTotals._every.add(self)

    def _clear(self) -> None:
        self._lock = threading.Lock()
        self._acquire = self._lock.acquire
        self._release = self._lock.release
        self._series: dict[tuple[tuple[str, str], ...], Series] = {}
        self._series_of: dict[Attribution, Series] = {}
        self._series_of_others: dict[tuple[Attribution, str], Series] = {}
        self._overflow: dict[str, Series] = {}

    def add(self, owner: Attribution, charges: tuple[Charge, ...], price: Price) -> None:
        """Adds one call to the owner's series.

        Args:
            owner: Whose call it was.
            charges: What it is billed for.
            price: What that costs. Units of a meter without a price are counted all the same.
        """
        self._acquire()  # `with` would double the time of the lock
        try:
            series = self._series_of.get(owner)
            if series is None:
                series = self._find_series(owner)
            same = series.calls.get(id(price))
            if same is None:
                series.begin(price, charges)
            else:
                same[2][0] += 1
        finally:
            self._release()

    def add_of(self, provider: str, owner: Attribution, charges: tuple[Charge, ...], price: Price) -> None:
        """:meth:`add` for what somebody else than PostHog is paid for.

        Args:
            provider: Who, as ``gen_ai.provider.name`` names them.
            owner: Whose call it was.
            charges: What it is billed for.
            price: What that costs.
        """
        with self._lock:
            series = self._series_of_others.get((owner, provider))
            if series is None:
                if len(self._series_of_others) >= _OWNER_CACHE_SIZE:
                    self._series_of_others.clear()
                series = self._series_of_others[owner, provider] = self._series_with(owner, provider)
            series.add_once(price, charges)

    def _find_series(self, owner: Attribution) -> Series:
        if len(self._series_of) >= _OWNER_CACHE_SIZE:
            self._series_of.clear()
        series = self._series_of[owner] = self._series_with(owner, "posthog")
        return series

    def _series_with(self, owner: Attribution, provider: str) -> Series:
        labels = {**owner.select(self._labels), semconv.GENOPS_PROVIDER: provider}
        key = tuple(labels.items())
        series = self._series.get(key)
        if series is None:
            if len(self._series) < MAX_SERIES:
                series = self._series[key] = Series(dict(labels))
            else:
                kept = provider if provider == "posthog" else _OTHER
                series = self._overflow.get(kept)
                if series is None:
                    rest: dict[str, str | bool] = {semconv.GENOPS_PROVIDER: kept, semconv.GENOPS_OVERFLOW: True}
                    series = self._overflow[kept] = Series(rest)
        return series

    def snapshot(self) -> list[tuple[dict[str, str | bool], str, int, int]]:
        """Every series as (labels, meter, units, nano-USD)."""
        with self._lock:
            series = [*self._series.values(), *self._overflow.values()]
            return [
                (one.attributes, meter, units, nano) for one in series for meter, (units, nano) in one.sums().items()
            ]

    def by_meter(self) -> dict[str, tuple[int, int]]:
        """Units and nano-USD of the whole process, by PostHog's meters."""
        sums: dict[str, tuple[int, int]] = {}
        for labels, meter, units, nano in self.snapshot():
            if labels[semconv.GENOPS_PROVIDER] != "posthog":
                continue
            before = sums.get(meter, (0, 0))
            sums[meter] = (before[0] + units, before[1] + nano)
        return sums

    @classmethod
    def _start_over_after_fork(cls) -> None:
        """A forked child reports only what it uses itself: the parent reports the parent's, and may hold the lock."""
        for totals in list(cls._every):
            totals._clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=UsageTotals._start_over_after_fork)


_totals_of_meter: WeakKeyDictionary[Meter, dict[frozenset[str], UsageTotals]] = WeakKeyDictionary()


def observed_totals(meter: Meter, labels: Iterable[str]) -> UsageTotals:
    """The totals that ``meter`` reports as ``genops.usage`` and ``genops.cost.usage``.

    An observable instrument cannot be taken back, so instrumenting again with the same meter goes on with the same
    totals.
    """
    known = _totals_of_meter.get(meter)
    if known is None:
        known = _totals_of_meter[meter] = {}
        _observe(meter, known)
    labels = frozenset(labels)
    if labels not in known:
        known[labels] = UsageTotals(labels)
    return known[labels]


def _observe(meter: Meter, known: dict[frozenset[str], UsageTotals]) -> None:
    def every() -> Iterator[tuple[dict[str, str | bool], int, int]]:
        for totals in list(known.values()):
            for attributes, meter_name, units, nano in totals.snapshot():
                yield {**attributes, semconv.GENOPS_COST_METER: meter_name}, units, nano

    def usage(_: CallbackOptions) -> Iterator[Observation]:
        return (Observation(units, attributes) for attributes, units, _ in every())

    def cost(_: CallbackOptions) -> Iterator[Observation]:
        return (Observation(float_usd_from_nano(nano), attributes) for attributes, _, nano in every())

    meter.create_observable_counter(
        semconv.METRIC_GENOPS_USAGE,
        callbacks=[usage],
        unit="{unit}",
        description="Billable units of PostHog calls and events, and calls of models, by meter.",
    )
    meter.create_observable_counter(
        semconv.METRIC_GENOPS_COST_USAGE,
        callbacks=[cost],
        unit="{USD}",
        description="Marginal cost of PostHog calls and events, and of calls of models.",
    )

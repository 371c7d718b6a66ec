"""Prices, totals and budgets as settings describe them, each there once in a process.

The instrumentation and the exporter do not know each other, and either may be there without the other. Both spend from
the same budgets, at the prices of the same month-to-date usage, and are reported by the same metrics.
"""

from __future__ import annotations

import functools
import logging
import os
import threading
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from opentelemetry import metrics
from opentelemetry.instrumentation.utils import suppress_instrumentation

from genops_otel_posthog import semconv
from genops_otel_posthog.budgets.budget import Budget
from genops_otel_posthog.budgets.opening import Budgeting, open_budgeting
from genops_otel_posthog.errors import GenOpsConfigurationError
from genops_otel_posthog.metering.budget_metrics import forget, observe
from genops_otel_posthog.metering.usage_totals import UsageTotals, observed_totals
from genops_otel_posthog.pricing.book import PriceBook
from genops_otel_posthog.pricing.pricer import Pricer
from genops_otel_posthog.pricing.usage import InProcessUsage, parse_usage_to_date
from genops_otel_posthog.settings import DEFAULT_PRICE_BOOK, Settings
from genops_otel_posthog.settings.budget_variables import BUDGET_VARIABLES
from genops_otel_posthog.version import __version__

_logger = logging.getLogger(__name__)

SCOPE = "genops_otel_posthog"
_EXCHANGE_BUCKETS = (0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)

_BUDGET_FIELDS = (
    *(variable.field for variable in BUDGET_VARIABLES),
    "price_book",
    "pricing_mode",
    "usage_to_date",
)
"""What budgets depend on: settings that agree on these have the same."""


@dataclass
class _Open:
    """Budgets that are open in this process, and who uses them."""

    key: tuple[object, ...]
    budgeting: Budgeting
    users: set[Metering] = field(default_factory=set)


_lock = threading.RLock()
_opened: list[_Open] = []
_changes = 0  # of the list above


class Metering:
    """What somebody who spends needs: prices, totals and budgets.

    Args:
        settings: The merged settings.
        meter_provider: Where metrics go; the global one when not given.
        strict: Raise on settings that cannot be used. Otherwise each is logged and the default stands.

    Attributes:
        pricer: Prices at the month-to-date usage, which all of this process count together.
        meter: Makes the metrics.
        totals: What was used and spent, as the metrics report it.

    Raises:
        GenOpsConfigurationError: ``strict``, and the price book or the usage to date cannot be used.
    """

    def __init__(
        self, settings: Settings, *, meter_provider: metrics.MeterProvider | None = None, strict: bool = True
    ) -> None:
        self._settings = settings
        self._strict = strict
        self._usage = _usage(settings, strict=strict)
        self._budgeting: Budgeting | None = None
        self._seen = -1
        self.pricer = Pricer(_price_book(settings, strict=strict), self._usage, settings.pricing_mode)
        self.meter = _meter(meter_provider)
        self.totals: UsageTotals = observed_totals(self.meter, settings.metric_labels)

    def open_budgets(self, more: Iterable[Budget] = (), *, replacing: bool = False) -> Budgeting | None:
        """Opens the budgets of the settings, or those that are open already if they are the same.

        Args:
            more: Budgets besides them.
            replacing: Whether one of these takes the place of another with its id, instead of contradicting it.

        Returns:
            ``None`` when there is nothing to decide, see :func:`~genops_otel_posthog.budgets.opening.open_budgeting`.

        Raises:
            GenOpsConfigurationError: ``strict``, and the budgets, the ledger's URL or the webhook cannot be used.
            LedgerCorrupt: ``strict``, and what lies where the ledger should be is damaged.
        """
        global _changes
        key = self._key()
        with _lock:
            known = next((known for known in _opened if known.key == key), None)
            more = tuple(more)
            if known is None:
                budgeting = self._open(() if replacing else more, at_least=bool(more))
                if budgeting is None:
                    return None
                known = _Open(key, budgeting)
                _opened.append(known)
                _changes += 1
            budgets = known.budgeting.governor.budgets
            for budget in more:
                (budgets.replace if replacing else budgets.add)(budget)
            known.users.add(self)
            observe(self.meter, known.budgeting.governor)
            return known.budgeting

    def present_budgets(self) -> Budgeting | None:
        """The budgets that hold now, for somebody who spends beside others and knows of no budgets but the settings'.

        Settings that say nothing about budgets join those that are open, with whatever options that was done.
        """
        if self._seen != _changes:
            with _lock:
                if _opened and self._key() == _KEY_OF_NOTHING:
                    self._budgeting = _opened[-1].budgeting
                else:
                    self._budgeting = self.open_budgets()
                self._seen = _changes
        return self._budgeting

    def close(self) -> None:
        """Lets go of the budgets. Who does so last tells the ledger and gives back what was lent."""
        global _changes
        with _lock:
            for known in list(_opened):
                known.users.discard(self)
                if not known.users:
                    _opened.remove(known)
                    _changes += 1
                    known.budgeting.governor.close()
                    forget(known.budgeting.governor)

    def _key(self) -> tuple[object, ...]:
        return budget_key(self._settings)

    def _open(self, more: Iterable[Budget], *, at_least: bool) -> Budgeting | None:
        durations = self.meter.create_histogram(
            semconv.METRIC_GENOPS_LEDGER_SYNC_DURATION,
            unit="s",
            description="Duration of exchanges with the ledger.",
            explicit_bucket_boundaries_advisory=_EXCHANGE_BUCKETS,
        )

        def record(seconds: float, error: str | None) -> None:
            durations.record(seconds, {} if error is None else {semconv.ERROR_TYPE: error})

        quietly: Callable[[], AbstractContextManager[object]] = suppress_instrumentation
        return open_budgeting(
            self._settings,
            self.pricer.book,
            self._usage,
            more=more,
            at_least=at_least,
            used_before=_used_before(self._settings.usage_to_date),
            quietly=quietly,
            on_exchange=record,
            strict=self._strict,
        )


def budget_key(settings: Settings) -> tuple[object, ...]:
    """What budgets, prices and usage depend on: settings whose keys are equal have the same."""
    return tuple(getattr(settings, name) for name in _BUDGET_FIELDS)


_KEY_OF_NOTHING = budget_key(Settings())


def _after_fork_in_child() -> None:
    global _lock
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


def _used_before(usage_to_date: str | None) -> dict[str, int]:
    try:
        return parse_usage_to_date(usage_to_date or "")
    except GenOpsConfigurationError:
        return {}  # it has been said, see `_usage`


def _meter(provider: metrics.MeterProvider | None) -> metrics.Meter:
    if provider is None or provider is metrics.get_meter_provider():
        return _global_meter()
    return metrics.get_meter(SCOPE, __version__, provider, schema_url=semconv.SCHEMA_URL)


@functools.cache
def _global_meter() -> metrics.Meter:
    """The meter of the global provider, also before that is set.

    Always the same one: of two observable instruments with one name, OpenTelemetry's SDK reports one and loses the
    other's sums.
    """
    return metrics.get_meter(SCOPE, __version__, schema_url=semconv.SCHEMA_URL)


def _price_book(settings: Settings, *, strict: bool) -> PriceBook:
    try:
        return PriceBook.load(settings.price_book)
    except GenOpsConfigurationError as error:
        if strict:
            raise
        _logger.warning("GENOPS_PRICE_BOOK: %s. %s is used instead.", error, DEFAULT_PRICE_BOOK)
        return PriceBook.load(DEFAULT_PRICE_BOOK)


@functools.lru_cache(maxsize=8)
def _usage_since(usage_to_date: str | None) -> InProcessUsage:
    """The process's month-to-date usage on top of what was given. Instrumenting again goes on counting where it was."""
    return InProcessUsage(parse_usage_to_date(usage_to_date) if usage_to_date else {})


def _usage(settings: Settings, *, strict: bool) -> InProcessUsage:
    try:
        return _usage_since(settings.usage_to_date)
    except GenOpsConfigurationError as error:
        if strict:
            raise
        _logger.warning("GENOPS_USAGE_TO_DATE: %s. Usage starts at 0 instead.", error)
        return _usage_since(None)

"""What PostHog's billing API says the organisation has used, by meter.

Sources: PostHog/posthog on GitHub,
``products/billing/skills/investigating-billing-costs/references/usage-data-shape.md`` and
``products/signals/skills/signals-scout-billing/references/usage-types.md``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timezone
from decimal import Decimal, InvalidOperation
from typing import Any

from genops_otel_posthog.errors import GenOpsProviderError
from genops_otel_posthog.pricing.billing_names import (
    FREE_OF_CHARGE,
    METER_OF_PRODUCT,
    METER_OF_SUMMARY_KEY,
    METER_OF_USAGE_TYPE,
)


@dataclass
class ActualUsage:
    """What PostHog has counted in a calendar month.

    Attributes:
        month: ``2026-11``, in UTC.
        source: Where the figures were read.
        period_start: When the billing period began that PostHog is in, if it names one.
        units: Units by meter.
        unknown: Units by PostHog's own name, where this version knows no meter for it.
        amounts: What PostHog charges for a meter, US dollars; empty unless the month is the billing period.
        total: The same for everything, before discounts; ``None`` unless the month is the billing period.
    """

    month: str
    source: str
    period_start: datetime | None = None
    units: dict[str, int] = field(default_factory=dict)
    unknown: dict[str, int] = field(default_factory=dict)
    amounts: dict[str, Decimal] = field(default_factory=dict)
    total: Decimal | None = None

    def read_overview(self, overview: Mapping[str, Any]) -> None:
        """Takes the figures of ``/api/billing/``, whose billing period is the month.

        Raises:
            GenOpsProviderError: They are not as this version knows them.
        """
        summary = overview.get("usage_summary")
        if not isinstance(summary, dict):
            raise self._unreadable("it has no usage_summary")
        for key, entry in summary.items():
            self._add(key, METER_OF_SUMMARY_KEY, entry.get("usage") if isinstance(entry, dict) else None)
        in_summary = set(self.units)
        for product in _products(overview):
            kind = str(product.get("type"))
            meter = METER_OF_PRODUCT.get(kind)
            if meter is None or not product.get("subscribed"):
                continue
            if meter not in in_summary:
                self._add(kind, METER_OF_PRODUCT, product.get("current_usage"))
            # The amount of a product has those of its add-ons in it.
            amount = product.get("current_amount_usd_before_addons", product.get("current_amount_usd"))
            if amount is not None:
                self.amounts[meter] = self._number("current_amount_usd", amount)
        self.total = self._number("current_total_amount_usd", overview.get("current_total_amount_usd") or "0")

    def read_series(self, document: Mapping[str, Any]) -> None:
        """Adds up the days of ``/api/billing/usage/`` that lie in the month.

        Raises:
            GenOpsProviderError: They are not as this version knows them.
        """
        results = document.get("results")
        if not isinstance(results, list):
            raise self._unreadable("it has no results")
        for series in results:
            try:
                usage_type = str(series["breakdown_value"])
                days = list(zip(series["dates"], series["data"], strict=True))
            except (KeyError, TypeError, ValueError):
                raise self._unreadable("a series has no breakdown_value, or not one figure for each date") from None
            in_month = (value for day, value in days if str(day).startswith(f"{self.month}-"))
            self._add(usage_type, METER_OF_USAGE_TYPE, sum(self._number(usage_type, value) for value in in_month))

    def _add(self, name: str, meter_of: Mapping[str, str], value: object) -> None:
        """Adds units of what PostHog calls ``name``. ``None`` says nothing, and what is free is left out."""
        if value is None or name in FREE_OF_CHARGE:
            return
        units = int(self._number(name, value))
        meter = meter_of.get(name)
        if meter is not None:
            self.units[meter] = self.units.get(meter, 0) + units
        elif units:
            self.unknown[name] = self.unknown.get(name, 0) + units

    def _number(self, name: str, value: object) -> Decimal:
        try:
            number = Decimal(str(value))
        except InvalidOperation:
            number = Decimal("NaN")
        if not number.is_finite() or number < 0:
            raise self._unreadable(f"{name} is {str(value)[:40]!r}")
        return number

    def _unreadable(self, problem: str) -> GenOpsProviderError:
        return GenOpsProviderError(
            f"{self.source} answered what this version cannot read: {problem}. Is POSTHOG_HOST PostHog's own? "
            "Otherwise update genops-otel-posthog."
        )


def first_instant(month: str) -> datetime:
    """When a month like ``2026-11`` begins in UTC."""
    return datetime.strptime(month, "%Y-%m").replace(tzinfo=timezone.utc)


def last_day(month: str) -> date:
    """The last day of a month like ``2026-11``."""
    year, number = map(int, month.split("-"))
    return date.fromordinal(date(year + number // 12, number % 12 + 1, 1).toordinal() - 1)


def billing_period_start(overview: Mapping[str, Any]) -> datetime | None:
    """When the billing period of an overview began; ``None`` where it names none."""
    period = overview.get("billing_period")
    text = period.get("current_period_start") if isinstance(period, dict) else None
    try:
        # Python 3.10 does not read the Z of UTC.
        start = datetime.fromisoformat(str(text).replace("Z", "+00:00"))
    except ValueError:
        return None
    return start.astimezone(timezone.utc) if start.tzinfo else start.replace(tzinfo=timezone.utc)


def _products(overview: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Products and their add-ons, which are products too."""
    for product in overview.get("products") or ():
        if isinstance(product, dict):
            yield product
            yield from (add_on for add_on in product.get("addons") or () if isinstance(add_on, dict))

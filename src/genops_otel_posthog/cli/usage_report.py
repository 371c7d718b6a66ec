"""The answers of the usage commands: what the ledger counted beside what PostHog counted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from genops_otel_posthog.cli.actual_usage import ActualUsage
from genops_otel_posthog.cli.output import console, dollars, table
from genops_otel_posthog.money import usd_from_nano
from genops_otel_posthog.pricing.book import PriceBook
from genops_otel_posthog.pricing.meters import METERS

_REPORTED = "PostHog reports usage once a day, so its figures end with its last report."


@dataclass(frozen=True)
class MeterDifference:
    """One meter, as the ledger and as PostHog counted it.

    Attributes:
        meter: Its name.
        estimated: Units by the ledger.
        actual: Units by PostHog.
        tolerance: Part of the actual units that both may differ by.
        counted_here: Whether the ledger counts the meter at all.
        estimated_cost: What the ledger's units cost by the price book, US dollars; ``None`` where it has no price.
        actual_cost: The same for PostHog's units.
        charged: What PostHog charges for the meter so far, US dollars, where it says so.
    """

    meter: str
    estimated: int
    actual: int
    tolerance: Decimal
    counted_here: bool
    estimated_cost: Decimal | None
    actual_cost: Decimal | None
    charged: Decimal | None

    @property
    def difference(self) -> int:
        """Units that the ledger has more than PostHog."""
        return self.estimated - self.actual

    @property
    def part(self) -> Decimal | None:
        """The difference as part of PostHog's units; ``None`` when PostHog has none."""
        return Decimal(self.difference) / self.actual if self.actual else None

    @property
    def within_tolerance(self) -> bool:
        """Whether both agree. A meter that the ledger does not count has nothing to agree."""
        return not self.counted_here or abs(self.difference) <= self.tolerance * self.actual


def compare(
    estimated: Mapping[str, int], actual: ActualUsage, book: PriceBook, tolerance: Decimal
) -> list[MeterDifference]:
    """Every meter that either of them knows, in the order of PostHog's price list."""
    return [
        MeterDifference(
            meter=meter,
            estimated=estimated.get(meter, 0),
            actual=actual.units.get(meter, 0),
            tolerance=tolerance,
            counted_here=meter in estimated,
            estimated_cost=_cost(book, meter, estimated.get(meter, 0)),
            actual_cost=_cost(book, meter, actual.units.get(meter, 0)),
            charged=actual.amounts.get(meter),
        )
        for meter in METERS
        if estimated.get(meter) or actual.units.get(meter)
    ]


def reconcile_document(differences: list[MeterDifference], actual: ActualUsage, book: PriceBook) -> dict[str, Any]:
    """The comparison for programs."""
    return {
        **_source_document(actual),
        "price_book": book.name,
        "currency": book.currency,
        "charged_total": actual.total,
        "within_tolerance": all(one.within_tolerance for one in differences),
        "meters": [
            {
                "meter": one.meter,
                "counted_here": one.counted_here,
                "estimated": one.estimated,
                "actual": one.actual,
                "difference": one.difference,
                "difference_percent": None if one.part is None else round(float(one.part * 100), 4),
                "estimated_cost": one.estimated_cost,
                "actual_cost": one.actual_cost,
                "charged": one.charged,
                "within_tolerance": one.within_tolerance,
            }
            for one in differences
        ],
    }


def print_reconcile(differences: list[MeterDifference], actual: ActualUsage, book: PriceBook) -> None:
    """The comparison for people."""
    out = console()
    out.print(f"Usage of {actual.month}: the ledger beside {actual.source}. Costs by {book.name}, US dollars.")
    if not differences:
        out.print("Neither has counted anything.")
    else:
        rows = table("Meter", "Ledger", "PostHog", "Difference", "", "Ledger's cost", "PostHog's cost", "Charged", "")
        for one in differences:
            rows.add_row(
                one.meter,
                f"{one.estimated:,}",
                f"{one.actual:,}",
                f"{one.difference:+,}",
                "" if one.part is None else f"{float(one.part * 100):+.1f} %",
                _dollars(one.estimated_cost),
                _dollars(one.actual_cost),
                _dollars(one.charged),
                "not counted here" if not one.counted_here else "" if one.within_tolerance else "differs",
            )
        out.print(rows)
    if actual.total is not None:
        out.print(f"PostHog charges {dollars(actual.total)} so far, everything included, before discounts.")
    _print_remarks(actual)


def sync_document(
    before: Mapping[str, int], after: Mapping[str, int], actual: ActualUsage, *, dry: bool
) -> dict[str, Any]:
    """What was raised, for programs."""
    return {
        **_source_document(actual),
        "dry_run": dry,
        "meters": [
            {
                "meter": meter,
                "before": before.get(meter, 0),
                "actual": actual.units.get(meter, 0),
                "after": after.get(meter, 0),
            }
            for meter in METERS
            if before.get(meter) or after.get(meter)
        ],
    }


def print_sync(before: Mapping[str, int], after: Mapping[str, int], actual: ActualUsage, *, dry: bool) -> None:
    """What was raised, for people."""
    out = console()
    out.print(f"Usage of {actual.month}, from {actual.source}.{' Nothing was changed.' if dry else ''}")
    rows = table("Meter", "Ledger before", "PostHog", "Ledger after" if not dry else "Ledger would have", "Raised by")
    for meter in METERS:
        was, becomes = before.get(meter, 0), after.get(meter, 0)
        if was or becomes:
            rows.add_row(
                meter,
                f"{was:,}",
                f"{actual.units.get(meter, 0):,}",
                f"{becomes:,}",
                f"{becomes - was:,}" * (becomes > was),
            )
    if rows.row_count:
        out.print(rows)
    else:
        out.print("PostHog has counted nothing.")
    _print_remarks(actual)


def _source_document(actual: ActualUsage) -> dict[str, Any]:
    start = actual.period_start
    return {
        "month": actual.month,
        "source": actual.source,
        "billing_period_start": None if start is None else start.isoformat(),
        "unknown": dict(actual.unknown),
    }


def _print_remarks(actual: ActualUsage) -> None:
    out = console()
    out.print(_REPORTED)
    if actual.period_start is not None and actual.period_start.day != 1:
        out.print(
            f"PostHog bills this organisation from {actual.period_start:%Y-%m-%d} on, and the ledger counts calendar "
            "months: tiers and free units begin anew on another day than they do here."
        )
    for name, units in actual.unknown.items():
        out.print(f"PostHog also reports {units:,} of {name!r}, which this version does not know; it is in no figure.")


def _cost(book: PriceBook, meter: str, units: int) -> Decimal | None:
    return usd_from_nano(book.rate(meter).cumulative_nano(units)) if book.prices(meter) else None


def _dollars(amount: Decimal | None) -> str:
    return "–" if amount is None else dollars(round(amount, 2))

"""The ledger's journal, as a document for programs and as a table for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timezone, tzinfo
from decimal import Decimal
from typing import Any

from genops_otel_posthog.budgets.budget import Budget
from genops_otel_posthog.budgets.ledger.protocol import JournalEntry
from genops_otel_posthog.cli.moments import clock_text, instant_text
from genops_otel_posthog.cli.output import console, table

_USD = "USD"
_OF_UNITS = "usage"  # the kind of entry whose amount is units, not an amount of a budget


def journal_document(entries: Sequence[JournalEntry], budgets: Mapping[str, Budget]) -> dict[str, Any]:
    """Journal entries for programs; the amount of a budget that is not known any more is left out."""
    return {
        "entries": [
            {
                "number": entry.number,
                "at": instant_text(entry.at_ms, timezone.utc),
                "actor": entry.actor,
                "kind": entry.kind,
                "budget": entry.budget,
                "period": entry.period,
                "amount": _amount(entry, budgets),
                "unit": _unit(entry, budgets),
                "note": entry.note,
            }
            for entry in entries
        ]
    }


def print_journal(entries: Sequence[JournalEntry], budgets: Mapping[str, Budget], zone: tzinfo) -> None:
    """Journal entries for people."""
    out = console()
    if not entries:
        out.print("The journal has no entry about that.")
        return
    rows = table("No.", "At", "What", "Amount", "Budget", "Period", "By", "Note")
    for number, column in enumerate(rows.columns):
        column.justify = "right" if number in (0, 3) else "left"
    for entry in entries:
        rows.add_row(
            str(entry.number),
            clock_text(entry.at_ms, zone),
            entry.kind,
            _shown_amount(entry, budgets),
            entry.budget or "",
            entry.period or "",
            entry.actor,
            entry.note,
        )
    out.print(rows)
    out.print(f"Times are those of {getattr(zone, 'key', 'UTC')}.")


def _budget_of(entry: JournalEntry, budgets: Mapping[str, Budget]) -> Budget | None:
    return None if entry.budget is None else budgets.get(entry.budget)


def _unit(entry: JournalEntry, budgets: Mapping[str, Budget]) -> str | None:
    if entry.kind == _OF_UNITS:
        return "units"
    budget = _budget_of(entry, budgets)
    return None if budget is None else budget.meter or _USD


def _amount(entry: JournalEntry, budgets: Mapping[str, Budget]) -> Decimal | int | None:
    if entry.kind == _OF_UNITS:
        return entry.amount
    budget = _budget_of(entry, budgets)
    return None if budget is None else budget.as_decimal(entry.amount)


def _shown_amount(entry: JournalEntry, budgets: Mapping[str, Budget]) -> str:
    if entry.kind == _OF_UNITS:
        return f"{entry.amount:,} units"
    budget = _budget_of(entry, budgets)
    if budget is None:
        return "" if entry.budget is None else "?"
    return budget.shown(entry.amount)

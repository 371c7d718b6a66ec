"""The answers of the budget commands, as documents for programs and as tables for people.

Amounts are US dollars, or units of the meter that the budget counts; moments are in the budget's time zone.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any

from genops_otel_posthog.budgets.account import DEFAULT_THRESHOLDS
from genops_otel_posthog.budgets.budget import Budget
from genops_otel_posthog.budgets.ledger.protocol import BASIS_POINTS, Override, PeriodRecord, Threshold
from genops_otel_posthog.cli.budget_view import BudgetView
from genops_otel_posthog.cli.moments import instant_text, moment_text
from genops_otel_posthog.cli.output import console, dollars, table

_USD = "USD"
_ALWAYS_TOLD = Threshold(BASIS_POINTS, severity="critical")


# --- list ------------------------------------------------------------------------------------------------------------


def list_document(views: Sequence[BudgetView]) -> dict[str, Any]:
    """All budgets for programs."""
    return {"budgets": [_view_document(view) for view in views]}


def print_list(views: Sequence[BudgetView]) -> None:
    """All budgets for people."""
    out = console()
    if not views:
        out.print(
            "There is no budget: none is configured here (GENOPS_DAILY_BUDGET_LIMIT, GENOPS_BUDGETS_FILE) and the "
            "ledger holds none."
        )
        return
    rows = table("Budget", "Whose", "Counts", "Spent", "Limit", "", "Leased", "Left", "Forecast", "Period ends")
    for column in (1, 2, 9):
        rows.columns[column].justify = "left"
    for view in views:
        budget = view.budget
        rows.add_row(
            budget.id,
            budget.whose,
            budget.meter or "US dollars",
            _figure(budget, view.spent),
            _figure(budget, view.limit),
            _percent(view.utilization),
            _figure(budget, view.leased),
            _figure(budget, view.left),
            "–" if view.forecast is None else _figure(budget, _rounded(view.forecast)),
            moment_text(view.window.end_ms, budget.zone),
        )
    out.print(rows)


# --- show ------------------------------------------------------------------------------------------------------------


def show_document(view: BudgetView, overrides: Sequence[Override], past: Sequence[PeriodRecord]) -> dict[str, Any]:
    """One budget for programs."""
    budget = view.budget
    return {
        **_view_document(view),
        "thresholds": [
            {
                "percent": threshold.basis_points / 100,
                "severity": threshold.severity,
                "forecast": threshold.forecast,
                "reached": _reached(view, threshold),
            }
            for threshold in _thresholds(budget)
        ],
        "overrides": [override_document(budget, override) for override in overrides],
        "past_periods": [
            {
                "id": record.window.id,
                "start": instant_text(record.window.start_ms, budget.zone),
                "end": instant_text(record.window.end_ms, budget.zone),
                "limit": budget.as_decimal(record.limit),
                "spent": budget.as_decimal(record.committed + record.overdraft),
                "overdraft": budget.as_decimal(record.overdraft),
            }
            for record in past
        ],
    }


def print_show(view: BudgetView, overrides: Sequence[Override], past: Sequence[PeriodRecord]) -> None:
    """One budget for people."""
    out = console()
    budget, shown = view.budget, view.budget.shown
    facts = [
        ("Whose", budget.whose),
        ("Period", f"{view.window.id}, until {moment_text(view.window.end_ms, budget.zone)} ({budget.time_zone})"),
        ("Limit", _limit_text(view)),
        ("Refuses from", "never" if view.cap is None else shown(view.cap)),
        ("Spent", f"{shown(view.spent)} ({_percent(view.utilization)})"),
        ("  past the limit", shown(view.overdraft)),
        ("Left", shown(view.left)),
        ("  lent to processes", shown(view.leased)),
        ("  held for silent ones", shown(view.held)),
        (
            "At the period's end",
            "too early to tell" if view.forecast is None else f"{shown(_rounded(view.forecast))}, as it goes on",
        ),
    ]
    if not view.spent_from:
        facts.append(("", "Nobody has spent from it in this period."))
    if not view.configured:
        facts.append(("", "It is not configured here; this is what the ledger knows."))
    width = max(len(name) for name, _ in facts)
    out.print(f"Budget {budget.id}\n")
    for name, text in facts:
        out.print(f"{name:<{width}}  {text}")
    out.print()
    rows = table("Alert at", "Of", "Severity", "Reached")
    for threshold in _thresholds(budget):
        rows.add_row(
            _percent(Fraction(threshold.basis_points, BASIS_POINTS)),
            "the forecast" if threshold.forecast else "what is spent",
            threshold.severity,
            "yes" if _reached(view, threshold) else "no",
        )
    out.print(rows)
    if overrides:
        print_overrides(budget, overrides)
    if past:
        rows = table("Past period", "Spent", "Past the limit", "Limit", "")
        for record in past:
            spent = record.committed + record.overdraft
            part = Fraction(spent, record.limit) if record.limit else None
            rows.add_row(record.window.id, shown(spent), shown(record.overdraft), shown(record.limit), _percent(part))
        out.print(rows)


# --- overrides -------------------------------------------------------------------------------------------------------


def override_document(budget: Budget, override: Override) -> dict[str, Any]:
    """One override for programs."""
    return {
        "id": override.id,
        "amount": budget.as_decimal(override.amount),
        "from": instant_text(override.from_ms, budget.zone),
        "until": instant_text(override.until_ms, budget.zone),
        "reason": override.reason,
        "actor": override.actor,
    }


def print_overrides(budget: Budget, overrides: Sequence[Override]) -> None:
    """The overrides of one budget for people."""
    out = console()
    if not overrides:
        out.print(f"Budget {budget.id} has no override.")
        return
    rows = table("Override", "Adds", "From", "Until", "By", "Reason")
    for column in (2, 3, 4, 5):
        rows.columns[column].justify = "left"
    for override in overrides:
        rows.add_row(
            override.id,
            budget.shown(override.amount),
            moment_text(override.from_ms, budget.zone),
            moment_text(override.until_ms, budget.zone),
            override.actor,
            override.reason,
        )
    out.print(rows)


# --- what they share -------------------------------------------------------------------------------------------------


def _view_document(view: BudgetView) -> dict[str, Any]:
    budget, decimal = view.budget, view.budget.as_decimal
    return {
        "id": budget.id,
        "scope": dict(budget.scope),
        "unit": budget.meter or _USD,
        "policy": None if budget.policy is None else budget.policy.value,
        "configured": view.configured,
        "period": {
            "kind": budget.period.value,
            "id": view.window.id,
            "start": instant_text(view.window.start_ms, budget.zone),
            "end": instant_text(view.window.end_ms, budget.zone),
            "time_zone": budget.time_zone,
        },
        "limit": decimal(view.limit),
        "configured_limit": budget.limit,
        "changed_limit": None if view.changed_limit is None else decimal(view.changed_limit),
        "refuses_from": None if view.cap is None else decimal(view.cap),
        "spent": decimal(view.spent),
        "overdraft": decimal(view.overdraft),
        "leased": decimal(view.leased),
        "held": decimal(view.held),
        "left": decimal(view.left),
        "utilization": None if view.utilization is None else round(float(view.utilization), 6),
        "forecast": None if view.forecast is None else decimal(view.forecast),
    }


def _limit_text(view: BudgetView) -> str:
    shown = view.budget.shown
    parts = [f"configured {shown(view.budget.amount)}"] if view.budget.amount != view.limit else []
    if view.changed_limit is not None:
        parts.append(f"set to {shown(view.changed_limit)}")
    return shown(view.limit) + (f" ({', '.join(parts)})" if parts else "")


def _thresholds(budget: Budget) -> Sequence[Threshold]:
    own = budget.thresholds or DEFAULT_THRESHOLDS
    told = any(one.basis_points == BASIS_POINTS and not one.forecast for one in own)
    return own if told else sorted([*own, _ALWAYS_TOLD])


def _reached(view: BudgetView, threshold: Threshold) -> bool:
    amount = view.forecast if threshold.forecast else view.spent
    return amount is not None and view.limit > 0 and amount * BASIS_POINTS >= view.limit * threshold.basis_points


def _figure(budget: Budget, amount: int) -> str:
    """An amount in a column, whose unit stands in another one; dollars in cents."""
    return dollars(budget.as_decimal(amount)) if budget.meter is None else f"{amount:,}"


def _rounded(amount: int) -> int:
    """Three digits: nobody knows the future to the nano-dollar."""
    return int(Decimal(f"{amount:.3g}"))


def _percent(part: Fraction | None) -> str:
    return "–" if part is None else f"{float(part * 100):.4g} %"

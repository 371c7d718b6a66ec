"""Will cost be right, and will budgets hold: the price book, the budgets, who is told, and the ledger."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from datetime import date, datetime, timezone
from typing import Final

from genops_otel_posthog.adapter.validation.findings import ValidationIssue, error, info, success, warning
from genops_otel_posthog.adapter.validation.ledger import ledger_findings
from genops_otel_posthog.errors import GenOpsConfigurationError
from genops_otel_posthog.settings import Settings

_BOOK, _BUDGETS, _ALERTS = "Price book", "Budgets", "Alerts"
_OLD_BOOK_DAYS: Final = 183


def validate_cost_tracking_configuration(
    environ: Mapping[str, str] | None = None, *, today: date | None = None
) -> list[ValidationIssue]:
    """Checks the price book, the budgets, the alerts, and the ledger by using it.

    Nothing is spent and nothing is left behind: a ledger that is there is asked and locked, and where there is none
    yet, one is made beside the place where it will be, and removed.

    Args:
        environ: The environment; that of the process when not given.
        today: The date by which the age of the price book is told; today when not given.
    """
    environ = os.environ if environ is None else environ
    settings = Settings.from_environ(environ, strict=False)
    budgets, count = _budgets(settings)
    return [
        *_price_book(settings, today or datetime.now(timezone.utc).date()),
        *budgets,
        *_alerts(settings, has_budgets=count > 0),
        *ledger_findings(settings, environ, has_budgets=count > 0),
    ]


def _price_book(settings: Settings, today: date) -> Iterator[ValidationIssue]:
    from genops_otel_posthog.pricing.book import PriceBook

    try:
        book = PriceBook.load(settings.price_book)
    except GenOpsConfigurationError as problem:
        yield error(
            _BOOK,
            f"GENOPS_PRICE_BOOK={settings.price_book}: {problem}",
            "Correct the file, or unset the variable to use the shipped book.",
            "unset GENOPS_PRICE_BOOK",
        )
        return
    if (today - book.effective_from).days > _OLD_BOOK_DAYS:
        yield warning(
            _BOOK,
            f"{book.name} holds the prices of {book.effective_from:%Y-%m-%d}, more than six months ago.",
            "Compare it with https://posthog.com/pricing and upgrade this package, or give your own book.",
            "pip install --upgrade genops-otel-posthog",
            "https://posthog.com/pricing",
        )
        return
    yield success(_BOOK, f"{book.name} is in use, with the prices of {book.effective_from:%Y-%m-%d}.")


def _budgets(settings: Settings) -> tuple[list[ValidationIssue], int]:
    """Findings, and how many budgets there are."""
    from genops_otel_posthog.budgets.budget_set import BudgetSet

    try:
        budgets = list(BudgetSet.from_settings(settings))
    except GenOpsConfigurationError as problem:
        path = settings.budgets_file
        return [
            error(
                _BUDGETS,
                line,
                "Correct the file; until then none of its budgets applies.",
                "genops-posthog budget list" if path is None else f'"${{EDITOR:-vi}}" {path}',
            )
            for line in str(problem).splitlines()
        ], 0
    policy = settings.governance_policy
    if not budgets:
        return [
            info(
                _BUDGETS,
                f"There is no budget, so nothing is refused (policy {policy}).",
                "Set a limit.",
                "export GENOPS_DAILY_BUDGET_LIMIT=20",
            )
        ], 0
    names = ", ".join(budget.id for budget in budgets[:3]) + (", …" if len(budgets) > 3 else "")
    return [success(_BUDGETS, f"{_count(len(budgets), 'budget')} ({names}), policy {policy}.")], len(budgets)


def _alerts(settings: Settings, *, has_budgets: bool) -> Iterator[ValidationIssue]:
    from genops_otel_posthog.budgets.alerts.endpoint import Endpoint

    if settings.alert_webhook is None:
        if has_budgets:
            yield info(
                _ALERTS,
                "Nobody is told when a budget fills; alerts are lines of the log.",
                "Name a webhook.",
                "export GENOPS_ALERT_WEBHOOK=https://alerts.example.com/budgets",
            )
        return
    try:
        endpoint = Endpoint(
            settings.alert_webhook,
            format=settings.alert_format,
            secret=settings.alert_secret,
            escalation=settings.alert_escalation,
        )
    except GenOpsConfigurationError as problem:
        yield error(_ALERTS, f"{problem}", "Correct the webhook or its secret.", "unset GENOPS_ALERT_SECRET")
        return
    if not has_budgets:
        yield warning(
            _ALERTS,
            "GENOPS_ALERT_WEBHOOK is set, but there is no budget to tell about.",
            "Set a limit.",
            "export GENOPS_DAILY_BUDGET_LIMIT=20",
        )
        return
    yield success(_ALERTS, f"{endpoint.shown} is told when a budget fills, in the format {endpoint.format}.")


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"

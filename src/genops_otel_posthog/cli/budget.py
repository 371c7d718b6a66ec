"""``genops-posthog budget``: how budgets stand, and changing them while everything runs."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timezone
from typing import Any

import click

from genops_otel_posthog.budgets.amounts import counted, exact_number
from genops_otel_posthog.budgets.budget import Budget, BudgetPolicy
from genops_otel_posthog.budgets.budget_set import BudgetSet
from genops_otel_posthog.budgets.ledger.protocol import Ledger, Override
from genops_otel_posthog.cli import budget_report, journal_report
from genops_otel_posthog.cli.budget_view import Budgets, unreadable_text
from genops_otel_posthog.cli.ledger_option import actor, ledger_option, opened_ledger
from genops_otel_posthog.cli.moments import instant_text
from genops_otel_posthog.cli.output import json_option, print_json
from genops_otel_posthog.errors import GenOpsValidationError
from genops_otel_posthog.settings import Settings

_ID_DIGITS = 8


@click.group()
def budget() -> None:
    """How budgets stand, and changing them while everything runs.

    Amounts are US dollars, or units for a budget that counts a meter. Dates are days in the budget's time zone. Changes
    reach every process with its next message to the ledger, a second later at most while it spends.
    """


@budget.command("list", short_help="Every budget: spent, limit, left, forecast.")
@ledger_option
@json_option
def list_budgets(ledger_url: str | None, as_json: bool) -> None:
    """Every budget that is configured here or known to the ledger, in its present period.

    The forecast is what will be spent at the end of the period, if it goes on as on average so far.
    """
    with _budgets(ledger_url) as (_, budgets):
        views = list(budgets)
    for name, reason in budgets.unreadable.items():
        click.echo(f"warning: {unreadable_text(name, reason)}", err=True)
    if as_json:
        print_json(budget_report.list_document(views))
    else:
        budget_report.print_list(views)


@budget.command(short_help="One budget in detail.")
@click.argument("budget_id", metavar="ID")
@ledger_option
@json_option
def show(budget_id: str, ledger_url: str | None, as_json: bool) -> None:
    """One budget in detail: thresholds, overrides, and what was spent in past periods."""
    with _budgets(ledger_url) as (_, budgets):
        view = budgets.find(budget_id)
        overrides, past = budgets.overrides(budget_id), budgets.past(budget_id)
    if as_json:
        print_json(budget_report.show_document(view, overrides, past))
    else:
        budget_report.print_show(view, overrides, past)


@budget.command("set", short_help="Change the limit of a budget.")
@click.argument("budget_id", metavar="ID")
@click.option("--limit", metavar="AMOUNT", help="The limit that holds from now on, in place of the configured one.")
@click.option("--configured", is_flag=True, help="Back to the configured limit.")
@click.option("--reason", required=True, help="Why; kept in the journal with your name.")
@ledger_option
@json_option
def set_limit(
    budget_id: str, limit: str | None, configured: bool, reason: str, ledger_url: str | None, as_json: bool
) -> None:
    """Change the limit of a budget, for everybody and until it is changed again.

    Example: genops-posthog budget set checkout-daily --limit 30 --reason "spring campaign"
    """
    if (limit is None) != configured:
        raise click.UsageError("give one of --limit AMOUNT and --configured")
    with _budgets(ledger_url) as (ledger, budgets):
        found = budgets.find(budget_id).budget
        amount = None if limit is None else _amount(limit, found, "--limit")
        ledger.set_limit(budget_id, amount, actor=actor(), reason=_reason(reason))
        budgets = budgets.refreshed()
        view = budgets.find(budget_id)
        overrides, past = budgets.overrides(budget_id), budgets.past(budget_id)
    if as_json:
        print_json(budget_report.show_document(view, overrides, past))
        return
    click.echo(f"The limit of {budget_id} is {found.shown(view.limit)} now; {found.shown(view.spent)} is spent.")


@budget.command(short_help="Raise or lower a limit for some time.")
@click.argument("budget_id", metavar="ID")
@click.option("--add", "amount", metavar="AMOUNT", help="What is added to the limit; negative to lower it.")
@click.option("--from", "starts", metavar="DATE", help="First day, or first moment.  [default: now]")
@click.option("--until", metavar="DATE", help="Last day, which is included, or the first moment after it.")
@click.option("--reason", help="Why; kept in the journal with your name.")
@click.option("--remove", "removed", metavar="OVERRIDE", help="End this override.")
@click.option("--list", "listed", is_flag=True, help="Show the overrides that have not ended; so does giving nothing.")
@ledger_option
@json_option
def override(
    budget_id: str,
    amount: str | None,
    starts: str | None,
    until: str | None,
    reason: str | None,
    removed: str | None,
    listed: bool,
    ledger_url: str | None,
    as_json: bool,
) -> None:
    """Raise or lower the limit of a budget for some time.

    \b
    Examples:
      genops-posthog budget override checkout-daily --add 50 --until 2026-12-01 --reason "Black Friday"
      genops-posthog budget override checkout-daily --list
      genops-posthog budget override checkout-daily --remove o-1f0c9a3e
    """
    if (amount is not None) + (removed is not None) + listed > 1:
        raise click.UsageError("give one of --add AMOUNT, --remove OVERRIDE and --list")
    if amount is not None and (until is None or reason is None):
        raise click.UsageError("--add needs --until DATE and --reason WHY")
    if amount is None and (starts or until or reason):
        raise click.UsageError("--from, --until and --reason go with --add")
    with _budgets(ledger_url) as (ledger, budgets):
        found = budgets.find(budget_id).budget
        done = ""
        if amount is not None and until is not None and reason is not None:
            added = _override(found, amount, starts or _now(ledger, found), until, _reason(reason))
            ledger.add_override(added)
            done = f"Added {added.id}.\n"
        elif removed is not None:
            _check_removable(budgets, budget_id, removed)
            ledger.remove_override(removed, actor=actor())
            done = f"Removed {removed}.\n"
        overrides = budgets.refreshed().overrides(budget_id)
    if as_json:
        print_json(
            {"budget": budget_id, "overrides": [budget_report.override_document(found, one) for one in overrides]}
        )
        return
    click.echo(done, nl=False)
    budget_report.print_overrides(found, overrides)


@budget.command(short_help="What happened, and who did it.")
@click.argument("budget_id", metavar="ID", required=False)
@click.option("--newest", type=click.IntRange(1, 100_000), default=50, show_default=True, help="How many entries.")
@ledger_option
@json_option
def journal(budget_id: str | None, newest: int, ledger_url: str | None, as_json: bool) -> None:
    """The ledger's history, the newest entry last: what was spent and lent, and who changed what and why."""
    with _budgets(ledger_url) as (ledger, budgets):
        zone = timezone.utc if budget_id is None else budgets.find(budget_id).budget.zone
        entries = ledger.journal(budget=budget_id, newest=newest)
        known = budgets.by_id()
    if as_json:
        print_json(journal_report.journal_document(entries, known))
    else:
        journal_report.print_journal(entries, known, zone)


@contextmanager
def _budgets(ledger_url: str | None) -> Iterator[tuple[Ledger, Budgets]]:
    settings = Settings.from_environ()
    configured = BudgetSet.from_settings(settings)
    with opened_ledger(ledger_url, settings) as ledger:
        yield ledger, Budgets(ledger, configured, BudgetPolicy(settings.governance_policy))


def _amount(text: str, budget: Budget, option: str) -> int:
    try:
        return counted(exact_number(text.removeprefix("$")), budget.meter)
    except ValueError as error:
        raise click.BadParameter(f"{text} {error}", param_hint=option) from error


def _reason(text: str) -> str:
    reason = " ".join(text.split())
    if not reason:
        raise click.BadParameter("it is empty; whoever reads the journal will want to know", param_hint="--reason")
    return reason


def _now(ledger: Ledger, budget: Budget) -> str:
    return instant_text(ledger.now_ms(), budget.zone)


def _override(budget: Budget, amount: str, starts: str, until: str, reason: str) -> Override:
    """An override, read by the rules of those that stand beside a budget in a configuration."""
    _amount(amount, budget, "--add")
    written: dict[str, Any] = json.loads(budget.definition())
    written["overrides"] = [{"amount": amount.removeprefix("$"), "starts": starts, "until": until, "reason": reason}]
    [read] = Budget.from_definition(json.dumps(written)).ledger_overrides()
    return read._replace(id=f"o-{uuid.uuid4().hex[:_ID_DIGITS]}", actor=actor())


def _check_removable(budgets: Budgets, budget_id: str, override_id: str) -> None:
    known = [one.id for one in budgets.overrides(budget_id)]
    if override_id not in known:
        hint = f"it has {', '.join(known)}" if known else "it has none"
        raise GenOpsValidationError(f"budget {budget_id} has no override {override_id!r}; {hint}")
    if any(one.id == override_id for one in budgets.find(budget_id).budget.ledger_overrides()):
        raise GenOpsValidationError(
            f"override {override_id} is configured, and every process that starts would add it again; take it out of "
            "GENOPS_BUDGETS_FILE, or add one that takes back its amount"
        )

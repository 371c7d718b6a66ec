"""``genops-posthog usage``: the organisation's real usage, from PostHog's billing API, beside the ledger's."""

from __future__ import annotations

import re
from decimal import Decimal

import click

from genops_otel_posthog.cli import PROBLEM_FOUND, usage_report
from genops_otel_posthog.cli.actual_usage import ActualUsage
from genops_otel_posthog.cli.billing_api import BillingApi
from genops_otel_posthog.cli.cost_options import load_book, percent, price_book_option, reads
from genops_otel_posthog.cli.ledger_option import actor, ledger_option, opened_ledger
from genops_otel_posthog.cli.output import json_option, print_json
from genops_otel_posthog.pricing.usage import BillingMonth
from genops_otel_posthog.settings import Settings

_MONTH = re.compile(r"20[0-9]{2}-(0[1-9]|1[0-2])")
_TOLERANCE = Decimal("0.05")


def _month(text: str) -> str:
    if not _MONTH.fullmatch(text):
        raise ValueError(f"{text!r} is not a month; write it like 2026-11")
    return text


@click.group()
def usage() -> None:
    """What the organisation has really used, from PostHog's billing API.

    Needs POSTHOG_PERSONAL_API_KEY (phx_…) with the scope billing:read, of an admin or owner of the organisation.
    POSTHOG_HOST says which PostHog to ask.
    """


@usage.command(short_help="Raise the ledger's usage of this month to PostHog's.")
@click.option("--dry-run", is_flag=True, help="Change nothing; show what would be raised.")
@ledger_option
@json_option
def sync(dry_run: bool, ledger_url: str | None, as_json: bool) -> None:
    """Raise the ledger's usage of this month to what PostHog has counted, so that the next unit has its true price.

    Browsers and other services use the organisation's free units and tiers too, and no ledger sees them. Usage is
    never lowered, so this can be run as often as you like, for example by cron every few hours.
    """
    settings = Settings.from_environ()
    api = BillingApi(settings.host, settings.personal_api_key)
    with opened_ledger(ledger_url, settings) as ledger:
        month = BillingMonth.at(ledger.now_ms() / 1000).id
        actual = _ask(api, month)
        before = ledger.usage(month)
        if dry_run:
            after = {
                meter: max(before.get(meter, 0), actual.units.get(meter, 0)) for meter in {**before, **actual.units}
            }
        else:
            after = dict(ledger.raise_usage(month, actual.units, actor=actor(), note="PostHog's billing API"))
    if as_json:
        print_json(usage_report.sync_document(before, after, actual, dry=dry_run))
    else:
        usage_report.print_sync(before, after, actual, dry=dry_run)


@usage.command(short_help="Compare the ledger's usage with PostHog's.")
@click.option(
    "--tolerance",
    metavar="PERCENT",
    callback=reads(percent),
    help="Percent of PostHog's units that both may differ by.  [default: 5]",
)
@click.option("--month", metavar="YYYY-MM", callback=reads(_month), help="[default: this month]")
@price_book_option
@ledger_option
@json_option
def reconcile(
    tolerance: Decimal | None, month: str | None, price_book: str | None, ledger_url: str | None, as_json: bool
) -> None:
    """Compare what the ledger counted with what PostHog counted, per meter: units, difference, and the cost of both.

    The ledger counts what governed calls used, and what `usage sync` raised it to: reconcile before a sync to see what
    goes past governance, and after it to see that nothing is counted twice. Meters that the ledger does not count are
    shown and not judged.

    Exit code 1 when a meter differs by more than the tolerance.
    """
    settings = Settings.from_environ()
    api = BillingApi(settings.host, settings.personal_api_key)
    book = load_book(price_book)
    with opened_ledger(ledger_url, settings) as ledger:
        month = month or BillingMonth.at(ledger.now_ms() / 1000).id
        estimated = ledger.usage(month)
    actual = _ask(api, month)
    differences = usage_report.compare(estimated, actual, book, _TOLERANCE if tolerance is None else tolerance)
    if as_json:
        print_json(usage_report.reconcile_document(differences, actual, book))
    else:
        usage_report.print_reconcile(differences, actual, book)
    agree = all(one.within_tolerance for one in differences)
    click.get_current_context().exit(0 if agree else PROBLEM_FOUND)


def _ask(api: BillingApi, month: str) -> ActualUsage:
    # PostHog asks a service behind it, which takes its time.
    click.echo(f"Asking {api.url} …", err=True)
    return api.usage_of(month)

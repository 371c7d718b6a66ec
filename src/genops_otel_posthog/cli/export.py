"""``genops-posthog export``: what the ledger counted, in the format of others."""

from __future__ import annotations

import csv
import io
import re
from datetime import datetime, timedelta, timezone
from pathlib import Path

import click

from genops_otel_posthog.cli import PROBLEM_FOUND
from genops_otel_posthog.cli.cost_options import load_book, price_book_option, reads
from genops_otel_posthog.cli.focus import VERSIONS, Account, Period, Row, columns, focus_rows, without_price
from genops_otel_posthog.cli.ledger_option import ledger_option, opened_ledger
from genops_otel_posthog.cli.output import json_option, print_json
from genops_otel_posthog.errors import GenOpsConfigurationError
from genops_otel_posthog.pricing.usage import BillingMonth
from genops_otel_posthog.settings import Settings, parse_tags

_MONTH = re.compile(r"20[0-9]{2}-(0[1-9]|1[0-2])")


def _month(text: str) -> BillingMonth:
    if not _MONTH.fullmatch(text):
        raise ValueError(f"{text!r} is not a month; write it like 2026-11")
    return BillingMonth.at(datetime.strptime(text, "%Y-%m").replace(tzinfo=timezone.utc).timestamp())


@click.group()
def export() -> None:
    """What the ledger counted, in the format of others."""


@export.command(short_help="The month's usage as FOCUS, for FinOps tools.")
@click.option("--month", metavar="YYYY-MM", callback=reads(_month), help="[default: this month]")
@click.option(
    "--focus-version",
    "version",
    type=click.Choice(VERSIONS),
    default=VERSIONS[0],
    show_default=True,
    help="Version of the specification.",
)
@click.option("--organization-id", default="unknown", show_default=True, help="PostHog's id of the organisation.")
@click.option("--organization-name", help="Its name.")
@click.option("--project-id", help="PostHog's id of the project, where the ledger is that of one.")
@click.option("--project-name", help="Its name.")
@click.option("--invoice-issuer", default="PostHog", show_default=True, help="Who sends the invoice.")
@click.option("--tags", metavar="K=V,…", callback=reads(parse_tags), help="Tags for every row.")
@click.option(
    "-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="File; standard output otherwise."
)
@price_book_option
@ledger_option
@json_option
def focus(
    month: BillingMonth | None,
    version: str,
    organization_id: str,
    organization_name: str | None,
    project_id: str | None,
    project_name: str | None,
    invoice_issuer: str,
    tags: dict[str, str] | None,
    output: Path | None,
    price_book: str | None,
    ledger_url: str | None,
    as_json: bool,
) -> None:
    """The organisation's usage of a month as CSV in the format of FOCUS, one row for each meter and price tier.

    Costs are estimates by the price book, like all costs here; `usage sync` brings usage up to PostHog's own count
    before. Rows are the organisation's and not a team's: which tier a unit falls into depends on the usage of all.

    Exit code 1 when a meter has no price: its usage has no row, and the rest is written.
    """
    book = load_book(price_book)
    account = Account(organization_id, organization_name, project_id, project_name, invoice_issuer, tags)
    with opened_ledger(ledger_url, Settings.from_environ()) as ledger:
        now = ledger.now_ms() / 1000
        month = month or BillingMonth.at(now)
        usage = ledger.usage(month.id)
    rows = list(focus_rows(usage, book, _period(month, now), account, version))
    unpriced = without_price(usage, book)
    if as_json:
        print_json({"focus_version": version, "month": month.id, "rows": rows, "without_price": unpriced})
    else:
        _write(_csv(rows, columns(version)), output)
    for meter in unpriced:
        click.echo(f"{meter}: {usage[meter]:,} units have no price in {book.name}, and no row", err=True)
    click.get_current_context().exit(PROBLEM_FOUND if unpriced else 0)


def _period(month: BillingMonth, now: float) -> Period:
    start, end = (datetime.fromtimestamp(seconds, timezone.utc) for seconds in (month.start, month.end))
    today = datetime.fromtimestamp(now, timezone.utc).replace(hour=0, minute=0, second=0, microsecond=0)
    return Period(start, end, min(end, max(today, start) + timedelta(days=1)))


def _csv(rows: list[Row], names: tuple[str, ...]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _write(text: str, output: Path | None) -> None:
    if output is None:
        click.echo(text, nl=False)
        return
    try:
        output.write_text(text, encoding="utf-8", newline="")
    except OSError as error:
        raise GenOpsConfigurationError(f"{output} cannot be written: {error.strerror}") from error
    click.echo(f"written: {output}", err=True)

"""``genops-posthog cost``: what a usage costs, what it will cost, and what it would cost otherwise."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timezone
from decimal import Decimal
from typing import Any

import click

from genops_otel_posthog.cli import PROBLEM_FOUND, cost_report
from genops_otel_posthog.cli.cost_options import (
    USAGE,
    at_this_rate,
    complete_usage,
    dollars,
    load_book,
    percent,
    percents,
    price_book_option,
    read_usage,
    reads,
    seasons,
    usage_of,
    usage_options,
    usage_to_date_option,
)
from genops_otel_posthog.cli.output import json_option, print_json
from genops_otel_posthog.pricing.estimate import Estimate, estimate_cost
from genops_otel_posthog.pricing.forecast import BUFFER, GROWTH_SCENARIOS, SEASONAL_FACTORS, forecast_usage
from genops_otel_posthog.pricing.forecast import forecast as forecast_cost
from genops_otel_posthog.pricing.meters import EVENTS, GROUP_ANALYTICS, IDENTIFIED_EVENTS
from genops_otel_posthog.pricing.usage import parse_usage_to_date


@click.group()
def cost() -> None:
    """What PostHog costs.

    Volumes are units per month: 250000, 250k, 1.5M. Amounts are estimates from published prices; the invoice is
    PostHog's.
    """


@cost.command(short_help="Price a usage, per meter.")
@usage_options
@usage_to_date_option
@price_book_option
@json_option
def estimate(usage_to_date: dict[str, int] | None, price_book: str | None, as_json: bool, **options: Any) -> None:
    """Price a usage: cost, list price, tier and free tier left, per meter.

    With --usage-to-date the volumes come on top of what the month has seen already. Exit code 1 when the price book
    does not price one of the meters.

    Example: genops-posthog cost estimate --events 3M --identified 1.5M --flags 250k
    """
    usage = _needed(usage_of(options))
    result = estimate_cost(load_book(price_book), usage, usage_to_date)
    if as_json:
        print_json(cost_report.estimate_document(result))
    else:
        cost_report.print_estimate(result)
    _exit([result])


@cost.command(short_help="The months ahead, by growth.")
@usage_options
@click.option(
    "--monthly-cost",
    metavar="DOLLARS",
    callback=reads(dollars),
    help="The bill of a month whose volumes are not known; grows as it is.",
)
@click.option(
    "--growth",
    metavar="PERCENT,…",
    callback=reads(percents),
    help="Percent per month, one or several scenarios.  [default: 5,10,20,35]",
)
@click.option("--months", type=click.IntRange(1, 120), default=12, show_default=True, help="The first included.")
@click.option(
    "--seasonal",
    metavar="FACTOR,…",
    callback=reads(seasons),
    is_flag=False,
    flag_value=",".join(str(factor) for factor in SEASONAL_FACTORS.values()),
    help="Demand by quarter.  [without a value: 0.9,1.1,0.95,1.25]",
)
@click.option(
    "--start",
    type=click.DateTime(["%Y-%m"]),
    help="First month; it has the volumes given.  [default: this month]",
)
@click.option(
    "--buffer",
    metavar="PERCENT",
    callback=reads(percent),
    help="Percent to set aside on top of the forecast.  [default: 20]",
)
@click.option(
    "--usage-to-date",
    metavar=USAGE,
    callback=read_usage,
    help="What this month has seen so far; taken at this rate to its end for meters without a volume.",
)
@price_book_option
@json_option
def forecast(
    monthly_cost: Decimal | None,
    growth: tuple[Decimal, ...] | None,
    months: int,
    seasonal: Mapping[int, Decimal] | None,
    start: datetime | None,
    buffer: Decimal | None,
    usage_to_date: dict[str, int] | None,
    price_book: str | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Forecast the months ahead, for one or several rates of growth.

    Volumes grow, and each month is priced by its tiers. Shows when a meter enters its next tier, and the budget limits
    and alert thresholds that fit.

    Example: genops-posthog cost forecast --events 3M --identified 1M --growth 5,10,20 --seasonal
    """
    now = datetime.now(timezone.utc)
    scenarios = growth or GROWTH_SCENARIOS
    on_top = BUFFER if buffer is None else buffer
    usage = usage_of(options)
    if usage_to_date:
        usage = complete_usage(
            {**at_this_rate(usage_to_date, now), **usage}, group_analytics=options["group_analytics"]
        )
    if (monthly_cost is None) == (not usage):
        raise click.UsageError("give either volumes, for example --events 3M, or --monthly-cost")
    try:
        if monthly_cost is not None:
            costs = [forecast_cost(monthly_cost, share, months, buffer=on_top) for share in scenarios]
            print_json(cost_report.cost_forecast_document(costs)) if as_json else cost_report.print_cost_forecasts(
                costs
            )
            return
        book, first = load_book(price_book), (start or now).date()
        forecasts = [
            forecast_usage(book, usage, share, months, start=first, seasonal=seasonal, buffer=on_top)
            for share in scenarios
        ]
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    print_json(cost_report.forecast_document(forecasts)) if as_json else cost_report.print_forecasts(forecasts)


@cost.command(short_help="Books, identities or scenarios.")
@usage_options
@usage_to_date_option
@click.option(
    "--price-book",
    "price_books",
    multiple=True,
    metavar="NAME|PATH",
    help="A shipped book, or the path of your own; several to compare them.  [default: GENOPS_PRICE_BOOK]",
)
@click.option("--identity", is_flag=True, help="Compare all events anonymous, as given, and all identified.")
@click.option(
    "--scenario",
    "scenarios",
    multiple=True,
    metavar="NAME:METER=UNITS,…",
    help="Compare with the usage given and these meters changed; several are possible.",
)
@json_option
def compare(
    usage_to_date: dict[str, int] | None,
    price_books: tuple[str, ...],
    identity: bool,
    scenarios: tuple[str, ...],
    as_json: bool,
    **options: Any,
) -> None:
    """Compare price books, anonymous with identified events, or now with a scenario.

    Exit code 1 when a price book does not price one of the meters.

    \b
    Examples:
      genops-posthog cost compare --events 5M --identified 2M --identity
      genops-posthog cost compare --llm 300k --price-book posthog-2025-10-20 --price-book posthog-2026-07-22
      genops-posthog cost compare --events 5M --scenario "launch: events=20M, feature_flag_requests=3M"
    """
    usage = _needed(usage_of(options))
    if (len(price_books) > 1) + identity + bool(scenarios) != 1:
        raise click.UsageError("give one thing to compare: a second --price-book, --identity, or --scenario")
    books = [load_book(name) for name in price_books or (None,)]
    usages = {"as given": usage}
    if identity:
        usages = _identities(usage)
    elif scenarios:
        usages = {"now": usage, **dict(_scenario(text, usage, options["group_analytics"]) for text in scenarios)}
    cases = [
        (book.name if len(books) > 1 else name, estimate_cost(book, case, usage_to_date))
        for book in books
        for name, case in usages.items()
    ]
    if as_json:
        print_json(cost_report.compare_document(cases))
    else:
        cost_report.print_comparison(cases)
    _exit([result for _, result in cases])


def _needed(usage: dict[str, int]) -> dict[str, int]:
    if not usage:
        raise click.UsageError("there is nothing to price; give a volume, for example --events 3M")
    return usage


def _exit(estimates: Iterable[Estimate]) -> None:
    click.get_current_context().exit(PROBLEM_FOUND if any(estimate.unpriced for estimate in estimates) else 0)


def _identities(usage: Mapping[str, int]) -> dict[str, dict[str, int]]:
    if not usage.get(EVENTS):
        raise click.UsageError("--identity compares events; give --events")
    add_ons = [meter for meter in (IDENTIFIED_EVENTS, GROUP_ANALYTICS) if meter in usage] or [IDENTIFIED_EVENTS]
    return {
        "all anonymous": {meter: 0 if meter in add_ons else units for meter, units in usage.items()},
        "as given": dict(usage),
        "all identified": {**usage, **dict.fromkeys(add_ons, usage[EVENTS])},
    }


def _scenario(text: str, usage: Mapping[str, int], group_analytics: bool | None) -> tuple[str, dict[str, int]]:
    name, colon, changes = text.partition(":")
    if not colon or not name.strip():
        raise click.BadParameter(f"{text!r} is not NAME:METER=UNITS, like launch:events=20M", param_hint="--scenario")
    changed = {**usage, **parse_usage_to_date(changes, origin=f"--scenario {name.strip()}")}
    return name.strip(), complete_usage(changed, group_analytics=group_analytics)

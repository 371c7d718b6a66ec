"""The options that the cost commands share: volumes, growth, price book, and the usage they describe together."""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from typing import Any, TypeVar

import click

from genops_otel_posthog.errors import GenOpsConfigurationError
from genops_otel_posthog.pricing.book import PriceBook
from genops_otel_posthog.pricing.estimate import with_identified
from genops_otel_posthog.pricing.meters import (
    EVENTS,
    EXCEPTIONS,
    FEATURE_FLAG_REQUESTS,
    GROUP_ANALYTICS,
    IDENTIFIED_EVENTS,
    LLM_EVENTS,
    MOBILE_RECORDINGS,
    RECORDINGS,
    SURVEY_RESPONSES,
)
from genops_otel_posthog.pricing.usage import parse_units, parse_usage_to_date
from genops_otel_posthog.settings import Settings

_Command = TypeVar("_Command", bound=Callable[..., Any])

USAGE = "METER=UNITS,…"
"""How usage by meter is written, for the help."""

_VOLUMES = {
    "events": (EVENTS, "All product analytics events, identified or anonymous."),
    "identified": (IDENTIFIED_EVENTS, "Those of them that are identified."),
    "flags": (FEATURE_FLAG_REQUESTS, "Feature flag requests; a download of definitions counts as 10."),
    "recordings": (RECORDINGS, "Web session recordings."),
    "mobile-recordings": (MOBILE_RECORDINGS, "Mobile session recordings."),
    "llm": (LLM_EVENTS, "AI observability events ($ai_*)."),
    "exceptions": (EXCEPTIONS, "Exceptions."),
    "surveys": (SURVEY_RESPONSES, "Survey responses."),
}


def reads(parse: Callable[[str], Any]) -> Callable[[click.Context, click.Parameter, str | None], Any]:
    """A click callback that parses an option's text, and shows the reason of a ``ValueError`` beside its name."""

    def callback(ctx: click.Context, param: click.Parameter, value: str | None) -> Any:
        try:
            return None if value is None else parse(value)
        except ValueError as error:
            raise click.BadParameter(str(error), ctx, param) from error

    return callback


def read_usage(ctx: click.Context, param: click.Parameter, value: str | None) -> dict[str, int] | None:
    """A click callback for ``meter=units,...``."""
    return None if value is None else parse_usage_to_date(value, origin=param.opts[0])


def percents(text: str) -> tuple[Decimal, ...]:
    """Reads percents separated by commas, as shares: ``5,10%`` is 0.05 and 0.1.

    Raises:
        ValueError: one of them is not a number.
    """
    try:
        return tuple(Decimal(part.strip().removesuffix("%")) / 100 for part in text.split(","))
    except InvalidOperation as error:
        raise ValueError(f"{text!r} is not a list of percents; write it like 5,10,20") from error


def percent(text: str) -> Decimal:
    """Reads one percentage as a share.

    Raises:
        ValueError: it is not one number.
    """
    shares = percents(text)
    if len(shares) != 1:
        raise ValueError(f"{text!r} is more than one percentage; write it like 20")
    return shares[0]


def seasons(text: str) -> dict[int, Decimal]:
    """Reads one factor for each quarter.

    Raises:
        ValueError: there are not four numbers.
    """
    try:
        factors = [Decimal(part.strip()) for part in text.split(",")]
    except InvalidOperation:
        factors = []
    if len(factors) != 4:
        raise ValueError(f"{text!r} is not one factor for each quarter; write it like 0.9,1.1,0.95,1.25")
    return dict(enumerate(factors, start=1))


def dollars(text: str) -> Decimal:
    """Reads an amount of US dollars.

    Raises:
        ValueError: it is not a number.
    """
    try:
        return Decimal(text.removeprefix("$"))
    except InvalidOperation as error:
        raise ValueError(f"{text!r} is not an amount of US dollars; write it like 125.50") from error


def usage_options(command: _Command) -> _Command:
    """Adds an option per common meter, ``--usage`` for the others, and ``--group-analytics``, for :func:`usage_of`."""
    command = click.option(
        "--group-analytics/--no-group-analytics",
        default=None,
        help="Whether you have the group analytics add-on, which counts all identified events.  "
        "[default: GENOPS_GROUP_ANALYTICS]",
    )(command)
    command = click.option(
        "--usage", "other_usage", metavar=USAGE, callback=read_usage, help="Any other meters, by name."
    )(command)
    for option, (_, text) in reversed(_VOLUMES.items()):
        command = click.option(f"--{option}", metavar="UNITS", callback=reads(parse_units), help=text)(command)
    return command


def usage_of(options: Mapping[str, Any]) -> dict[str, int]:
    """The usage that the options of :func:`usage_options` describe; meters that are not mentioned are not in it.

    Raises:
        click.UsageError: a meter is given twice, or more events are identified than there are.
    """
    given = {meter: options[option.replace("-", "_")] for option, (meter, _) in _VOLUMES.items()}
    usage = {meter: units for meter, units in given.items() if units is not None}
    for meter, units in (options["other_usage"] or {}).items():
        if meter in usage:
            raise click.UsageError(f"{meter} is given twice, by an option of its own and in --usage")
        usage[meter] = units
    return complete_usage(usage, group_analytics=options["group_analytics"])


def complete_usage(usage: Mapping[str, int], *, group_analytics: bool | None) -> dict[str, int]:
    """Adds what follows from identified events: that they are events, and that the group add-on counts them.

    Raises:
        click.UsageError: more events are identified than there are.
    """
    identified = usage.get(IDENTIFIED_EVENTS, 0)
    if not identified:
        return dict(usage)
    try:
        events = with_identified(usage.get(EVENTS, 0), identified)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    complete = {EVENTS: events, **usage}
    complete[EVENTS] = events
    if Settings.from_environ().group_analytics if group_analytics is None else group_analytics:
        complete.setdefault(GROUP_ANALYTICS, identified)
    return complete


usage_to_date_option = click.option(
    "--usage-to-date",
    metavar=USAGE,
    callback=read_usage,
    help="What the month has seen already: events=900000,feature_flag_requests=10.",
)

price_book_option = click.option(
    "--price-book",
    metavar="NAME|PATH",
    help="A shipped book, or the path of your own.  [default: GENOPS_PRICE_BOOK]",
)


def load_book(name_or_path: str | None) -> PriceBook:
    """The book that was asked for, or the one of the settings."""
    return PriceBook.load(name_or_path or Settings.from_environ().price_book)


def at_this_rate(usage_to_date: Mapping[str, int], now: datetime) -> dict[str, int]:
    """What a month will have seen at its end if it goes on as it did.

    Args:
        usage_to_date: Units per meter since the first of the month.
        now: Aware UTC.

    Raises:
        GenOpsConfigurationError: the month is less than a day old, too little to extrapolate from.
    """
    month = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    elapsed = Decimal((now - month).total_seconds()) / 86_400
    if elapsed < 1:
        raise GenOpsConfigurationError(
            "--usage-to-date: the month is less than a day old, too little to forecast from; give volumes per month "
            "instead, for example --events 3M"
        )
    factor = monthrange(now.year, now.month)[1] / elapsed
    return {meter: int((units * factor).to_integral_value(ROUND_HALF_UP)) for meter, units in usage_to_date.items()}

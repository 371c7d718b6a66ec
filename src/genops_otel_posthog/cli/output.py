"""How every command speaks: tables for people, one JSON document for programs.

Amounts in JSON are texts, because they are exact decimals and a JSON number would be read as a float.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

_Command = TypeVar("_Command", bound=Callable[..., Any])
_WIDTH_WITHOUT_TERMINAL = 160


def json_option(command: _Command) -> _Command:
    """Adds ``--json``; the command receives it as ``as_json``."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of tables.")(command)


def print_json(document: dict[str, Any]) -> None:
    """Prints a document, decimals and dates as texts."""
    click.echo(json.dumps(document, indent=2, default=_as_text))


def console() -> Console:
    """Where tables are printed; wide enough for them when the output is not a terminal."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else _WIDTH_WITHOUT_TERMINAL, highlight=False, markup=False)


def table(*columns: str, title: str | None = None) -> Table:
    """A table whose first column is text and whose others are figures."""
    from rich import box
    from rich.table import Table

    result = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for number, column in enumerate(columns):
        result.add_column(column, justify="right" if number else "left", overflow="fold")
    return result


def dollars(amount: Decimal) -> str:
    """An amount for people: cents, and every digit below a dollar, where a cent is too coarse."""
    sign, size = ("-" if amount < 0 else ""), abs(amount)
    if size >= 1 or size == round(size, 2):
        return f"{sign}${size:,.2f}"
    return f"{sign}${size.normalize():f}"


def plain(amount: Decimal) -> str:
    """An amount for programs: every digit, no exponent, no trailing zeros."""
    return f"{amount.normalize():f}" if amount else "0"


def volume(units: int) -> str:
    """A round number of units as people write it: 15M, 1.5k, 1,234."""
    for size, suffix in ((1_000_000_000, "B"), (1_000_000, "M"), (1_000, "k")):
        if units >= size and units * 10 % size == 0:
            return f"{units / size:g}{suffix}"
    return f"{units:,}"


def _as_text(value: object) -> str:
    if isinstance(value, Decimal):
        return plain(value)
    if isinstance(value, date):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} has no form in JSON")

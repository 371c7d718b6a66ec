"""How the report looks: one kind of table and one kind of heading."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table


def new_table(*columns: str, texts: int) -> Table:
    """A table whose first ``texts`` columns are text and whose others are figures."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, collapse_padding=True)
    for number, column in enumerate(columns):
        table.add_column(column, justify="left" if number < texts else "right", no_wrap=True)
    return table


def print_title(console: Console, title: str, remark: str = "") -> None:
    console.print(f"\n[bold]{title}[/]  [dim]{escape(remark)}[/]", soft_wrap=True)

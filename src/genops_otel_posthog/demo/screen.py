"""Progress for people: what is going on, how far it is, what is done."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn


class ConsoleScreen:
    """Shows progress on a console.

    Args:
        console: Where to.
    """

    def __init__(self, console: Console) -> None:
        self._console = console

    @contextmanager
    def doing(self, what: str) -> Iterator[None]:
        """A spinner while something takes a moment."""
        with self._console.status(f"{what} …"):
            yield

    @contextmanager
    def counting(self, what: str, total: int) -> Iterator[Callable[[], object]]:
        """A bar while something with steps goes on."""
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        hidden = not self._console.is_terminal
        with Progress(*columns, console=self._console, transient=True, disable=hidden) as progress:
            task = progress.add_task(what, total=total)
            yield lambda: progress.advance(task)

    def done(self, what: str, detail: str) -> None:
        """A line that stays."""
        self._console.print(f"[green]✓[/] [bold]{what:<15}[/] {detail}", soft_wrap=True)

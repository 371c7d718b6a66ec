"""``--ledger``, and who it is that changes a ledger by hand."""

from __future__ import annotations

import getpass
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import click

from genops_otel_posthog.budgets.ledger.memory import MemoryLedger
from genops_otel_posthog.budgets.ledger.protocol import Ledger
from genops_otel_posthog.budgets.ledger.sqlite import SqliteLedger
from genops_otel_posthog.budgets.ledger.url import open_ledger
from genops_otel_posthog.errors import GenOpsConfigurationError
from genops_otel_posthog.settings import Settings
from genops_otel_posthog.settings.budget_values import ledger_url

_Command = TypeVar("_Command", bound=Callable[..., Any])


def ledger_option(command: _Command) -> _Command:
    """Adds ``--ledger``; the command receives it as ``ledger_url``."""
    return click.option(
        "--ledger",
        "ledger_url",
        metavar="URL",
        callback=_read,
        help="Where money is counted, such as redis://host:6379/0.  [default: GENOPS_LEDGER_URL, or the user's SQLite "
        "file]",
    )(command)


@contextmanager
def opened_ledger(url: str | None, settings: Settings) -> Iterator[Ledger]:
    """The ledger that ``--ledger`` names, otherwise that of the settings; closed at the end.

    Raises:
        GenOpsConfigurationError: It is one that nobody else can look into, or ``--ledger`` names a file that is not
            there.
    """
    ledger = open_ledger(url or settings.ledger_url)
    try:
        if isinstance(ledger, MemoryLedger):
            raise GenOpsConfigurationError(
                "a ledger in memory belongs to its process and cannot be looked into from here; use sqlite:/// or "
                "redis://"
            )
        if url and isinstance(ledger, SqliteLedger) and not ledger.path.exists():
            raise GenOpsConfigurationError(
                f"--ledger: there is no ledger at {ledger.path}; the first process that spends from a budget makes it"
            )
        yield ledger
    finally:
        ledger.close()


def actor() -> str:
    """Who changes the ledger, for its journal: ``user@host``."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        # A container may run under a number that has no name.
        user = f"uid {os.getuid()}"
    return f"{user}@{socket.gethostname()}"


def _read(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    try:
        return None if value is None else ledger_url(value)
    except ValueError as error:
        raise click.BadParameter(str(error), ctx, param) from error

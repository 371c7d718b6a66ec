"""Can money be counted where it is to be counted, by all who spend it?"""

from __future__ import annotations

import contextlib
import errno
import tempfile
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Final

from genops_otel_posthog.adapter.validation.connection import CLOCKS_MAY_DIFFER, clock_finding
from genops_otel_posthog.adapter.validation.findings import ValidationIssue, error, info, success, warning
from genops_otel_posthog.adapter.validation.replicas import platform_with_replicas, workers
from genops_otel_posthog.errors import GenOpsConfigurationError, GenOpsError
from genops_otel_posthog.settings import Settings

if TYPE_CHECKING:
    from genops_otel_posthog.budgets.ledger.protocol import Ledger

_LEDGER: Final = "Ledger"
_SHARED: Final = "export GENOPS_LEDGER_URL=redis://ledger.internal:6379/0"


def ledger_findings(settings: Settings, environ: Mapping[str, str], *, has_budgets: bool) -> Iterator[ValidationIssue]:
    """Whether the ledger of the settings can be used, and whether all who spend use the same one.

    Args:
        settings: The environment's.
        environ: The environment, for what platforms say about replicas.
        has_budgets: Whether there is any budget; without one and without a URL no ledger is used.
    """
    if settings.ledger_url is None and not has_budgets:
        yield info(_LEDGER, "No ledger is used: there is no budget, and GENOPS_LEDGER_URL is not set.")
        return
    from genops_otel_posthog.budgets.ledger.memory import MemoryLedger
    from genops_otel_posthog.budgets.ledger.sqlite import SqliteLedger
    from genops_otel_posthog.budgets.ledger.url import open_ledger

    try:
        ledger = open_ledger(settings.ledger_url)
    except GenOpsConfigurationError as problem:
        yield error(_LEDGER, f"{problem}.", "Correct the URL.", "export GENOPS_LEDGER_URL=redis://localhost:6379/0")
        return
    try:
        if isinstance(ledger, MemoryLedger):
            yield from _in_memory(environ)
        elif isinstance(ledger, SqliteLedger):
            yield from _in_a_file(ledger, settings, environ)
        else:
            yield from _on_a_server(ledger)
    finally:
        ledger.close()


def _in_memory(environ: Mapping[str, str]) -> Iterator[ValidationIssue]:
    siblings = workers(environ)
    platform = platform_with_replicas(environ)
    if platform is None and siblings < 2:
        yield success(_LEDGER, "Money is counted in memory, by this process alone and until it ends.")
        return
    who = f"each of {siblings} workers" if siblings > 1 else f"each instance on {platform}"
    yield warning(
        _LEDGER,
        f"Money is counted in memory, so {who} spends every budget once for itself.",
        "Count it where all of them can.",
        _SHARED if platform else "unset GENOPS_LEDGER_URL",
    )


def _in_a_file(ledger: object, settings: Settings, environ: Mapping[str, str]) -> Iterator[ValidationIssue]:
    from genops_otel_posthog.budgets.ledger.sqlite import SqliteLedger

    assert isinstance(ledger, SqliteLedger)
    try:
        problem = _use(ledger) if ledger.path.exists() else _use_one_beside(ledger.path)
    except OSError as refusal:
        problem = f"{ledger.path} cannot be made: {refusal.strerror or refusal}"
    if problem is not None:
        yield error(
            _LEDGER,
            f"{problem}.",
            "Let the user that the application runs as write there, or keep the ledger elsewhere.",
            f"mkdir -p {ledger.path.parent} && chmod u+rwX {ledger.path.parent}",
        )
        return
    yield success(_LEDGER, f"{ledger.path} can be read and written, for the processes of this machine.")
    platform = platform_with_replicas(environ)
    if platform is not None and settings.budget_share == 1:
        yield warning(
            _LEDGER,
            f"This is {platform}, which may run several replicas, and a file is shared by none of them: each spends "
            "every budget once for itself.",
            "Use a ledger that all of them reach, or give each its part with GENOPS_BUDGET_SHARE=1/3.",
            _SHARED,
        )


def _use(ledger: Ledger) -> str | None:
    """Reads and writes a ledger, without changing anything in it; what is wrong, if anything is."""
    try:
        ledger.usage(datetime.fromtimestamp(ledger.now_ms() / 1000, timezone.utc).strftime("%Y-%m"))
        ledger.check_writable()
    except GenOpsError as problem:
        return str(problem)
    return None


def _use_one_beside(path: Path) -> str | None:
    """The same with a ledger of its own beside the place of one that is not there yet, removed at the end.

    In the nearest folder that exists: a folder that is made here would belong to whoever checks, who may be another
    user than the application's.

    Raises:
        OSError: Nothing can be made there.
    """
    from genops_otel_posthog.budgets.ledger.sqlite import SqliteLedger

    with tempfile.TemporaryDirectory(prefix=".genops-posthog-doctor-", dir=nearest_folder(path.parent)) as folder:
        ledger = SqliteLedger(Path(folder) / path.name)
        with contextlib.closing(ledger):
            problem = _use(ledger)
    return problem


def nearest_folder(path: Path) -> Path:
    """The folder itself, or the nearest one above it that exists.

    Raises:
        NotADirectoryError: What exists there is none.
    """
    found = next(place for place in (path, *path.parents) if place.exists())
    if not found.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, "it is not a directory", str(found))
    return found


def _on_a_server(ledger: Ledger) -> Iterator[ValidationIssue]:
    try:
        problem = _use(ledger)
        theirs = datetime.fromtimestamp(ledger.now_ms() / 1000, timezone.utc)
    except GenOpsError as refusal:
        problem, theirs = str(refusal), datetime.now(timezone.utc)
    if problem is not None:
        yield error(
            _LEDGER,
            f"{problem}.",
            "Start the server, or correct GENOPS_LEDGER_URL. Until then policies advisory and enforced go on with what "
            "they hold, and strict refuses.",
            'redis-cli -u "$GENOPS_LEDGER_URL" PING',
        )
        return
    yield success(
        _LEDGER,
        f"The ledger at {getattr(ledger, 'place', 'the server')} can be read and written, for any number of machines.",
    )
    if abs(datetime.now(timezone.utc) - theirs) > CLOCKS_MAY_DIFFER + timedelta(seconds=1):
        yield clock_finding(theirs, datetime.now(timezone.utc), "the ledger")

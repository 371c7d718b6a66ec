"""Which ledger a URL means, and where the ledger is when there is no URL."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from genops_otel_posthog.budgets.ledger.protocol import Ledger
from genops_otel_posthog.errors import GenOpsConfigurationError
from genops_otel_posthog.places import sqlite_path, state_directory

REDIS_SCHEMES = ("redis", "rediss", "valkey", "valkeys", "unix")

_EXAMPLES = "sqlite:///var/lib/shop/ledger.sqlite3, redis://localhost:6379/0 or memory://"


def open_ledger(url: str | None = None, *, clock: Callable[[], float] = time.time, timeout: float = 1.0) -> Ledger:
    """The ledger that a URL means. Nothing is opened or connected to before it is used.

    Args:
        url: ``sqlite:///absolute/path``, ``sqlite:///./relative/path``, ``sqlite:///~/path``, ``memory://``,
            ``redis://``, ``rediss://``, ``valkey://``, ``valkeys://`` or ``unix://`` with what redis-py takes after
            it; ``None`` for a SQLite file in the user's state directory.
        clock: Seconds since the epoch; not used by Redis and Valkey, which have clocks of their own.
        timeout: Most seconds to wait for other processes on this machine; Redis and Valkey have theirs in the URL.

    Raises:
        GenOpsConfigurationError: the URL cannot be used as it is, or a package is missing. Passwords are not repeated.
    """
    if url is None:
        from genops_otel_posthog.budgets.ledger.sqlite import SqliteLedger

        return SqliteLedger(default_path(), clock, timeout)
    scheme, colon, _ = url.partition("://")
    scheme = scheme.lower()
    if colon and scheme == "sqlite":
        from genops_otel_posthog.budgets.ledger.sqlite import SqliteLedger

        return SqliteLedger(_path(url), clock, timeout)
    if colon and scheme == "memory":
        from genops_otel_posthog.budgets.ledger.memory import MemoryLedger

        return MemoryLedger(clock)
    if colon and scheme in REDIS_SCHEMES:
        return _redis_ledger(url)
    if colon and re.fullmatch(r"[a-z][a-z0-9+.-]*", scheme):
        raise GenOpsConfigurationError(
            f"GENOPS_LEDGER_URL: there is no ledger for {scheme}://; use a URL like {_EXAMPLES}"
        )
    raise GenOpsConfigurationError(f"GENOPS_LEDGER_URL is not a URL; write it like {_EXAMPLES}")


def default_path(environ: Mapping[str, str] | None = None, platform: str = sys.platform) -> Path:
    """Where the ledger is without a URL: in the user's directory for state, see :func:`~.places.state_directory`.

    Raises:
        GenOpsConfigurationError: the user has no home directory.
    """
    return state_directory(f"set GENOPS_LEDGER_URL to a URL like {_EXAMPLES}", environ, platform) / "ledger.sqlite3"


def _path(url: str) -> Path:
    try:
        return sqlite_path(url)
    except ValueError as problem:
        raise GenOpsConfigurationError(
            f"GENOPS_LEDGER_URL={url!r}: {problem}; memory:// is the ledger in memory"
        ) from None


def _redis_ledger(url: str) -> Ledger:
    try:
        from genops_otel_posthog.budgets.ledger.redis import RedisLedger
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "redis":
            raise
        raise GenOpsConfigurationError(
            "GENOPS_LEDGER_URL names a Redis or Valkey server, and the package redis is not installed: "
            "pip install 'genops-otel-posthog[redis]'"
        ) from error
    return RedisLedger.from_url(url)

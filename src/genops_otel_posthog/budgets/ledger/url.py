"""Which ledger a URL means, and where the ledger is when there is no URL."""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit

from genops_otel_posthog.budgets.ledger.protocol import Ledger
from genops_otel_posthog.errors import GenOpsConfigurationError

REDIS_SCHEMES = ("redis", "rediss", "valkey", "valkeys", "unix")

_EXAMPLES = "sqlite:///var/lib/shop/ledger.sqlite3, redis://localhost:6379/0 or memory://"
_DRIVE = re.compile(r"/[A-Za-z]:[/\\]")


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


def default_path(environ: Mapping[str, str] = os.environ, platform: str = sys.platform) -> Path:
    """Where the ledger is without a URL: in the directory for state that the user's system has.

    Source: https://specifications.freedesktop.org/basedir-spec/latest/ for other systems than Windows and macOS.

    Args:
        environ: The environment.
        platform: ``sys.platform``.

    Raises:
        GenOpsConfigurationError: the user has no home directory.
    """
    given = environ.get("LOCALAPPDATA" if platform == "win32" else "XDG_STATE_HOME", "")
    if Path(given).is_absolute():  # the specification has relative paths ignored
        state = Path(given)
    else:
        below = {"win32": "AppData/Local", "darwin": "Library/Application Support"}.get(platform, ".local/state")
        try:
            state = Path.home() / below
        except RuntimeError as error:
            raise GenOpsConfigurationError(
                "there is no home directory to keep the budget ledger in; set GENOPS_LEDGER_URL to a URL like "
                f"{_EXAMPLES}"
            ) from error
    return state / "genops-otel-posthog" / "ledger.sqlite3"


def _path(url: str) -> Path:
    parts = urlsplit(url)
    path = unquote(parts.path)
    if parts.netloc:
        raise GenOpsConfigurationError(
            f"GENOPS_LEDGER_URL={url!r}: a file has three slashes before it, sqlite:///absolute/path or "
            "sqlite:///./relative/path"
        )
    if parts.query or parts.fragment:
        raise GenOpsConfigurationError(
            f"GENOPS_LEDGER_URL={url!r}: a file takes no options; write ? as %3F and # as %23 if they are in its name"
        )
    if path in ("", "/") or path.endswith(("/", ":memory:")):
        raise GenOpsConfigurationError(
            f"GENOPS_LEDGER_URL={url!r} names no file; write it like {_EXAMPLES}, memory:// being the one in memory"
        )
    if path.startswith(("/./", "/../")) or _DRIVE.match(path):
        return Path(path[1:])
    if path.startswith("/~"):
        return Path(path[1:]).expanduser()
    return Path("/" + path.lstrip("/"))


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

"""Which store a URL means, and where it is when there is no URL."""

from __future__ import annotations

import re
from pathlib import Path

from genops_otel_posthog.errors import GenOpsConfigurationError
from genops_otel_posthog.flags.database.sqlite import SqliteFlagStore
from genops_otel_posthog.flags.database.store import FlagStore
from genops_otel_posthog.places import sqlite_path, state_directory

_EXAMPLES = "sqlite:///var/lib/shop/flags.sqlite3 or postgresql://host/database"
_POSTGRESQL = frozenset({"postgresql", "postgres"})  # SQLAlchemy would take them for its older driver


def open_flag_store(url: str | None = None) -> FlagStore:
    """The store that a URL means. Nothing is opened or connected to before it is used.

    Args:
        url: ``sqlite:///absolute/path``, ``sqlite:///./relative/path``, ``sqlite:///~/path``, or what SQLAlchemy takes
            for another database; ``None`` for a SQLite file in the user's state directory.

    Raises:
        GenOpsConfigurationError: The URL cannot be used as it is, or a package is missing. Passwords are not repeated.
    """
    if url is None:
        return SqliteFlagStore(state_directory(f"name one by a URL such as {_EXAMPLES}") / "flags.sqlite3")
    scheme, separator, _ = url.partition("://")
    if not separator or not re.fullmatch(r"[a-zA-Z][a-zA-Z0-9+_.-]*", scheme):
        raise GenOpsConfigurationError(f"the flag database is named by a URL such as {_EXAMPLES}")
    if scheme.lower() == "sqlite":
        return SqliteFlagStore(_path(url))
    try:
        from genops_otel_posthog.flags.database.sqlalchemy import SqlAlchemyFlagStore
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "sqlalchemy":
            raise
        raise GenOpsConfigurationError(
            f"a flag database on {scheme}:// needs the package sqlalchemy, which is not installed: "
            "pip install 'genops-otel-posthog[database]'"
        ) from error
    if scheme.lower() in _POSTGRESQL:
        url = f"postgresql+psycopg{url[len(scheme) :]}"
    return SqlAlchemyFlagStore(url)


def _path(url: str) -> Path:
    try:
        return sqlite_path(url)
    except ValueError as problem:
        raise GenOpsConfigurationError(f"the flag database {url!r} cannot be used: {problem}") from None

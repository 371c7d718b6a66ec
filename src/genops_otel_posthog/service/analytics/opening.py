"""Which store a URL means."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from genops_otel_posthog.errors import GenOpsConfigurationError
from genops_otel_posthog.places import sqlite_path
from genops_otel_posthog.service.analytics.memory import MemoryStore
from genops_otel_posthog.service.analytics.store import AnalyticsStore
from genops_otel_posthog.settings.service_variables import analytics_url

_POSTGRESQL: Final = frozenset({"postgresql", "postgres"})  # SQLAlchemy would take them for its older driver


def open_analytics_store(url: str) -> AnalyticsStore:
    """The store that a URL means. Nothing is connected to before it is used.

    Args:
        url: ``memory://``, ``sqlite:///absolute/path`` (or ``/./relative/path``, ``/~/path``), ``postgresql://…``, or
            ``mongodb://…`` with the database as its path.

    Raises:
        GenOpsConfigurationError: The URL cannot be used as it is, or a package is missing. It is not repeated.
    """
    try:
        analytics_url(url)
    except (ValueError, AttributeError) as problem:
        raise GenOpsConfigurationError(f"the URL of the analytics store cannot be used: {problem}") from None
    scheme, _, rest = url.partition("://")
    scheme = scheme.lower()
    if scheme == "memory":
        return MemoryStore()
    if scheme.startswith("mongodb"):
        return _mongodb(url)
    if scheme.partition("+")[0] == "sqlite":
        try:
            path = sqlite_path(url)
        except ValueError as problem:
            raise GenOpsConfigurationError(f"the URL of the analytics store cannot be used: {problem}") from None
        return _database(f"sqlite:///{path}", path)
    return _database(f"postgresql+psycopg://{rest}" if scheme in _POSTGRESQL else url, None)


def _database(url: str, file: Path | None) -> AnalyticsStore:
    try:
        from genops_otel_posthog.service.analytics.sqlalchemy import SqlAlchemyStore
    except ModuleNotFoundError as missing:
        raise _needs(missing, "sqlalchemy", "database") from missing
    return SqlAlchemyStore(url, file)


def _mongodb(url: str) -> AnalyticsStore:
    try:
        from genops_otel_posthog.service.analytics.mongodb import MongoDbStore
    except ModuleNotFoundError as missing:
        raise _needs(missing, "pymongo", "mongodb") from missing
    return MongoDbStore(url)


def _needs(missing: ModuleNotFoundError, package: str, extra: str) -> Exception:
    if (missing.name or "").partition(".")[0] != package:
        return missing
    return GenOpsConfigurationError(
        f"this analytics store needs the package {package}, which is not installed: "
        f"pip install 'genops-otel-posthog[{extra}]'"
    )

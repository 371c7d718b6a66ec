"""Flags in any database that SQLAlchemy speaks to, for the processes of many machines.

No connection is kept: a process asks once in several seconds, and a connection that outlives a fork, a fail-over or the
server's patience is more trouble than a new one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timezone
from typing import Any

from sqlalchemy import Connection, create_engine, text
from sqlalchemy.engine import Engine
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from genops_otel_posthog.errors import GenOpsConfigurationError
from genops_otel_posthog.flags.database.sql import Session, SqlFlagStore
from genops_otel_posthog.flags.database.store import FlagStoreError


def _now() -> datetime:
    return datetime.now(timezone.utc)


class SqlAlchemyFlagStore(SqlFlagStore):
    """A database behind SQLAlchemy.

    Args:
        engine: The application's own engine, or a URL that SQLAlchemy takes.
        clock: The time, aware UTC.

    Raises:
        GenOpsConfigurationError: The URL cannot be used, or its driver is not installed. The URL is not repeated.
    """

    def __init__(self, engine: Engine | str, clock: Callable[[], datetime] = _now) -> None:
        super().__init__(clock)
        if not isinstance(engine, str):
            self._engine = engine
            return
        try:
            self._engine = create_engine(engine, poolclass=NullPool, hide_parameters=True)
        except (SQLAlchemyError, ImportError) as problem:
            raise GenOpsConfigurationError(
                f"the URL of the flag database cannot be used: {problem}; write it as SQLAlchemy takes it, such as "
                "postgresql://host/database, and install its driver"
            ) from problem

    @contextmanager
    def session(self, *, writes: bool) -> Iterator[Session]:
        try:
            with self._engine.begin() as connection:
                yield _SqlAlchemySession(connection)
        except SQLAlchemyError as problem:
            # The whole message would repeat the statement with its values.
            reason = problem.orig if isinstance(problem, DBAPIError) else type(problem).__name__
            raise FlagStoreError(f"the flag database cannot be used: {_first_line(reason)}") from problem

    def close(self) -> None:
        self._engine.dispose()


class _SqlAlchemySession:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def run(self, statement: str, values: Mapping[str, Any]) -> tuple[list[Sequence[Any]], int]:
        result = self._connection.execute(text(statement), dict(values))
        return ([tuple(row) for row in result] if result.returns_rows else []), result.rowcount


def _first_line(reason: object) -> str:
    return str(reason).partition("\n")[0]

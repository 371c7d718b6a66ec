"""Analytics in any database that SQLAlchemy speaks to; SQLite and PostgreSQL are tested.

A table for each kind of record, named as the collection, a column for each field. They are made where they are missing.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Final, get_type_hints

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    Connection,
    Double,
    Index,
    MetaData,
    String,
    Table,
    Text,
    create_engine,
    delete,
    insert,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.engine import Engine
from sqlalchemy.exc import DBAPIError, IntegrityError, SQLAlchemyError
from sqlalchemy.pool import NullPool
from sqlalchemy.schema import CreateIndex, CreateTable
from sqlalchemy.types import TypeEngine

from genops_otel_posthog.errors import GenOpsConfigurationError
from genops_otel_posthog.export.destinations.database_tables import UtcTime
from genops_otel_posthog.service.analytics.records import RECORDS, R, Record, names_of, record_from, values_of
from genops_otel_posthog.service.analytics.store import AnalyticsStoreError

_JSON: Final = JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")
_LONG: Final = frozenset({"context", "component", "page", "pattern_name", "pattern_id"})


def _column_type(name: str, hint: str) -> TypeEngine[Any]:
    if "datetime" in hint:
        return UtcTime()
    if "Mapping" in hint or "tuple" in hint:
        return _JSON
    if "float" in hint:
        return Double()
    if "int" in hint:
        return BigInteger()
    return Text() if name in _LONG else String(255)


def _table(metadata: MetaData, kind: type[Any]) -> Table:
    hints = {name: str(hint) for name, hint in get_type_hints(kind).items()}
    columns: list[Column[Any]] = [
        Column(name, _column_type(name, hints[name]), primary_key=name == kind.KEY) for name in names_of(kind)
    ]
    indexes = [
        Index(f"ix_{kind.COLLECTION}_user_{kind.MOMENT}", "user_id", kind.MOMENT),
        Index(f"ix_{kind.COLLECTION}_{kind.MOMENT}", kind.MOMENT),
    ]
    return Table(kind.COLLECTION, metadata, *columns, *indexes)


METADATA: Final = MetaData()
TABLES: Final = {kind: _table(METADATA, kind) for kind in RECORDS}


class SqlAlchemyStore:
    """A database; see :class:`~.store.AnalyticsStore`.

    Args:
        engine: The application's own engine, or a URL that SQLAlchemy takes.
        file: The SQLite file, if it is one: it is made readable by its owner alone.

    Raises:
        GenOpsConfigurationError: The URL cannot be used, or its driver is not installed. The URL is not repeated.
    """

    waits = True

    def __init__(self, engine: Engine | str, file: Path | None = None) -> None:
        self._file = file
        self._process = os.getpid()
        self._is_ready = False
        if not isinstance(engine, str):
            self._engine = engine
            return
        pool: dict[str, Any] = {"pool_pre_ping": True} if file is None else {"poolclass": NullPool}
        try:
            self._engine = create_engine(engine, hide_parameters=True, **pool)
        except (SQLAlchemyError, ImportError) as problem:
            raise GenOpsConfigurationError(
                f"the URL of the analytics database cannot be used: {type(problem).__name__}; write it as SQLAlchemy "
                "takes it, such as postgresql://user@host/database, and install its driver"
            ) from problem

    def prepare(self) -> None:
        """See :meth:`~.store.AnalyticsStore.prepare`."""
        with self._transaction():
            pass

    def put(self, record: Record) -> None:
        """See :meth:`~.store.AnalyticsStore.put`."""
        values = values_of(record)
        self.change(type(record), values[record.KEY], values)

    def change(self, kind: type[Record], key: str, changes: Mapping[str, Any]) -> None:
        """See :meth:`~.store.AnalyticsStore.change`."""
        table, is_key = TABLES[kind], TABLES[kind].c[kind.KEY] == key
        values = {name: _for_json(value) for name, value in changes.items()}

        def changed(connection: Connection) -> bool:
            return connection.execute(update(table).where(is_key).values(values)).rowcount > 0

        with self._transaction() as connection:
            if changed(connection):
                return
            try:
                with connection.begin_nested():
                    connection.execute(insert(table).values({kind.KEY: key, **values}))
            except IntegrityError:  # somebody else made it in between
                changed(connection)

    def get(self, kind: type[R], key: str) -> R | None:
        """See :meth:`~.store.AnalyticsStore.get`."""
        table = TABLES[kind]
        with self._transaction() as connection:
            row = connection.execute(select(table).where(table.c[kind.KEY] == key)).mappings().first()
        return None if row is None else record_from(kind, dict(row))

    def find(self, kind: type[R], user_id: str, limit: int) -> list[R]:
        """See :meth:`~.store.AnalyticsStore.find`."""
        table = TABLES[kind]
        query = select(table).where(table.c.user_id == user_id).order_by(table.c[kind.MOMENT].desc()).limit(limit)
        with self._transaction() as connection:
            return [record_from(kind, dict(row)) for row in connection.execute(query).mappings()]

    def remove_before(self, kind: type[Record], moment: datetime) -> int:
        """See :meth:`~.store.AnalyticsStore.remove_before`."""
        return self._remove(kind, TABLES[kind].c[kind.MOMENT] < moment)

    def remove_user(self, kind: type[Record], user_id: str) -> int:
        """See :meth:`~.store.AnalyticsStore.remove_user`."""
        return self._remove(kind, TABLES[kind].c.user_id == user_id)

    def _remove(self, kind: type[Any], condition: Any) -> int:
        with self._transaction() as connection:
            return int(connection.execute(delete(TABLES[kind]).where(condition)).rowcount)

    def close(self) -> None:
        """See :meth:`~.store.AnalyticsStore.close`."""
        self._engine.dispose(close=self._process == os.getpid())

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        try:
            if self._process != os.getpid():
                # After a fork the connections are the parent's; they are left as they are.
                self._engine.dispose(close=False)
                self._process = os.getpid()
            if self._file is not None and not self._file.exists():
                self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                os.close(os.open(self._file, os.O_CREAT | os.O_RDWR, 0o600))
            if not self._is_ready:
                self._make_tables()
            with self._engine.begin() as connection:
                yield connection
        except (SQLAlchemyError, OSError) as problem:
            # The whole message would repeat the statement with its values.
            reason = problem.orig if isinstance(problem, DBAPIError) else type(problem).__name__
            first_line = str(reason).partition("\n")[0]
            raise AnalyticsStoreError(f"the analytics database cannot be used: {first_line}") from problem

    def _make_tables(self) -> None:
        with self._engine.begin() as connection:
            for table in METADATA.sorted_tables:
                connection.execute(CreateTable(table, if_not_exists=True))
                for index in sorted(table.indexes, key=lambda index: str(index.name)):
                    connection.execute(CreateIndex(index, if_not_exists=True))
        self._is_ready = True


def _for_json(value: Any) -> Any:
    if isinstance(value, tuple):
        return list(value)
    return dict(value) if isinstance(value, Mapping) else value

"""The tables of :mod:`.database_schema` for SQLAlchemy, and as statements for people and warehouses.

The only module beside :mod:`.database` that imports SQLAlchemy; nothing imports it before a database is used.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
from decimal import Decimal
from types import MappingProxyType
from typing import Any, Final

from sqlalchemy import JSON, BigInteger, Column, DateTime, Double, Index, MetaData, Numeric, String, Table, Text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.engine import URL, Dialect
from sqlalchemy.schema import CreateIndex, CreateTable
from sqlalchemy.types import TypeDecorator, TypeEngine

from genops_otel_posthog.errors import GenOpsConfigurationError
from genops_otel_posthog.export.destinations.database_schema import EVENT_TABLES, EventTable, Kind

_NANO = Decimal("1e-9")


class UtcTime(TypeDecorator[datetime]):
    """A moment, aware UTC, also in SQLite, which keeps no time zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Into the database."""
        if value is None:
            return None
        utc = value.astimezone(timezone.utc)
        return utc.replace(tzinfo=None) if dialect.name == "sqlite" else utc

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Out of the database."""
        if value is None:
            return None
        return value.replace(tzinfo=timezone.utc) if value.tzinfo is None else value.astimezone(timezone.utc)


class Nano(TypeDecorator[Decimal]):
    """US dollars exact to nine digits, also in SQLite, which keeps doubles: their fifteen digits do up to a million."""

    impl = Numeric(18, 9)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Doubles for SQLite, so that SQLAlchemy need not warn of them."""
        if dialect.name == "sqlite":
            return dialect.type_descriptor(Numeric(18, 9, asdecimal=False))
        return dialect.type_descriptor(Numeric(18, 9))

    def process_result_value(self, value: Any, dialect: Dialect) -> Decimal | None:
        """Out of the database."""
        return None if value is None else Decimal(str(value)).quantize(_NANO)


_TYPES: Final[Mapping[Kind, TypeEngine[Any]]] = {
    "id": String(36),
    "text": Text(),
    "word": String(64),
    "json": JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql"),
    "integer": BigInteger(),
    "milliseconds": Double(),
    "usd": Nano(),
    "time": UtcTime(),
}


def _table(metadata: MetaData, table: EventTable) -> Table:
    columns: list[Column[Any]] = [
        Column(
            column.name,
            _TYPES[column.kind],
            primary_key=column is table.columns[0],
            nullable=not column.required,
        )
        for column in table.columns
    ]
    indexes = [Index(f"ix_{table.name}_{name}", name) for name in table.indexes]
    return Table(table.name, metadata, *columns, *indexes)


METADATA: Final = MetaData()
TABLES: Final[Mapping[str, Table]] = MappingProxyType({table.name: _table(METADATA, table) for table in EVENT_TABLES})
"""By name, in the order of :data:`EVENT_TABLES`."""


# --- statements for people --------------------------------------------------------------------------------------------

_WAREHOUSE_TYPES: Final[Mapping[str, Mapping[Kind, str]]] = {
    "snowflake": {
        "id": "VARCHAR(36)",
        "text": "VARCHAR",
        "word": "VARCHAR(64)",
        "json": "VARIANT",
        "integer": "NUMBER(19, 0)",
        "milliseconds": "DOUBLE",
        "usd": "NUMBER(18, 9)",
        "time": "TIMESTAMP_TZ",
    },
    "bigquery": {
        "id": "STRING(36)",
        "text": "STRING",
        "word": "STRING(64)",
        "json": "JSON",
        "integer": "INT64",
        "milliseconds": "FLOAT64",
        "usd": "NUMERIC(18, 9)",
        "time": "TIMESTAMP",
    },
}
_WAREHOUSE_KEYS: Final = {"snowflake": "PRIMARY KEY (id)", "bigquery": "PRIMARY KEY (id) NOT ENFORCED"}
_WAREHOUSE_LAYOUT: Final = {
    "snowflake": "\nCLUSTER BY (TO_DATE(timestamp))",
    "bigquery": "\nPARTITION BY DATE(timestamp)\nCLUSTER BY trace_id",
}
DIALECTS: Final = ("sqlite", "postgresql", "snowflake", "bigquery")


def ddl(dialect: str) -> str:
    """The statements that make the tables.

    Args:
        dialect: One of :data:`DIALECTS`.

    Raises:
        GenOpsConfigurationError: There are none for it.
    """
    if dialect in _WAREHOUSE_TYPES:
        return "\n\n".join(_warehouse_table(dialect, table) for table in EVENT_TABLES) + "\n"
    if dialect not in DIALECTS:
        raise GenOpsConfigurationError(f"there are no statements for {dialect!r}; use one of {', '.join(DIALECTS)}")
    made = URL.create("sqlite" if dialect == "sqlite" else "postgresql+psycopg").get_dialect()()
    statements = []
    for table in TABLES.values():
        statements.append(str(CreateTable(table, if_not_exists=True).compile(dialect=made)).strip() + ";")
        statements += [
            str(CreateIndex(index, if_not_exists=True).compile(dialect=made)).strip() + ";"
            for index in sorted(table.indexes, key=lambda index: str(index.name))
        ]
    return "\n\n".join(statements).replace("\t", "  ").replace(" \n", "\n") + "\n"


def _warehouse_table(dialect: str, table: EventTable) -> str:
    types = _WAREHOUSE_TYPES[dialect]
    lines = [
        f"  {column.name} {types[column.kind]}{' NOT NULL' if column.required else ''},  -- {column.meaning}"
        for column in table.columns
    ]
    lines.append(f"  {_WAREHOUSE_KEYS[dialect]}")
    return f"CREATE TABLE IF NOT EXISTS {table.name} (\n" + "\n".join(lines) + f"\n){_WAREHOUSE_LAYOUT[dialect]};"

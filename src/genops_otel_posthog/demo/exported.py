"""The events that the shop's spans became, as its database has them, which is on this machine wherever they went."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genops_otel_posthog import semconv
from genops_otel_posthog.errors import GenOpsError
from genops_otel_posthog.money import NANO_PER_USD
from genops_otel_posthog.pricing.billing import Charge, charges_for_event, is_identified

TABLES = ("event_logs", "agent_trace_history", "model_cost_logs")
"""Every event is in the first; what agents did and what models cost is in the others as well."""


@dataclass(frozen=True)
class ExportedEvent:
    """One event.

    Attributes:
        uuid: The same in every system.
        name: The event's name.
        trace_id: Of the span it was made of.
        properties: All that it says.
        tables: The tables it is in.
        model_cost_nano: What the call of a model behind it cost, nano-USD; 0 where that is not known.
    """

    uuid: str
    name: str
    trace_id: str
    properties: Mapping[str, Any]
    tables: tuple[str, ...] = TABLES[:1]
    model_cost_nano: int = 0

    @property
    def span_id(self) -> str:
        """The span it was made of."""
        return str(self.properties.get(semconv.PROPERTY_DOLLAR_SPAN_ID, ""))

    @property
    def charges(self) -> tuple[Charge, ...]:
        """What PostHog bills for it."""
        return charges_for_event(self.name, identified=is_identified(self.properties))

    @property
    def amount_nano(self) -> int:
        """What it said it would cost when it was made, nano-USD."""
        return nano_of(self.properties.get(semconv.PROPERTY_GENOPS_COST_ESTIMATED) or 0.0)


def nano_of(usd: float) -> int:
    """The exact amount behind a double: amounts are whole nano-USD."""
    return round(usd * NANO_PER_USD)


def read_exported(database: Path) -> list[ExportedEvent]:
    """Reads the database that the shop has left.

    Raises:
        GenOpsError: It has no such tables.
    """
    try:
        with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
            rows = {table: _rows(connection, table) for table in TABLES}
    except sqlite3.Error as problem:
        raise GenOpsError(f"the shop left no database with its events at {database}: {problem}") from problem
    costs = {row["id"]: nano_of(row["cost_usd"] or 0.0) for row in rows[TABLES[2]]}
    ids = {table: {row["id"] for row in rows[table]} for table in TABLES}
    return [
        ExportedEvent(
            uuid=row["id"],
            name=row["event_type"],
            trace_id=row["trace_id"] or "",
            properties=json.loads(row["context"]),
            tables=tuple(table for table in TABLES if row["id"] in ids[table]),
            model_cost_nano=costs.get(row["id"], 0),
        )
        for row in rows[TABLES[0]]
    ]


def _rows(connection: sqlite3.Connection, table: str) -> list[sqlite3.Row]:
    connection.row_factory = sqlite3.Row
    return connection.execute(f"SELECT * FROM {table} ORDER BY timestamp, id").fetchall()

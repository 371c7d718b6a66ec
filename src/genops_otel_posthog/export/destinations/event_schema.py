"""The tables of events as JSON Schema, for whoever reads them as JSON: exports, queues, data contracts.

Made of the same data as the tables (:mod:`.database_schema`) and as the statements for warehouses
(:mod:`.database_tables`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from genops_otel_posthog.export.destinations.database_schema import EVENT_TABLES, STATUSES, Column, EventTable, Kind

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"

_KINDS: Final[Mapping[Kind, Mapping[str, Any]]] = {
    "id": {"type": "string", "format": "uuid"},
    "text": {"type": "string"},
    "word": {"type": "string", "maxLength": 64},
    "json": {"type": ["object", "array", "string", "number", "boolean"]},
    "integer": {"type": "integer", "minimum": 0},
    "milliseconds": {"type": "number", "minimum": 0},
    "usd": {"type": "number", "minimum": 0},
    "time": {"type": "string", "format": "date-time"},
}


def json_schema() -> dict[str, Any]:
    """A schema with a definition for each table; one object is one row.

    ``{"$ref": "…#/$defs/event_logs"}`` is the schema of a row of ``event_logs``.
    """
    return {
        "$schema": DIALECT,
        "title": "Events of genops-otel-posthog, as rows",
        "$defs": {table.name: _table(table) for table in EVENT_TABLES},
    }


def _table(table: EventTable) -> dict[str, Any]:
    about = "Every event." if table.events is None else f"Events: {', '.join(sorted(table.events))}."
    return {
        "description": about,
        "type": "object",
        "properties": {column.name: _column(column) for column in table.columns},
        "required": [column.name for column in table.columns],
        "additionalProperties": False,
    }


def _column(column: Column) -> dict[str, Any]:
    schema: dict[str, Any] = {"description": column.meaning, **_KINDS[column.kind]}
    if column.name == "status":
        schema = {"description": column.meaning, "enum": list(STATUSES)}
    if not column.required:
        types = schema["type"]
        schema["type"] = [*(types if isinstance(types, list) else [types]), "null"]
    return schema

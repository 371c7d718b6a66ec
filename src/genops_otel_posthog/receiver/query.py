"""Questions to the store: rows by filter, traces as trees, metrics by series, and a summary of it all.

Every function takes a connection and the parameters of the query string, and returns what JSON can say.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from genops_otel_posthog.errors import GenOpsValidationError

DEFAULT_LIMIT = 1000
MAX_LIMIT = 100_000

_SERIES = "name, service, scope, attributes, resource"  # what tells one metric series from another


@dataclass(frozen=True, slots=True)
class Listing:
    """A table as the query API shows it.

    Attributes:
        columns: of the answer, name to SQL.
        json_columns: those of ``columns`` that hold JSON text, which is decoded.
        filters: parameter name to SQL condition with one ``?``.
        json_filters: prefix of a parameter to the JSON column it looks into (``property.plan=pro``).
        defaults: parameters that hold when they are not given; ``any`` lifts one.
    """

    table: str
    columns: Mapping[str, str]
    json_columns: frozenset[str]
    filters: Mapping[str, str]
    json_filters: Mapping[str, str]
    defaults: Mapping[str, str]


def _listing(
    table: str,
    columns: str,
    *,
    json_columns: str = "",
    renamed: Mapping[str, str] | None = None,
    filters: str = "",
    more_filters: Mapping[str, str] | None = None,
    json_filters: Mapping[str, str] | None = None,
    defaults: Mapping[str, str] | None = None,
) -> Listing:
    return Listing(
        table,
        {name: name for name in columns.split()} | dict(renamed or {}),
        frozenset(json_columns.split()),
        {"after": "id > ?", **{name: f"{name} = ?" for name in filters.split()}, **(more_filters or {})},
        json_filters or {},
        defaults or {},
    )


LISTINGS: Mapping[str, Listing] = {
    "events": _listing(
        "events",
        "id request at token lane protocol event distinct_id uuid timestamp sent_timestamp outcome reason person_mode "
        "grouped changes historical properties",
        renamed={
            "set": "person_set",
            "set_once": "person_set_once",
            "identified": "person_mode <> 'propertyless'",
        },
        json_columns="changes properties set set_once",
        filters="request token lane protocol event distinct_id uuid outcome reason person_mode",
        json_filters={"property.": "properties"},
        defaults={"outcome": "accepted"},
    ),
    "requests": _listing(
        "requests",
        "id at method path query status bytes encoding user_agent duration_us note fault",
        filters="method path status fault",
        more_filters={"min_status": "status >= ?", "max_status": "status <= ?"},
    ),
    "flag-requests": _listing(
        "flag_requests",
        "id request at token kind distinct_id status units answer",
        json_columns="answer",
        filters="request token kind distinct_id status units",
    ),
    "spans": _listing(
        "spans",
        "id request trace_id span_id parent_span_id name kind start_ns end_ns status status_message service scope "
        "scope_version trace_state attributes resource events links",
        json_columns="attributes resource events links",
        filters="request trace_id span_id parent_span_id name kind status service scope",
        json_filters={"attribute.": "attributes", "resource.": "resource"},
    ),
    "metric-points": _listing(
        "metric_points",
        "id request name type unit description service scope attributes resource temporality monotonic start_ns "
        "time_ns value data",
        json_columns="attributes resource data",
        filters="request name type service scope",
        json_filters={"attribute.": "attributes", "resource.": "resource"},
    ),
    "rudder-messages": _listing(
        "rudder_messages",
        "id request at write_key type event user_id anonymous_id message_id timestamp sent_at message",
        json_columns="message",
        filters="request write_key type event user_id anonymous_id message_id",
        more_filters={"trace_id": "json_extract(message, '$.context.traceId') = ?"},
    ),
}
"""What can be listed, counted and waited for."""


def list_rows(connection: sqlite3.Connection, name: str, parameters: Mapping[str, str]) -> dict[str, Any]:
    """Rows of a listing, oldest first.

    Args:
        connection: to read from.
        name: a key of :data:`LISTINGS`.
        parameters: filters of the listing, ``limit`` (default 1,000), ``offset`` and ``order`` (``asc`` or ``desc``).

    Returns:
        ``items``, and ``total``: how many rows the filters leave without the limit.

    Raises:
        GenOpsValidationError: a parameter is unknown or has a value it cannot have.
    """
    listing = LISTINGS[name]
    where, values = _where(listing, parameters)
    limit = _integer(parameters, "limit", DEFAULT_LIMIT, MAX_LIMIT)
    offset = _integer(parameters, "offset", 0, 2**53)
    order = parameters.get("order", "asc")
    if order not in ("asc", "desc"):
        raise GenOpsValidationError(f"order must be asc or desc, not {order!r}")
    columns = ", ".join(listing.columns.values())
    rows = connection.execute(
        f"SELECT {columns} FROM {listing.table} WHERE {where} ORDER BY id {order} LIMIT ? OFFSET ?",
        [*values, limit, offset],
    )
    items = [_record(listing, row) for row in rows]
    return {"items": items, "total": count_rows(connection, name, parameters)}


def count_rows(connection: sqlite3.Connection, name: str, parameters: Mapping[str, str]) -> int:
    """How many rows the filters leave. Raises as :func:`list_rows`."""
    listing = LISTINGS[name]
    where, values = _where(listing, parameters)
    count: int = connection.execute(f"SELECT count(*) FROM {listing.table} WHERE {where}", values).fetchone()[0]
    return count


def list_traces(connection: sqlite3.Connection, parameters: Mapping[str, str]) -> dict[str, Any]:
    """One line for each trace, newest first: its root, services, number of spans and of errors."""
    limit = _integer(parameters, "limit", 100, MAX_LIMIT)
    rows = connection.execute(
        """
        SELECT trace_id, count(*), min(start_ns), max(end_ns), sum(status = 'error'),
               json_group_array(DISTINCT service),
               (SELECT name FROM spans AS root WHERE root.trace_id = spans.trace_id
                ORDER BY parent_span_id IS NOT NULL, start_ns LIMIT 1)
        FROM spans GROUP BY trace_id ORDER BY min(start_ns) DESC LIMIT ?
        """,
        [limit],
    )
    names = ("trace_id", "spans", "start_ns", "end_ns", "errors", "services", "root")
    items = [dict(zip(names, row, strict=True)) for row in rows]
    for item in items:
        item["services"] = json.loads(item["services"])
    return {"items": items, "total": connection.execute("SELECT count(DISTINCT trace_id) FROM spans").fetchone()[0]}


def trace_tree(connection: sqlite3.Connection, trace_id: str) -> dict[str, Any] | None:
    """The spans of a trace, children inside their parents, siblings by start; ``None`` when there are none.

    A span whose parent was never received is a root with ``parent_missing`` true.
    """
    spans = list_rows(connection, "spans", {"trace_id": trace_id.lower(), "limit": str(MAX_LIMIT)})["items"]
    if not spans:
        return None
    by_id: dict[str, dict[str, Any]] = {}
    for span in sorted(spans, key=lambda span: (span["start_ns"], span["id"])):
        by_id.setdefault(span["span_id"], span | {"children": [], "parent_missing": False})
    roots = []
    for span in by_id.values():
        parent = by_id.get(span["parent_span_id"])
        if parent is None or parent is span:
            span["parent_missing"] = span["parent_span_id"] is not None
            roots.append(span)
        else:
            parent["children"].append(span)
    return {"trace_id": trace_id.lower(), "spans": len(by_id), "roots": roots}


def list_series(connection: sqlite3.Connection, parameters: Mapping[str, str]) -> dict[str, Any]:
    """Metrics by series: the point received last, and with ``history=1`` all points before it.

    Filters as for ``metric-points``. A history is a list of ``[time_ns, value]``, oldest first.
    """
    with_history = parameters.get("history", "0") not in ("", "0", "false")
    filters = {name: value for name, value in parameters.items() if name != "history"}
    listing = LISTINGS["metric-points"]
    where, values = _where(listing, filters)
    columns = ", ".join(listing.columns.values())
    rows = connection.execute(
        f"SELECT {columns}, {_SERIES}, max(id) FROM metric_points WHERE {where} GROUP BY {_SERIES} ORDER BY {_SERIES}",
        values,
    ).fetchall()
    width = len(listing.columns)
    items = [_record(listing, row[:width]) for row in rows]
    if with_history:
        histories: dict[tuple[str, ...], list[list[Any]]] = {tuple(row[width:-1]): [] for row in rows}
        points = connection.execute(
            f"SELECT {_SERIES}, time_ns, value FROM metric_points WHERE {where} ORDER BY id", values
        )
        for *series, time_ns, value in points:
            histories[tuple(series)].append([time_ns, value])
        for item, history in zip(items, histories.values(), strict=True):
            item["history"] = history
    return {"items": items, "total": len(items)}


def summary(connection: sqlite3.Connection) -> dict[str, Any]:
    """Everything received, in numbers."""
    one = _scalar(connection)
    return {
        "requests": {
            "total": one("SELECT count(*) FROM requests"),
            "by_status": _counts(connection, "SELECT status, count(*) FROM requests GROUP BY 1 ORDER BY 1"),
            "by_path": _counts(connection, "SELECT path, count(*) FROM requests GROUP BY 1 ORDER BY 1"),
        },
        "events": {
            "accepted": one("SELECT count(*) FROM events WHERE outcome = 'accepted'"),
            "dropped": one("SELECT count(*) FROM events WHERE outcome = 'dropped'"),
            "distinct": one("SELECT count(DISTINCT uuid) FROM events WHERE outcome = 'accepted'"),
            "by_name": _counts(
                connection,
                "SELECT event, count(*) FROM events WHERE outcome = 'accepted' GROUP BY 1 ORDER BY 2 DESC, 1",
            ),
            "drop_reasons": _counts(
                connection, "SELECT reason, count(*) FROM events WHERE outcome = 'dropped' GROUP BY 1 ORDER BY 1"
            ),
        },
        "flag_requests": {
            "total": one("SELECT count(*) FROM flag_requests"),
            "units": one("SELECT coalesce(sum(units), 0) FROM flag_requests"),
            "by_kind": _counts(connection, "SELECT kind, count(*) FROM flag_requests GROUP BY 1 ORDER BY 1"),
        },
        "spans": {
            "total": one("SELECT count(*) FROM spans"),
            "traces": one("SELECT count(DISTINCT trace_id) FROM spans"),
            "by_service": _counts(connection, "SELECT service, count(*) FROM spans GROUP BY 1 ORDER BY 1"),
        },
        "metrics": {
            "points": one("SELECT count(*) FROM metric_points"),
            "names": one("SELECT count(DISTINCT name) FROM metric_points"),
        },
        "logs": one("SELECT count(*) FROM otlp_logs"),
        "rudder_messages": {
            "total": one("SELECT count(*) FROM rudder_messages"),
            "distinct": one("SELECT count(DISTINCT message_id) FROM rudder_messages"),
            "by_type": _counts(connection, "SELECT type, count(*) FROM rudder_messages GROUP BY 1 ORDER BY 1"),
        },
    }


def _where(listing: Listing, parameters: Mapping[str, str]) -> tuple[str, list[Any]]:
    conditions, values = ["1"], list[Any]()
    given = {**listing.defaults, **parameters}
    for name, value in given.items():
        if name in ("limit", "offset", "order") or (value == "any" and name in listing.defaults):
            continue
        if name in listing.filters:
            conditions.append(listing.filters[name])
            values.append(value)
            continue
        prefix = next((prefix for prefix in listing.json_filters if name.startswith(prefix)), None)
        if prefix is None:
            allowed = [*listing.filters, *(f"{prefix}<name>" for prefix in listing.json_filters)]
            raise GenOpsValidationError(
                f"{listing.table} cannot be filtered by {name!r}; "
                f"use {', '.join(sorted(allowed))}, limit, offset, order"
            )
        column, path = listing.json_filters[prefix], _json_path(name.removeprefix(prefix))
        conditions.append(
            f"CASE json_type({column}, ?) WHEN 'true' THEN 'true' WHEN 'false' THEN 'false' "
            f"ELSE CAST(json_extract({column}, ?) AS TEXT) END = ?"
        )
        values += [path, path, value]
    return " AND ".join(conditions), values


def _json_path(name: str) -> str:
    if '"' in name or not name:
        raise GenOpsValidationError(f"{name!r} cannot be the name of a property in a filter")
    return f'$."{name}"'


def _integer(parameters: Mapping[str, str], name: str, default: int, most: int) -> int:
    text = parameters.get(name, str(default))
    if not (text.isascii() and text.isdigit() and len(text) <= 16):
        raise GenOpsValidationError(f"{name} must be a whole number, not {text!r}")
    return min(int(text), most)


def _record(listing: Listing, row: Sequence[Any]) -> dict[str, Any]:
    record = dict(zip(listing.columns, row, strict=True))
    for name in listing.json_columns:
        if record[name] is not None:
            record[name] = json.loads(record[name])
    for name in ("grouped", "historical", "identified", "monotonic"):
        if record.get(name) is not None:
            record[name] = bool(record[name])
    return record


def _scalar(connection: sqlite3.Connection) -> Callable[[str], int]:
    def one(sql: str) -> int:
        count: int = connection.execute(sql).fetchone()[0]
        return count

    return one


def _counts(connection: sqlite3.Connection, sql: str) -> dict[str, int]:
    return {str(name): count for name, count in connection.execute(sql)}

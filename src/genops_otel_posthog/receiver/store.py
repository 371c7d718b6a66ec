"""Everything the receiver was sent, in one SQLite file that anyone can open and query.

One connection writes and one reads; write-ahead logging lets them work side by side. A request is one transaction, so
what a client was told is on disk before the answer leaves, and a request that fails half-way leaves nothing behind.
"""

from __future__ import annotations

import itertools
import json
import math
import os
import sqlite3
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, TypeVar

from genops_otel_posthog.acceptance import without_nul
from genops_otel_posthog.errors import GenOpsConfigurationError

T = TypeVar("T")

SCHEMA_VERSION = 2

SCHEMA = """
CREATE TABLE requests (          -- one row for each HTTP request, whatever came of it
    id INTEGER PRIMARY KEY, at TEXT NOT NULL, method TEXT NOT NULL, path TEXT NOT NULL, query TEXT NOT NULL,
    status INTEGER NOT NULL,     -- 0: no answer was given (the client went away, or a fault withheld it)
    bytes INTEGER NOT NULL, encoding TEXT NOT NULL, user_agent TEXT NOT NULL, duration_us INTEGER NOT NULL,
    note TEXT,                   -- why it was refused, or what was dropped
    fault INTEGER,               -- the fault rule that shaped the answer
    body BLOB                    -- as sent; kept only when asked for
);
CREATE TABLE events (
    id INTEGER PRIMARY KEY, request INTEGER NOT NULL, at TEXT NOT NULL, token TEXT NOT NULL,
    lane TEXT NOT NULL,          -- analytics | ai
    protocol TEXT NOT NULL,      -- v0 | v1
    event TEXT NOT NULL, distinct_id TEXT NOT NULL, uuid TEXT NOT NULL,
    timestamp TEXT NOT NULL,     -- corrected by clock skew, UTC
    sent_timestamp TEXT,         -- as sent
    outcome TEXT NOT NULL,       -- accepted | dropped
    reason TEXT,                 -- why it was dropped
    person_mode TEXT NOT NULL,   -- full | propertyless | force_upgrade
    grouped INTEGER NOT NULL,    -- carries a group
    changes TEXT,                -- JSON array: what PostHog changed in it
    historical INTEGER NOT NULL, -- sent as historical migration
    properties TEXT NOT NULL, person_set TEXT, person_set_once TEXT
);
CREATE INDEX events_by_name ON events (event);
CREATE TABLE persons (
    token TEXT NOT NULL, distinct_id TEXT NOT NULL, created_at TEXT NOT NULL, PRIMARY KEY (token, distinct_id)
) WITHOUT ROWID;
CREATE TABLE flag_requests (
    id INTEGER PRIMARY KEY, request INTEGER NOT NULL, at TEXT NOT NULL, token TEXT NOT NULL,
    kind TEXT NOT NULL,          -- flags | definitions | remote_config
    distinct_id TEXT, status INTEGER NOT NULL,
    units INTEGER NOT NULL,      -- what PostHog bills for it
    answer TEXT                  -- JSON object: the value of each flag
);
CREATE TABLE spans (
    id INTEGER PRIMARY KEY, request INTEGER NOT NULL, trace_id TEXT NOT NULL, span_id TEXT NOT NULL,
    parent_span_id TEXT, name TEXT NOT NULL, kind TEXT NOT NULL, start_ns INTEGER NOT NULL, end_ns INTEGER NOT NULL,
    status TEXT NOT NULL, status_message TEXT, service TEXT NOT NULL, scope TEXT NOT NULL, scope_version TEXT,
    trace_state TEXT, attributes TEXT NOT NULL, resource TEXT NOT NULL, events TEXT NOT NULL, links TEXT NOT NULL
);
CREATE INDEX spans_by_trace ON spans (trace_id);
CREATE TABLE metric_points (
    id INTEGER PRIMARY KEY, request INTEGER NOT NULL, name TEXT NOT NULL,
    type TEXT NOT NULL,          -- gauge | sum | histogram | exponential_histogram | summary
    unit TEXT NOT NULL, description TEXT NOT NULL, service TEXT NOT NULL, scope TEXT NOT NULL,
    attributes TEXT NOT NULL, resource TEXT NOT NULL, temporality TEXT, monotonic INTEGER,
    start_ns INTEGER NOT NULL, time_ns INTEGER NOT NULL,
    value REAL,                  -- of gauges and sums; the sum of histograms
    data TEXT                    -- JSON object: count, buckets, quantiles of histograms and summaries
);
CREATE INDEX metric_points_by_name ON metric_points (name);
CREATE TABLE otlp_logs (
    id INTEGER PRIMARY KEY, request INTEGER NOT NULL, at TEXT NOT NULL, content_type TEXT NOT NULL, body BLOB NOT NULL
);
CREATE TABLE rudder_messages (
    id INTEGER PRIMARY KEY, request INTEGER NOT NULL, at TEXT NOT NULL, write_key TEXT NOT NULL,
    type TEXT,                   -- track | identify | group | alias | page | screen
    event TEXT, user_id TEXT, anonymous_id TEXT, message_id TEXT NOT NULL,
    timestamp TEXT NOT NULL,     -- when it happened, as RudderStack computes it, UTC
    sent_at TEXT,                -- as sent, of the message itself
    message TEXT NOT NULL        -- JSON object: all of it
);
CREATE INDEX rudder_messages_by_id ON rudder_messages (message_id);
"""

TABLES = ("requests", "events", "persons", "flag_requests", "spans", "metric_points", "otlp_logs", "rudder_messages")


class Store:
    """The SQLite file, with one writing and one reading connection.

    Args:
        path: the file, created with mode 0600 when it does not exist; ``None`` puts it into a temporary directory
            that is removed on :meth:`close`.

    Raises:
        GenOpsConfigurationError: the file cannot be opened, is no database, or was written by another version.
    """

    def __init__(self, path: str | os.PathLike[str] | None = None) -> None:
        self._directory = tempfile.TemporaryDirectory(prefix="genops-posthog-") if path is None else None
        self.path = Path(path) if path is not None else Path(self._directory.name if self._directory else "", "data.db")
        try:
            _create_private(self.path)
            self._writer = _connect(self.path)
            self._reader = _connect(self.path)
        except (OSError, sqlite3.Error) as problem:
            raise GenOpsConfigurationError(
                f"the receiver cannot keep its data in {str(self.path)!r}: {problem}; "
                "name another file, or leave it out for a temporary one"
            ) from problem
        last: int = self._writer.execute("SELECT coalesce(max(id), 0) FROM requests").fetchone()[0]
        self._request_ids = itertools.count(last + 1)

    def next_request_id(self) -> int:
        """An id for the request at hand, so that its rows can name it before it is finished."""
        return next(self._request_ids)

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """One write transaction: committed when the block ends, undone when it raises."""
        self._writer.execute("BEGIN IMMEDIATE")
        try:
            yield Transaction(self._writer)
        except BaseException:
            self._writer.execute("ROLLBACK")
            raise
        self._writer.execute("COMMIT")

    def read(self, query: Callable[[sqlite3.Connection], T]) -> T:
        """Run ``query`` on the reading connection."""
        return query(self._reader)

    def clear(self) -> None:
        """Forget everything that was received."""
        with self.transaction() as transaction:
            for table in TABLES:
                transaction.execute(f"DELETE FROM {table}")

    def close(self) -> None:
        """Close the file; remove it when it was temporary."""
        self._reader.close()
        self._writer.close()
        if self._directory is not None:
            self._directory.cleanup()


class Transaction:
    """What can be written within one transaction."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.execute = connection.execute

    def add(self, table: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        """Insert rows, each a sequence in the order of ``columns``."""
        marks = ", ".join("?" * len(columns))
        self._connection.executemany(f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})", rows)

    def person_created_at(self, token: str, distinct_id: str) -> str | None:
        """When the person of this distinct id was created, ISO 8601; ``None`` when there is none."""
        row = self.execute(
            "SELECT created_at FROM persons WHERE token = ? AND distinct_id = ?", (token, distinct_id)
        ).fetchone()
        return None if row is None else str(row[0])

    def add_persons(self, rows: Iterable[tuple[str, str, str]]) -> None:
        """Create persons from ``(token, distinct_id, created_at)``; those that exist keep their date."""
        self._connection.executemany("INSERT OR IGNORE INTO persons VALUES (?, ?, ?)", rows)


def iso(moment: datetime) -> str:
    """A moment as every column keeps it: UTC, microseconds, fixed width, so that text order is time order."""
    if moment.tzinfo is not timezone.utc:
        moment = moment.astimezone(timezone.utc)
    return moment.isoformat(timespec="microseconds")


_dumps = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode


def to_json(value: object) -> str:
    """JSON text that SQLite and every JSON reader can hold: no NUL, no half surrogate pairs, no infinite numbers."""
    try:
        text = _dumps(value)
    except ValueError:
        text = _dumps(_scrubbed(value))
    if "\\u0000" in text:
        text = _dumps(_scrubbed(value))
    return clean_text(text)


def clean_text(text: str) -> str:
    """``text`` with U+FFFD for each half of a surrogate pair, which UTF-8 cannot hold."""
    if text.isascii():
        return text
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def _scrubbed(value: Any) -> Any:
    if isinstance(value, str):
        return without_nul(value)
    if isinstance(value, dict):
        return {without_nul(str(key)): _scrubbed(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_scrubbed(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        # Losing the last requests to a power cut is fine for a development server; losing speed is not.
        connection.execute("PRAGMA synchronous = OFF")
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version == 0 and not connection.execute("SELECT 1 FROM sqlite_master").fetchone():
            connection.executescript(f"BEGIN; {SCHEMA} PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;")
        elif version != SCHEMA_VERSION:
            raise sqlite3.DatabaseError(f"it has schema version {version}, this receiver writes {SCHEMA_VERSION}")
    except BaseException:
        connection.close()
        raise
    return connection


def _create_private(path: Path) -> None:
    """Make the file before SQLite does, because what is in it is nobody else's business."""
    path.parent.mkdir(parents=True, exist_ok=True)
    os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
    os.chmod(path, 0o600)

"""Dead letters: events that a destination will never take, kept with the reason until somebody decides.

An SQLite file, because these are few, are looked up one by one and must survive what they are the evidence of. Each
operation opens it anew: it is rare, and a connection must not be carried into a forked child.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MAX_BYTES = 64 * 1024 * 1024

_SCHEMA = """
CREATE TABLE IF NOT EXISTS dead (
    id INTEGER PRIMARY KEY,
    destination TEXT NOT NULL,
    uuid TEXT NOT NULL,
    event TEXT NOT NULL,
    reason TEXT NOT NULL,
    detail TEXT NOT NULL,
    first_at REAL NOT NULL,
    last_at REAL NOT NULL,
    attempts INTEGER NOT NULL,
    body BLOB NOT NULL,
    UNIQUE (destination, uuid)
)
"""
_ADD = """
INSERT INTO dead (destination, uuid, event, reason, detail, first_at, last_at, attempts, body)
VALUES (?, ?, ?, ?, ?, ?, ?, 1, ?)
ON CONFLICT (destination, uuid) DO UPDATE SET
    reason = excluded.reason, detail = excluded.detail, last_at = excluded.last_at, attempts = attempts + 1,
    body = excluded.body
"""
_COLUMNS = "id, destination, uuid, event, reason, detail, first_at, last_at, attempts, body"
_BUSY_SECONDS = 5.0


@dataclass(frozen=True)
class DeadLetter:
    """An event that a destination refused.

    Attributes:
        id: Number in the file.
        destination: Identity of the destination.
        uuid: Of the event.
        event: Its name.
        reason: Fit for a metric: ``http_400``, ``too_large``.
        detail: What the service said.
        first_at: When it was refused first, in seconds since 1970.
        last_at: When it was refused last.
        attempts: How often it was refused.
        body: The event, as it was sent.
    """

    id: int
    destination: str
    uuid: str
    event: str
    reason: str
    detail: str
    first_at: float
    last_at: float
    attempts: int
    body: bytes

    def content(self) -> dict[str, Any]:
        """The event; an empty object when it is none."""
        try:
            content = json.loads(self.body)
        except ValueError:
            return {}
        return content if isinstance(content, dict) else {}


class DeadLetters:
    """The dead letters of one directory.

    Args:
        path: The file; created by the first letter. ``None`` keeps them in memory.
        max_bytes: Beyond it the oldest go.
    """

    def __init__(self, path: Path | None, *, max_bytes: int = MAX_BYTES) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self._in_memory: sqlite3.Connection | None = None
        self._lock = threading.RLock()  # the one in memory has one connection for the threads of all destinations

    def add(self, destination: str, body: bytes, reason: str, detail: str) -> dict[str, int]:
        """Keeps a letter; one that is there already is updated.

        Returns:
            How many old letters had to go for it, by destination.

        Raises:
            OSError: It cannot be kept.
        """
        name, uuid = _name_and_uuid(body)
        now = time.time()
        with self._open(create=True) as connection:
            connection.execute(_ADD, (destination, uuid, name, reason, detail, now, now, body))
            return self._make_room(connection)

    def letters(self, *, destination: str | None = None, reason: str | None = None) -> list[DeadLetter]:
        """All letters, oldest first.

        Raises:
            OSError: The file cannot be read.
        """
        wanted = {"destination": destination, "reason": reason}
        given = {name: value for name, value in wanted.items() if value is not None}
        where = " AND ".join(f"{name} = ?" for name in given) or "1"
        with self._open() as connection:
            rows = connection.execute(f"SELECT {_COLUMNS} FROM dead WHERE {where} ORDER BY id", [*given.values()])
            return [DeadLetter(*row) for row in rows]

    def counts(self) -> dict[str, dict[str, int]]:
        """How many letters there are, by destination and reason.

        Raises:
            OSError: The file cannot be read.
        """
        result: dict[str, dict[str, int]] = {}
        with self._open() as connection:
            rows = connection.execute("SELECT destination, reason, count(*) FROM dead GROUP BY 1, 2 ORDER BY 1, 2")
            for destination, reason, count in rows:
                result.setdefault(destination, {})[reason] = count
        return result

    def remove(self, ids: Sequence[int]) -> int:
        """Forgets letters; returns how many there were.

        Raises:
            OSError: The file cannot be written.
        """
        with self._open() as connection:
            cursor = connection.executemany("DELETE FROM dead WHERE id = ?", [(number,) for number in ids])
            return cursor.rowcount

    def close(self) -> None:
        """Forgets what was kept in memory."""
        with self._lock:
            if self._in_memory is not None:
                self._in_memory.close()
                self._in_memory = None

    def _make_room(self, connection: sqlite3.Connection) -> dict[str, int]:
        gone: dict[str, int] = {}
        (size,) = connection.execute("SELECT coalesce(sum(length(body)), 0) FROM dead").fetchone()
        while size > self._max_bytes:
            row = connection.execute("SELECT id, destination, length(body) FROM dead ORDER BY last_at, id").fetchone()
            connection.execute("DELETE FROM dead WHERE id = ?", row[:1])
            gone[row[1]] = gone.get(row[1], 0) + 1
            size -= row[2]
        return gone

    @contextlib.contextmanager
    def _open(self, *, create: bool = False) -> Iterator[sqlite3.Connection]:
        """A connection for one transaction; to an empty database where there is none to be read."""
        try:
            if self._path is None:
                with self._lock:
                    if self._in_memory is None:
                        self._in_memory = sqlite3.connect(":memory:", check_same_thread=False)
                        self._in_memory.execute(_SCHEMA)
                    with self._in_memory:
                        yield self._in_memory
                return
            if create:
                # SQLite would create it as the umask says, and its journals have the mode of the database.
                os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            exists = self._path.exists()
            with contextlib.closing(
                sqlite3.connect(self._path if exists else ":memory:", timeout=_BUSY_SECONDS)
            ) as connection:
                if create or not exists:
                    connection.execute(_SCHEMA)
                with connection:
                    yield connection
        except sqlite3.Error as error:
            raise OSError(f"the dead letters in {self._path or 'memory'} cannot be used: {error}") from error


def _name_and_uuid(body: bytes) -> tuple[str, str]:
    """Of an event; of anything else nothing and a hash, so that it too is kept once."""
    with contextlib.suppress(ValueError, AttributeError):
        event = json.loads(body)
        if event.get("uuid"):
            return str(event.get("event", "")), str(event["uuid"])
    return "", hashlib.sha256(body).hexdigest()

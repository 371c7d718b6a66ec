"""Flags in a SQLite file, for the processes of one machine.

Every use opens the file anew, which takes less than a tenth of a millisecond and leaves nothing for a fork to break;
whoever asks for a flag looks at a snapshot in memory and not here.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from genops_otel_posthog.flags.database.sql import Session, SqlFlagStore
from genops_otel_posthog.flags.database.store import FlagStoreError


def _now() -> datetime:
    return datetime.now(timezone.utc)


class SqliteFlagStore(SqlFlagStore):
    """A SQLite file. It is made by the first write, for its owner alone; until then it reads as empty.

    Args:
        path: The file.
        clock: The time, aware UTC.
        timeout: Most seconds to wait for another process that writes.
    """

    def __init__(self, path: Path, clock: Callable[[], datetime] = _now, timeout: float = 1.0) -> None:
        super().__init__(clock)
        self.path = path
        self._timeout = timeout

    @property
    def is_there(self) -> bool:
        return self.path.exists()

    @contextmanager
    def session(self, *, writes: bool) -> Iterator[Session]:
        try:
            if writes:
                self._make_file()
            with closing(sqlite3.connect(self.path, timeout=self._timeout, isolation_level=None)) as connection:
                if writes and not self._is_ready:
                    connection.execute("PRAGMA journal_mode = WAL")  # readers do not wait for a writer
                connection.execute("BEGIN IMMEDIATE" if writes else "BEGIN")
                try:
                    yield _SqliteSession(connection)
                except BaseException:
                    connection.execute("ROLLBACK")
                    raise
                connection.execute("COMMIT")
        except (sqlite3.Error, OSError) as problem:
            raise FlagStoreError(f"the flag database {self.path} cannot be used: {problem}") from problem

    def _make_file(self) -> None:
        if not self.path.exists():
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            # It holds distinct ids. Another process may make it at the same moment, hence no O_EXCL.
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600))


class _SqliteSession:
    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def run(self, statement: str, values: Mapping[str, Any]) -> tuple[list[Sequence[Any]], int]:
        cursor = self._connection.execute(statement, dict(values))
        return cursor.fetchall(), cursor.rowcount

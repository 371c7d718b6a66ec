"""Consent in a SQLite file, for the processes of one machine. People stand in it under keyed hashes of their ids.

One statement reads it before every event, so the connection stays open. It is not carried into a forked child, which
opens its own: SQLite would otherwise take the parent's locks for the child's.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from pathlib import Path

from genops_otel_posthog.adapter.compliance.consent import Consent
from genops_otel_posthog.adapter.compliance.pseudonyms import Pseudonyms, local_pseudonyms
from genops_otel_posthog.errors import GenOpsError
from genops_otel_posthog.places import state_directory
from genops_otel_posthog.settings import Settings

_SCHEMA = """
CREATE TABLE IF NOT EXISTS consent (
    person TEXT NOT NULL,
    purpose TEXT NOT NULL,
    granted INTEGER NOT NULL,
    at REAL NOT NULL,
    source TEXT NOT NULL,
    PRIMARY KEY (person, purpose)
) WITHOUT ROWID
"""
_BUSY_SECONDS = 2.0


class ConsentUnavailableError(GenOpsError):
    """Consent can be neither looked up nor kept. The message says why and what to do."""


def default_file(settings: Settings) -> Path:
    """``GENOPS_CONSENT_PATH``, else beside the budget ledger, in the user's state directory.

    Raises:
        GenOpsConfigurationError: The user has no home directory.
    """
    if settings.consent_path is not None:
        return Path(settings.consent_path).expanduser()
    return state_directory("set GENOPS_CONSENT_PATH to a file of this process") / "consent.sqlite3"


class ConsentFile:
    """See the module, and :class:`~.consent.ConsentStore` for the methods.

    Args:
        path: The file; made, for its user alone, if it is missing, with ``subjects.key`` beside it, without which
            nobody is found in it any more.
        clock: Seconds since 1970.

    Every method raises :class:`ConsentUnavailableError` when the file cannot be used.
    """

    def __init__(self, path: str | os.PathLike[str], clock: Callable[[], float] = time.time) -> None:
        self.path = Path(path).absolute()
        self._clock = clock
        self._mutex = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._people: Pseudonyms | None = None
        _opened.add(self)

    def is_granted(self, distinct_id: str, purpose: str) -> bool:
        """Whether the person has agreed."""
        with self._using() as (connection, people):
            row = connection.execute(
                "SELECT granted FROM consent WHERE person = ? AND purpose = ?", (people.of(distinct_id), purpose)
            ).fetchone()
        return row is not None and row[0] == 1

    def put(self, distinct_id: str, purpose: str, *, granted: bool, source: str) -> None:
        """Keeps what was said."""
        with self._using() as (connection, people), connection:
            connection.execute(
                "INSERT OR REPLACE INTO consent (person, purpose, granted, at, source) VALUES (?, ?, ?, ?, ?)",
                (people.of(distinct_id), purpose, int(granted), self._clock(), source),
            )

    def of_person(self, distinct_id: str) -> list[Consent]:
        """Everything about a person."""
        with self._using() as (connection, people):
            rows = connection.execute(
                "SELECT purpose, granted, at, source FROM consent WHERE person = ? ORDER BY purpose",
                (people.of(distinct_id),),
            ).fetchall()
        return [
            Consent(purpose, granted == 1, datetime.fromtimestamp(at, timezone.utc), source)
            for purpose, granted, at, source in rows
        ]

    def erase(self, distinct_id: str) -> int:
        """Forgets a person. SQLite overwrites what it deletes (``secure_delete``)."""
        with self._using() as (connection, people), connection:
            return connection.execute("DELETE FROM consent WHERE person = ?", (people.of(distinct_id),)).rowcount

    def close(self) -> None:
        """Closes the file. It is opened again if the object is used again."""
        with self._mutex:
            self._close()

    @contextlib.contextmanager
    def _using(self) -> Iterator[tuple[sqlite3.Connection, Pseudonyms]]:
        with self._mutex:
            try:
                if self._connection is None or self._people is None:
                    self._connection, self._people = self._open()
                yield self._connection, self._people
            except (sqlite3.Error, OSError, ValueError) as error:
                self._close()
                raise ConsentUnavailableError(
                    f"the file with consent, {self.path}, cannot be used: {error}. Make it usable for this process, or "
                    "set GENOPS_CONSENT_PATH to another file"
                ) from error

    def _open(self) -> tuple[sqlite3.Connection, Pseudonyms]:
        if not self.path.parent.exists():
            self.path.parent.parent.mkdir(parents=True, exist_ok=True)
            self.path.parent.mkdir(mode=0o700, exist_ok=True)
        people = local_pseudonyms(self.path.parent)
        # SQLite would make it as the umask says, and its journals have the mode of the database.
        os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600))
        connection = sqlite3.connect(self.path, timeout=_BUSY_SECONDS, check_same_thread=False)
        try:
            connection.execute("PRAGMA secure_delete = ON")
            connection.execute(_SCHEMA)
        except sqlite3.Error:
            connection.close()
            raise
        return connection, people

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    def _forked(self) -> None:
        self._mutex = threading.Lock()
        if self._connection is not None:
            _inherited.append(self._connection)  # to collect it is to close it
        self._connection = None

    def __repr__(self) -> str:
        return f"ConsentFile({str(self.path)!r})"


_opened: weakref.WeakSet[ConsentFile] = weakref.WeakSet()
_inherited: list[sqlite3.Connection] = []


def _after_fork() -> None:
    for store in list(_opened):
        store._forked()


if sys.platform != "win32":
    os.register_at_fork(after_in_child=_after_fork)

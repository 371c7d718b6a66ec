"""A ledger in a file: for any number of processes on one machine, with nothing to install and nothing to run."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib.resources import files
from pathlib import Path

from genops_otel_posthog.budgets.ledger.file_lock import FileLock
from genops_otel_posthog.budgets.ledger.ledger_file import prepare_file, refuse_network
from genops_otel_posthog.budgets.ledger.protocol import LedgerCorrupt, LedgerUnavailable
from genops_otel_posthog.budgets.ledger.sqlite_storage import SqliteStorage
from genops_otel_posthog.budgets.ledger.storage import Storage
from genops_otel_posthog.budgets.ledger.stored import StoredLedger

APPLICATION_ID = 0x47_50_4C_31
"""Marks a database as a ledger: "GPL1" in its header. See https://www.sqlite.org/pragma.html#pragma_application_id."""

SCHEMA_VERSION = 1
"""Number of the newest file in ``schema/``."""

_FORK_WAITS = 1.0  # seconds, at most, for a transaction that another thread is in

_inherited: list[sqlite3.Connection] = []
"""Connections of a parent process that were open when it forked; kept, because to collect them is to close them."""


class SqliteLedger(StoredLedger):
    """A ledger in a SQLite database. Opened when it is first used.

    A forked child may go on using the object: the database is closed before a fork and opened again by either side.
    SQLite would otherwise believe that the child holds the parent's locks, and what the child writes after the parent
    has ended would be lost.

    Args:
        path: The file; made, with its folder, if it is missing.
        clock: Seconds since the epoch.
        timeout: Most seconds to wait for other processes.

    Raises:
        GenOpsConfigurationError: the file is on a network file system.
    """

    def __init__(
        self, path: str | os.PathLike[str], clock: Callable[[], float] = time.time, timeout: float = 1.0
    ) -> None:
        super().__init__(clock)
        self.path = Path(path).absolute()
        self.timeout = timeout
        refuse_network(self.path)
        self._mutex = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._file_lock: FileLock | None = None
        self._identity = (0, 0)
        self._storage: SqliteStorage | None = None
        _opened.add(self)

    # --- transactions ----------------------------------------------------------------------------------------------

    @contextmanager
    def _writing(self) -> Iterator[Storage]:
        with self._mutex, self._explaining():
            storage = self._open()
            self._lock()
            try:
                yield from self._transaction("BEGIN IMMEDIATE", storage)
            finally:
                self._unlock()

    @contextmanager
    def _reading(self) -> Iterator[Storage]:
        with self._mutex, self._explaining():
            yield from self._transaction("BEGIN", self._open())

    def _transaction(self, begin: str, storage: SqliteStorage) -> Iterator[Storage]:
        connection = self._connected
        connection.execute(begin)
        try:
            self._check_version(connection)
            yield storage
            connection.execute("COMMIT")
        except BaseException:
            # SQLite has rolled back by itself after some errors, such as a full disk.
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise

    @contextmanager
    def _explaining(self) -> Iterator[None]:
        """Says what SQLite's errors mean. After one, the database is opened anew."""
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            self._close()
            is_damaged = type(error) in (sqlite3.DatabaseError, sqlite3.IntegrityError)
            if is_damaged or str(error).startswith(("no such ", "Could not decode ")):
                raise self._corrupt(error) from error
            raise self._unavailable(error) from error

    def _unavailable(self, reason: object) -> LedgerUnavailable:
        return LedgerUnavailable(f"the ledger {self.path} cannot be used: {reason}")

    def _corrupt(self, reason: object) -> LedgerCorrupt:
        return LedgerCorrupt(
            f"{self.path} is not a ledger, or is damaged: {reason}. Nothing was overwritten. Move it away to begin "
            "with an empty ledger, or point GENOPS_LEDGER_URL elsewhere"
        )

    def _lock(self) -> None:
        if self._file_lock is None or not self._file_lock.acquire(self.timeout):
            raise LedgerUnavailable(
                f"the ledger {self.path} has been in use by other processes for more than {self.timeout} s; if that "
                "stays so, one of them is stopped in the middle of it"
            )

    def _unlock(self) -> None:
        if self._file_lock is not None:
            self._file_lock.release()

    # --- opening and closing ---------------------------------------------------------------------------------------

    @property
    def _connected(self) -> sqlite3.Connection:
        if self._connection is None:
            raise LedgerUnavailable(f"the ledger {self.path} is not open")
        return self._connection

    def _open(self) -> SqliteStorage:
        if self._storage is not None:
            if self._found() == self._identity:
                return self._storage
            self._close()  # the file was taken away or replaced; nobody reads what this process would write to it
        mode = prepare_file(self.path)
        self._file_lock = FileLock(self.path.with_name(self.path.name + ".lock"), mode)
        try:
            self._lock()
            try:
                self._identity = self._found()
                # Never made by SQLite, whose file others could read.
                self._connection = sqlite3.connect(
                    f"{self.path.as_uri()}?mode=rw",
                    uri=True,
                    timeout=self.timeout,
                    isolation_level=None,
                    check_same_thread=False,
                )
                self._prepare(self._connection)
                self._storage = SqliteStorage(self._connection)
            finally:
                self._unlock()
        except BaseException:
            self._close()
            raise
        return self._storage

    def _found(self) -> tuple[int, int]:
        """Which file is there now."""
        try:
            found = os.stat(self.path)
        except FileNotFoundError:
            return 0, 0
        return found.st_dev, found.st_ino

    def _prepare(self, connection: sqlite3.Connection) -> None:
        """Brings a database to the present schema, if it is a ledger or empty."""
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        (objects,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if application != APPLICATION_ID and (application or objects):
            raise self._corrupt("it is a database of another application")
        version = self._check_version(connection)
        (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
        if mode != "wal":
            raise self._unavailable(f"its file system allows no write-ahead log (SQLite answers {mode!r})")
        # A crashed process loses nothing; a power cut may lose the last moments, and the ledger says so to those who
        # were answered in them.
        connection.execute("PRAGMA synchronous = NORMAL")
        for number in range(version + 1, SCHEMA_VERSION + 1):
            migration = (files(__package__) / "schema" / f"{number:04}.sql").read_text(encoding="utf-8")
            connection.executescript(
                f"BEGIN IMMEDIATE;\n{migration}\n"
                f"PRAGMA application_id = {APPLICATION_ID};\nPRAGMA user_version = {number};\nCOMMIT;"
            )

    def _check_version(self, connection: sqlite3.Connection) -> int:
        """The version of the schema; another process may have brought it to a newer one at any time."""
        version: int = connection.execute("PRAGMA user_version").fetchone()[0]
        if version > SCHEMA_VERSION:
            raise self._unavailable(
                f"it was made by a newer version of genops-otel-posthog (schema {version}, this one knows "
                f"{SCHEMA_VERSION}). Upgrade this process, or point GENOPS_LEDGER_URL elsewhere"
            )
        return version

    def _close(self) -> None:
        """Closes what is open."""
        if self._file_lock is not None:
            # The last one to close copies the log back. Who cannot get the lock is not the last one.
            if self._connection is not None and self._file_lock.acquire(self.timeout):
                self._close_connection()
                self._unlock()
            self._close_connection()
            self._file_lock.close()
            self._file_lock = None

    def _close_connection(self) -> None:
        if self._connection is not None:
            with suppress(sqlite3.Error):
                self._connection.close()
        self._connection = self._storage = None

    def close(self) -> None:
        """Closes the file. It is opened again if the object is used again. Never raises."""
        with self._mutex, suppress(OSError):
            self._close()

    def abandon(self) -> None:
        """Forgets the file without touching it: it belongs to the process that was forked from."""
        if self._connection is not None:
            _inherited.append(self._connection)
        if self._file_lock is not None:
            self._file_lock.close()
        self._mutex = threading.Lock()
        self._connection = self._storage = self._file_lock = None

    # --- forks -----------------------------------------------------------------------------------------------------

    def before_fork(self) -> bool:
        """Closes the file, and keeps other threads from opening it again; whether none of them is using it."""
        if not self._mutex.acquire(timeout=_FORK_WAITS):
            return False
        with suppress(OSError):
            self._close()
        return True

    def after_fork(self) -> None:
        """Lets the parent's other threads go on, if :meth:`before_fork` has closed the file."""
        self._mutex.release()


class _Fork(threading.local):
    """The fork that this thread is in."""

    def __init__(self) -> None:
        self.closed: list[SqliteLedger] = []


_opened: weakref.WeakSet[SqliteLedger] = weakref.WeakSet()
_fork = _Fork()


def _before_fork() -> None:
    _fork.closed = [ledger for ledger in list(_opened) if ledger.before_fork()]


def _after_fork_in_parent() -> None:
    for ledger in _fork.closed:
        ledger.after_fork()
    _fork.closed = []


def _after_fork_in_child() -> None:
    for ledger in list(_opened):
        ledger.abandon()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)

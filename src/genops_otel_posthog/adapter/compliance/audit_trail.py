"""The audit trail: entries that are only ever appended, by any number of processes, each chained to the one before.

An entry is written when :meth:`AuditTrail.append` returns, and then outlives the process. What a machine that lost its
power may lose is said by ``fsync``.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from functools import cached_property
from pathlib import Path
from typing import Any

from genops_otel_posthog.adapter.compliance import audit_files
from genops_otel_posthog.adapter.compliance.audit_entry import (
    NOTHING_BEFORE,
    DamagedEntry,
    Entry,
    checked,
    make_content,
    make_line,
    read_line,
)
from genops_otel_posthog.adapter.compliance.obligations import KEPT_FOR_SOX_DAYS
from genops_otel_posthog.adapter.compliance.pseudonyms import Pseudonyms, is_pseudonym, local_pseudonyms
from genops_otel_posthog.budgets.ledger.file_lock import FileLock
from genops_otel_posthog.errors import GenOpsConfigurationError, GenOpsError
from genops_otel_posthog.settings.compliance_variables import AUDIT_FSYNC

MAX_FILE_BYTES = 16 * 1024 * 1024

_SYNC_SECONDS = 1.0


class AuditUnavailableError(GenOpsError):
    """An entry cannot be written to the audit trail. The message says why and what to do."""


class AuditTrail:
    """An audit trail in a directory. Opened when it is first used; a forked child may go on using it.

    Args:
        directory: Where it is; made, for its user alone, if it is missing. On a local disk: locks and appending are not
            dependable on network file systems.
        key: Signs entries with HMAC-SHA256.
        pseudonyms: How people are named in it; with a key of this directory when not given.
        fsync: ``interval``, ``always`` or ``none``: when entries are synchronised with the disk.
        retention_days: For how many days an entry is kept, where it does not say so itself.
        max_file_bytes: Beyond it a file is full and the next one begins. The chain goes on.
        timeout: Most seconds to wait for other processes.
        clock: Seconds since 1970.

    Raises:
        GenOpsConfigurationError: ``fsync`` is something else.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        *,
        key: str | None = None,
        pseudonyms: Pseudonyms | None = None,
        fsync: str = "interval",
        retention_days: int = KEPT_FOR_SOX_DAYS,
        max_file_bytes: int = MAX_FILE_BYTES,
        timeout: float = 1.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if fsync not in AUDIT_FSYNC:
            raise GenOpsConfigurationError(f"fsync={fsync!r} cannot be used; it is one of {', '.join(AUDIT_FSYNC)}")
        self.directory = Path(directory).absolute()
        self.retention_days = retention_days
        self._key = None if key is None else key.encode()
        self._pseudonyms = pseudonyms
        self._fsync = fsync
        self._max_file_bytes = max_file_bytes
        self._timeout = timeout
        self._clock = clock
        self._mutex = threading.Lock()
        self._lock: FileLock | None = None
        self._file = -1
        self._identity = (0, 0)
        self._size = -1
        self._head = (0, NOTHING_BEFORE)
        self._synced_at = 0.0
        _opened.add(self)

    def append(
        self,
        action: str,
        outcome: str,
        *,
        subject: str | None = None,
        retention_days: int | None = None,
        **facts: Any,
    ) -> int:
        """Writes an entry.

        Args:
            action: What was done: a name such as ``capture`` or ``price_book_changed``.
            outcome: What became of it: a name such as ``sent`` or ``blocked``.
            subject: The id of the person it is about, or a pseudonym. A keyed hash of it is written, never the id.
            retention_days: For how many days the entry is kept, if not as long as the others.
            **facts: What else there is to say: texts (200 characters of them are kept), numbers, dates, truth values.

        Returns:
            The entry's number.

        Raises:
            AuditUnavailableError: It cannot be written. Then nothing of it was.
            GenOpsValidationError: The action, the outcome or a fact is nothing that can be written.
        """
        written = checked(action, outcome, facts)
        with self._appending():
            named = None if subject is None else self._named(subject)
            return self._write(action, outcome, named, retention_days, written)

    def subject(self, distinct_id: str) -> str:
        """How a person is named in this trail.

        Raises:
            AuditUnavailableError: The key of the directory can be neither read nor made.
        """
        with self._mutex, self._explaining():
            audit_files.prepare(self.directory)
            return self._named(distinct_id)

    def check(self) -> None:
        """Makes sure that an entry could be written now.

        Raises:
            AuditUnavailableError: It could not, with the reason.
        """
        with self._appending():
            pass

    def flush(self) -> None:
        """Synchronises what was written with the disk.

        Raises:
            AuditUnavailableError: The disk does not do it.
        """
        with self._mutex, self._explaining():
            if self._file >= 0:
                self._sync()

    def close(self) -> None:
        """Synchronises and closes the files. They are opened again if the trail is used again.

        Raises:
            AuditUnavailableError: The disk cannot be synchronised; the files are closed all the same.
        """
        with self._mutex, self._explaining():
            try:
                if self._file >= 0 and self._fsync != "none":
                    self._sync()
            finally:
                self._close()

    # --- what appending is made of ---------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _appending(self) -> Iterator[None]:
        """This thread alone, on this machine, with the end of the trail known."""
        with self._mutex, self._explaining():
            if self._lock is None:
                audit_files.prepare(self.directory)
                self._lock = FileLock(self.directory / audit_files.LOCK)
            if not self._lock.acquire(self._timeout):
                raise AuditUnavailableError(
                    f"the audit trail in {self.directory} has been in use by other processes for more than "
                    f"{self._timeout:g} s; if that stays so, one of them is stopped in the middle of it"
                )
            try:
                self._find_the_end()
                yield
            finally:
                self._lock.release()

    @contextlib.contextmanager
    def _explaining(self) -> Iterator[None]:
        """Says what errors of the system mean. After one, the files are opened anew."""
        try:
            yield
        except DamagedEntry as damage:
            self._close()
            raise AuditUnavailableError(
                f"the audit trail in {self.directory} does not end with an entry: {damage}. Nothing was overwritten. "
                "Look at it with: genops-posthog audit verify; then move the directory away, and a new trail begins"
            ) from damage
        except (OSError, ValueError) as error:
            self._close()
            raise AuditUnavailableError(
                f"the audit trail in {self.directory} cannot be written to: {error}. Make room, or give this process "
                "the right to write there, or set GENOPS_AUDIT_PATH to another directory"
            ) from error

    def _find_the_end(self) -> None:
        path = self.directory / audit_files.CURRENT
        if self._file >= 0 and _identity(path) != self._identity:
            os.close(self._file)  # another process has begun the next file
            self._file = -1
        if self._file < 0:
            self._file = audit_files.open_to_append(path)
            self._identity, self._size = _identity(path), -1
        size = os.fstat(self._file).st_size
        if size != self._size:
            self._read_the_end(size)

    def _read_the_end(self, size: int) -> None:
        """Others have written, or this process has not looked yet."""
        remembered = self._head
        torn = b""
        line = audit_files.last_line(self._file, size) if size else b""
        if line and not line.endswith(b"\n"):
            torn, size = line, size - len(line)
            line = audit_files.last_line(self._file, size) if size else b""
        if line:
            end = read_line(line[:-1])
        else:
            full = audit_files.full_files(self.directory)
            end = audit_files.last_entry(full[-1]) if full else Entry(0, {}, "", NOTHING_BEFORE, "")
        if torn:
            self._repair(torn, size)
        self._size, self._head = size, (end.number, end.digest)
        if torn:
            digest = hashlib.sha256(torn).hexdigest()
            self._write("trail_repaired", "torn", None, None, {"bytes": len(torn), "sha256": digest})
        if end.number < remembered[0]:
            facts = {"expected_entry": remembered[0], "expected_hash": remembered[1], "found_entry": end.number}
            self._write("trail_shortened", "warning", None, None, facts)

    def _repair(self, torn: bytes, size: int) -> None:
        """What a process that was killed while it wrote has left is put beside the trail, not thrown away."""
        beside = self.directory / f"torn-{time.time_ns()}-{os.getpid()}.bin"
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            os.write(descriptor, torn)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.ftruncate(self._file, size)

    def _write(
        self, action: str, outcome: str, subject: str | None, retention_days: int | None, facts: dict[str, Any]
    ) -> int:
        if self._size >= self._max_file_bytes:
            self._begin_next_file()
        at = self._clock()
        days = self.retention_days if retention_days is None else retention_days
        until = datetime.fromtimestamp(at, timezone.utc).date() + timedelta(days=days)
        number = self._head[0] + 1
        content = make_content(number, at, action, outcome, subject, until, facts)
        line, digest = make_line(content, self._head[1], self._key)
        if os.write(self._file, line) != len(line):
            os.ftruncate(self._file, self._size)
            raise OSError("the disk is full")
        self._size += len(line)
        self._head = (number, digest)
        if self._fsync == "always" or (
            self._fsync == "interval" and time.monotonic() - self._synced_at >= _SYNC_SECONDS
        ):
            self._sync()
        return number

    def _begin_next_file(self) -> None:
        self._sync()
        path = self.directory / audit_files.CURRENT
        first = audit_files.first_entry(self._file).number
        os.close(self._file)
        self._file = -1
        path.rename(self.directory / audit_files.full_name(first))
        self._file = audit_files.open_to_append(path)
        self._identity, self._size = _identity(path), 0

    def _sync(self) -> None:
        os.fsync(self._file)
        self._synced_at = time.monotonic()

    def _close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
        if self._lock is not None:
            self._lock.close()
        self._file, self._lock, self._size = -1, None, -1

    def _named(self, subject: str) -> str:
        return subject if is_pseudonym(subject) else self._subjects.of(subject)

    @cached_property
    def _subjects(self) -> Pseudonyms:
        return self._pseudonyms or local_pseudonyms(self.directory)

    def _forked(self) -> None:
        """In a child: the lock of the parent is not the child's, and whoever held the mutex is not here."""
        self._mutex = threading.Lock()
        self._close()

    def __repr__(self) -> str:
        return f"AuditTrail({str(self.directory)!r})"


def _identity(path: Path) -> tuple[int, int]:
    try:
        found = path.stat()
    except FileNotFoundError:
        return (0, 0)
    return (found.st_dev, found.st_ino)


_opened: weakref.WeakSet[AuditTrail] = weakref.WeakSet()


def _after_fork() -> None:
    for trail in list(_opened):
        trail._forked()


if sys.platform != "win32":
    os.register_at_fork(after_in_child=_after_fork)

"""The files of an audit trail: ``trail.jsonl``, which grows, and ``trail-<first entry>.jsonl``, which are full.

The directory is for its user alone, because the trail says what was done on whose behalf.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Final

from genops_otel_posthog.adapter.compliance.audit_entry import DamagedEntry, Entry, read_line
from genops_otel_posthog.budgets.ledger.file_lock import FileLock
from genops_otel_posthog.places import state_directory
from genops_otel_posthog.settings import Settings
from genops_otel_posthog.settings.once import WarnOnce

CURRENT: Final = "trail.jsonl"
LOCK: Final = "trail.lock"
_FULL: Final = "trail-*.jsonl"
_LONGEST_LINE: Final = 256 * 1024

_warn_once = WarnOnce(logging.getLogger("genops_otel_posthog.compliance"))


def default_directory(settings: Settings) -> Path:
    """Where the trail is: ``GENOPS_AUDIT_PATH``, else beside the budget ledger, in the user's state directory.

    Raises:
        GenOpsConfigurationError: The user has no home directory.
    """
    if settings.audit_path is not None:
        return Path(settings.audit_path).expanduser()
    return state_directory("set GENOPS_AUDIT_PATH to a directory of this process") / "audit"


def prepare(directory: Path) -> None:
    """Makes the directory, for its user alone; warns where others may write to one that is there.

    Raises:
        OSError: It cannot be made.
    """
    directory.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        directory.mkdir(mode=0o700)
        return
    found = directory.stat()
    if not stat.S_ISDIR(found.st_mode):
        raise NotADirectoryError(errno.ENOTDIR, "Not a directory", str(directory))
    mode = stat.S_IMODE(found.st_mode)
    if sys.platform != "win32" and mode & 0o077:
        _warn_once(
            "permissions",
            f"Others may read or replace the audit trail in {directory} (permissions {mode:o}). Unless that is meant: "
            f"chmod 700 {directory}",
        )


def open_to_append(path: Path) -> int:
    """A descriptor that only appends, of a file for its user alone.

    Raises:
        OSError: It cannot be opened or made.
    """
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
    return os.open(path, flags, 0o600)


def full_name(first: int) -> str:
    """What the file whose first entry is this one is called when it is full. Names sort as the entries do."""
    return f"trail-{first:015d}.jsonl"


def full_files(directory: Path) -> list[Path]:
    """The files that are full, oldest first."""
    return sorted(directory.glob(_FULL))


def last_line(descriptor: int, size: int) -> bytes:
    """The end of a file from the beginning of its last line on, with the line end if it has one.

    Raises:
        DamagedEntry: There is none within the length that an entry can have.
    """
    begin = max(0, size - _LONGEST_LINE)
    os.lseek(descriptor, begin, os.SEEK_SET)
    chunk = b""
    while len(chunk) < size - begin:
        piece = os.read(descriptor, size - begin - len(chunk))
        if not piece:
            break
        chunk += piece
    cut = chunk.rfind(b"\n", 0, len(chunk) - 1)
    if cut < 0 and begin:
        raise DamagedEntry("its last line is longer than any entry")
    return chunk[cut + 1 :]


def first_entry(descriptor: int) -> Entry:
    """The first entry of a file.

    Raises:
        DamagedEntry: It is none.
    """
    os.lseek(descriptor, 0, os.SEEK_SET)
    return read_line(os.read(descriptor, _LONGEST_LINE).partition(b"\n")[0])


def last_entry(file: Path) -> Entry:
    """The last entry of a file that is full.

    Raises:
        DamagedEntry: It is none.
        OSError: The file cannot be read.
    """
    descriptor = os.open(file, os.O_RDONLY | getattr(os, "O_BINARY", 0))
    try:
        return read_line(last_line(descriptor, os.fstat(descriptor).st_size).rstrip(b"\n"))
    finally:
        os.close(descriptor)


def lines(directory: Path) -> Iterator[tuple[Path, int, bytes]]:
    """Every line as it lies there now, with its file and its number there, oldest first. Line ends are kept.

    What is appended meanwhile is not read, so that an entry that is half written is not taken for a damaged one.

    Raises:
        OSError: The directory or a file cannot be read.
    """
    os.scandir(directory).close()  # a directory that is missing is no empty trail
    full, current, size = _snapshot(directory)
    for file in full:
        with file.open("rb") as opened:
            yield from _numbered(file, opened, file.stat().st_size)
    if current is not None:
        with current:
            yield from _numbered(directory / CURRENT, current, size)


def _snapshot(directory: Path) -> tuple[list[Path], IO[bytes] | None, int]:
    with _nobody_appends(directory):
        full = full_files(directory)
        try:
            current = (directory / CURRENT).open("rb")
        except FileNotFoundError:
            return full, None, 0
        return full, current, os.fstat(current.fileno()).st_size


@contextlib.contextmanager
def _nobody_appends(directory: Path) -> Iterator[None]:
    """Holds the lock of those who append; an auditor's copy has none, or cannot be written to."""
    lock: FileLock | None = None
    if os.access(directory / LOCK, os.R_OK | os.W_OK):
        lock = FileLock(directory / LOCK)
    try:
        if lock is not None:
            lock.acquire(1.0)
        yield
    finally:
        if lock is not None:
            lock.close()


def _numbered(file: Path, opened: IO[bytes], size: int) -> Iterator[tuple[Path, int, bytes]]:
    number = 0
    while size > 0:
        line = opened.readline(min(size, _LONGEST_LINE))
        if not line:
            return
        size -= len(line)
        number += 1
        yield file, number, line

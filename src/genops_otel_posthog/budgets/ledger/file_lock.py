"""A lock between processes on a file beside the ledger.

SQLite has locks of its own. This one goes around them for two reasons: who waits for SQLite's sleeps longer and longer
and may starve, and versions 3.7.0 to 3.51.2 can corrupt a database when one process starts its write-ahead log over
while another one copies it back (https://www.sqlite.org/wal.html#walresetbug), which cannot happen one after the other.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

_FIRST_PAUSE = 0.0002  # seconds; a transaction takes about as long
_LONGEST_PAUSE = 0.005


class FileLock:
    """A lock that one holder has at a time, on this machine.

    Args:
        path: The file; made if it is missing. What is in it does not matter, and it stays.
        mode: Its permissions if it is made.

    Raises:
        OSError: the file cannot be made or opened.
    """

    def __init__(self, path: Path, mode: int = 0o600) -> None:
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, mode)
            if sys.platform != "win32":
                os.fchmod(self._file, mode)
        except FileExistsError:
            self._file = os.open(path, os.O_RDWR)

    def acquire(self, timeout: float) -> bool:
        """Takes the lock; whether that was possible within ``timeout`` seconds."""
        if self._take():
            return True
        deadline = time.monotonic() + timeout
        pause = _FIRST_PAUSE
        while time.monotonic() < deadline:
            time.sleep(pause)
            if self._take():
                return True
            pause = min(2 * pause, _LONGEST_PAUSE)
        return False

    def release(self) -> None:
        """Gives the lock back."""
        if sys.platform == "win32":
            os.lseek(self._file, 0, os.SEEK_SET)
            msvcrt.locking(self._file, msvcrt.LK_UNLCK, 1)
        else:
            fcntl.flock(self._file, fcntl.LOCK_UN)

    def close(self) -> None:
        """Closes the file. A forked child may do so without giving back what its parent holds."""
        os.close(self._file)

    def _take(self) -> bool:
        try:
            if sys.platform == "win32":
                os.lseek(self._file, 0, os.SEEK_SET)
                msvcrt.locking(self._file, msvcrt.LK_NBLCK, 1)
            else:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            return False
        return True

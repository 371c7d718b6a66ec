"""What lies in an outbox directory and what it is called.

``<milliseconds since 1970>-<process id>-<number>.seg`` are segments, ``<segment>.<destination>.cur`` cursors,
``dead.sqlite3`` the dead letters. The directory is for its user alone, because events hold what people did.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Mapping
from pathlib import Path

from genops_otel_posthog.places import state_directory

SEGMENT_SUFFIX = ".seg"
CURSOR_SUFFIX = ".cur"
UNFINISHED_SUFFIX = ".new"
DEAD_LETTERS = "dead.sqlite3"


def default_directory(environ: Mapping[str, str] | None = None) -> Path:
    """Where events wait when nobody says where: beside the budget ledger, in the user's state directory.

    Raises:
        GenOpsConfigurationError: The user has no home directory.
    """
    return state_directory("set GENOPS_OUTBOX_PATH to a directory of this process", environ) / "outbox"


def prepare(directory: Path) -> None:
    """Creates the directory, for its user alone.

    Raises:
        OSError: It cannot be created, or is not a directory.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not stat.S_ISDIR(os.stat(directory).st_mode):
        raise NotADirectoryError(errno.ENOTDIR, "Not a directory", str(directory))


def segment_name(milliseconds: int, process: int, number: int) -> str:
    """The name of a segment; names sort by the time they were made."""
    return f"{milliseconds:013d}-{process}-{number}{SEGMENT_SUFFIX}"


def segments_in(directory: Path) -> list[Path]:
    """All segments, oldest first.

    Raises:
        OSError: The directory cannot be read.
    """
    with os.scandir(directory) as entries:
        names = [entry.name for entry in entries if entry.name.endswith(SEGMENT_SUFFIX)]
    return [directory / name for name in sorted(names)]


def bytes_in(directory: Path) -> int:
    """The size of all files, in bytes; those that vanish meanwhile count nothing.

    Raises:
        OSError: The directory cannot be read.
    """
    total = 0
    with os.scandir(directory) as entries:
        for entry in entries:
            try:
                total += entry.stat(follow_symlinks=False).st_size
            except FileNotFoundError:
                continue
    return total


def free_bytes(directory: Path) -> tuple[int, int]:
    """What is free on the disk for this user, and how large the disk is, in bytes.

    Raises:
        OSError: The system does not say.
    """
    answer = os.statvfs(directory)
    return answer.f_bavail * answer.f_frsize, answer.f_blocks * answer.f_frsize

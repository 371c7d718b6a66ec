"""Where a ledger may be kept on disk, and who may read it: made for its owner alone, never on a network file system."""

from __future__ import annotations

import logging
import os
import stat
import sys
from pathlib import Path

from genops_otel_posthog.errors import GenOpsConfigurationError
from genops_otel_posthog.places import MOUNTS, mount_of

_logger = logging.getLogger(__name__)

NETWORK_FILE_SYSTEMS = frozenset(
    {
        "9p",
        "afs",
        "beegfs",
        "ceph",
        "cifs",
        "fuse.ceph",
        "fuse.gcsfuse",
        "fuse.glusterfs",
        "fuse.rclone",
        "fuse.s3fs",
        "fuse.sshfs",
        "gpfs",
        "lustre",
        "ncpfs",
        "nfs",
        "nfs4",
        "smb3",
        "smbfs",
    }
)
"""Types of file systems on which a write-ahead log cannot be shared: its index is memory that the processes of one
machine share. Source: https://www.sqlite.org/wal.html, "Overview"."""


def network_file_system(path: Path, mounts: str) -> str | None:
    """The type of the file system that holds a path, if it is one of the network.

    Args:
        path: An absolute path without symbolic links; it need not exist.
        mounts: Text of ``/proc/self/mounts``.
    """
    found = mount_of(path, mounts).kind
    return found if found in NETWORK_FILE_SYSTEMS else None


def refuse_network(path: Path) -> None:
    """Refuses a path on a network file system.

    Raises:
        GenOpsConfigurationError: it is on one.
    """
    if str(path).startswith(("\\\\", "//")) and sys.platform == "win32":
        kind: str | None = "a network share"
    else:
        try:
            mounts = MOUNTS.read_text(encoding="utf-8", errors="surrogateescape")
        except OSError:
            return  # no Linux; SQLite itself reports what does not work
        kind = network_file_system(path.resolve(), mounts)
    if kind:
        raise GenOpsConfigurationError(
            f"the ledger {path} would be on a network file system ({kind}), where SQLite loses what several machines "
            "write. Put it on a local disk, or use GENOPS_LEDGER_URL=redis://… for budgets shared by several machines"
        )


def prepare_file(path: Path) -> int:
    """Makes the file and its folder if they are missing, for their owner alone; warns where others may read or write.

    Returns:
        The permissions of the file.

    Raises:
        OSError: they cannot be made.
    """
    folder = path.parent
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        mode = stat.S_IMODE(path.stat().st_mode)
        if sys.platform != "win32":
            _warn_about_others(path, mode)
        return mode
    return 0o600


def _warn_about_others(path: Path, mode: int) -> None:
    if mode & 0o077:
        _logger.warning(
            "The budget ledger %s may be used by others (permissions %o). It says what teams and customers spend; "
            "if others are not meant to know or change it: chmod 600",
            path,
            mode,
        )
    folder_mode = stat.S_IMODE(path.parent.stat().st_mode)
    if folder_mode & 0o022 and not folder_mode & stat.S_ISVTX:
        _logger.warning(
            "Others may replace the budget ledger %s: they may write to its folder (permissions %o). Unless that is "
            "meant: chmod go-w %s",
            path,
            folder_mode,
            path.parent,
        )

"""How far one destination has got in one segment, on disk.

The file is written after the destination has taken a batch, so a crash in between sends that batch again, never skips
one. What is sent again has the same uuids. A cursor that is lost, damaged or of another segment therefore means the
beginning, which costs some requests and duplicates nothing.
"""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path
from typing import NamedTuple

_CURSOR = struct.Struct("<QQI")  # offset, records before it, checksum of both seeded by the segment


class Position(NamedTuple):
    """A place in a segment.

    Attributes:
        offset: Where the first record that is not done begins, in bytes.
        records: How many records are before it.
    """

    offset: int
    records: int


def cursor_path(segment: Path, destination: str) -> Path:
    """Where the cursor of a destination, given by its identity, lies."""
    return segment.with_name(f"{segment.stem}.{destination}.cur")


def read_cursor(path: Path, seed: int) -> Position | None:
    """The position that a file says, or ``None`` where it is missing or does not belong to this segment."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    if len(content) != _CURSOR.size:
        return None
    offset, records, checksum = _CURSOR.unpack(content)
    return Position(offset, records) if zlib.crc32(content[:16], seed) == checksum else None


class CursorFile:
    """Writes a cursor. The file is created by the first write.

    Args:
        path: See :func:`cursor_path`.
        seed: Of the segment.
    """

    def __init__(self, path: Path, seed: int) -> None:
        self._path = path
        self._seed = seed
        self._descriptor: int | None = None

    def write(self, position: Position) -> None:
        """Keeps a position.

        Raises:
            OSError: It cannot be written; the former position stands.
        """
        if self._descriptor is None:
            self._descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        content = _CURSOR.pack(*position, 0)[:16]
        content += zlib.crc32(content, self._seed).to_bytes(4, "little")
        if os.pwrite(self._descriptor, content, 0) != len(content):
            raise OSError(f"the cursor {self._path.name} was written in part only")

    def close(self) -> None:
        """Lets go of the file."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

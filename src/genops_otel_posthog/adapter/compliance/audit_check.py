"""Is an audit trail what was written? Reads it from its first entry to its last and names the first that is not."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from genops_otel_posthog.adapter.compliance.audit_entry import (
    NOTHING_BEFORE,
    DamagedEntry,
    Entry,
    is_signed_with,
    read_line,
)
from genops_otel_posthog.adapter.compliance.audit_files import lines


@dataclass(frozen=True)
class BrokenEntry:
    """Where the chain breaks.

    Attributes:
        number: Of the first entry that is not what was written.
        file: Where it is, or should be.
        line: Its line there.
        problem: What is wrong with it.
    """

    number: int
    file: Path
    line: int
    problem: str


@dataclass(frozen=True)
class Verification:
    """What reading a trail has shown.

    Attributes:
        entries: How many are intact, from the first on.
        head: Number and hash of the last intact one, ``17:9f86…``; ``0:000…`` when there is none. Noted somewhere
            else, it later shows whether entries were cut off at the end.
        signed: Whether signatures were checked, which takes the key.
        broken: The first that is not intact.
    """

    entries: int
    head: str
    signed: bool
    broken: BrokenEntry | None

    @property
    def intact(self) -> bool:
        """Whether everything is as it was written."""
        return self.broken is None


def verify(
    directory: str | os.PathLike[str],
    *,
    key: str | None = None,
    head: tuple[int, str] | None = None,
    told: Callable[[int], None] | None = None,
) -> Verification:
    """Reads a trail.

    Args:
        directory: Of the trail, or a copy of it.
        key: Checks signatures too; an entry without one is then a broken one.
        head: Number and hash, or the beginning of the hash, of an entry that was the last one once.
        told: Called after every entry with its number, for progress.

    Raises:
        OSError: The directory or a file cannot be read.
    """
    walk = _Walk(Path(directory), None if key is None else key.encode(), head)
    for entry in walk:
        if told is not None:
            told(entry.number)
    return Verification(walk.count, f"{walk.number}:{walk.digest}", key is not None, walk.broken)


def intact_entries(directory: str | os.PathLike[str], *, key: str | None = None) -> Iterator[Entry]:
    """The entries from the first on, up to the first that is broken.

    Raises:
        OSError: The directory or a file cannot be read.
    """
    return iter(_Walk(Path(directory), None if key is None else key.encode(), None))


class _Walk:
    """From entry to entry along the chain."""

    def __init__(self, directory: Path, key: bytes | None, head: tuple[int, str] | None) -> None:
        self._directory = directory
        self._key = key
        self._head = head
        self.count = self.number = 0
        self.digest = NOTHING_BEFORE
        self.broken: BrokenEntry | None = None

    def __iter__(self) -> Iterator[Entry]:
        file, line_number = self._directory, 0
        for file, line_number, line in lines(self._directory):
            try:
                entry = self._follow(line)
            except DamagedEntry as damage:
                self.broken = BrokenEntry(self.number + 1, file, line_number, str(damage))
                return
            yield entry
        if self._head is not None and self._head[0] > self.number:
            problem = f"it is missing, and so is every entry up to {self._head[0]}, which was the last one once"
            self.broken = BrokenEntry(self.number + 1, file, line_number + 1, problem)

    def _follow(self, line: bytes) -> Entry:
        if not line.endswith(b"\n"):
            raise DamagedEntry(
                "it is not complete: its process was killed while it wrote, and the next entry repairs that; "
                "or the line was changed"
            )
        entry = read_line(line[:-1])
        if entry.number != self.number + 1:
            raise DamagedEntry(f"it is missing: entry {entry.number} comes in its place")
        if entry.previous != self.digest:
            raise DamagedEntry(f"it does not follow entry {self.number}: one of them was replaced")
        if self._key is not None and not is_signed_with(line[:-1], self._key):
            raise DamagedEntry("it has another signature than the key makes" if entry.signature else "it is not signed")
        if self._head is not None and self._head[0] == entry.number and not entry.digest.startswith(self._head[1]):
            raise DamagedEntry("its hash is not the one that was noted: the trail was written anew")
        self.count, self.number, self.digest = self.count + 1, entry.number, entry.digest
        return entry

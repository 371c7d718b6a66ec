"""What a process could not tell the ledger, kept on disk until somebody can.

A process counts on while the ledger is away. If it ends before the ledger is back, what it counted would be lost; so
while the ledger does not answer, everything the process ever counted lies in one file. Because a process says how much
it counted in all, telling it again counts nothing twice (see :class:`~.ledger.protocol.Counted`).

The file is locked as long as its process lives. Who can lock it knows that the process has ended, tells the ledger in
its name and removes the file. On Windows, where files are not locked that way, there are none.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from genops_otel_posthog.budgets.ledger.protocol import (
    CostTable,
    Counted,
    Ledger,
    PeriodKey,
    StaleSequence,
    SyncRequest,
)

if sys.platform != "win32":
    import fcntl

_logger = logging.getLogger(__name__)

_SUFFIX = ".untold.json"


class Spool:
    """The files of the processes that share one ledger on this machine.

    Args:
        directory: Where they lie.
        ledger: What the ledger is called, for instance its URL; only a hash of it is used.
    """

    def __init__(self, directory: Path, ledger: str) -> None:
        self._directory = directory
        self._prefix = hashlib.sha256(ledger.encode()).hexdigest()[:16]
        self._own: tuple[Path, int] | None = None

    def keep(self, request: SyncRequest) -> None:
        """Writes what a process has counted in all. Never raises: a process that cannot write goes on counting."""
        if sys.platform == "win32":
            return
        try:
            path, descriptor = self._own or self._create(request.process)
            self._own = path, descriptor
            content = json.dumps(_as_json(request)).encode()
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, content, 0)
            os.fsync(descriptor)
        except OSError as error:
            _logger.warning(
                "What the budget ledger has not been told cannot be written to %s either: %s. It is lost if this "
                "process ends before the ledger is back",
                self._directory,
                error,
            )

    def told(self) -> None:
        """The ledger knows everything: the file of this process is not needed."""
        if self._own is None:
            return
        path, descriptor = self._own
        self._own = None
        with contextlib.suppress(OSError):
            path.unlink()
        os.close(descriptor)

    def forked(self) -> None:
        """In a child process: the file is the parent's, and so is its lock, until both have let go of it."""
        if self._own is not None:
            os.close(self._own[1])
            self._own = None

    def tell(self, ledger: Ledger) -> int:
        """Tells the ledger what processes that have ended could not. Returns how many there were."""
        told = 0
        for path, descriptor in self._of_the_dead():
            try:
                content = os.pread(descriptor, os.fstat(descriptor).st_size, 0)
                try:
                    request = _from_json(json.loads(content))
                except (ValueError, KeyError, TypeError):
                    _logger.warning("%s was cut short or damaged, and tells nothing; it is removed", path)
                else:
                    with contextlib.suppress(StaleSequence):  # told by itself after all
                        ledger.sync(request)
                        told += 1
                path.unlink(missing_ok=True)
            finally:
                os.close(descriptor)
        return told

    def _create(self, process: str) -> tuple[Path, int]:
        assert sys.platform != "win32"
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._directory / f"{self._prefix}-{process}{_SUFFIX}"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        return path, descriptor

    def _of_the_dead(self) -> Iterator[tuple[Path, int]]:
        if sys.platform == "win32":
            return
        for path in sorted(self._directory.glob(f"{self._prefix}-*{_SUFFIX}")):
            try:
                descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            except OSError:
                continue  # somebody else was quicker
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                os.close(descriptor)  # its process lives, and tells by itself
                continue
            yield path, descriptor


def _as_json(request: SyncRequest) -> dict[str, object]:
    return {
        "process": request.process,
        "sequence": request.sequence,
        "month": request.month,
        "costs": request.costs,
        "counted": request.counted,
    }


def _from_json(content: dict[str, object]) -> SyncRequest:
    costs, counted = content["costs"], content["counted"]
    if not isinstance(costs, dict) or not isinstance(counted, list):
        raise TypeError("costs and counted are missing")
    return SyncRequest(
        process=str(content["process"]),
        sequence=_whole(content["sequence"]),
        acknowledged=0,
        month=str(content["month"]),
        costs={meter: CostTable(*(tuple(map(_whole, column)) for column in table)) for meter, table in costs.items()},
        counted=tuple(
            Counted(str(meter), str(month), _whole(units), _keys(charged), _keys(overdrawn))
            for meter, month, units, charged, overdrawn in counted
        ),
        asks=(),
        everything=True,
        wants_alerts=False,
        leaving=True,
    )


def _whole(value: object) -> int:
    """A number as a ledger takes it: what it cannot take would be told again and again."""
    if type(value) is not int or not 0 <= value < 2**63:
        raise ValueError(f"{value!r} is no number of units, and no price")
    return value


def _keys(pairs: list[list[str]]) -> tuple[PeriodKey, ...]:
    return tuple(PeriodKey(str(budget), str(period)) for budget, period in pairs)

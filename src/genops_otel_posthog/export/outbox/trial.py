"""Is what is written to a directory there for the next process? Tried, with the code that writes and reads events."""

from __future__ import annotations

import errno
import os
from contextlib import nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from genops_otel_posthog.export.outbox.segment_file import make_record
from genops_otel_posthog.export.outbox.segments import (
    FILES_POSSIBLE,
    adopt,
    create,
    lock_orphan,
    sync_descriptor,
    take_back,
)

_DESTINATION: Final = "trial"
_EVENT: Final = b'{"event":"trial"}'


def try_directory(directory: Path) -> None:
    """Writes an event as a process does, takes it over as the next one would, and removes every trace of it.

    Args:
        directory: An existing one, on the file system in question. It is done in a folder of its own in there, so
            that nobody who delivers finds the event.

    Raises:
        OSError: It is not there for the next process: the directory cannot be written to, or takes no locks.
    """
    if not FILES_POSSIBLE:
        raise OSError(errno.ENOSYS, "this system has no locks that tell whether the process of a file still lives")
    with TemporaryDirectory(prefix=".trial-", dir=directory) as folder:
        written = create(Path(folder), "normal", (_DESTINATION,), number=1)
        try:
            record = make_record(_EVENT, written.seed)
            if os.write(written.descriptor, record) != len(record):
                take_back(written)
            sync_descriptor(written.descriptor)
        finally:
            written.release()
        descriptor = lock_orphan(written.path)
        if descriptor is None:
            raise OSError(errno.EIO, "a lock outlives the process that had it", str(directory))
        taken_over, rest = adopt(written.path, descriptor, (_DESTINATION,))
        try:
            bodies = [
                found.body
                for found in taken_over.read(taken_over.positions[_DESTINATION].offset, taken_over.end, nullcontext())
            ]
            if bodies != [_EVENT] or rest:
                raise OSError(errno.EIO, "what is read is not what was written", str(directory))
        finally:
            taken_over.remove()

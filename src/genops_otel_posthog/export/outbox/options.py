"""What can be chosen about an outbox."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

from genops_otel_posthog.errors import GenOpsConfigurationError
from genops_otel_posthog.export.outbox.pauses import PROBES, RETRIES, Pauses

FSYNC = ("interval", "none", "always")
POLICIES = ("drop_oldest", "drop_newest", "block", "raise")

MIB = 1024 * 1024
DAY = 86_400.0

DEFAULT_MAX_BYTES = 256 * MIB
DEFAULT_MAX_AGE = 35 * DAY
"""A month and some days, so that what waits for the quota of the next month is not thrown away before."""

_FEWEST_SEGMENTS = 16


@dataclass(frozen=True)
class Tuning:
    """Figures that rarely need another value. All times in seconds.

    Attributes:
        segment_bytes: A segment file is closed beyond this; never more than a sixteenth of ``max_bytes``, because
            room is made by the segment.
        memory_bytes: Most bytes kept in memory while the directory cannot be used.
        dead_bytes: Most bytes of dead letters.
        linger: How long an event waits for others to share its request.
        request_timeout: Most time for one request.
        retries: Pauses after failures that pass by themselves.
        probes: Pauses while the account is at fault.
        patience: How long an event that fails while others are taken is tried again before it becomes a dead letter.
        aside_bytes: With more bytes of such events than this, patience ends.
        sync: Between two synchronisations with the disk, for ``fsync="interval"``.
        survey: Between two looks at the directory: orphans, room, age.
        rotate: A segment of which something was delivered is closed when it is this old, so that delivered events do
            not stay on disk for long.
        disk_retry: Between two tries to use a directory that could not be used.
    """

    segment_bytes: int = 16 * MIB
    memory_bytes: int = 16 * MIB
    dead_bytes: int = 64 * MIB
    linger: float = 0.5
    request_timeout: float = 10.0
    retries: Pauses = RETRIES
    probes: Pauses = PROBES
    patience: float = 600.0
    aside_bytes: int = 8 * MIB
    sync: float = 1.0
    survey: float = 5.0
    rotate: float = 60.0
    disk_retry: float = 30.0


@dataclass(frozen=True)
class Options:
    """What one directory is used with in one process.

    Attributes:
        fsync: ``interval`` and ``none`` lose nothing when the process is killed; a loss of power can cost what was
            written since the last synchronisation (``interval``: about a second). ``always`` loses nothing then
            either, and each event costs a synchronisation: hundreds of microseconds.
        max_bytes: Most bytes of the directory, of all processes together.
        max_age: Events older than this are thrown away, seconds. ``None`` for never.
        policy: What happens when there is no room: ``drop_oldest``, ``drop_newest``, ``block`` or ``raise``. Under
            each of them more important events make room by throwing away less important ones first.
        block_timeout: With ``block``: most seconds to wait for room.
        quietly: Makes the context in which requests are made, for instance one in which they become no spans.
        tuning: The rest.
    """

    fsync: str = "interval"
    max_bytes: int = DEFAULT_MAX_BYTES
    max_age: float | None = DEFAULT_MAX_AGE
    policy: str = "drop_oldest"
    block_timeout: float = 5.0
    quietly: Callable[[], AbstractContextManager[object]] = field(default=nullcontext, compare=False)
    tuning: Tuning = Tuning()

    def __post_init__(self) -> None:
        if self.fsync not in FSYNC:
            raise GenOpsConfigurationError(f"fsync of the outbox cannot be {self.fsync!r}; use one of {_listed(FSYNC)}")
        if self.policy not in POLICIES:
            raise GenOpsConfigurationError(
                f"the policy of a full outbox cannot be {self.policy!r}; use one of {_listed(POLICIES)}"
            )
        if self.max_bytes < MIB // 16:
            raise GenOpsConfigurationError(f"an outbox of {self.max_bytes} bytes holds nothing; give it 65536 or more")
        if self.max_age is not None and self.max_age <= 0:
            raise GenOpsConfigurationError(
                f"max_age of the outbox is {self.max_age} seconds, which keeps nothing; use more, or None for ever"
            )

    @property
    def segment_bytes(self) -> int:
        """When a segment file is closed."""
        return min(self.tuning.segment_bytes, self.max_bytes // _FEWEST_SEGMENTS)

    @property
    def dead_bytes(self) -> int:
        """Most bytes of dead letters."""
        return min(self.tuning.dead_bytes, self.max_bytes // 4)


def _listed(words: tuple[str, ...]) -> str:
    return ", ".join(words)

"""Throwing away single events that wait: those of a person who wants to be forgotten."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from genops_otel_posthog.export.outbox.directory import segments_in
from genops_otel_posthog.export.outbox.segment_file import read_header
from genops_otel_posthog.export.outbox.segments import adopt, lock_orphan
from genops_otel_posthog.export.outbox.waiting import WaitingEvent, events_in, write_anew


def remove_events(directory: Path, unwanted: Callable[[WaitingEvent], bool]) -> tuple[int, int]:
    """Throws away single events that wait, for good, from segments that no living process has.

    The others of such a segment are written to new ones, and are on disk before the old one goes: a crash in between
    sends them twice, under their uuids, and loses none.

    Args:
        unwanted: Which.

    Returns:
        How many events were thrown away, and how many belong to living processes and were left.

    Raises:
        OSError: The directory cannot be used.
    """
    removed = left = 0
    for path in segments_in(directory):
        found = sum(unwanted(event) for event in events_in(path))
        if not found:
            continue
        descriptor = lock_orphan(path)
        if descriptor is None:
            left += found if path.exists() else 0
            continue
        kept: dict[tuple[str, ...], list[bytes]] = {}
        importance = "normal"
        for event in events_in(path):
            importance = event.importance
            if unwanted(event):
                removed += 1
            else:
                kept.setdefault(event.destinations, []).append(event.body)
        segment, _ = adopt(path, descriptor, read_header(descriptor).destinations)
        try:
            for destinations, bodies in kept.items():
                write_anew(directory, importance, destinations, bodies)
        except OSError:
            segment.release()
            raise
        segment.remove()
    return removed, left

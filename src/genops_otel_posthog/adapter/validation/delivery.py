"""Will spans become events, will none of them be lost, and does everybody get them who is to?"""

from __future__ import annotations

import os
import stat
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from genops_otel_posthog.adapter.validation.exporters import exporters_named
from genops_otel_posthog.adapter.validation.findings import ValidationIssue, error, info, success, warning
from genops_otel_posthog.adapter.validation.ledger import nearest_folder
from genops_otel_posthog.adapter.validation.replicas import platform_with_replicas
from genops_otel_posthog.budgets.ledger.ledger_file import NETWORK_FILE_SYSTEMS
from genops_otel_posthog.errors import GenOpsConfigurationError, GenOpsError
from genops_otel_posthog.places import MOUNTS, Mount, mount_of
from genops_otel_posthog.settings import Settings

_EXPORT, _CAPTURE, _OUTBOX = "Span export", "Durable capture", "Outbox"
_RULES, _DESTINATIONS = "Span rules", "Destinations"
_A_VOLUME: Final = "export GENOPS_OUTBOX_PATH=/var/lib/my-app/outbox"
_IN_MEMORY: Final = ("tmpfs", "ramfs")
_LAYERS: Final = ("overlay", "aufs")


def exports_spans(settings: Settings, environ: Mapping[str, str]) -> bool:
    """Whether the environment says that spans become events."""
    return settings.export_spans or "posthog" in exporters_named("traces", environ)


def validate_delivery(environ: Mapping[str, str] | None = None, *, mounts: str | None = None) -> list[ValidationIssue]:
    """Checks whether spans are exported, the rules file, the destinations, and the outbox by writing an event to it.

    The event is read back, and removed.

    Args:
        environ: The environment; that of the process when not given.
        mounts: What is mounted where, as Linux tells it; that of this machine when not given.
    """
    environ = os.environ if environ is None else environ
    settings = Settings.from_environ(environ, strict=False)
    findings = [*_export(settings, environ), *_rules(settings)]
    exports = exports_spans(settings, environ)
    if settings.durable_capture:
        findings.append(success(_CAPTURE, "The application's own events go through the outbox."))
    if exports:
        findings += _destinations(settings)
    if exports or settings.durable_capture or settings.outbox_path is not None:
        findings += _outbox(settings, environ, _mounts() if mounts is None else mounts)
    return findings


def _export(settings: Settings, environ: Mapping[str, str]) -> Iterator[ValidationIssue]:
    by_exporter = "posthog" in exporters_named("traces", environ)
    if not exports_spans(settings, environ):
        yield info(
            _EXPORT,
            "Spans do not become PostHog events.",
            "Switch it on where they are to.",
            "export GENOPS_EXPORT_SPANS=true",
        )
        return
    if by_exporter and settings.export_spans:
        yield info(
            _EXPORT,
            "Both OTEL_TRACES_EXPORTER and GENOPS_EXPORT_SPANS switch it on; each span is counted once.",
            "One of them is enough; GENOPS_EXPORT_SPANS writes each span where it ends.",
            "export OTEL_TRACES_EXPORTER=otlp",
        )
    how = "GENOPS_EXPORT_SPANS" if settings.export_spans else "OTEL_TRACES_EXPORTER"
    yield success(_EXPORT, f"Spans become events ({how}).")


def _rules(settings: Settings) -> Iterator[ValidationIssue]:
    if settings.span_rules is None:
        return
    from genops_otel_posthog.export.rules.toml import load_rules

    try:
        count = len(load_rules(settings.span_rules))
    except GenOpsConfigurationError as problem:
        for line in str(problem).splitlines():
            yield error(
                _RULES,
                line,
                "Correct the file; until then only the built-in rules are asked.",
                f"genops-posthog rules check {settings.span_rules}",
            )
        return
    yield success(_RULES, f"{settings.span_rules} has {count} rule{'' if count == 1 else 's'}.")


def _destinations(settings: Settings) -> Iterator[ValidationIssue]:
    from genops_otel_posthog.export.destinations.protocol import identity
    from genops_otel_posthog.export.destinations.registry import configured

    problems: list[GenOpsConfigurationError] = []
    found = configured(settings, leave_out=problems.append)
    names = [identity(destination).partition(".")[0] for destination in found]
    for destination in found:
        destination.close()
    for problem in problems:
        yield error(
            _DESTINATIONS,
            f"A destination of events is left out: {problem}.",
            "Correct its variable, or install what it needs.",
            "genops-posthog doctor --verbose",
        )
    if names:
        yield success(_DESTINATIONS, f"Events go to {', '.join(names)}.")
    elif not problems:
        yield error(
            _DESTINATIONS,
            "Events go nowhere: there is no key, or POSTHOG_ENABLE is false, and no other destination is named.",
            "Name a destination.",
            "export POSTHOG_API_KEY=phc_…",
        )


def _outbox(settings: Settings, environ: Mapping[str, str], mounts: str) -> Iterator[ValidationIssue]:
    from genops_otel_posthog.export.outbox.directory import default_directory, free_bytes
    from genops_otel_posthog.export.outbox.room import reserve_of
    from genops_otel_posthog.export.outbox.trial import try_directory

    try:
        directory = Path(settings.outbox_path).expanduser() if settings.outbox_path else default_directory(environ)
    except GenOpsError as problem:
        yield error(_OUTBOX, f"{problem}.", "Name a directory.", _A_VOLUME)
        return
    directory = directory.absolute()
    began = time.monotonic()
    try:
        place = nearest_folder(directory)
        try_directory(place)
        free, total = free_bytes(place)
    except OSError as refusal:
        yield error(
            _OUTBOX,
            f"Events are not durable: {directory} cannot be used ({refusal.strerror or refusal}). They wait in memory "
            "and are lost with the process.",
            "Let the user that the application runs as write there, or name another directory.",
            f"mkdir -p {directory} && chmod u+rwX {directory}",
        )
        return
    took = (time.monotonic() - began) * 1000
    yield from _weak_places(directory, place, environ, mounts)
    if free < reserve_of(total):
        yield error(
            _OUTBOX,
            f"The disk of {directory} has {free // 1_000_000} MB left. The outbox leaves the last "
            f"{reserve_of(total) // 1_000_000} MB to others, so events wait in memory and are lost with the process.",
            "Make room, or name a directory on another disk.",
            f"df -h {place}",
        )
        return
    yield success(_OUTBOX, f"{directory}: an event was written, synchronised and read back in {took:.0f} ms.")


def _weak_places(directory: Path, place: Path, environ: Mapping[str, str], mounts: str) -> Iterator[ValidationIssue]:
    """Where events survive less than they could."""
    mount = mount_of(place.resolve(), mounts) if mounts else Mount("", place)
    if mount.kind in _IN_MEMORY:
        yield warning(
            _OUTBOX,
            f"{directory} is in memory ({mount.kind}): what waits there survives the process, but no restart of the "
            "machine or the container.",
            "Name a directory on a disk.",
            _A_VOLUME,
        )
    elif mount.kind in NETWORK_FILE_SYSTEMS:
        yield warning(
            _OUTBOX,
            f"{directory} is on a network file system ({mount.kind}), whose locks do not always tell whether the "
            "process of a file still lives.",
            "Name a directory on a local disk, one for each machine.",
            _A_VOLUME,
        )
    elif mount.kind in _LAYERS and platform_with_replicas(environ) is not None:
        yield warning(
            _OUTBOX,
            f"{directory} is in the container's own layer, which is gone when the container is replaced.",
            "Mount a volume and name a directory in it.",
            _A_VOLUME,
        )
    if directory.is_dir() and sys.platform != "win32":
        mode = stat.S_IMODE(directory.stat().st_mode)
        if mode & 0o077:
            yield warning(
                _OUTBOX,
                f"Others may look into {directory} (permissions {mode:o}), and events say what people did.",
                "Leave it to its user alone.",
                f"chmod 700 {directory}",
            )


def _mounts() -> str:
    try:
        return MOUNTS.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return ""  # no Linux

"""What ``genops-posthog outbox`` prints: for people and as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import click

from genops_otel_posthog.cli.output import console, table
from genops_otel_posthog.export.outbox import Accounting
from genops_otel_posthog.export.outbox.dead import DeadLetter
from genops_otel_posthog.export.outbox.waiting import WaitingEvent, WaitingSegment

_TRACE_KEYS = ("$trace_id", "trace_id", "$ai_trace_id")


def status_document(
    directory: Path, segments: Sequence[WaitingSegment], dead: Mapping[str, Mapping[str, int]]
) -> dict[str, Any]:
    """Everything that ``status`` knows."""
    return {
        "directory": str(directory),
        "bytes": sum(segment.bytes for segment in segments),
        "destinations": _by_destination(segments, dead),
        "unreadable": [{"file": str(each.path), "problem": each.problem} for each in segments if each.problem],
        "segments": [
            {
                "file": segment.path.name,
                "made": segment.made.isoformat(),
                "process": segment.process,
                "in_use": segment.in_use,
                "importance": segment.importance,
                "events": segment.events,
                "bytes": segment.bytes,
                "waiting": segment.waiting,
            }
            for segment in segments
            if not segment.problem
        ],
    }


def print_status(directory: Path, segments: Sequence[WaitingSegment], dead: Mapping[str, Mapping[str, int]]) -> None:
    """The same for people."""
    size = sum(segment.bytes for segment in segments)
    click.echo(f"Outbox {directory}: {len(segments)} segments, {_size(size)}.")
    found = _by_destination(segments, dead)
    if not found:
        click.echo("Nothing waits, and nothing was refused.")
    else:
        rows = table("destination", "waiting", "of it without a process", "oldest", "dead letters")
        for name, figures in found.items():
            oldest = figures["oldest"]
            reasons = ", ".join(f"{count} {reason}" for reason, count in figures["dead"].items())
            rows.add_row(
                name,
                f"{figures['waiting']:,}",
                f"{figures['without_process']:,}",
                _ago(datetime.fromisoformat(oldest)) if oldest else "–",
                reasons or "–",
            )
        console().print(rows)
    for segment in segments:
        if segment.problem:
            click.echo(f"{segment.path.name} is left alone: {segment.problem}")


def event_document(event: WaitingEvent, *, content: bool) -> dict[str, Any]:
    """A waiting event; with its content only when asked for."""
    said = event.content()
    given = said.get("properties")
    properties: Mapping[str, Any] = given if isinstance(given, dict) else {}
    document = {
        "timestamp": said.get("timestamp"),
        "event": said.get("event"),
        "uuid": said.get("uuid"),
        "trace_id": next((properties[key] for key in _TRACE_KEYS if properties.get(key)), None),
        "importance": event.importance,
        "destinations": list(event.destinations),
    }
    return {**document, "content": said} if content else document


def print_events(events: Sequence[Mapping[str, Any]]) -> None:
    """Waiting events for people."""
    if not events:
        click.echo("Nothing waits.")
        return
    rows = table("time", "event", "uuid", "trace", "waits for")
    for column in rows.columns:
        column.justify = "left"
    for event in events:
        cells = (event["timestamp"], event["event"], event["uuid"], event["trace_id"])
        rows.add_row(*(str(cell) if cell else "–" for cell in cells), ", ".join(event["destinations"]))
    console().print(rows)
    for event in events:
        if "content" in event:
            console().print_json(data=event["content"])


def letter_document(letter: DeadLetter, *, content: bool) -> dict[str, Any]:
    """A dead letter; with its content only when asked for."""
    document = {
        "id": letter.id,
        "destination": letter.destination,
        "event": letter.event,
        "uuid": letter.uuid,
        "reason": letter.reason,
        "detail": letter.detail,
        "first_at": _instant(letter.first_at).isoformat(),
        "last_at": _instant(letter.last_at).isoformat(),
        "attempts": letter.attempts,
    }
    return {**document, "content": letter.body.decode("utf-8", "replace")} if content else document


def print_letters(letters: Sequence[Mapping[str, Any]]) -> None:
    """Dead letters for people."""
    if not letters:
        click.echo("There are no dead letters.")
        return
    rows = table("id", "destination", "event", "reason", "tries", "last", "what it said")
    for column in rows.columns[1:]:
        column.justify = "left"
    for letter in letters:
        last = _ago(datetime.fromisoformat(letter["last_at"]))
        rows.add_row(
            *(str(letter["id"]), letter["destination"], letter["event"] or "–", letter["reason"]),
            *(str(letter["attempts"]), last, letter["detail"] or "–"),
        )
    console().print(rows)


def replay_document(directory: Path, accounting: Accounting, left: int, unserved: Mapping[str, int]) -> dict[str, Any]:
    """What ``replay`` did."""
    return {
        "directory": str(directory),
        "destinations": {
            name: {
                "delivered": account.acked,
                "dead": account.dead,
                "requests": account.requests,
                "state": account.state,
                "reason": account.reason,
            }
            for name, account in accounting.destinations.items()
        },
        "left": left,
        "not_configured_here": dict(unserved),
    }


def print_replay(accounting: Accounting, left: int, unserved: Mapping[str, int]) -> None:
    """The same for people."""
    for name, account in accounting.destinations.items():
        text = f"{name}: {account.acked:,} delivered"
        if account.dead:
            text += f", {account.dead:,} refused for good (see: genops-posthog outbox dead)"
        if account.state != "ok":
            text += f", {account.state}: {account.reason}"
        click.echo(text + ".")
    if left:
        click.echo(f"{left:,} events still wait.")
    for name, count in unserved.items():
        click.echo(f"{count:,} events wait for {name}, which is not configured here.")


def _by_destination(
    segments: Sequence[WaitingSegment], dead: Mapping[str, Mapping[str, int]]
) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for segment in segments:
        for name, count in segment.waiting.items():
            figures = found.setdefault(name, {"waiting": 0, "without_process": 0, "oldest": None, "dead": {}})
            figures["waiting"] += count
            figures["without_process"] += 0 if segment.in_use else count
            if count and figures["oldest"] is None:
                figures["oldest"] = segment.made.isoformat()
    for name, reasons in dead.items():
        found.setdefault(name, {"waiting": 0, "without_process": 0, "oldest": None, "dead": {}})["dead"] = dict(reasons)
    return dict(sorted(found.items()))


def _instant(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, timezone.utc)


def _ago(moment: datetime) -> str:
    seconds = max(0, int((datetime.now(timezone.utc) - moment).total_seconds()))
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size} {unit} ago"
    return f"{seconds} s ago"


def _size(size: int) -> str:
    return f"{size / 1024 / 1024:,.1f} MiB" if size >= 1024 * 1024 else f"{size / 1024:,.1f} KiB"

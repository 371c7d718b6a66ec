"""``genops-posthog audit``: is the audit trail what was written, and its entries for somebody else's eyes."""

from __future__ import annotations

import csv
import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import IO, Any, TypeVar

import click

from genops_otel_posthog.adapter.compliance.audit_check import Verification, intact_entries, verify
from genops_otel_posthog.adapter.compliance.audit_entry import Entry
from genops_otel_posthog.adapter.compliance.audit_files import default_directory
from genops_otel_posthog.adapter.compliance.audit_trail import AuditTrail
from genops_otel_posthog.adapter.compliance.pseudonyms import Pseudonyms
from genops_otel_posthog.cli import PROBLEM_FOUND
from genops_otel_posthog.cli.output import console, json_option, print_json
from genops_otel_posthog.errors import GenOpsValidationError
from genops_otel_posthog.settings import Settings

_Command = TypeVar("_Command", bound=Callable[..., Any])

_HEAD = re.compile(r"(?P<number>[0-9]{1,15}):(?P<digest>[0-9a-f]{8,64})")
_COLUMNS = ("n", "at", "action", "outcome", "subject", "retention_until", "facts", "hash")
_TELL_EVERY = 10_000


def _path_option(command: _Command) -> _Command:
    return click.option(
        "--path",
        type=click.Path(path_type=Path),
        help="The directory of the trail, or of a copy.  [default: GENOPS_AUDIT_PATH, or the user's state directory]",
    )(command)


def _head(_context: click.Context, _parameter: click.Parameter, value: str | None) -> tuple[int, str] | None:
    if value is None:
        return None
    match = _HEAD.fullmatch(value.strip().lower())
    if match is None:
        raise click.BadParameter(f"{value[:40]!r} is no head; write what verify has shown, like 17:9f86d081…")
    return int(match["number"]), match["digest"]


def _moment(_context: click.Context, _parameter: click.Parameter, value: str | None) -> datetime | None:
    if value is None:
        return None
    try:
        moment = datetime.fromisoformat(value.replace("Z", "+00:00"))
    except ValueError:
        raise click.BadParameter(f"{value[:40]!r} is no time; write 2026-11-29 or 2026-11-29T12:00+00:00") from None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=timezone.utc)


@click.group()
def audit() -> None:
    """The audit trail: what was done on whose behalf, each entry chained to the one before.

    With GENOPS_AUDIT_KEY set, signatures are checked too.
    """


@audit.command("verify", short_help="Is every entry what was written?")
@_path_option
@click.option(
    "--head", callback=_head, metavar="N:HASH", help="What an earlier verify has shown, to see that no entry is gone."
)
@json_option
def verify_trail(path: Path | None, head: tuple[int, str] | None, as_json: bool) -> None:
    """Read the trail from its first entry to its last, and name the first that is not what was written.

    Who can write to the directory can cut entries off at the end, which the entries before cannot show. Note the head
    that this prints somewhere else, and give it here later.

    Exit codes: 0 everything is as it was written, 1 an entry is not, 2 there is no trail.
    """
    settings = Settings.from_environ(strict=True)
    directory = path or default_directory(settings)
    with _readable(directory), _progress(as_json) as told:
        found = verify(directory, key=settings.audit_key, head=head, told=told)
    if as_json:
        print_json(_document(directory, found))
    else:
        _print(directory, found)
    if not found.intact:
        raise SystemExit(PROBLEM_FOUND)


@audit.command("export", short_help="Write entries as JSON lines or CSV.")
@click.argument("file", type=click.File("w", encoding="utf-8"), default="-")
@_path_option
@click.option("--csv", "as_csv", is_flag=True, help="CSV instead of JSON, one entry a line.")
@click.option("--since", callback=_moment, metavar="TIME", help="Only entries from this time on, UTC: 2026-11-29.")
@click.option("--until", callback=_moment, metavar="TIME", help="Only entries before this time.")
@click.option("--action", metavar="NAME", help="Only entries with this action.")
@click.option("--person", metavar="DISTINCT_ID", help="Only entries about this person.")
def export_trail(
    file: IO[str],
    path: Path | None,
    as_csv: bool,
    since: datetime | None,
    until: datetime | None,
    action: str | None,
    person: str | None,
) -> None:
    """Write entries to FILE or standard output. Nothing is changed.

    Entries after a broken one are not written: nobody could say what they are worth.

    Exit codes: 0 the trail is as it was written, 1 it is broken, 2 there is no trail.
    """
    settings = Settings.from_environ(strict=True)
    directory = path or default_directory(settings)
    with _readable(directory):
        found = verify(directory, key=settings.audit_key)
        subject = None if person is None else _subject(directory, settings, person)
        entries = (
            entry
            for entry in intact_entries(directory, key=settings.audit_key)
            if (since is None or _at(entry) >= since)
            and (until is None or _at(entry) < until)
            and (action is None or entry.content.get("action") == action)
            and (subject is None or entry.content.get("subject") == subject)
        )
        count = _write_csv(file, entries) if as_csv else _write_lines(file, entries)
    click.echo(f"{count} entries written", err=True)
    if found.broken is not None:
        click.echo(f"The trail is broken: {_sentence(found)}", err=True)
        raise SystemExit(PROBLEM_FOUND)


def _subject(directory: Path, settings: Settings, person: str) -> str:
    key = None if settings.pseudonym_key is None else Pseudonyms(settings.pseudonym_key)
    return AuditTrail(directory, pseudonyms=key).subject(person)


def _at(entry: Entry) -> datetime:
    return datetime.fromisoformat(entry.content["at"])


def _row(entry: Entry) -> Mapping[str, Any]:
    return {**entry.content, "hash": entry.digest}


def _write_lines(file: IO[str], entries: Iterator[Entry]) -> int:
    count = 0
    for entry in entries:
        file.write(json.dumps(_row(entry), ensure_ascii=False) + "\n")
        count += 1
    return count


def _write_csv(file: IO[str], entries: Iterator[Entry]) -> int:
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(_COLUMNS)
    count = 0
    for entry in entries:
        row = _row(entry)
        cells = (row.get(name, "") for name in _COLUMNS)
        writer.writerow(json.dumps(cell, ensure_ascii=False) if isinstance(cell, dict) else cell for cell in cells)
        count += 1
    return count


def _document(directory: Path, found: Verification) -> dict[str, Any]:
    broken = found.broken
    return {
        "path": str(directory),
        "intact": found.intact,
        "entries": found.entries,
        "head": found.head,
        "signatures_checked": found.signed,
        "broken": None
        if broken is None
        else {
            "entry": broken.number,
            "file": str(broken.file),
            "line": broken.line,
            "problem": broken.problem,
        },
    }


def _print(directory: Path, found: Verification) -> None:
    out = console()
    if found.broken is None:
        signed = "with their signatures" if found.signed else "without signatures: GENOPS_AUDIT_KEY is not set"
        out.print(f"{found.entries} entries in {directory} are as they were written, {signed}.")
        out.print(f"Head: {found.head}")
    else:
        out.print(f"The audit trail in {directory} is broken: {_sentence(found)}")
        out.print(f"{found.entries} entries before it are as they were written.")


def _sentence(found: Verification) -> str:
    broken = found.broken
    assert broken is not None
    return f"entry {broken.number} ({broken.file.name}, line {broken.line}): {broken.problem}."


@contextmanager
def _progress(quiet: bool) -> Iterator[Callable[[int], None] | None]:
    if quiet or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console

    with Console(stderr=True).status("reading entries") as status:

        def tell(number: int) -> None:
            if number % _TELL_EVERY == 0:
                status.update(f"reading entries: {number:,}")

        yield tell


@contextmanager
def _readable(directory: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise GenOpsValidationError(
            f"the audit trail in {directory} cannot be read: {error.strerror or error}; give --path, or run this as "
            "its user"
        ) from error

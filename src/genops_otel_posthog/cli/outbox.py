"""``genops-posthog outbox``: what waits to be delivered, delivering it now, and what no destination will take."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import IO, Any, TypeVar

import click

from genops_otel_posthog.cli import PROBLEM_FOUND, outbox_report
from genops_otel_posthog.cli.output import json_option, print_json
from genops_otel_posthog.errors import GenOpsConfigurationError, GenOpsError, GenOpsValidationError
from genops_otel_posthog.export.captures import capture_destinations
from genops_otel_posthog.export.destinations.protocol import Destination, identity
from genops_otel_posthog.export.destinations.registry import configured
from genops_otel_posthog.export.outbox import Accounting, Outbox, Pauses, Tuning, default_directory
from genops_otel_posthog.export.outbox.dead import DeadLetter
from genops_otel_posthog.export.outbox.waiting import (
    dead_letters,
    is_named,
    purge,
    requeue,
    waiting_events,
    waiting_segments,
)
from genops_otel_posthog.flags.standing import standing_gates
from genops_otel_posthog.settings import Settings

_Command = TypeVar("_Command", bound=Callable[..., Any])

_EAGER = Tuning(linger=0.0, survey=0.25, retries=Pauses(0.25, 5.0), probes=Pauses(1.0, 10.0, at_least=0.5))
_AGE_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_STEP_SECONDS = 0.2


def _path_option(command: _Command) -> _Command:
    return click.option(
        "--path",
        type=click.Path(file_okay=False, path_type=Path),
        help="The outbox directory.  [default: GENOPS_OUTBOX_PATH, or the user's state directory]",
    )(command)


def _destination_option(command: _Command) -> _Command:
    return click.option(
        "--destination", metavar="NAME", help="Only for this one: posthog, or posthog.1f2e3d4c5b as status shows it."
    )(command)


def _age(_context: click.Context, _parameter: click.Parameter, value: str | None) -> timedelta | None:
    if value is None:
        return None
    number, unit = value[:-1], value[-1:]
    if unit not in _AGE_UNITS or not number.isdecimal():
        raise click.BadParameter(f"{value!r} is no age; write for instance 30m, 12h or 7d")
    return timedelta(seconds=int(number) * _AGE_UNITS[unit])


@click.group()
def outbox() -> None:
    """Events that are not delivered yet.

    Processes that run deliver by themselves, and deliver what others left. These commands are for looking, for
    delivering without such a process, and for what a destination refused.
    """


@outbox.command(short_help="How many events wait, for whom, since when; dead letters.")
@_path_option
@click.option(
    "--check", is_flag=True, help="Exit code 1 when events wait with no process to deliver them, or are dead."
)
@json_option
def status(path: Path | None, check: bool, as_json: bool) -> None:
    """How many events wait, for whom and since when, and how many dead letters there are.

    Exit codes: 0; with --check 1 when events wait that no living process has, or when there are dead letters.
    """
    directory = _directory(path)
    with _readable(directory):
        segments = _with_progress(waiting_segments(directory), "reading segments", as_json)
        dead = dead_letters(directory).counts()
    if as_json:
        print_json(outbox_report.status_document(directory, segments, dead))
    else:
        outbox_report.print_status(directory, segments, dead)
    if check and (dead or any(not segment.in_use and any(segment.waiting.values()) for segment in segments)):
        raise SystemExit(PROBLEM_FOUND)


@outbox.command(short_help="The newest events that wait.")
@_path_option
@_destination_option
@click.option("-n", "--lines", type=click.IntRange(1), default=10, show_default=True, help="How many.")
@click.option("--content", is_flag=True, help="With distinct id and properties, which are personal data.")
@json_option
def tail(path: Path | None, destination: str | None, lines: int, content: bool, as_json: bool) -> None:
    """The newest events that wait, the newest last."""
    directory = _directory(path)
    with _readable(directory):
        events = _with_progress(waiting_events(directory, destination), "reading events", as_json)[-lines:]
    shown = [outbox_report.event_document(event, content=content) for event in events]
    if as_json:
        print_json({"events": shown})
    else:
        outbox_report.print_events(shown)


@outbox.command(short_help="Deliver what waits, now.")
@_path_option
@_destination_option
@click.option("--timeout", type=click.FloatRange(0), default=60.0, show_default=True, help="Most seconds.")
@json_option
def replay(path: Path | None, destination: str | None, timeout: float, as_json: bool) -> None:
    """Deliver what waits, now and from here, to the destinations that the environment names.

    Only events that no living process has: the others are being delivered. Each keeps its uuid, so that what was
    delivered before counts once. Of the events that applications captured, those of clients with the key and the host
    of the environment.

    Exit codes: 0 everything of it was delivered or refused for good, 1 something still waits.
    """
    directory = _directory(path)
    destinations = _destinations(destination, directory)
    served = {identity(each) for each in destinations}
    with _readable(directory):
        total = sum(
            count
            for segment in waiting_segments(directory)
            if not segment.in_use
            for name, count in segment.waiting.items()
            if name in served
        )
    with Outbox(directory, destinations, tuning=_EAGER, max_age=None) as opened:
        if not opened.durable:
            raise GenOpsError(f"{directory} cannot be written to; give --path, or run this as its user")
        left = _deliver(opened, total, timeout, quiet=as_json)
        accounting = opened.accounting()
    unserved = _unserved(directory, served) if destination is None else {}
    if as_json:
        print_json(outbox_report.replay_document(directory, accounting, left, unserved))
    else:
        outbox_report.print_replay(accounting, left, unserved)
    if left:
        raise SystemExit(PROBLEM_FOUND)


@outbox.command(short_help="Events that a destination will never take.")
@_path_option
@_destination_option
@click.option("--reason", metavar="REASON", help="Only those with this reason, such as http_400.")
@click.option("--show", type=int, metavar="ID", help="One of them with its content, which is personal data.")
@json_option
def dead(path: Path | None, destination: str | None, reason: str | None, show: int | None, as_json: bool) -> None:
    """Events that a destination refused for good, with the reason. They are kept until they are requeued or purged."""
    letters = _letters(_directory(path), destination, reason, () if show is None else (show,))
    shown = [outbox_report.letter_document(letter, content=show is not None) for letter in letters]
    if as_json or show is not None:
        print_json({"dead": shown})
    else:
        outbox_report.print_letters(shown)


@outbox.command("requeue", short_help="Send dead letters again.")
@click.argument("ids", type=int, nargs=-1, metavar="[ID]...")
@_path_option
@_destination_option
@click.option("--reason", metavar="REASON", help="Those with this reason.")
@click.option("--all", "every", is_flag=True, help="All of them.")
@json_option
def requeue_letters(
    ids: tuple[int, ...], path: Path | None, destination: str | None, reason: str | None, every: bool, as_json: bool
) -> None:
    """Send dead letters again, with their uuids: once their reason is gone.

    They wait like other events then; a process that runs, or replay, delivers them.
    """
    _needs_a_choice(ids, destination, reason, every)
    directory = _directory(path)
    with _readable(directory):
        count = requeue(directory, _letters(directory, destination, reason, ids))
    _tell(as_json, {"requeued": count}, f"{count} dead letters wait to be sent again.")


@outbox.command("purge", short_help="Throw events away, for good.")
@_path_option
@_destination_option
@click.option("--dead", "of_dead", is_flag=True, help="Dead letters.")
@click.option("--waiting", "of_waiting", is_flag=True, help="Events that wait and that no living process has.")
@click.option("--reason", metavar="REASON", help="Only dead letters with this reason.")
@click.option("--older-than", "age", callback=_age, metavar="AGE", help="Only what is older: 30m, 12h, 7d.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
def purge_events(
    path: Path | None,
    destination: str | None,
    of_dead: bool,
    of_waiting: bool,
    reason: str | None,
    age: timedelta | None,
    yes: bool,
    as_json: bool,
) -> None:
    """Throw events away, for good. Nothing brings them back; export keeps a copy."""
    if not (of_dead or of_waiting):
        raise GenOpsValidationError("say what to throw away: --dead, --waiting or both")
    directory = _directory(path)
    before = None if age is None else datetime.now(timezone.utc) - age
    what = " and ".join(filter(None, ["dead letters" if of_dead else "", "waiting events" if of_waiting else ""]))
    if not yes:
        click.confirm(f"Throw away {what} in {directory}?", abort=True, err=True)
    letters = thrown = left = 0
    with _readable(directory):
        if of_dead:
            gone = [
                letter.id
                for letter in _letters(directory, destination, reason, ())
                if before is None or letter.last_at < before.timestamp()
            ]
            letters = dead_letters(directory).remove(gone)
        if of_waiting:
            thrown, left = purge(directory, destination=destination, before=before)
    text = f"{letters} dead letters and {thrown} waiting events were thrown away."
    if left:
        text += f" {left} segments belong to living processes and were left."
    _tell(as_json, {"dead": letters, "waiting": thrown, "segments_left": left}, text)


@outbox.command("export", short_help="Write what waits as JSON, one event a line.")
@click.argument("file", type=click.File("wb"), default="-")
@_path_option
@_destination_option
@click.option("--dead", "of_dead", is_flag=True, help="Dead letters instead.")
def export_events(file: IO[bytes], path: Path | None, destination: str | None, of_dead: bool) -> None:
    """Write what waits as JSON, one event a line, to FILE or standard output. Nothing is changed.

    The events are in the form of PostHog's batch API, with their content: the file is for its user alone.
    """
    directory = _directory(path)
    with _readable(directory):
        bodies = (
            (letter.body for letter in _letters(directory, destination, None, ()))
            if of_dead
            else (event.body for event in waiting_events(directory, destination))
        )
        count = 0
        for body in bodies:
            file.write(b" ".join(body.splitlines()) + b"\n")
            count += 1
    click.echo(f"{count} events written", err=True)


# --- what the commands share --------------------------------------------------------------------------------------


def _directory(path: Path | None) -> Path:
    if path is not None:
        return path
    given = Settings.from_environ().outbox_path
    return Path(given) if given else default_directory()


@contextmanager
def _readable(directory: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise GenOpsConfigurationError(
            f"there is no outbox at {directory}; the first process that sends events makes it. "
            "Is it another directory? Give --path or set GENOPS_OUTBOX_PATH"
        ) from error
    except OSError as error:
        raise GenOpsError(f"the outbox at {directory} cannot be used: {error}") from error


def _destinations(wanted: str | None, directory: Path) -> Sequence[Destination]:
    settings = Settings.from_environ()
    found = (*configured(settings, gate=standing_gates(settings).of_event), *capture_destinations(settings, directory))
    chosen = [each for each in found if wanted is None or is_named(identity(each), wanted)]
    if not chosen:
        known = ", ".join(identity(each) for each in found) or "none; set POSTHOG_API_KEY for PostHog"
        raise GenOpsConfigurationError(f"no destination to deliver to is configured here. Configured: {known}")
    return chosen


def _letters(directory: Path, destination: str | None, reason: str | None, ids: Sequence[int]) -> list[DeadLetter]:
    with _readable(directory):
        found = [
            letter
            for letter in dead_letters(directory).letters(reason=reason)
            if (destination is None or is_named(letter.destination, destination)) and (not ids or letter.id in ids)
        ]
    missing = sorted(set(ids) - {letter.id for letter in found})
    if missing:
        raise GenOpsValidationError(f"there is no dead letter {missing[0]}; list them with: genops-posthog outbox dead")
    return found


def _needs_a_choice(ids: Sequence[int], destination: str | None, reason: str | None, every: bool) -> None:
    if not (ids or destination or reason or every):
        raise GenOpsValidationError("say which dead letters: ids, --destination, --reason or --all")


def _unserved(directory: Path, served: set[str]) -> dict[str, int]:
    """What waits for destinations that are not configured here."""
    found: dict[str, int] = {}
    for segment in waiting_segments(directory):
        for name, count in segment.waiting.items():
            if name not in served and count and not segment.in_use:
                found[name] = found.get(name, 0) + count
    return found


def _deliver(opened: Outbox, total: int, timeout: float, *, quiet: bool) -> int:
    """Waits until as many events are settled as there were, or time is up; returns how many are not."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[state]}"))
    with Progress(*columns, console=_errors(), transient=True, disable=quiet) as progress:
        task = progress.add_task("delivering", total=total, state="")
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            accounting = opened.accounting()
            progress.update(task, completed=_settled(accounting), state=_state(accounting))
            if _settled(accounting) >= total:
                break
            opened.wait(_STEP_SECONDS)
    return max(0, total - _settled(opened.accounting()))


def _settled(accounting: Accounting) -> int:
    return sum(
        account.acked + account.dead + sum(account.dropped.values()) for account in accounting.destinations.values()
    )


def _state(accounting: Accounting) -> str:
    return "; ".join(
        f"{name} {account.state}: {account.reason}"
        for name, account in accounting.destinations.items()
        if account.state != "ok"
    )


_Item = TypeVar("_Item")


def _with_progress(items: Iterator[_Item], what: str, quiet: bool) -> list[_Item]:
    """All items; while they are read, something moves."""
    from rich.progress import Progress, SpinnerColumn, TextColumn

    with Progress(
        SpinnerColumn(),
        TextColumn(what),
        TextColumn("{task.completed:,}"),
        console=_errors(),
        transient=True,
        disable=quiet,
    ) as progress:
        task = progress.add_task(what, total=None)
        found: list[_Item] = []
        for item in items:
            found.append(item)
            if len(found) % 256 == 0:
                progress.update(task, completed=len(found))
        return found


def _errors() -> Any:
    from rich.console import Console

    return Console(stderr=True, highlight=False)


def _tell(as_json: bool, document: dict[str, Any], text: str) -> None:
    if as_json:
        print_json(document)
    else:
        click.echo(text)

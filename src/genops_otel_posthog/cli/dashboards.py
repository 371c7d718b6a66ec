"""``genops-posthog dashboards``: the files for Grafana, SigNoz and Prometheus."""

from __future__ import annotations

from pathlib import Path

import click

from genops_otel_posthog.cli.output import console, json_option, print_json, table
from genops_otel_posthog.dashboards import FILES, DashboardFile
from genops_otel_posthog.errors import GenOpsConfigurationError

_NAMES = [file.name for file in FILES]


@click.group()
def dashboards() -> None:
    """Dashboards and alert rules for the metrics of this package, as files for Grafana, SigNoz and Prometheus."""


@dashboards.command("list", short_help="Which there are.")
@json_option
def list_files(as_json: bool) -> None:
    """Which dashboards and rules there are, who reads them, and how they get there."""
    if as_json:
        print_json({"files": [_document(file) for file in FILES]})
        return
    shown = table("name", "for", "by")
    for column in shown.columns:
        column.justify = "left"
    for file in FILES:
        shown.add_row(file.name, file.program, file.use)
    console().print(shown)


@dashboards.command(short_help="Write them to a directory.")
@click.argument("names", nargs=-1, type=click.Choice(_NAMES), metavar="[NAME]…")
@click.option(
    "--to",
    "directory",
    type=click.Path(file_okay=False, path_type=Path, allow_dash=True),
    default=Path(),
    help="The directory; made if it is missing. - for standard output.  [default: this one]",
)
@click.option("--force", is_flag=True, help="Replace files that are there and differ.")
@json_option
def write(names: tuple[str, ...], directory: Path, force: bool, as_json: bool) -> None:
    """Write dashboards and rules to a directory: those that are named, otherwise all.

    Exit code 2 when a file is there and differs, unless --force says to replace it; nothing is written then.
    """
    chosen = [file for file in FILES if file.name in names or not names]
    if str(directory) == "-":
        for file in chosen:
            click.echo(file.path.read_text(encoding="utf-8"), nl=False)
        return
    targets = {file: directory / file.path.name for file in chosen}
    if not force:
        _refuse_to_replace(targets)
    written = []
    for file, target in targets.items():
        content = file.path.read_bytes()
        is_new = not target.exists() or target.read_bytes() != content
        if is_new:
            _write(target, content)
        written.append({**_document(file), "path": str(target), "written": is_new})
    if as_json:
        print_json({"files": written})
        return
    for one in written:
        click.echo(f"{'written' if one['written'] else 'as it was'}: {one['path']}  ({one['program']}: {one['use']})")


def _refuse_to_replace(targets: dict[DashboardFile, Path]) -> None:
    differing = [
        str(target)
        for file, target in targets.items()
        if target.exists() and target.read_bytes() != file.path.read_bytes()
    ]
    if differing:
        raise GenOpsConfigurationError(
            f"{', '.join(differing)} would be replaced; use --force to do so, or --to another directory"
        )


def _write(target: Path, content: bytes) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    except OSError as error:
        raise GenOpsConfigurationError(f"{target} cannot be written: {error.strerror}") from error


def _document(file: DashboardFile) -> dict[str, object]:
    return {"name": file.name, "program": file.program, "use": file.use}

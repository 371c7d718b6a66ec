"""``genops-posthog setup``: questions, and a ``.env`` file that validates."""

from __future__ import annotations

from pathlib import Path

import click

from genops_otel_posthog.adapter.validation import interactive_setup_wizard, print_validation_result
from genops_otel_posthog.cli import PROBLEM_FOUND, WRONG_USE
from genops_otel_posthog.cli.progress import checking, without_log


@click.command()
@click.option(
    "--path", type=click.Path(dir_okay=False, path_type=Path), default=Path(".env"), show_default=True, help="The file."
)
@click.option("--offline", is_flag=True, help="Do not ask PostHog whether it accepts the key.")
def setup(path: Path, offline: bool) -> None:
    """Asks for what is needed, writes it to a .env file that you alone can read, and checks the result.

    A file that is there keeps its other lines; what would be replaced is shown and needs a yes. Answers may come from a
    pipe, one per line.

    Exit codes: 0 what was written will work, 1 it will not or was ended before it was written, 2 it cannot be written.
    """
    with without_log():
        try:
            with checking() as progress:
                result = interactive_setup_wizard(path, offline=offline, tell=click.echo, progress=progress)
        except OSError as refusal:
            click.echo(f"Error: {path} cannot be written: {refusal.strerror or refusal}", err=True)
            raise SystemExit(WRONG_USE) from refusal
    if result is None:
        raise SystemExit(PROBLEM_FOUND)
    print_validation_result(result, show_successes=False)
    raise SystemExit(PROBLEM_FOUND if result.has_errors else 0)

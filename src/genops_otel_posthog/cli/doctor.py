"""``genops-posthog doctor``: is this set up right, and if not, what to do about it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import click

from genops_otel_posthog.adapter.validation import print_validation_result, validate_setup
from genops_otel_posthog.cli import PROBLEM_FOUND
from genops_otel_posthog.cli.output import json_option, print_json
from genops_otel_posthog.cli.progress import checking, without_log
from genops_otel_posthog.settings.env_file import read_env_file
from genops_otel_posthog.settings.shown import ShownVariable, shown_environment


@click.command()
@click.option("--offline", is_flag=True, help="Do not ask PostHog.")
@click.option("--strict", is_flag=True, help="Exit code 1 for warnings, too.")
@click.option("-v", "--verbose", is_flag=True, help="Also what is worth knowing, and the environment without secrets.")
@click.option(
    "--env-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Check with the variables of this file, too, such as .env. Those of the environment win.",
)
@json_option
def doctor(offline: bool, strict: bool, verbose: bool, env_file: Path | None, as_json: bool) -> None:
    """Is this set up right? Checks packages, variables, prices, budgets, the ledger, the outbox, tracing and PostHog.

    Everything is really tried: a flag request with the key (PostHog counts it), an event written to the outbox and
    read back, the ledger locked and asked. Nothing is left behind, and of keys no more than four characters at each
    end are shown. To see what an application gets, run it as `opentelemetry-instrument genops-posthog doctor`.

    Exit codes: 0 all will work, 1 something will not (with --strict: or works otherwise than expected), 2 wrong use.
    """
    environ = dict(os.environ)
    if env_file is not None:
        environ = {**read_env_file(env_file), **environ}
    with checking(quiet=as_json) as progress, without_log():
        result = validate_setup(
            verbose or as_json, offline=offline, in_application=False, environ=environ, progress=progress
        )
    if as_json:
        print_json({**result.as_document(), "environment": [shown._asdict() for shown in shown_environment(environ)]})
    else:
        print_validation_result(result)
        if verbose:
            _print_environment(environ)
    failed = result.has_errors or (strict and result.has_warnings)
    click.get_current_context().exit(PROBLEM_FOUND if failed else 0)


def _print_environment(environ: Mapping[str, str]) -> None:
    click.echo("\nEnvironment, without secrets:")
    for shown in shown_environment(environ):
        click.echo(f"  {shown.name}={_value(shown)}")


def _value(shown: ShownVariable) -> str:
    if shown.value is not None:
        return shown.value
    return "(not set)" if shown.default in (None, "–") else f"(not set; default {shown.default})"

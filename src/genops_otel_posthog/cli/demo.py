"""``genops-posthog demo``: an example shop under ``opentelemetry-instrument``, and what its PostHog calls cost whom."""

from __future__ import annotations

import os

import click

from genops_otel_posthog.cli import PROBLEM_FOUND
from genops_otel_posthog.cli.output import json_option, print_json
from genops_otel_posthog.demo.backends import Backends
from genops_otel_posthog.demo.report import as_document, print_report
from genops_otel_posthog.demo.run import run_demonstration
from genops_otel_posthog.demo.screen import ConsoleScreen
from genops_otel_posthog.demo.traffic import MIN_REQUESTS


@click.command()
@click.option(
    "--requests", type=click.IntRange(min=MIN_REQUESTS), default=360, show_default=True, help="How many to send."
)
@click.option("--seed", type=int, default=1, show_default=True, help="Decides which.")
@click.option(
    "--local",
    is_flag=True,
    help="Use the local receiver even though POSTHOG_API_KEY or OTEL_EXPORTER_OTLP_ENDPOINT is set.",
)
@json_option
@click.pass_context
def demo(ctx: click.Context, requests: int, seed: int, local: bool, as_json: bool) -> None:
    """Show what PostHog calls cost, and whose they are.

    Runs an example web shop, unmodified, under opentelemetry-instrument, visits it over HTTP and shows what arrived: a
    trace, the cost by team, whether the estimate agrees with what PostHog would bill, and one trace id in every system.
    Everything stays on this machine, unless POSTHOG_API_KEY (with POSTHOG_HOST) names a PostHog project for the events,
    or OTEL_EXPORTER_OTLP_ENDPOINT a backend for traces and metrics.

    Exit code 1 when the estimate is not the bill, something did not arrive, or a system lacks a part of the one trace.
    """
    from rich.console import Console

    backends = Backends() if local else Backends.from_environ(os.environ)
    messages = Console(stderr=True, highlight=False)
    if not backends.events_are_local:
        messages.print(
            f"POSTHOG_API_KEY is set: several hundred events go to that project at {backends.posthog_host}. "
            "Ctrl-C stops; --local keeps them on this machine.",
            soft_wrap=True,
        )
    result = run_demonstration(os.environ, backends, ConsoleScreen(messages), requests=requests, seed=seed)
    if as_json:
        print_json(as_document(result))
    else:
        print_report(result, Console(highlight=False))
    if result.problems:
        messages.print(f"\nThe shop's log:\n{result.log or '(empty)'}", markup=False)
        ctx.exit(PROBLEM_FOUND)

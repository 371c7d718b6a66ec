"""The command ``genops-posthog``: one table of subcommands, each loaded only when it is called.

Exit codes: 0 for ok, 1 for a problem found, 2 for wrong use (arguments, settings, files). Errors of this package are
shown as one message and never as a traceback.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import click

from genops_otel_posthog.errors import GenOpsConfigurationError, GenOpsError, GenOpsValidationError
from genops_otel_posthog.version import __version__

PROBLEM_FOUND = 1
WRONG_USE = 2


class Subcommand(NamedTuple):
    """A subcommand that is not loaded yet.

    Attributes:
        target: ``module:attribute`` of the click command.
        help: Its line in ``genops-posthog --help``, which must not need the module.
        extra: The optional dependencies it needs, by the name of the extra.
    """

    target: str
    help: str
    extra: str | None = None


SUBCOMMANDS: Mapping[str, Subcommand] = MappingProxyType(
    {
        "audit": Subcommand("genops_otel_posthog.cli.audit:audit", "The audit trail: verify it, export it."),
        "budget": Subcommand("genops_otel_posthog.cli.budget:budget", "How budgets stand, and changing them."),
        "cost": Subcommand("genops_otel_posthog.cli.cost:cost", "What PostHog costs: estimate, forecast, compare."),
        "dashboards": Subcommand(
            "genops_otel_posthog.cli.dashboards:dashboards", "Dashboards and alert rules: list, write."
        ),
        "demo": Subcommand(
            "genops_otel_posthog.cli.demo:demo", "See it on this machine: an example shop and what it costs.", "demo"
        ),
        "dev": Subcommand("genops_otel_posthog.cli.dev:dev", "Run a local PostHog and OTLP receiver.", "receiver"),
        "doctor": Subcommand("genops_otel_posthog.cli.doctor:doctor", "Is this set up right, and if not, what to do."),
        "export": Subcommand("genops_otel_posthog.cli.export:export", "The ledger's usage for FinOps tools: focus."),
        "flags": Subcommand("genops_otel_posthog.cli.flags:flags", "Feature flags beside PostHog."),
        "ips": Subcommand("genops_otel_posthog.cli.ips:ips", "The addresses from which PostHog calls you."),
        "outbox": Subcommand("genops_otel_posthog.cli.outbox:outbox", "Events that are not delivered yet."),
        "setup": Subcommand("genops_otel_posthog.cli.setup:setup", "Questions, and a .env file that validates."),
        "usage": Subcommand("genops_otel_posthog.cli.usage:usage", "Real usage, from PostHog's billing API."),
        "rules": Subcommand("genops_otel_posthog.cli.rules:rules", "Which spans become which events: check, explain."),
    }
)


class _WrongUse(click.ClickException):
    exit_code = WRONG_USE


class _ProblemFound(click.ClickException):
    exit_code = PROBLEM_FOUND


class _LazyGroup(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(SUBCOMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        entry = SUBCOMMANDS.get(cmd_name)
        if entry is None:
            return None
        module, _, attribute = entry.target.partition(":")
        try:
            command = getattr(importlib.import_module(module), attribute)
        except ModuleNotFoundError as error:
            if entry.extra is None or error.name is None or error.name.startswith(__package__):
                raise
            raise click.ClickException(
                f"{cmd_name} needs {error.name}, which is not installed: "
                f"pip install 'genops-otel-posthog[{entry.extra}]'"
            ) from error
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.help) for name, entry in SUBCOMMANDS.items()])

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (GenOpsConfigurationError, GenOpsValidationError) as error:
            raise _WrongUse(str(error)) from error
        except GenOpsError as error:
            raise _ProblemFound(str(error)) from error


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="genops-posthog")
def main() -> None:
    """Cost, ownership and budgets for PostHog.

    Exit codes: 0 ok, 1 a problem was found, 2 wrong use.
    """

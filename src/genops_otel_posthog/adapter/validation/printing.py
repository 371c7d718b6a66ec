"""Findings for a person to read: the serious ones first, each with what to copy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genops_otel_posthog.adapter.validation.findings import ValidationLevel, ValidationResult

if TYPE_CHECKING:
    from rich.console import Console

_MARK = {
    ValidationLevel.SUCCESS: "[green]✓[/]",
    ValidationLevel.INFO: "[blue]i[/]",
    ValidationLevel.WARNING: "[yellow]![/]",
    ValidationLevel.ERROR: "[red]✗[/]",
}


def print_validation_result(
    result: ValidationResult, show_successes: bool = True, *, console: Console | None = None
) -> None:
    """Prints the findings for a person to read.

    Args:
        result: What :func:`validate_setup` returned.
        show_successes: Also print what is as it should be.
        console: Where to; standard output when not given.
    """
    from rich.console import Console as RichConsole
    from rich.markup import escape

    console = console or RichConsole(highlight=False)
    for finding in result.findings:
        if finding.level is ValidationLevel.SUCCESS and not show_successes:
            continue
        console.print(
            f"{_MARK[finding.level]} [bold]{escape(finding.component)}[/]: {escape(finding.issue)}", soft_wrap=True
        )
        if finding.recommendation:
            console.print(f"    {escape(finding.recommendation)}", soft_wrap=True)
        if finding.fix_command:
            # Unwrapped, so that what is copied from a narrow terminal is what was meant.
            console.print(f"    [cyan]{escape(finding.fix_command)}[/]", soft_wrap=True)
        if finding.documentation_link:
            console.print(f"    {finding.documentation_link}", soft_wrap=True)
    console.print(result.headline)

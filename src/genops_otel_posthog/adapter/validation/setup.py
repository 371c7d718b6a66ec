"""The whole validation: every check in order, one after the other, those that ask somebody last."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from genops_otel_posthog.adapter.validation.connection import validate_posthog_connection
from genops_otel_posthog.adapter.validation.costs import validate_cost_tracking_configuration
from genops_otel_posthog.adapter.validation.delivery import validate_delivery
from genops_otel_posthog.adapter.validation.dependencies import validate_sdk_dependencies
from genops_otel_posthog.adapter.validation.environment import validate_environment_config
from genops_otel_posthog.adapter.validation.findings import ValidationIssue, ValidationResult, info
from genops_otel_posthog.adapter.validation.integration import validate_genops_posthog_integration
from genops_otel_posthog.adapter.validation.obligations import validate_compliance

_Check = Callable[[Mapping[str, str], bool], list[ValidationIssue]]

#: What is checked, as it is told while it is: the environment and whether this process is the application go in.
_CHECKS: Final[tuple[tuple[str, _Check], ...]] = (
    ("installed packages", lambda environ, _: validate_sdk_dependencies(environ)),
    ("environment variables", lambda environ, _: validate_environment_config(environ)),
    ("price book, budgets and ledger", lambda environ, _: validate_cost_tracking_configuration(environ)),
    ("tracing", lambda environ, here: validate_genops_posthog_integration(environ, in_application=here)),
    ("outbox and destinations", lambda environ, _: validate_delivery(environ)),
    ("compliance", lambda environ, _: validate_compliance(environ)),
)
_ONLINE: Final[tuple[str, _Check]] = (
    "PostHog",
    lambda environ, _: validate_posthog_connection(environ=environ),
)


def validate_setup(
    verbose: bool = False,
    *,
    offline: bool = False,
    in_application: bool = True,
    environ: Mapping[str, str] | None = None,
    progress: Callable[[str], object] | None = None,
) -> ValidationResult:
    """Checks packages, environment, price book, budgets, ledger, tracing, outbox and the connection to PostHog.

    It makes one flag request, which PostHog counts, and takes some seconds where a server does not answer.

    Args:
        verbose: Also report what is worth knowing and neither right nor wrong.
        offline: Ask no PostHog. A ledger on a server is asked nevertheless.
        in_application: Whether this process is the application that is to be checked. Otherwise it is not missed here
            that there is no tracing.
        environ: The environment; that of the process when not given.
        progress: Told what is checked next, before it is.
    """
    environ = os.environ if environ is None else environ
    return ValidationResult.of(_findings(environ, offline, in_application, progress), verbose=verbose)


def _findings(
    environ: Mapping[str, str], offline: bool, in_application: bool, progress: Callable[[str], Any] | None
) -> Iterator[ValidationIssue]:
    for name, check in _CHECKS if offline else (*_CHECKS, _ONLINE):
        if progress is not None:
            progress(name)
        yield from check(environ, in_application)
    if offline:
        yield info("Connection", "PostHog was not asked.", "Ask it, too.", "genops-posthog doctor")


def get_setup_recommendations(
    result: ValidationResult | None = None, *, environ: Mapping[str, str] | None = None
) -> list[dict[str, str]]:
    """What to do next, the most urgent first: what is wrong, then what is missing.

    Args:
        result: What was found; without it, everything but PostHog is checked now.
        environ: The environment; that of the process when not given.

    Returns:
        For each: ``category``, ``recommendation``, ``command`` and ``priority`` (``high`` for errors, ``medium`` for
        warnings, ``low`` for the rest).
    """
    result = result or validate_setup(verbose=True, offline=True, environ=environ)
    order = {"error": "high", "warning": "medium", "info": "low"}
    found = [finding for finding in result.findings if finding.recommendation and finding.level.value in order]
    found.sort(key=lambda finding: list(order).index(finding.level.value))
    return [
        {
            "category": finding.component,
            "recommendation": f"{finding.issue} {finding.recommendation}",
            "command": finding.fix_command or "",
            "priority": order[finding.level.value],
        }
        for finding in found
    ]

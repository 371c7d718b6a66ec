"""Is this set up right? Real checks, each problem with what to do about it.

The connection check makes one real flag request, which PostHog counts as one unit of ``feature_flag_requests``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timezone
from enum import Enum
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from genops_otel_posthog.acceptance import project_key_problem
from genops_otel_posthog.errors import GenOpsConfigurationError
from genops_otel_posthog.settings import Settings

if TYPE_CHECKING:
    from rich.console import Console

_DOCUMENTATION = "https://posthog.com/docs/libraries/python"
_INSTALL = 'pip install "genops-otel-posthog[instruments]"'
_OLD_BOOK_DAYS = 183


class ValidationLevel(Enum):
    """How serious a finding is."""

    SUCCESS = "success"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True)
class ValidationIssue:
    """One finding.

    Attributes:
        level: How serious it is.
        component: What was checked.
        issue: What was found.
        recommendation: What to do; empty when there is nothing to do.
        fix_command: A command to copy, where there is one.
        documentation_link: Where to read on, where there is such a page.
    """

    level: ValidationLevel
    component: str
    issue: str
    recommendation: str = ""
    fix_command: str | None = None
    documentation_link: str | None = None


@dataclass(frozen=True)
class ValidationResult:
    """All findings of one validation.

    Attributes:
        findings: Every finding, in the order of the checks.
        validation_timestamp: When it was made, UTC.
    """

    findings: tuple[ValidationIssue, ...]
    validation_timestamp: datetime = field(default_factory=lambda: datetime.now(timezone.utc))

    def _at(self, level: ValidationLevel) -> tuple[ValidationIssue, ...]:
        return tuple(finding for finding in self.findings if finding.level is level)

    @property
    def issues(self) -> tuple[ValidationIssue, ...]:
        """Errors and warnings."""
        return self._at(ValidationLevel.ERROR) + self.warnings

    @property
    def warnings(self) -> tuple[ValidationIssue, ...]:
        """Warnings."""
        return self._at(ValidationLevel.WARNING)

    @property
    def successes(self) -> tuple[ValidationIssue, ...]:
        """What is as it should be."""
        return self._at(ValidationLevel.SUCCESS)

    @property
    def recommendations(self) -> tuple[str, ...]:
        """What to do, once each, most serious first."""
        return tuple(dict.fromkeys(finding.recommendation for finding in self.issues if finding.recommendation))

    @property
    def error_count(self) -> int:
        """Number of errors."""
        return len(self._at(ValidationLevel.ERROR))

    @property
    def warning_count(self) -> int:
        """Number of warnings."""
        return len(self.warnings)

    @property
    def has_errors(self) -> bool:
        """Whether anything will not work."""
        return self.error_count > 0

    @property
    def has_warnings(self) -> bool:
        """Whether anything works otherwise than expected."""
        return self.warning_count > 0

    @property
    def is_valid(self) -> bool:
        """Whether everything will work."""
        return not self.has_errors

    @property
    def overall_status(self) -> ValidationLevel:
        """The most serious level found."""
        if self.has_errors:
            return ValidationLevel.ERROR
        return ValidationLevel.WARNING if self.has_warnings else ValidationLevel.SUCCESS

    @property
    def summary(self) -> str:
        """One line."""
        return f"{len(self.successes)} ok, {self.warning_count} warnings, {self.error_count} errors"


def validate_setup(verbose: bool = False) -> ValidationResult:
    """Checks environment, SDK, price book, tracing and the connection to PostHog.

    Args:
        verbose: Also report what was found to be in order as information.
    """
    findings = [
        *validate_sdk(),
        *validate_environment_config(),
        *_validate_price_book(),
        *_validate_tracing(),
        *validate_posthog_connection(),
    ]
    if not verbose:
        findings = [finding for finding in findings if finding.level is not ValidationLevel.INFO]
    return ValidationResult(tuple(findings))


def validate_sdk() -> list[ValidationIssue]:
    """Checks that a supported PostHog SDK is installed."""
    try:
        installed = version("posthog")
    except PackageNotFoundError:
        return [
            ValidationIssue(
                ValidationLevel.ERROR,
                "PostHog SDK",
                "The PostHog SDK is not installed.",
                "Install it.",
                _INSTALL,
                _DOCUMENTATION,
            )
        ]
    if installed.split(".")[0] not in ("6", "7"):
        return [
            ValidationIssue(
                ValidationLevel.ERROR,
                "PostHog SDK",
                f"posthog {installed} is not supported; 6.0 up to, not including, 8 is.",
                "Install a supported version.",
                _INSTALL,
                _DOCUMENTATION,
            )
        ]
    return [ValidationIssue(ValidationLevel.SUCCESS, "PostHog SDK", f"posthog {installed} is installed.")]


def validate_environment_config() -> list[ValidationIssue]:
    """Checks the environment variables, among them the project key's form."""
    try:
        settings = Settings.from_environ(strict=True)
    except GenOpsConfigurationError as error:
        return [
            ValidationIssue(ValidationLevel.ERROR, "Environment", problem, "Correct or unset the variable.")
            for problem in str(error).splitlines()
        ]
    findings = [_key_finding(settings.api_key), _host_finding(settings.host)]
    if settings.team is None:
        findings.append(
            ValidationIssue(
                ValidationLevel.WARNING,
                "Attribution",
                "GENOPS_TEAM is not set, so cost has no owner unless the code names one.",
                "Name the team that answers for the cost.",
                "export GENOPS_TEAM=my-team",
            )
        )
    else:
        findings.append(
            ValidationIssue(ValidationLevel.SUCCESS, "Attribution", f"Cost belongs to team {settings.team}.")
        )
    return findings


def _host_finding(host: str) -> ValidationIssue:
    """The settings have refused what is no URL of a host."""
    name = urlsplit(host).hostname or host
    if name.endswith(".posthog.com"):
        return ValidationIssue(ValidationLevel.SUCCESS, "Host", f"{name} is PostHog's.")
    return ValidationIssue(ValidationLevel.INFO, "Host", f"{name} is not PostHog's cloud; is it yours, or a proxy?")


def _key_finding(key: str | None) -> ValidationIssue:
    if key is None:
        return ValidationIssue(
            ValidationLevel.ERROR,
            "Project key",
            "POSTHOG_API_KEY is not set.",
            "Copy the project key from PostHog: Settings, Project, Project API key.",
            "export POSTHOG_API_KEY=phc_…",
        )
    problem = project_key_problem(key)
    if problem is not None:
        return ValidationIssue(
            ValidationLevel.ERROR,
            "Project key",
            f"POSTHOG_API_KEY: {problem}",
            "Use the project key, which starts with phc_.",
        )
    if not key.startswith("phc_"):
        return ValidationIssue(
            ValidationLevel.WARNING,
            "Project key",
            "POSTHOG_API_KEY does not start with phc_.",
            "Check that it is a project key.",
        )
    return ValidationIssue(ValidationLevel.SUCCESS, "Project key", "POSTHOG_API_KEY has the form of a project key.")


def _validate_price_book() -> list[ValidationIssue]:
    from genops_otel_posthog.pricing.book import PriceBook

    settings = Settings.from_environ(strict=False)
    try:
        book = PriceBook.load(settings.price_book)
    except GenOpsConfigurationError as error:
        return [
            ValidationIssue(
                ValidationLevel.ERROR,
                "Price book",
                f"GENOPS_PRICE_BOOK={settings.price_book}: {error}",
                "Correct the file, or unset the variable to use the shipped book.",
            )
        ]
    age = (datetime.now(timezone.utc).date() - book.effective_from).days
    if age > _OLD_BOOK_DAYS:
        return [
            ValidationIssue(
                ValidationLevel.WARNING,
                "Price book",
                f"{book.name} holds the prices of {book.effective_from:%Y-%m-%d}, more than six months ago.",
                "Compare it with https://posthog.com/pricing and upgrade this package, or give your own book.",
            )
        ]
    return [ValidationIssue(ValidationLevel.SUCCESS, "Price book", f"{book.name} is in use.")]


def _validate_tracing() -> Iterator[ValidationIssue]:
    from opentelemetry import trace

    if isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
        yield ValidationIssue(
            ValidationLevel.WARNING,
            "Tracing",
            "No OpenTelemetry tracer provider is set up in this process, so spans go nowhere.",
            "Run the application under opentelemetry-instrument, or set a tracer provider before instrumenting.",
            "opentelemetry-instrument python app.py",
        )
    else:
        yield ValidationIssue(ValidationLevel.SUCCESS, "Tracing", "A tracer provider is set up.")


def validate_posthog_connection(api_key: str | None = None, host: str | None = None) -> list[ValidationIssue]:
    """Makes one real flag request with the key.

    Args:
        api_key: Project key; ``POSTHOG_API_KEY`` when not given.
        host: Ingestion host; ``POSTHOG_HOST`` when not given.
    """
    settings = Settings.from_environ(strict=False)
    key, target = api_key or settings.api_key, host or settings.host
    if not key:
        return [_key_finding(None)]
    try:
        from posthog.request import APIError, QuotaLimitError, determine_server_host, flags
    except ImportError:
        return validate_sdk()
    from opentelemetry.instrumentation.utils import suppress_instrumentation

    server = determine_server_host(target)
    try:
        with suppress_instrumentation():
            flags(key, server, timeout=5, distinct_id="genops-posthog-validation", groups={})
    except APIError as error:
        # The quota is answered with 402, or with 200 and a note that the SDK makes this error from.
        return [_refusal(402 if isinstance(error, QuotaLimitError) else error.status, server)]
    except OSError as error:  # every exception of requests is one, and each means that there was no answer
        return [
            ValidationIssue(
                ValidationLevel.ERROR,
                "Connection",
                f"{server} could not be reached ({type(error).__name__}).",
                "Check POSTHOG_HOST, the network and the proxy.",
                f"curl -sS -o /dev/null -w '%{{http_code}}' {server}/flags/",
            )
        ]
    return [ValidationIssue(ValidationLevel.SUCCESS, "Connection", f"{server} accepts the key.")]


def _refusal(status: object, server: str) -> ValidationIssue:
    if status == 401:
        return ValidationIssue(
            ValidationLevel.ERROR,
            "Connection",
            f"{server} refuses the key (401).",
            "Use the project key of a project on that host; keys of the US and the EU cloud are not the same.",
        )
    if status == 402:
        return ValidationIssue(
            ValidationLevel.WARNING,
            "Connection",
            f"{server} accepts the key but the organisation's quota of flag requests is used up.",
            "Raise the billing limit in PostHog, or evaluate flags locally.",
        )
    return ValidationIssue(
        ValidationLevel.ERROR,
        "Connection",
        f"{server} answered {status}.",
        "Check POSTHOG_HOST; see https://status.posthog.com.",
    )


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
        console.print(f"{_MARK[finding.level]} [bold]{finding.component}[/]: {escape(finding.issue)}")
        if finding.recommendation:
            console.print(f"    {escape(finding.recommendation)}")
        if finding.fix_command:
            console.print(f"    [cyan]{escape(finding.fix_command)}[/]")
    console.print(result.summary)

"""What a check found: how serious it is, what is the matter, what to do, and what to copy."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timezone
from enum import Enum
from typing import Any


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
        issue: What was found. At most four characters at each end of a key are shown, of other secrets none.
        recommendation: What to do; empty when there is nothing to do.
        fix_command: What to copy: a command, or a line of code. Every warning and every error has one.
        documentation_link: Where to read on, where there is such a page.
    """

    level: ValidationLevel
    component: str
    issue: str
    recommendation: str = ""
    fix_command: str | None = None
    documentation_link: str | None = None

    def as_document(self) -> dict[str, str | None]:
        """The finding as JSON has it."""
        return {
            "level": self.level.value,
            "component": self.component,
            "issue": self.issue,
            "recommendation": self.recommendation or None,
            "fix_command": self.fix_command,
            "documentation_link": self.documentation_link,
        }


def success(component: str, issue: str) -> ValidationIssue:
    """Something is as it should be."""
    return ValidationIssue(ValidationLevel.SUCCESS, component, issue)


def info(component: str, issue: str, recommendation: str = "", fix: str | None = None) -> ValidationIssue:
    """Something that is worth knowing."""
    return ValidationIssue(ValidationLevel.INFO, component, issue, recommendation, fix)


def warning(component: str, issue: str, recommendation: str, fix: str, link: str | None = None) -> ValidationIssue:
    """Something works otherwise than expected."""
    return ValidationIssue(ValidationLevel.WARNING, component, issue, recommendation, fix, link)


def error(component: str, issue: str, recommendation: str, fix: str, link: str | None = None) -> ValidationIssue:
    """Something does not work."""
    return ValidationIssue(ValidationLevel.ERROR, component, issue, recommendation, fix, link)


@dataclass(frozen=True)
class ValidationResult:
    """All findings of one validation.

    Attributes:
        findings: Every finding, in the order of the checks.
        validation_timestamp: When it was made, UTC.
    """

    findings: tuple[ValidationIssue, ...]
    validation_timestamp: datetime = field(default_factory=lambda: datetime.now(timezone.utc))

    @classmethod
    def of(cls, findings: Iterable[ValidationIssue], *, verbose: bool) -> ValidationResult:
        """The result of these findings; those for information only where ``verbose``."""
        return cls(tuple(found for found in findings if verbose or found.level is not ValidationLevel.INFO))

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
    def summary(self) -> dict[str, Any]:
        """The findings in figures: ``total_issues``, ``error_count``, ``warning_count``, ``success_count``,
        ``components_validated`` and ``is_ready_for_production`` (neither errors nor warnings)."""
        return {
            "total_issues": len(self.findings),
            "error_count": self.error_count,
            "warning_count": self.warning_count,
            "success_count": len(self.successes),
            "components_validated": len({finding.component for finding in self.findings}),
            "is_ready_for_production": not self.issues,
        }

    @property
    def headline(self) -> str:
        """The findings in one line: ``6 ok, 1 warning, 0 errors``."""
        warnings, errors = self.warning_count, self.error_count
        return (
            f"{len(self.successes)} ok, {warnings} warning{'' if warnings == 1 else 's'}, "
            f"{errors} error{'' if errors == 1 else 's'}"
        )

    def as_document(self) -> dict[str, Any]:
        """The result as JSON has it."""
        return {
            "is_valid": self.is_valid,
            "overall_status": self.overall_status.value,
            "summary": self.summary,
            "findings": [finding.as_document() for finding in self.findings],
            "recommendations": list(self.recommendations),
            "validation_timestamp": self.validation_timestamp.isoformat(),
        }

"""A result in figures, and every problem with something to copy."""

from __future__ import annotations

import json

import pytest

from genops_otel_posthog.adapter.validation import ValidationIssue, ValidationLevel, ValidationResult

OK, INFO, WARNING, ERROR = (
    ValidationLevel.SUCCESS,
    ValidationLevel.INFO,
    ValidationLevel.WARNING,
    ValidationLevel.ERROR,
)
RESULT = ValidationResult(
    (
        ValidationIssue(WARNING, "a", "odd", "Look at it.", "look"),
        ValidationIssue(ERROR, "b", "wrong", "Mend it.", "mend"),
        ValidationIssue(ERROR, "b", "wrong too", "Mend it.", "mend", "https://example.com"),
        ValidationIssue(OK, "d", "right"),
        ValidationIssue(INFO, "e", "by the way"),
    )
)

pytestmark = pytest.mark.requirement("S4-64")


def test_it_has_every_field_of_the_guide() -> None:
    fields = (
        "is_valid overall_status issues warnings successes recommendations summary validation_timestamp has_errors "
        "has_warnings error_count warning_count"
    )
    assert [name for name in fields.split() if not hasattr(RESULT, name)] == []
    assert {level.name for level in ValidationLevel} == {"SUCCESS", "INFO", "WARNING", "ERROR"}


def test_it_counts() -> None:
    assert (RESULT.error_count, RESULT.warning_count, RESULT.overall_status) == (2, 1, ERROR)
    assert (RESULT.has_errors, RESULT.has_warnings, RESULT.is_valid) == (True, True, False)
    assert RESULT.summary == {
        "total_issues": 5,
        "error_count": 2,
        "warning_count": 1,
        "success_count": 1,
        "components_validated": 4,
        "is_ready_for_production": False,
    }
    assert RESULT.headline == "1 ok, 1 warning, 2 errors"


def test_issues_are_what_is_wrong_the_errors_first() -> None:
    assert [issue.issue for issue in RESULT.issues] == ["wrong", "wrong too", "odd"]


def test_recommendations_come_once_each_and_errors_first() -> None:
    assert RESULT.recommendations == ("Mend it.", "Look at it.")


def test_nothing_wrong_is_ready_for_production() -> None:
    result = ValidationResult((ValidationIssue(OK, "d", "right"), ValidationIssue(INFO, "e", "by the way")))

    assert (result.is_valid, result.overall_status) == (True, OK)
    assert result.summary["is_ready_for_production"] is True
    assert result.headline == "1 ok, 0 warnings, 0 errors"


def test_warnings_alone_are_valid_and_not_ready() -> None:
    result = ValidationResult((ValidationIssue(WARNING, "a", "odd", "Look at it.", "look"),))

    assert (result.is_valid, result.overall_status, result.summary["is_ready_for_production"]) == (True, WARNING, False)


def test_its_time_is_aware() -> None:
    assert RESULT.validation_timestamp.utcoffset() is not None


def test_json_has_all_of_it() -> None:
    document = json.loads(json.dumps(RESULT.as_document()))

    assert document["findings"][2] == {
        "level": "error",
        "component": "b",
        "issue": "wrong too",
        "recommendation": "Mend it.",
        "fix_command": "mend",
        "documentation_link": "https://example.com",
    }
    assert (document["is_valid"], document["overall_status"]) == (False, "error")

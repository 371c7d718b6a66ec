"""Compliance: what the tags of the environment need is there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from genops_otel_posthog.adapter.compliance import AuditTrail
from genops_otel_posthog.adapter.validation import ValidationLevel, validate_compliance, validate_setup

OK, INFO, WARNING, ERROR = (
    ValidationLevel.SUCCESS,
    ValidationLevel.INFO,
    ValidationLevel.WARNING,
    ValidationLevel.ERROR,
)
GDPR = "compliance_framework=gdpr,consent_required=true,data_classification=personal"
SOX = "compliance_framework=sox,audit_trail_required=true,financial_reporting=true"
A_KEY = "a key of a test that is long enough"


@pytest.fixture
def found(findings: Any, environ: dict[str, str], tmp_path: Path) -> Callable[..., Any]:
    """The findings, with files below ``kept`` and what is added."""
    environ |= {
        "GENOPS_AUDIT_PATH": str(tmp_path / "kept" / "audit"),
        "GENOPS_CONSENT_PATH": str(tmp_path / "kept" / "consent.sqlite3"),
    }
    return lambda **added: findings(validate_compliance({**environ, **added}))


def test_without_such_tags_there_is_nothing_to_check(found: Callable[..., Any]) -> None:
    assert [finding.level for finding in found(GENOPS_TAGS="tier=gold")] == [INFO]


def test_what_is_in_order_is_said_and_nothing_is_made(found: Callable[..., Any], tmp_path: Path) -> None:
    keys = {"GENOPS_AUDIT_KEY": A_KEY, "GENOPS_PSEUDONYM_KEY": A_KEY}
    told = found(GENOPS_TAGS=f"{GDPR},{SOX.partition(',')[2]}", **keys)

    assert {finding.level for finding in told} == {OK, INFO}
    assert {finding.component for finding in told} == {"Compliance", "Audit trail", "Consent"}
    assert not (tmp_path / "kept").exists()
    assert A_KEY not in repr(told)


def test_a_tag_that_cannot_be_read_is_an_error(found: Callable[..., Any]) -> None:
    told = found(GENOPS_TAGS="consent_required=perhaps").one("Compliance")

    assert told.level is ERROR
    assert "consent_required='perhaps'" in told.issue


def test_tags_that_contradict_each_other_are_a_warning(found: Callable[..., Any]) -> None:
    told = found(GENOPS_TAGS="compliance_framework=sox,audit_trail_required=false").about("Compliance")

    assert [finding.level for finding in told if finding.level is not INFO] == [WARNING]


def test_a_trail_without_a_key_is_a_warning_with_the_command_that_makes_one(found: Callable[..., Any]) -> None:
    told, made = found(GENOPS_TAGS=SOX).about("Audit trail")

    assert (told.level, made.level) == (WARNING, OK)
    assert told.fix_command == "export GENOPS_AUDIT_KEY=$(openssl rand -hex 32)"


def test_people_without_pseudonyms_are_for_information(found: Callable[..., Any]) -> None:
    assert found(GENOPS_TAGS=GDPR).one("Pseudonyms").level is INFO


def test_a_trail_that_is_there_is_read(found: Callable[..., Any], tmp_path: Path) -> None:
    trail = AuditTrail(tmp_path / "kept" / "audit", key=A_KEY)
    for _ in range(3):
        trail.append("capture", "sent", event="paid")
    good = found(GENOPS_TAGS=SOX, GENOPS_AUDIT_KEY=A_KEY).one("Audit trail")
    file = trail.directory / "trail.jsonl"
    file.write_bytes(file.read_bytes().replace(b"paid", b"free"))
    bad = found(GENOPS_TAGS=SOX, GENOPS_AUDIT_KEY=A_KEY).one("Audit trail")

    assert (good.level, bad.level) == (OK, ERROR)
    assert "3 entries" in good.issue
    assert "Entry 1 is not what was written" in bad.issue


def test_places_that_cannot_be_used_are_errors(found: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("a file where a directory should be")
    told = found(GENOPS_TAGS=f"{GDPR},audit_trail_required=true", GENOPS_AUDIT_KEY=A_KEY)

    assert (told.one("Audit trail").level, told.one("Consent").level) == (ERROR, ERROR)


def test_the_whole_validation_asks_for_it(environ: dict[str, str]) -> None:
    result = validate_setup(offline=True, environ={**environ, "GENOPS_TAGS": "consent_required=perhaps"})

    assert "Compliance" in {finding.component for finding in result.issues}

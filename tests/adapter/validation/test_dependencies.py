"""The packages: there, supported, of one release."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError
from typing import Any

import pytest

from genops_otel_posthog import GenOpsConfigurationError, auto_instrument
from genops_otel_posthog.adapter.validation import (
    ValidationIssue,
    ValidationLevel,
    dependencies,
    validate_sdk,
    validate_sdk_dependencies,
)

OK, INFO, WARNING, ERROR = (
    ValidationLevel.SUCCESS,
    ValidationLevel.INFO,
    ValidationLevel.WARNING,
    ValidationLevel.ERROR,
)
INSTALLED = {"posthog": "7.91.1", "opentelemetry-api": "1.45.1", "opentelemetry-sdk": "1.45.1"}

pytestmark = pytest.mark.requirement("S4-64")


@pytest.fixture
def with_versions(monkeypatch: pytest.MonkeyPatch, findings: Any) -> Any:
    """The findings where other versions are installed; ``None``: not at all."""

    def with_versions(**versions: str | None) -> Any:
        present = INSTALLED | {name.replace("_", "-"): version for name, version in versions.items()}

        def version(name: str) -> str:
            found = present[name]
            if found is None:
                raise PackageNotFoundError(name)
            return found

        monkeypatch.setattr(dependencies, "version", version)
        return findings(validate_sdk_dependencies({}))

    return with_versions


def test_what_is_installed_here_is_supported(findings: Any) -> None:
    found = findings(validate_sdk_dependencies({}))

    assert found.about("PostHog SDK")[0].level is OK
    assert found.one("OpenTelemetry").level is OK


def test_without_the_sdk_it_says_what_to_install(with_versions: Any) -> None:
    found = with_versions(posthog=None).one("PostHog SDK")

    assert (found.level, found.fix_command) == (ERROR, 'pip install "genops-otel-posthog[instruments]"')


@pytest.mark.parametrize("version", ["5.4.0", "8.0.0"])
def test_an_sdk_that_is_not_supported_is_an_error(with_versions: Any, version: str) -> None:
    found: ValidationIssue = with_versions(posthog=version).about("PostHog SDK")[0]

    assert found.level is ERROR
    assert found.issue.startswith(f"posthog {version} is not supported")


@pytest.mark.parametrize(
    ("version", "level"), [("7.22.0", OK), ("7.22.1", WARNING), ("7.22.2", WARNING), ("7.22.3", OK), ("6.0.0", OK)]
)
def test_an_sdk_that_asks_too_often_is_a_warning(with_versions: Any, version: str, level: ValidationLevel) -> None:
    assert with_versions(posthog=version).about("PostHog SDK")[0].level is level


def test_an_sdk_that_works_with_a_remark_is_instrumented_all_the_same(
    with_versions: Any, providers: dict[str, object]
) -> None:
    with_versions(posthog="7.22.1")

    assert validate_sdk()[0].fix_command is not None
    assert auto_instrument(team="checkout", **providers).team == "checkout"


def test_an_sdk_that_is_not_supported_is_not_instrumented(with_versions: Any) -> None:
    with_versions(posthog="8.0.0")

    with pytest.raises(GenOpsConfigurationError, match=r"posthog 8\.0\.0 is not supported"):
        auto_instrument()


@pytest.mark.parametrize(("version", "remarks"), [("7.3.0", 1), ("7.3.1", 0)])
def test_an_sdk_that_downloads_definitions_anew_is_remarked_on(with_versions: Any, version: str, remarks: int) -> None:
    found = with_versions(posthog=version).about("PostHog SDK")

    assert sum(finding.level is INFO for finding in found) == remarks


def test_opentelemetry_of_two_releases_is_a_warning(with_versions: Any) -> None:
    found = with_versions(opentelemetry_sdk="1.44.0").one("OpenTelemetry")

    assert found.level is WARNING
    assert "opentelemetry-api 1.45.1 and opentelemetry-sdk 1.44.0" in found.issue


def test_without_the_sdk_of_opentelemetry_there_are_no_spans(with_versions: Any) -> None:
    found = with_versions(opentelemetry_sdk=None).one("OpenTelemetry")

    assert (found.level, (found.fix_command or "")[:11]) == (WARNING, "pip install")


@pytest.mark.parametrize(
    ("variable", "value", "module", "extra"),
    [
        ("GENOPS_LEDGER_URL", "redis://localhost", "redis", "redis"),
        ("GENOPS_LEDGER_URL", "valkey://localhost", "redis", "redis"),
        ("GENOPS_DATABASE_URL", "sqlite:///events.sqlite3", "sqlalchemy", "database"),
    ],
)
def test_a_setting_that_needs_an_extra_says_which(
    monkeypatch: pytest.MonkeyPatch, findings: Any, variable: str, value: str, module: str, extra: str
) -> None:
    real = dependencies.find_spec
    monkeypatch.setattr(dependencies, "find_spec", lambda name: None if name == module else real(name))

    found = findings(validate_sdk_dependencies({variable: value})).one("Packages")

    assert (found.level, found.fix_command) == (ERROR, f'pip install "genops-otel-posthog[{extra}]"')

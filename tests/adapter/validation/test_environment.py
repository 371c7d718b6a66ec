"""The environment variables: values, names, the key's form, the host, the owner."""

from __future__ import annotations

import re
from typing import Any

import pytest

from genops_otel_posthog.adapter.validation import ValidationLevel, validate_environment_config
from genops_otel_posthog.settings import values

KEY = "phc_0123456789abcdefghijklmnopqrstuvwxyz"
PERSONAL_KEY = "phx_0123456789abcdefghijklmnopqrstuvwxyz"
OK, INFO, WARNING, ERROR = (
    ValidationLevel.SUCCESS,
    ValidationLevel.INFO,
    ValidationLevel.WARNING,
    ValidationLevel.ERROR,
)
GOOD = {"POSTHOG_API_KEY": KEY, "GENOPS_TEAM": "checkout", "GENOPS_PROJECT": "web-shop"}

pytestmark = pytest.mark.requirement("S4-62")


@pytest.fixture(autouse=True)
def nothing_said_before() -> None:
    values.warn_once.forget()


@pytest.fixture
def about(findings: Any) -> Any:
    """The only finding about a component, in an environment."""

    def about(component: str, environ: dict[str, str]) -> Any:
        return findings(validate_environment_config(environ)).one(component)

    return about


def test_the_environment_of_the_process_is_read(monkeypatch: pytest.MonkeyPatch, findings: Any) -> None:
    monkeypatch.setenv("POSTHOG_API_KEY", KEY)

    assert findings(validate_environment_config()).one("Project key").level is OK


def test_a_good_environment_has_nothing_to_be_done() -> None:
    assert [found.level for found in validate_environment_config(GOOD)] == [OK, OK, OK]


# --- the key ------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("S0-34")
def test_without_a_key_it_says_where_to_find_one(about: Any) -> None:
    found = about("Project key", {})

    assert (found.level, found.fix_command) == (ERROR, "export POSTHOG_API_KEY=phc_…")
    assert "Settings" in found.recommendation


@pytest.mark.requirement("D-31", "E-30")
def test_a_personal_key_is_an_error_that_does_not_repeat_it(about: Any) -> None:
    found = about("Project key", {**GOOD, "POSTHOG_API_KEY": PERSONAL_KEY})

    assert found.level is ERROR
    assert "personal API key" in found.issue
    assert PERSONAL_KEY[4:-4] not in str(found)


@pytest.mark.requirement("D-31")
@pytest.mark.parametrize("key", ["ph_0123456789", "your-posthog-api-key-here", "phc_your_project_api_key"])
def test_a_key_of_another_form_is_a_warning(about: Any, key: str) -> None:
    assert about("Project key", {**GOOD, "POSTHOG_API_KEY": key}).level is WARNING


def test_of_a_key_that_is_right_eight_characters_are_shown(about: Any) -> None:
    assert about("Project key", GOOD).issue == "POSTHOG_API_KEY (phc_…wxyz) has the form of a project key."


# --- the host -----------------------------------------------------------------------------------------------------


@pytest.mark.requirement("D-32")
@pytest.mark.parametrize(
    "host",
    [
        "https://us.i.posthog.com",
        "https://eu.i.posthog.com",
        "https://us.posthog.com",
        "https://eu.posthog.com",
        "https://app.posthog.com",
        "app.posthog.com",
    ],
)
def test_posthog_s_own_hosts_are_known(about: Any, host: str) -> None:
    assert about("Host", {**GOOD, "POSTHOG_HOST": host}).level is OK


@pytest.mark.requirement("D-32")
@pytest.mark.parametrize(
    ("host", "level"),
    [
        ("https://events.example.com", INFO),
        ("http://localhost:8000", INFO),
        ("http://events.example.com", WARNING),
        ("https://us-assets.i.posthog.com", WARNING),
        ("ftp://eu.i.posthog.com", ERROR),
        ("posthog", ERROR),
    ],
)
def test_other_hosts_are_for_information_or_wrong(about: Any, host: str, level: ValidationLevel) -> None:
    assert about("Host", {**GOOD, "POSTHOG_HOST": host}).level is level


def test_a_host_without_tls_is_mended_by_an_s(about: Any) -> None:
    found = about("Host", {**GOOD, "POSTHOG_HOST": "http://events.example.com:8000"})

    assert found.fix_command == "export POSTHOG_HOST=https://events.example.com:8000"


# --- the rest -----------------------------------------------------------------------------------------------------


@pytest.mark.requirement("S0-34")
def test_a_switch_that_is_off_is_a_warning(about: Any) -> None:
    found = about("Environment", {**GOOD, "POSTHOG_ENABLE": "false"})

    assert (found.level, found.fix_command) == (WARNING, "unset POSTHOG_ENABLE")


def test_cost_without_a_team_is_a_warning(about: Any) -> None:
    found = about("Attribution", {"POSTHOG_API_KEY": KEY})

    assert (found.level, found.fix_command) == (WARNING, "export GENOPS_TEAM=my-team")


def test_each_wrong_value_is_an_error_of_its_own_with_one_that_would_do(findings: Any) -> None:
    found = findings(
        validate_environment_config({**GOOD, "GENOPS_PRICING_MODE": "cheap", "GENOPS_SPANS": "pageviews"})
    ).about("Environment")

    assert [finding.level for finding in found] == [ERROR, ERROR]
    assert sorted(re.split(r"[= ]", finding.issue)[0] for finding in found) == ["GENOPS_PRICING_MODE", "GENOPS_SPANS"]
    assert {finding.fix_command for finding in found} == {
        "export GENOPS_PRICING_MODE=list",
        "export GENOPS_SPANS=capture,flags",
    }


def test_a_secret_that_cannot_be_used_is_not_repeated(findings: Any) -> None:
    found = validate_environment_config({**GOOD, "GENOPS_LEDGER_URL": "http://:hunter2@ledger"})

    assert ERROR in {finding.level for finding in found}
    assert "hunter2" not in str(found)


@pytest.mark.parametrize(
    ("name", "fix"),
    [
        ("GENOPS_TAEM", 'export GENOPS_TEAM="$GENOPS_TAEM"; unset GENOPS_TAEM'),
        ("POSTHOG_PROJECT_API_KEY", 'export POSTHOG_API_KEY="$POSTHOG_PROJECT_API_KEY"; unset POSTHOG_PROJECT_API_KEY'),
        ("GENOPS_ZZZZ", "unset GENOPS_ZZZZ"),
    ],
)
def test_a_misspelt_name_is_a_warning_with_the_one_that_was_meant(about: Any, name: str, fix: str) -> None:
    found = about("Environment", {name: "x", "GENOPS_PROJECT": "web-shop"})

    assert (found.level, found.fix_command) == (WARNING, fix)

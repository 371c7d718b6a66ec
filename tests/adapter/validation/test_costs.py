"""The price book, the budgets and the alerts."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pytest

from genops_otel_posthog.adapter.validation import ValidationLevel, validate_cost_tracking_configuration

OK, INFO, WARNING, ERROR = (
    ValidationLevel.SUCCESS,
    ValidationLevel.INFO,
    ValidationLevel.WARNING,
    ValidationLevel.ERROR,
)
BOOK = """\
name: negotiated
effective_from: 2026-01-01
currency: USD
sources: ["https://example.com/contract"]
rates:
  events:
    unit: event
    tiers:
      - {up_to: null, price: "0.00004"}
"""

pytestmark = pytest.mark.requirement("S4-64")


@pytest.fixture
def about(findings: Any, environ: dict[str, str]) -> Any:
    """The findings about a component in the good environment and what is added to it."""

    def about(component: str, today: date | None = None, **added: str) -> Any:
        return findings(validate_cost_tracking_configuration({**environ, **added}, today=today)).about(component)

    return about


@pytest.mark.parametrize(("day", "level"), [(date(2026, 7, 3), OK), (date(2026, 7, 4), WARNING)])
def test_a_price_book_of_more_than_half_a_year_ago_is_a_warning(
    about: Any, tmp_path: Path, day: date, level: ValidationLevel
) -> None:
    path = tmp_path / "negotiated.yaml"
    path.write_text(BOOK, encoding="utf-8")

    (found,) = about("Price book", day, GENOPS_PRICE_BOOK=str(path))

    assert found.level is level
    assert "the prices of 2026-01-01" in found.issue


def test_a_broken_price_book_is_an_error_with_its_line(about: Any, tmp_path: Path) -> None:
    path = tmp_path / "negotiated.yaml"
    path.write_text(BOOK.replace("unit:", "unt:"), encoding="utf-8")

    (found,) = about("Price book", GENOPS_PRICE_BOOK=str(path))

    assert (found.level, found.fix_command) == (ERROR, "unset GENOPS_PRICE_BOOK")
    assert "negotiated.yaml:7" in found.issue


def test_without_a_budget_that_is_for_information(about: Any) -> None:
    (found,) = about("Budgets")

    assert (found.level, found.fix_command) == (INFO, "export GENOPS_DAILY_BUDGET_LIMIT=20")


def test_budgets_are_named_with_the_policy(about: Any) -> None:
    (found,) = about("Budgets", GENOPS_DAILY_BUDGET_LIMIT="20", GENOPS_GOVERNANCE_POLICY="enforced")

    assert found.level is OK
    assert found.issue == "1 budget (daily:team=checkout,project=web-shop), policy enforced."


def test_every_mistake_of_a_budgets_file_is_an_error_of_its_own(about: Any, tmp_path: Path) -> None:
    path = tmp_path / "budgets.toml"
    path.write_text("[[budget]]\nid = 'a'\n\n[[budget]]\nlimit = -1\nid = 'b'\n", encoding="utf-8")

    found = about("Budgets", GENOPS_BUDGETS_FILE=str(path))

    assert [finding.level for finding in found] == [ERROR, ERROR]
    assert all(str(path) in finding.issue for finding in found)


def test_that_nobody_is_told_is_for_information(about: Any) -> None:
    (found,) = about("Alerts", GENOPS_DAILY_BUDGET_LIMIT="20")

    assert found.level is INFO


def test_of_a_webhook_no_more_than_the_host_is_shown(about: Any) -> None:
    (found,) = about(
        "Alerts",
        GENOPS_DAILY_BUDGET_LIMIT="20",
        GENOPS_ALERT_WEBHOOK="https://hooks.slack.com/services/T0/B0/secret",
    )

    assert found.level is OK
    assert "https://hooks.slack.com" in found.issue
    assert "secret" not in found.issue


def test_a_webhook_without_a_budget_is_a_warning(about: Any) -> None:
    (found,) = about("Alerts", GENOPS_ALERT_WEBHOOK="https://alerts.example.com")

    assert found.level is WARNING


def test_a_secret_that_signs_nothing_is_an_error_and_not_shown(about: Any) -> None:
    (found,) = about(
        "Alerts", GENOPS_ALERT_WEBHOOK="https://alerts.example.com", GENOPS_ALERT_SECRET="hunter2-hunter2-hunter2"
    )

    assert found.level is ERROR
    assert "hunter2" not in found.issue

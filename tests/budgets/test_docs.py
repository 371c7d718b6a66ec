"""The page on budgets does what it says. Its Python is run with that of all pages, in tests/test_documentation.py."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from genops_otel_posthog.attribution.owner import Attribution
from genops_otel_posthog.budgets.budget_file import load_budget_file
from genops_otel_posthog.budgets.budget_set import BudgetSet
from genops_otel_posthog.budgets.environment_budgets import warn_once
from genops_otel_posthog.errors import GenOpsConfigurationError
from genops_otel_posthog.settings import Settings

pytestmark = pytest.mark.docs

PAGE = (Path(__file__).parents[2] / "docs" / "budgets.md").read_text(encoding="utf-8")


def block(language):
    (text,) = re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    return text


@pytest.fixture
def budgets_toml(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path / "budgets.toml"


def test_the_file_of_the_page_can_be_read(budgets_toml):
    budgets_toml.write_text(block("toml"), encoding="utf-8")
    budgets = load_budget_file("budgets.toml").budgets
    assert [budget.id for budget in budgets] == ["organisation", "checkout-daily", "acme-trial", "flag-requests"]
    assert budgets[3].shown(budgets[3].amount) == "1,000,000 feature_flag_requests"


def test_the_mistakes_of_the_page_are_told_as_it_says(budgets_toml):
    budgets_toml.write_text(block("toml wrong"), encoding="utf-8")
    with pytest.raises(GenOpsConfigurationError) as caught:
        load_budget_file("budgets.toml")
    assert f"{caught.value}\n" == block("text")


def test_every_key_of_an_entry_is_in_the_table(budgets_toml):
    budgets_toml.write_text("[[budget]]\nid = 'b'\nlimit = 1\ncolour = 'red'\n", encoding="utf-8")
    with pytest.raises(GenOpsConfigurationError) as caught:
        load_budget_file("budgets.toml")
    keys = str(caught.value).partition("known are ")[2].split(", ")
    assert len(keys) > 10
    named = {name for line in PAGE.splitlines() if line.startswith("| `") for name in re.findall("`([a-z_]+)`", line)}
    assert set(keys) <= named


@pytest.mark.parametrize("number", [0, 1])
def test_the_environments_of_the_page_are_read(number, caplog):
    warn_once.forget()
    blocks = re.findall(r"^```sh\n(GENOPS_.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    environ = dict(line.split("=", 1) for line in blocks[number].splitlines())
    environ.setdefault("GENOPS_DAILY_BUDGET_LIMIT", "20")
    environ.setdefault("GENOPS_MONTHLY_BUDGET_LIMIT", "400")
    budgets = BudgetSet.from_settings(Settings.from_environ(environ))
    owner = Attribution(team=environ.get("GENOPS_TEAM"), project=environ.get("GENOPS_PROJECT"))
    assert len(budgets.matching(owner)) == len(budgets) == 2 + number
    assert len(caplog.records) == number

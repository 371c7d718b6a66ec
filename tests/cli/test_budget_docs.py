"""The page on the commands says what they print."""

from __future__ import annotations

import getpass
import json
import re
import shlex
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from click.testing import CliRunner

from genops_otel_posthog.budgets.budget_file import BudgetFile
from genops_otel_posthog.cli import main
from genops_otel_posthog.receiver import LocalReceiver
from genops_otel_posthog.settings import Settings

pytestmark = pytest.mark.docs

PAGE = (Path(__file__).parents[2] / "docs" / "budget-commands.md").read_text(encoding="utf-8")
FENCE = re.compile(r"^```(\w+)(?: file=(\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
OVERRIDE = re.compile(r"\bo-[0-9a-f]{8}\b")
OVERVIEW: dict[str, Any] = {
    "billing_period": {"current_period_start": "2026-11-01T00:00:00Z", "current_period_end": "2026-12-01T00:00:00Z"},
    "current_total_amount_usd": "254.46",
    "usage_summary": {
        "events": {"usage": 3_120_000},
        "enhanced_persons_events": {"usage": 1_480_000},
        "feature_flag_requests": {"usage": 420_000},
        "recordings": {"usage": 21_000},
    },
    "products": [
        {
            "type": "product_analytics",
            "subscribed": True,
            "current_amount_usd": "183.46",
            "current_amount_usd_before_addons": "88.42",
            "addons": [{"type": "enhanced_persons", "subscribed": True, "current_amount_usd": "95.04"}],
        },
        {"type": "session_replay", "subscribed": True, "current_amount_usd": "71.00"},
        {"type": "feature_flags", "subscribed": True, "current_amount_usd": "0.00"},
    ],
}


class Example(NamedTuple):
    """One command of the page, and what it prints there."""

    command: str
    output: str


EXAMPLES = [
    Example(*text.removeprefix("$ ").split("\n", 1)) for kind, _, text in FENCE.findall(PAGE) if kind == "console"
]


@pytest.fixture
def posthog(monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalReceiver]:
    with LocalReceiver() as receiver:
        receiver.fail(path="/api/billing", status=200, body=json.dumps(OVERVIEW))
        monkeypatch.setenv("POSTHOG_HOST", receiver.url)
        monkeypatch.setenv("POSTHOG_PERSONAL_API_KEY", "phx_example")
        yield receiver


@pytest.fixture
def run(
    house: Any, clock: Any, configure: Callable[[str], None], posthog: LocalReceiver, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], str]:
    """Runs a command of the page where the page says it is, and names people and things as the page does."""
    [toml] = [text for _, file, text in FENCE.findall(PAGE) if file == "budgets.toml"]
    configure(toml)
    monkeypatch.setenv("GENOPS_LEDGER_URL", house.url)
    budgets = {budget.id: budget for budget in BudgetFile.from_settings(Settings.from_environ()).budgets}
    for day, events in (("20", 301_000), ("21", 400_000), ("22", 284_100)):
        clock.set(f"2026-11-{day}T12:00")
        house.spend(budgets["checkout-daily"], events, lease=250_000_000 if day == "22" else 0)
    house.spend(budgets["organisation"], 2_054_900)
    known = {"identified_events": 1_210_000, "feature_flag_requests": 431_000}
    house.ledger.raise_usage("2026-11", known, actor="process-1", note="counted")
    names: dict[str, str] = {}

    def run(command: str) -> str:
        for shown, real in names.items():
            command = command.replace(shown, real)
        program, *arguments = shlex.split(command)
        assert program == "genops-posthog"
        printed = CliRunner().invoke(main, arguments).output
        for real in OVERRIDE.findall(printed):
            if real not in names.values():
                names["o-1f0c9a3e"] = real
        for shown, real in names.items():
            printed = printed.replace(real, shown)
        printed = printed.replace(f"{getpass.getuser()}@{socket.gethostname()}", "anna@shop-1")
        return re.sub(r"^Asking .*\n", "", printed.replace(posthog.url, "https://us.posthog.com"), flags=re.MULTILINE)

    return run


def words(text: str) -> list[list[str]]:
    """Lines that say something, without their alignment: tables are as wide as their contents."""
    return [line.split() for line in text.splitlines() if line.strip(" ─")]


def test_the_commands_print_what_the_page_says(run: Callable[[str], str]):
    for example in EXAMPLES:
        assert words(run(example.command)) == words(example.output), example.command


@pytest.mark.parametrize("command", ["budget", "usage"])
def test_the_page_names_every_command_and_option(command: str):
    context = main.make_context("genops-posthog", [], resilient_parsing=True)
    group: Any = main.get_command(context, command)
    for name, one in group.commands.items():
        assert f"genops-posthog {command} {name}" in PAGE
        for parameter in one.params:
            if parameter.param_type_name == "option":
                assert any(option in PAGE for option in parameter.opts) or parameter.name == "listed", parameter.name


def test_the_page_names_every_field_of_the_json(house: Any, configure: Callable[[str], None]):
    [toml] = [text for _, file, text in FENCE.findall(PAGE) if file == "budgets.toml"]
    configure(toml)
    document = house.document("budget", "show", "checkout-daily")
    assert [name for name in document if f"`{name}`" not in PAGE] == []

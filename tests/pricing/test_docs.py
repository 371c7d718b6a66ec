"""The page on pricing and its example do what they say."""

from __future__ import annotations

import contextlib
import io
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
from click.testing import CliRunner

from genops_otel_posthog.cli import main
from genops_otel_posthog.pricing.book import PriceBook
from genops_otel_posthog.pricing.meters import METERS

pytestmark = pytest.mark.docs

REPOSITORY = Path(__file__).parents[2]
PAGE = (REPOSITORY / "docs" / "pricing.md").read_text(encoding="utf-8")
FENCE = re.compile(r"^```(\w+)(?: file=(\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Block(NamedTuple):
    language: str
    file: str
    text: str


BLOCKS = [Block(*match.groups(default="")) for match in FENCE.finditer(PAGE)]
PYTHON = [(block, after) for block, after in zip(BLOCKS, [*BLOCKS[1:], Block("", "", "")], strict=True)]


@pytest.fixture(autouse=True)
def files_of_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for block in BLOCKS:
        if block.file:
            (tmp_path / block.file).write_text(block.text, encoding="utf-8")


def words(text: str) -> list[list[str]]:
    """Lines that say something, without their alignment: tables are as wide as they like."""
    return [line.split() for line in text.splitlines() if line.strip(" ─")]


@pytest.mark.parametrize(
    ("code", "output"),
    [
        pytest.param(block.text, after.text if after.language == "text" else "", id=f"python-{number}")
        for number, (block, after) in enumerate(PYTHON)
        if block.language == "python"
    ],
)
def test_a_python_example_prints_what_the_page_says(code: str, output: str):
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, "docs/pricing.md", "exec"), {})
    assert printed.getvalue() == output


@pytest.mark.parametrize("text", [block.text for block in BLOCKS if block.language == "console"])
def test_a_command_prints_what_the_page_says(text: str):
    command, _, output = text.partition("\n")
    program, *arguments = shlex.split(command.removeprefix("$ "))
    assert program == "genops-posthog"
    assert words(CliRunner().invoke(main, arguments).output) == words(output)


def test_the_page_lists_every_meter_with_its_unit_and_names():
    for meter in METERS.values():
        assert f"| `{meter.name}` | {meter.unit} | {meter.product} | {meter.usage_key or '–'} |" in PAGE


def test_the_page_lists_every_shipped_book():
    assert all(f"| `{name}`" in PAGE for name in PriceBook.available())


def test_the_example_runs_by_itself():
    run = subprocess.run(
        [sys.executable, REPOSITORY / "examples" / "cost_forecast.py"], capture_output=True, text=True, check=False
    )
    assert (run.returncode, run.stderr) == (0, "")
    assert "saves $" in run.stdout
    assert "a unit then costs" in run.stdout

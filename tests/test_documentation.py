"""The examples in the documentation run.

The Python blocks of a page run one after the other, in one process that sees what a reader would have: the PostHog SDK
imported, and sending nothing. A block below ``<!-- not run: why -->`` is only compiled.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml

from generate_semconv import ROOT
from run import COMMANDS

pytestmark = pytest.mark.docs

# It has a stricter test of its own, tests/pricing/test_docs.py.
ELSEWHERE = {ROOT / "docs" / "pricing.md"}
PAGES = sorted({*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/*.md")} - ELSEWHERE)
FENCE = re.compile(r"^(<!-- not run: .+ -->\n+)?```(\w+)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)

READER = """
import json, sys
sys.path[:0] = [sys.argv[1]]
from loopback_only import refuse_egress
refuse_egress()
import posthog
posthog.api_key, posthog.host, posthog.disabled = "phc_example", "http://127.0.0.1:9", True
namespace = {"__name__": "__main__", "posthog": posthog}
for line, text in json.load(sys.stdin):
    # Blank lines in front make a traceback show the line of the page.
    exec(compile("\\n" * line + text, sys.argv[2], "exec"), namespace)
"""


class Block(NamedTuple):
    """One fenced block of a page, and the number of lines above it."""

    is_run: bool
    language: str
    text: str
    line: int


def blocks(page: Path, *languages: str) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    return [
        Block(not match[1], match[2], match[3], text.count("\n", 0, match.start(3)))
        for match in FENCE.finditer(text)
        if match[2] in languages
    ]


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def pages_with(*languages: str) -> list[Path]:
    return [page for page in PAGES if blocks(page, *languages)]


@pytest.mark.parametrize("page", pages_with("python"), ids=relative)
def test_the_python_of_a_page_runs(page: Path, tmp_path: Path):
    found = blocks(page, "python")
    for block in found:
        compile("\n" * block.line + block.text, relative(page), "exec")
    finished = subprocess.run(
        [sys.executable, "-c", READER, str(ROOT / "scripts"), relative(page)],
        input=json.dumps([(block.line, block.text) for block in found if block.is_run]),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr


@pytest.mark.parametrize("page", PAGES, ids=relative)
def test_the_yaml_and_json_of_a_page_can_be_read(page: Path):
    for block in blocks(page, "yaml", "json"):
        list(yaml.safe_load_all(block.text))


@pytest.mark.parametrize("page", pages_with("sh", "bash", "console"), ids=relative)
def test_the_commands_of_a_page_exist(page: Path):
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([\w -]+):$", makefile, re.MULTILINE)[0].split()) | {"test-slow"}
    text = "\n".join(block.text for block in blocks(page, "sh", "bash", "console"))
    asked = set(re.findall(r"scripts/run\.py ([\w-]+)", text)) - set(COMMANDS)
    asked |= set(re.findall(r"^(?:\$ )?make ([\w-]+)", text, re.MULTILINE)) - targets
    assert asked == set()

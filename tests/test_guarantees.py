"""The page on guarantees names a test for each promise; every test that it names exists."""

from __future__ import annotations

import ast
import re

import pytest

from generate_semconv import ROOT

pytestmark = pytest.mark.docs

PAGE = (ROOT / "docs" / "guarantees.md").read_text(encoding="utf-8")
NAMED = sorted(set(re.findall(r"`([\w/]+\.py)::(\w+)`", PAGE)))
ROWS = re.findall(r"^\| (?!-|promise|policy|how|\| happened).*\|$", PAGE, re.MULTILINE)


@pytest.mark.parametrize(("file", "name"), NAMED, ids="::".join)
def test_a_test_that_the_page_names_exists(file: str, name: str) -> None:
    tree = ast.parse((ROOT / "tests" / file).read_text(encoding="utf-8"))
    assert name in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("row", [row for row in ROWS if not row.startswith("|---")])
def test_every_promise_names_its_test(row: str) -> None:
    assert "::test_" in row or row.endswith("| the same |") or row.startswith("| E5 |")

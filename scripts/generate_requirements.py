"""Write ``docs/requirements.md``: what the package is meant to do, and the tests that show that it does.

A test names the numbers that it shows with ``@pytest.mark.requirement("S3-01", …)``; ``tests/requirements.yaml`` has a
sentence for each number.

Usage: ``python scripts/generate_requirements.py [--check]``. ``--check`` writes nothing and exits 1 when it is stale.
"""

from __future__ import annotations

import argparse
import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import yaml

from generate_semconv import ROOT, stale_files

PAGE = Path("docs/requirements.md")
SENTENCES = Path("tests/requirements.yaml")
MARK = "requirement"


class Section(NamedTuple):
    """Numbers of one source."""

    title: str
    requirements: dict[str, str]


class Claim(NamedTuple):
    """A test, or a whole file of tests, that names a number."""

    number: str
    file: str
    test: str | None


def sections(root: Path) -> list[Section]:
    """What the package is meant to do.

    Raises:
        ValueError: A number is there twice.
    """
    given = yaml.safe_load((root / SENTENCES).read_text(encoding="utf-8"))
    found = [Section(entry["title"], entry["requirements"]) for entry in given]
    numbers = [number for section in found for number in section.requirements]
    if twice := sorted({number for number in numbers if numbers.count(number) > 1}):
        raise ValueError(f"{SENTENCES}: {', '.join(twice)} more than once")
    return found


def _named(node: ast.AST, file: str) -> Iterator[str]:
    for call in ast.walk(node):
        if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr == MARK):
            continue
        for argument in call.args:
            if not (isinstance(argument, ast.Constant) and isinstance(argument.value, str)):
                raise ValueError(f"{file}:{call.lineno}: a requirement is named by a plain string, such as 'S3-01'")
            yield argument.value


def claims(root: Path) -> list[Claim]:
    """Which test names which number: by a decorator, in the marks of a parameter, or in ``pytestmark`` for a file.

    Raises:
        ValueError: A number is not a plain string.
    """
    found: list[Claim] = []
    for path in sorted((root / "tests").rglob("test_*.py")):
        text = path.read_text(encoding="utf-8")
        if f"mark.{MARK}" not in text:
            continue
        file = path.relative_to(root / "tests").as_posix()
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name.startswith("test_"):
                found += [
                    Claim(n, file, node.name) for decorator in node.decorator_list for n in _named(decorator, file)
                ]
            elif isinstance(node, ast.Assign):
                found += [Claim(n, file, None) for n in _named(node.value, file)]
    return sorted(set(found), key=lambda claim: (claim.number, claim.file, claim.test or ""))


def rendered(root: Path) -> dict[Path, str]:
    """The text of the page."""
    by_number: dict[str, list[Claim]] = {}
    for claim in claims(root):
        by_number.setdefault(claim.number, []).append(claim)
    lines = [
        "# Requirements",
        "",
        f"<!-- Written by scripts/{Path(__file__).name} from {SENTENCES} and the tests. Edit those. -->",
        "",
        "What the package is meant to do, and the tests that show that it does. Numbers are stable. A test names those",
        'that it shows: `@pytest.mark.requirement("S3-01")`; `make format` brings this page up to date.',
    ]
    for section in sections(root):
        lines += ["", f"## {section.title}", "", "| number | what | tests |", "|---|---|---|"]
        for number, sentence in section.requirements.items():
            tests = (f"`{c.file}::{c.test}`" if c.test else f"`{c.file}`" for c in by_number.get(number, ()))
            lines.append(f"| {number} | {sentence} | {', '.join(tests)} |")
    return {PAGE: "\n".join(lines) + "\n"}


def main(arguments: list[str] | None = None) -> int:
    """Write the page, or with ``--check`` only compare. Returns the exit code."""
    parser = argparse.ArgumentParser(description="Write the page that says which test shows which requirement.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when it is stale")
    check = parser.parse_args(arguments).check
    files = rendered(ROOT)
    stale = stale_files(ROOT, files)
    for path in stale:
        if not check:
            (ROOT / path).write_bytes(files[path].encode())
        print(f"{'stale, run `make format`' if check else 'written'}: {path}")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())

"""What must be true of the repository as a whole: generated files, links, versions, house rules of names."""

from __future__ import annotations

import ast
import re
from importlib import import_module
from importlib.metadata import requires
from pathlib import Path
from pkgutil import iter_modules

import opentelemetry.semconv._incubating.attributes as incubating
import opentelemetry.semconv.attributes as stable
import pytest
from packaging.requirements import Requirement

from generate_semconv import REGISTRY, ROOT, rendered, stale_files
from genops_otel_posthog.version import __version__
from registry import load

PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/*.md")]
SOURCES = [path for folder in ("src", "scripts", "benchmarks", "examples") for path in (ROOT / folder).rglob("*.py")]
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
HEADING = re.compile(r"^#+ +(.*)$", re.MULTILINE)

# They say nothing about what a thing is or does.
EMPTY_WORDS = {"manager", "helper", "helpers", "util", "utils", "enhanced", "advanced", "enterprise", "comprehensive"}


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = HEADING.findall(FENCE.sub("", page.read_text(encoding="utf-8")))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def test_the_generated_files_are_what_the_registry_says():
    assert stale_files(ROOT, rendered(load(REGISTRY))) == []


@pytest.mark.newest
def test_what_is_listed_as_opentelemetrys_own_is_defined_by_opentelemetry():
    defined = {
        value
        for package in (stable, incubating)
        for module in iter_modules(package.__path__)
        for value in vars(import_module(f"{package.__name__}.{module.name}")).values()
        if isinstance(value, str)
    }
    listed = {ref.name for group in load(REGISTRY).imported_groups for ref in group.references}
    assert listed - defined == set()


@pytest.mark.parametrize("page", PAGES, ids=relative)
@pytest.mark.requirement("D-50")
def test_every_link_between_pages_leads_somewhere(page: Path):
    broken = []
    for target in LINK.findall(FENCE.sub("", page.read_text(encoding="utf-8"))):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        if not file.exists() or (anchor and file.suffix == ".md" and anchor not in anchors(file)):
            broken.append(target)
    assert broken == []


def test_every_room_stands_once_in_the_picture_of_the_house():
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    rows = [line.split("|")[1] for line in page.splitlines() if line.startswith("| `")]
    shown = sorted(name.rstrip("/") for row in rows for name in re.findall(r"`([a-z_/]+(?:\.py)?)`", row))
    package = ROOT / "src" / "genops_otel_posthog"
    there = {path.name for path in package.iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()}
    assert shown == sorted(there - {"__init__.py", "version.py"})


def test_the_changelog_begins_with_this_version():
    versions = re.findall(r"^## \[([^\]]+)\]", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert __version__ in versions[:2]


def test_no_dependency_is_held_to_one_version():
    pinned = [text for text in requires("genops-otel-posthog") or () if "==" in text.partition(";")[0]]
    assert pinned == []


@pytest.mark.requirement("D-48")
def test_the_oldest_run_has_the_oldest_versions_that_are_admitted():
    lines = (ROOT / "scripts" / "oldest-constraints.txt").read_text(encoding="utf-8").splitlines()
    held = {r.name.lower(): r for r in (Requirement(line) for line in lines if line and not line.startswith("#"))}
    differing = []
    for text in requires("genops-otel-posthog") or ():
        declared = Requirement(text)
        floors = [specifier.version for specifier in declared.specifier if specifier.operator == ">="]
        constraint = held.get(declared.name.lower())
        if (
            constraint
            and floors
            and not declared.extras
            and not constraint.specifier.contains(floors[0], prereleases=True)
        ):
            differing.append(f"{declared} is run with {constraint}")
    assert differing == []


@pytest.mark.parametrize("source", SOURCES, ids=relative)
def test_names_say_what_a_thing_is(source: Path):
    tree = ast.parse(source.read_text(encoding="utf-8"))
    names = {source.stem}
    for node in ast.walk(tree):
        if isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            names.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.arg):
            names.add(node.arg)
    empty = {name for name in names if EMPTY_WORDS & set(re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower().split("_"))}
    assert empty == set()


@pytest.mark.parametrize("source", SOURCES, ids=relative)
def test_every_module_says_why_it_exists(source: Path):
    assert ast.get_docstring(ast.parse(source.read_text(encoding="utf-8")))

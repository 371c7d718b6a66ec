"""What a user gets who installs the wheel: the package with its data, its entry points and its command."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from genops_otel_posthog.version import __version__

pytestmark = pytest.mark.wheel


@pytest.fixture
def installed(wheel_python: Path, tmp_path: Path):
    """Runs a Python program with the installed wheel, away from this repository, and returns what it prints."""

    def run(program: str) -> str:
        finished = subprocess.run(
            [wheel_python, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
        )
        assert finished.returncode == 0, finished.stderr
        return finished.stdout.strip()

    return run


def test_the_package_comes_from_the_wheel(installed):
    where = installed("import genops_otel_posthog as g; print(g.__file__)")
    assert "site-packages" in where


def test_the_metadata_has_the_version_of_the_code(installed):
    assert installed("from importlib.metadata import version; print(version('genops-otel-posthog'))") == __version__


def test_opentelemetry_finds_the_instrumentor(installed):
    program = (
        "from importlib.metadata import entry_points\n"
        "(found,) = entry_points(group='opentelemetry_instrumentor', name='posthog')\n"
        "print(found.load().__name__)"
    )
    assert installed(program) == "PostHogInstrumentor"


def test_the_instruments_extra_says_which_sdk_is_supported(installed):
    program = (
        "from importlib.metadata import distribution\n"
        "from opentelemetry.instrumentation.dependencies import get_dist_dependency_conflicts\n"
        "print(get_dist_dependency_conflicts(distribution('genops-otel-posthog')))"
    )
    assert installed(program) == "None"


def test_types_are_shipped(installed):
    assert (
        installed(
            "from importlib.resources import files; print(files('genops_otel_posthog').joinpath('py.typed').is_file())"
        )
        == "True"
    )


def test_the_price_books_are_shipped(installed):
    program = "from genops_otel_posthog import PriceBook; print(PriceBook.load('posthog-2026-07-22').name)"
    assert installed(program) == "posthog-2026-07-22"


def test_importing_the_package_imports_neither_sdk(installed):
    program = (
        "import sys, genops_otel_posthog\n"
        "print({'posthog', 'opentelemetry.sdk', 'starlette', 'uvicorn', 'flask'} & set(sys.modules))"
    )
    assert installed(program) == "set()"


def test_the_command_is_installed(wheel_python: Path, tmp_path: Path):
    finished = subprocess.run(
        [wheel_python.with_name("genops-posthog"), "--version"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert __version__ in finished.stdout, finished.stderr

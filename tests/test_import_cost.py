"""What importing the package loads: nothing that is heavy or optional, until it is used."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = {
    "click",
    "flask",
    "httpx",
    "opentelemetry.exporter",
    "opentelemetry.sdk",
    "posthog",
    "requests",
    "rich",
    "starlette",
    "uvicorn",
    "yaml",
}


def loaded_by(statement: str) -> set[str]:
    """What of the above a fresh interpreter has loaded after a statement."""
    program = f"import sys\n{statement}\nprint(*sys.modules)"
    finished = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert finished.returncode == 0, finished.stderr
    return HEAVY & set(finished.stdout.split())


@pytest.mark.parametrize(
    "statement",
    [
        "import genops_otel_posthog",
        "from genops_otel_posthog import governance, Attribution",
        "from genops_otel_posthog import GenOpsConfigurationError",
        "from genops_otel_posthog import PostHogInstrumentor",
        "from genops_otel_posthog import auto_instrument, get_current_adapter",
        "import genops_otel_posthog.instrumentation",
        "import genops_otel_posthog.compat",
    ],
)
def test_neither_sdk_nor_anything_else_that_is_heavy_is_loaded(statement: str) -> None:
    assert loaded_by(statement) == set()


def test_importing_the_package_loads_no_more_than_its_own_version() -> None:
    program = (
        "import sys; before = set(sys.modules)\n"
        "import genops_otel_posthog\n"
        "print(*sorted(name for name in set(sys.modules) - before if name.startswith('genops_otel_posthog')))"
    )
    finished = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)

    assert finished.stdout.split() == ["genops_otel_posthog", "genops_otel_posthog.version"]

"""What every test starts from: no settings of this machine, no network but loopback, no telemetry of another test."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from opentelemetry import context

from loopback_only import refuse_egress

FOREIGN_SETTINGS = ("GENOPS_", "OTEL_", "POSTHOG_", "RUDDERSTACK_")


def pytest_configure() -> None:
    """Close the network before anything is collected."""
    refuse_egress()


@pytest.fixture(autouse=True)
def nothing_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Hide the settings of the developer's shell, and keep state out of the home directory."""
    for name in list(os.environ):
        if name.startswith(FOREIGN_SETTINGS):
            monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.fixture(autouse=True)
def empty_context() -> Iterator[None]:
    """Give each test an OpenTelemetry context of its own."""
    token = context.attach(context.Context())
    yield
    context.detach(token)


@pytest.fixture(scope="session")
def wheel_python() -> Path:
    """The interpreter of an environment that holds the built wheel and nothing else of this repository."""
    given = os.environ.get("WHEEL_PYTHON")
    if not given:
        pytest.skip("needs the built wheel: python3 scripts/run.py wheel")
    return Path(given)

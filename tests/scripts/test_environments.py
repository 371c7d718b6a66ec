"""An environment is made once, again when its ingredients change, and again after an interruption."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import environments
from environments import Environment, EnvironmentFailure


class Recorded(Environment):
    """An environment that notes what would be run instead of running it."""

    def __init__(self, requirements: list[str], fail_at: str = "") -> None:
        super().__init__("test", requirements)
        self.commands: list[str] = []
        self._fail_at = fail_at

    def _run(self, command: list[str], hint: str) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        self.commands.append(" ".join(command))
        if self._fail_at and self._fail_at in self.commands[-1]:
            raise KeyboardInterrupt


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environments, "VENVS", tmp_path / ".venvs")
    monkeypatch.setattr(environments, "ROOT", tmp_path)
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "x"\n[tool.ruff]\nline-length = 80\n', encoding="utf-8")
    version = tmp_path / "src" / "genops_otel_posthog" / "version.py"
    version.parent.mkdir(parents=True)
    version.write_text('__version__ = "1"\n', encoding="utf-8")


def test_the_first_time_it_is_made_from_scratch():
    environment = Recorded(["one"])
    environment.ready()
    assert "-m venv --clear" in environment.commands[0]
    assert environment.commands[-1].endswith(" one")


def test_the_second_time_nothing_runs():
    Recorded(["one"]).ready()
    again = Recorded(["one"])
    again.ready()
    assert again.commands == []


def test_other_requirements_make_it_again():
    Recorded(["one"]).ready()
    again = Recorded(["two"])
    again.ready()
    assert again.commands[-1].endswith(" two")


def test_a_change_of_the_package_metadata_makes_it_again(tmp_path: Path):
    Recorded(["one"]).ready()
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "y"\n', encoding="utf-8")
    again = Recorded(["one"])
    again.ready()
    assert again.commands


def test_a_setting_of_a_tool_does_not(tmp_path: Path):
    Recorded(["one"]).ready()
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "x"\n[tool.ruff]\nline-length = 99\n', encoding="utf-8")
    again = Recorded(["one"])
    again.ready()
    assert again.commands == []


def test_an_interrupted_installation_starts_over():
    with pytest.raises(KeyboardInterrupt):
        Recorded(["one"], fail_at="--no-compile one").ready()
    again = Recorded(["one"])
    again.ready()
    assert "-m venv --clear" in again.commands[0]


def test_a_failure_shows_the_end_of_the_output_and_what_to_do(tmp_path: Path):
    (tmp_path / ".venvs").mkdir()
    command = [sys.executable, "-c", "print('no such package'); raise SystemExit(3)"]
    with pytest.raises(EnvironmentFailure, match=r"(?s)no such package.*ended with code 3\.\nis PyPI reachable\?"):
        Environment("test", [])._run(command, "is PyPI reachable?")


@pytest.mark.parametrize("name", ["PYTHONPATH", "PIP_TARGET", "PIP_USER", "VIRTUAL_ENV"])
def test_what_would_leak_into_an_environment_is_not_passed_on(name: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(name, "1")
    assert name not in environments.clean_environ()

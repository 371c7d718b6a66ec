"""The command itself: help, version, exit codes."""

from __future__ import annotations

import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from genops_otel_posthog import cli
from genops_otel_posthog.cli import SUBCOMMANDS, Subcommand, main
from genops_otel_posthog.errors import GenOpsProviderError
from genops_otel_posthog.version import __version__


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch):
    """Makes a module attribute a subcommand named ``test``."""

    def command(target: str, extra: str | None = None) -> None:
        monkeypatch.setattr(cli, "SUBCOMMANDS", {**SUBCOMMANDS, "test": Subcommand(target, "A test.", extra)})

    return command


def test_the_version_is_the_packages():
    result = CliRunner().invoke(main, ["--version"])
    assert (result.exit_code, result.output) == (0, f"genops-posthog, version {__version__}\n")


def test_help_lists_every_subcommand_and_loads_none():
    code = (
        "import sys; from genops_otel_posthog.cli import main\n"
        "try: main(['--help'], prog_name='genops-posthog')\n"
        "except SystemExit: pass\n"
        "loaded = [name for name in sys.modules if name.startswith('genops_otel_posthog.cli.')]\n"
        "assert loaded == [], loaded\n"
        "assert 'rich' not in sys.modules and 'yaml' not in sys.modules"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (run.returncode, run.stderr) == (0, "")
    assert all(name in run.stdout and entry.help in run.stdout for name, entry in SUBCOMMANDS.items())


def test_an_unknown_subcommand_is_wrong_use():
    result = CliRunner().invoke(main, ["costs"])
    assert result.exit_code == 2
    assert "No such command 'costs'" in result.output


def test_a_configuration_error_is_one_message_and_wrong_use(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("GENOPS_PRICE_BOOK", "no-such-book")
    result = CliRunner().invoke(main, ["cost", "estimate", "--events", "1"])
    assert result.exit_code == 2
    assert result.output.startswith("Error: there is no price book 'no-such-book'")
    assert "Traceback" not in result.output


@click.command()
def fails() -> None:
    raise GenOpsProviderError("PostHog said no")


def test_any_other_error_of_the_package_is_a_problem_found(command, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(cli, "fails", fails, raising=False)
    command("genops_otel_posthog.cli:fails")
    result = CliRunner().invoke(main, ["test"])
    assert (result.exit_code, result.output) == (1, "Error: PostHog said no\n")


def test_a_subcommand_whose_extra_is_missing_says_what_to_install(command, monkeypatch: pytest.MonkeyPatch, tmp_path):
    (tmp_path / "needs_extra.py").write_text("import a_module_that_nobody_has\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    command("needs_extra:main", extra="receiver")
    result = CliRunner().invoke(main, ["test"])
    assert result.exit_code == 1
    assert "test needs a_module_that_nobody_has" in result.output
    assert "pip install 'genops-otel-posthog[receiver]'" in result.output

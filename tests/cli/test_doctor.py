"""``genops-posthog doctor`` and ``setup``, against the local receiver: what they print and how they end."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from genops_otel_posthog.cli import main
from genops_otel_posthog.receiver.server import LocalReceiver
from genops_otel_posthog.settings import values
from genops_otel_posthog.settings.env_file import read_env_file

KEY = "phc_0123456789abcdefghijklmnopqrstuvwxyz"
PERSONAL_KEY = "phx_0123456789abcdefghijklmnopqrstuvwxyz"


@pytest.fixture(scope="module")
def shared_receiver() -> Iterator[LocalReceiver]:
    with LocalReceiver() as receiver:
        yield receiver


@pytest.fixture
def receiver(shared_receiver: LocalReceiver) -> LocalReceiver:
    shared_receiver.recover()
    shared_receiver.clear()
    return shared_receiver


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, receiver: LocalReceiver) -> Callable[..., Result]:
    """Runs a command in a good environment and what is added to it."""
    values.warn_once.forget()
    for name, value in {"POSTHOG_API_KEY": KEY, "POSTHOG_HOST": receiver.url, "GENOPS_TEAM": "checkout"}.items():
        monkeypatch.setenv(name, value)

    def run(*arguments: str, stdin: str | None = None, **environ: str | None) -> Result:
        for name, value in environ.items():
            monkeypatch.delenv(name) if value is None else monkeypatch.setenv(name, value)
        return CliRunner().invoke(main, arguments, input=stdin)

    return run


# --- doctor -------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("E-30")
def test_a_good_setup_ends_with_0(run: Callable[..., Result]) -> None:
    result = run("doctor")

    assert result.exit_code == 0, result.output
    assert "✓ Key accepted: " in result.output
    assert result.output.splitlines()[-1].endswith("0 errors")


@pytest.mark.requirement("E-30", "S0-34", "S0-35")
@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({"POSTHOG_HOST": "http://127.0.0.1:9"}, "✗ Connection: http://127.0.0.1:9 could not be reached"),
        (
            {"POSTHOG_API_KEY": PERSONAL_KEY},
            "✗ Project key: POSTHOG_API_KEY cannot be used: this is a personal API key",
        ),
        ({"POSTHOG_API_KEY": None}, "✗ Project key: POSTHOG_API_KEY is not set."),
        ({"GENOPS_PRICE_BOOK": "/nowhere.yaml"}, "✗ Price book: GENOPS_PRICE_BOOK=/nowhere.yaml"),
    ],
    ids=["closed port", "personal key", "no key", "no book"],
)
def test_what_will_not_work_ends_with_1(run: Callable[..., Result], environ: dict[str, Any], said: str) -> None:
    result = run("doctor", **environ)

    assert result.exit_code == 1
    assert said in result.output
    assert PERSONAL_KEY[4:-4] not in result.output


@pytest.mark.requirement("E-30")
def test_a_key_that_is_refused_ends_with_1(run: Callable[..., Result], receiver: LocalReceiver) -> None:
    with receiver.fail("flags", status=401):
        result = run("doctor")

    assert result.exit_code == 1
    assert "✗ Key accepted: " in result.output


def test_a_warning_ends_with_1_only_where_that_is_asked_for(run: Callable[..., Result]) -> None:
    assert run("doctor", "--offline", GENOPS_TEAM=None).exit_code == 0
    assert run("doctor", "--offline", "--strict").exit_code == 1


def test_an_option_that_does_not_exist_is_wrong_use(run: Callable[..., Result]) -> None:
    assert run("doctor", "--online").exit_code == 2


def test_offline_nobody_is_asked(run: Callable[..., Result], receiver: LocalReceiver) -> None:
    result = run("doctor", "--offline")

    assert result.exit_code == 0
    assert receiver.requests() == []


@pytest.mark.requirement("S0-36")
def test_verbose_shows_the_environment_without_secrets(run: Callable[..., Result]) -> None:
    result = run("doctor", "--offline", "-v", GENOPS_ALERT_WEBHOOK="https://hooks.slack.com/services/hunter2")

    assert "\n  POSTHOG_API_KEY=phc_…wxyz\n" in result.output
    assert "\n  GENOPS_PROJECT=(not set)\n" in result.output
    assert "\n  GENOPS_GOVERNANCE_POLICY=(not set; default advisory)\n" in result.output
    assert "hunter2" not in result.output
    assert KEY[4:-4] not in result.output


def test_json_is_one_document_and_says_all_of_it(run: Callable[..., Result]) -> None:
    result = run("doctor", "--json", GENOPS_TAEM="x")

    document = json.loads(result.stdout)
    assert (document["is_valid"], document["overall_status"]) == (True, "warning")
    (misspelt,) = [finding for finding in document["findings"] if "GENOPS_TAEM" in finding["issue"]]
    assert misspelt["fix_command"] == 'export GENOPS_TEAM="$GENOPS_TAEM"; unset GENOPS_TAEM'
    assert {"name": "POSTHOG_API_KEY", "value": "phc_…wxyz", "default": "–"} in document["environment"]
    assert KEY[4:-4] not in result.output


def test_what_is_found_is_not_logged_as_well(run: Callable[..., Result], caplog: pytest.LogCaptureFixture) -> None:
    run("doctor", "--offline", GENOPS_TAEM="x", GENOPS_PRICING_MODE="cheap")

    assert caplog.records == []


def test_a_file_of_variables_is_checked_and_the_environment_wins(run: Callable[..., Result], tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("GENOPS_TEAM=other\nGENOPS_DAILY_BUDGET_LIMIT=20\n", encoding="utf-8")

    result = run("doctor", "--offline", "--env-file", str(file))

    assert "1 budget (daily:team=checkout)" in result.output


@pytest.mark.parametrize("text", [None, "no assignment\n"], ids=["missing", "unreadable"])
def test_a_file_of_variables_that_cannot_be_read_is_wrong_use(
    run: Callable[..., Result], tmp_path: Path, text: str | None
) -> None:
    file = tmp_path / ".env"
    if text is not None:
        file.write_text(text, encoding="utf-8")

    assert run("doctor", "--env-file", str(file)).exit_code == 2


# --- setup --------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("E-31")
def test_scripted_answers_become_a_file_that_the_doctor_finds_in_order(
    run: Callable[..., Result], receiver: LocalReceiver, tmp_path: Path
) -> None:
    path = tmp_path / ".env"
    nobody = {"POSTHOG_API_KEY": None, "POSTHOG_HOST": None, "GENOPS_TEAM": None}
    lines = [KEY, receiver.url, "checkout", "web-shop", "", "", "", "y"]

    written = run("setup", "--path", str(path), stdin="\n".join(lines) + "\n", **nobody)
    checked = run("doctor", "--env-file", str(path))

    assert (written.exit_code, checked.exit_code) == (0, 0), written.output + checked.output
    assert path.stat().st_mode & 0o777 == 0o600
    assert read_env_file(path)["GENOPS_PROJECT"] == "web-shop"
    assert KEY[4:-4] not in written.output + checked.output


@pytest.mark.requirement("E-31")
@pytest.mark.parametrize("stdin", ["", f"{KEY}\n"], ids=["at once", "after an answer"])
def test_input_that_ends_ends_with_1_and_writes_nothing(run: Callable[..., Result], tmp_path: Path, stdin: str) -> None:
    result = run("setup", "--path", str(tmp_path / ".env"), stdin=stdin)

    assert result.exit_code == 1
    assert result.output.endswith("Ended. Nothing was written.\n")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.requirement("E-31")
def test_what_will_not_work_is_written_and_ends_with_1(run: Callable[..., Result], tmp_path: Path) -> None:
    stdin = "\n".join([KEY, "http://127.0.0.1:9", "checkout", "", "", "", "", "y"]) + "\n"

    result = run("setup", "--path", str(tmp_path / ".env"), stdin=stdin)

    assert result.exit_code == 1
    assert "✗ Connection: " in result.output
    assert (tmp_path / ".env").exists()


def test_a_place_that_cannot_be_written_to_is_wrong_use(run: Callable[..., Result], tmp_path: Path) -> None:
    stdin = "\n".join(["", "", "checkout", "", "", "", "", "y"]) + "\n"

    result = run("setup", "--offline", "--path", str(tmp_path / "nowhere" / ".env"), stdin=stdin)

    assert result.exit_code == 2
    assert "cannot be written: No such file or directory" in result.output

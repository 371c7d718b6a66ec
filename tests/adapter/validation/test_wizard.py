"""The wizard: scripted answers become a ``.env`` file that validates; whatever ends it early writes nothing."""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from genops_otel_posthog.adapter.validation import ValidationLevel, ValidationResult, interactive_setup_wizard
from genops_otel_posthog.receiver.server import LocalReceiver
from genops_otel_posthog.settings import Settings
from genops_otel_posthog.settings.env_file import read_env_file

KEY = "phc_0123456789abcdefghijklmnopqrstuvwxyz"
PERSONAL_KEY = "phx_0123456789abcdefghijklmnopqrstuvwxyz"

pytestmark = pytest.mark.requirement("E-31", "S4-64")


class Talk:
    """Answers by a script, and what was said meanwhile; after the last answer the input ends."""

    def __init__(self, path: Path, answers: Iterable[str | type[BaseException]], *, offline: bool = False) -> None:
        self._answers: Iterator[str | type[BaseException]] = iter(answers)
        self.prompts: list[str] = []
        self.told: list[str] = []
        self.result: ValidationResult | None = interactive_setup_wizard(
            path, offline=offline, ask=self._ask, tell=self.told.append, environ={}
        )

    def _ask(self, prompt: str) -> str:
        self.prompts.append(prompt)
        answer = next(self._answers, EOFError)
        if isinstance(answer, str):
            return answer
        raise answer

    @property
    def text(self) -> str:
        """All that was shown."""
        return "\n".join([*self.prompts, *self.told])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "project" / ".env"


@pytest.fixture
def talk(path: Path) -> Callable[..., Talk]:
    path.parent.mkdir()
    return lambda *answers, offline=False: Talk(path, answers, offline=offline)


@pytest.fixture
def answers(receiver: LocalReceiver) -> list[str]:
    """What somebody answers who knows."""
    return [KEY, receiver.url, "checkout", "web-shop", "production", "20", "enforced", "", "y"]


def test_answers_become_a_file_that_validates(talk: Callable[..., Talk], path: Path, answers: list[str]) -> None:
    result = talk(*answers).result

    assert result is not None
    assert result.is_valid, result.issues
    assert read_env_file(path) == {
        "POSTHOG_API_KEY": KEY,
        "POSTHOG_HOST": answers[1],
        "GENOPS_TEAM": "checkout",
        "GENOPS_PROJECT": "web-shop",
        "GENOPS_ENVIRONMENT": "production",
        "GENOPS_DAILY_BUDGET_LIMIT": "20",
        "GENOPS_GOVERNANCE_POLICY": "enforced",
    }


def test_the_file_is_for_its_owner_alone(talk: Callable[..., Talk], path: Path, answers: list[str]) -> None:
    mask = os.umask(0)
    try:
        talk(*answers)
    finally:
        os.umask(mask)

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in path.parent.iterdir()] == [".env"]


def test_a_shell_reads_the_file_as_it_was_meant(talk: Callable[..., Talk], path: Path, answers: list[str]) -> None:
    answers[2] = "check out & pay $1"
    talk(*answers)

    shell = f'set -a; . {path}; printf %s "$GENOPS_TEAM"'
    assert subprocess.run(["sh", "-c", shell], capture_output=True, text=True, check=True).stdout == answers[2]


def test_the_key_is_neither_shown_nor_repeated(talk: Callable[..., Talk], answers: list[str]) -> None:
    text = talk(PERSONAL_KEY, *answers).text

    assert KEY[4:-4] not in text
    assert PERSONAL_KEY[4:-4] not in text
    assert "POSTHOG_API_KEY=phc_…wxyz" in text


def test_an_answer_that_cannot_be_used_is_asked_for_again(
    talk: Callable[..., Talk], path: Path, answers: list[str]
) -> None:
    spoken = talk(PERSONAL_KEY, KEY, "ftp://x", answers[1], "it's", "checkout", *answers[3:5], "-1", *answers[5:])

    assert spoken.result is not None
    assert read_env_file(path)["GENOPS_DAILY_BUDGET_LIMIT"] == "20"
    refusals = [line for line in spoken.told if line.startswith("  That cannot be used: ")]
    assert len(refusals) == 4
    assert "personal API key" in refusals[0]


def test_a_key_that_posthog_refuses_can_be_replaced(
    talk: Callable[..., Talk], path: Path, answers: list[str], receiver: LocalReceiver
) -> None:
    with receiver.fail("flags", status=401, times=1):
        spoken = talk("phc_of_another_region", answers[1], KEY, *answers[2:])

    assert "refuses the key (401)" in spoken.text
    assert read_env_file(path)["POSTHOG_API_KEY"] == KEY


def test_a_required_answer_is_asked_for_until_it_is_given(talk: Callable[..., Talk], answers: list[str]) -> None:
    spoken = talk("", "", *answers)

    assert spoken.told.count("  It is needed.") == 2


@pytest.mark.parametrize(("word", "host"), [("eu", "https://eu.i.posthog.com"), ("US", "https://us.i.posthog.com")])
def test_a_region_is_a_host(talk: Callable[..., Talk], path: Path, word: str, host: str) -> None:
    talk(KEY, word, "checkout", "", "", "", "", "y", offline=True)

    assert read_env_file(path)["POSTHOG_HOST"] == host


def test_offline_nobody_is_asked(talk: Callable[..., Talk], receiver: LocalReceiver, answers: list[str]) -> None:
    assert talk(*answers, offline=True).result is not None
    assert receiver.requests() == []


def test_without_a_limit_no_policy_is_asked_for(talk: Callable[..., Talk], path: Path) -> None:
    spoken = talk(KEY, "", "checkout", "", "", "", "", "y", offline=True)

    assert not any("advisory" in prompt for prompt in spoken.prompts)
    assert read_env_file(path) == {"POSTHOG_API_KEY": KEY, "GENOPS_TEAM": "checkout"}


# --- a file that is there -----------------------------------------------------------------------------------------


def test_other_lines_stay_as_they_are_and_what_is_replaced_is_shown_and_asked(
    talk: Callable[..., Talk], path: Path, answers: list[str]
) -> None:
    path.write_text("# mine\nDATABASE_URL='postgres://x'\nexport GENOPS_TEAM=old\n", encoding="utf-8")

    spoken = talk(*answers)

    assert path.read_text(encoding="utf-8").splitlines()[:3] == [
        "# mine",
        "DATABASE_URL='postgres://x'",
        "GENOPS_TEAM=checkout",
    ]
    assert "  GENOPS_TEAM=checkout  (replaces what is there)" in spoken.told
    assert spoken.prompts[-1].endswith("[y/N]: ")


@pytest.mark.parametrize("last", ["", "n", "NO"])
def test_without_a_yes_a_file_is_not_overwritten(
    talk: Callable[..., Talk], path: Path, answers: list[str], last: str
) -> None:
    path.write_text("GENOPS_TEAM=old\n", encoding="utf-8")

    spoken = talk(*answers[:-1], last)

    assert spoken.result is None
    assert spoken.told[-1] == "Nothing was written."
    assert path.read_text(encoding="utf-8") == "GENOPS_TEAM=old\n"


def test_no_answer_leaves_everything_as_it_is_and_validates_it(
    talk: Callable[..., Talk], path: Path, receiver: LocalReceiver
) -> None:
    text = f"POSTHOG_API_KEY={KEY}\nPOSTHOG_HOST={receiver.url}\nGENOPS_TEAM=checkout\n"
    path.write_text(text, encoding="utf-8")

    spoken = talk(*[""] * 7)

    assert spoken.result is not None
    assert spoken.result.is_valid
    assert path.read_text(encoding="utf-8") == text
    assert "Nothing to write." in spoken.told


def test_what_the_shell_says_otherwise_is_told(path: Path) -> None:
    path.parent.mkdir()
    told: list[str] = []
    given = iter([KEY, "", "checkout", "", "", "", "", "y"])

    interactive_setup_wizard(
        path, offline=True, ask=lambda _: next(given), tell=told.append, environ={"GENOPS_TEAM": "payments"}
    )

    assert "GENOPS_TEAM is set to something else in this shell, and that wins there: unset GENOPS_TEAM" in told


# --- ended early --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", [EOFError, KeyboardInterrupt])
@pytest.mark.parametrize("answered", range(9))
def test_ended_at_any_question_nothing_is_written(
    talk: Callable[..., Talk], path: Path, answers: list[str], answered: int, end: type[BaseException]
) -> None:
    spoken = talk(*answers[:answered], end)

    assert spoken.result is None
    assert spoken.told[-1] == "\nEnded. Nothing was written."
    assert list(path.parent.iterdir()) == []


def test_a_configuration_that_will_not_work_is_told_after_it_was_written(
    talk: Callable[..., Talk], answers: list[str]
) -> None:
    answers[1] = "http://127.0.0.1:9"

    result = talk(*answers).result

    assert result is not None
    assert [issue.component for issue in result.issues if issue.level is ValidationLevel.ERROR] == ["Connection"]


def test_what_was_written_is_what_the_settings_read(talk: Callable[..., Talk], path: Path, answers: list[str]) -> None:
    talk(*answers)

    settings = Settings.from_environ(read_env_file(path))
    assert (settings.team, settings.project, settings.governance_policy) == ("checkout", "web-shop", "enforced")

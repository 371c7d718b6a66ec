"""``.env`` files: read as a shell reads them, written whole and for their owner alone."""

from __future__ import annotations

import os
import shlex
import stat
import string
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genops_otel_posthog.errors import GenOpsConfigurationError
from genops_otel_posthog.settings.env_file import names_in, read_env_file, write_env_file

TEXT = """\
# a comment
export A=1
B='two words'   # why
C="three"
D=
  E=a#b
  # it's a comment
F=x # isn't it
A=2
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / ".env"


def test_lines_are_read_as_a_shell_reads_them(path: Path):
    path.write_text(TEXT, encoding="utf-8")
    assert read_env_file(path) == {"A": "2", "B": "two words", "C": "three", "D": "", "E": "a#b", "F": "x"}
    shell = f"set -a; . {path}; for name in A B C D E F; do eval printf '%s\\\\n' \\\"\\$$name\\\"; done"
    said = subprocess.run(["sh", "-c", shell], capture_output=True, text=True, check=True).stdout.splitlines()
    assert said == list(read_env_file(path).values())


@pytest.mark.parametrize("line", ["what is this", "=x", "1A=x", "A='x", "A=two words", "A=1#'"])
def test_a_line_that_is_no_assignment_is_named_and_not_repeated(path: Path, line: str):
    path.write_text(f"A=1\n{line}\n", encoding="utf-8")
    with pytest.raises(GenOpsConfigurationError, match=r"\.env:2: ") as refusal:
        read_env_file(path)
    assert line not in str(refusal.value)


def test_a_file_that_is_not_there_cannot_be_read_and_has_no_names(path: Path):
    with pytest.raises(GenOpsConfigurationError, match="No such file"):
        read_env_file(path)
    assert names_in(path) == set()


def test_a_file_that_is_no_text_cannot_be_read(path: Path):
    path.write_bytes(b"A=\xff")
    with pytest.raises(GenOpsConfigurationError, match="not UTF-8"):
        read_env_file(path)


def test_writing_changes_what_was_named_and_nothing_else(path: Path):
    path.write_text(TEXT, encoding="utf-8")
    write_env_file(path, {"A": "3", "G": "new one"})
    assert path.read_text(encoding="utf-8") == (
        TEXT.replace("export A=1", "A=3").replace("A=2", "A=3") + "G='new one'\n"
    )


def test_who_could_read_the_file_before_cannot_afterwards(path: Path):
    path.write_text("A=1\n", encoding="utf-8")
    path.chmod(0o644)
    write_env_file(path, {"A": "2"})
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_link_stays_a_link(path: Path, tmp_path: Path):
    target = tmp_path / "shared.env"
    target.write_text("A=1\n", encoding="utf-8")
    path.symlink_to(target)
    write_env_file(path, {"A": "2"})
    assert path.is_symlink()
    assert read_env_file(target) == {"A": "2"}


def test_what_cannot_be_written_leaves_the_file_as_it_was(path: Path, monkeypatch: pytest.MonkeyPatch):
    path.write_text("A=1\n", encoding="utf-8")

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_env_file(path, {"A": "2"})
    assert path.read_text(encoding="utf-8") == "A=1\n"
    assert [entry.name for entry in path.parent.iterdir()] == [".env"]


@pytest.mark.parametrize("value", ["it's", "two\nlines", "\x00"])
def test_a_value_that_shells_would_read_otherwise_is_refused_and_not_repeated(path: Path, value: str):
    with pytest.raises(GenOpsConfigurationError, match="A cannot be written") as refusal:
        write_env_file(path, {"A": value})
    assert value not in str(refusal.value)
    assert not path.exists()


@given(value=st.text(st.sampled_from(string.ascii_letters + string.digits + string.punctuation + " äöü€"), max_size=40))
def test_what_is_written_is_read_again(tmp_path_factory: pytest.TempPathFactory, value: str):
    path = tmp_path_factory.mktemp("env") / ".env"
    value = value.replace("'", "")
    write_env_file(path, {"A": value})
    assert read_env_file(path) == {"A": value}
    (words,) = [shlex.split(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert words == [f"A={value}"]

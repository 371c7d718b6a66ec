"""Which ledger a URL means."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from genops_otel_posthog.budgets.ledger.memory import MemoryLedger
from genops_otel_posthog.budgets.ledger.sqlite import SqliteLedger
from genops_otel_posthog.budgets.ledger.url import default_path, open_ledger
from genops_otel_posthog.errors import GenOpsConfigurationError

posix = pytest.mark.skipif(sys.platform == "win32", reason="paths of POSIX")


def path_of(url: str | None) -> Path:
    ledger = open_ledger(url)
    assert isinstance(ledger, SqliteLedger)
    return ledger.path


@posix
@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:///var/lib/shop/ledger.sqlite3", "/var/lib/shop/ledger.sqlite3"),
        ("sqlite:////var/lib/shop/ledger.sqlite3", "/var/lib/shop/ledger.sqlite3"),
        ("SQLite:///var/lib/shop", "/var/lib/shop"),
        ("sqlite:///srv/our%20shop/a%23b", "/srv/our shop/a#b"),
    ],
)
def test_three_slashes_are_a_file(url: str, path: str):
    assert path_of(url) == Path(path)


def test_a_dot_is_the_present_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert path_of("sqlite:///./ledger.sqlite3").resolve() == (tmp_path / "here" / "ledger.sqlite3").resolve()
    assert path_of("sqlite:///../ledger.sqlite3").resolve() == (tmp_path / "ledger.sqlite3").resolve()


@posix
def test_a_tilde_is_the_home_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert path_of("sqlite:///~/ledger.sqlite3") == tmp_path / "ledger.sqlite3"


def test_memory_is_a_ledger_of_the_object():
    assert isinstance(open_ledger("memory://"), MemoryLedger)


def test_the_clock_and_the_patience_are_passed_on(tmp_path: Path):
    ledger = open_ledger(f"sqlite://{(tmp_path / 'ledger').as_posix()}", clock=lambda: 1.5, timeout=0.25)
    assert isinstance(ledger, SqliteLedger)
    assert (ledger.now_ms(), ledger.timeout) == (1500, 0.25)


@pytest.mark.parametrize("scheme", ["redis", "rediss", "valkey", "valkeys"])
def test_redis_and_valkey_are_connected_to_when_they_are_used(scheme: str):
    pytest.importorskip("redis")
    ledger = open_ledger(f"{scheme}://:secret@127.0.0.1:1/0")
    assert type(ledger).__name__ == "RedisLedger"
    ledger.close()


def test_redis_without_its_package_says_what_to_install():
    program = """
import sys
sys.modules["redis"] = None
from genops_otel_posthog.budgets.ledger.url import open_ledger
from genops_otel_posthog.errors import GenOpsConfigurationError
try:
    open_ledger("redis://:secret@cache:6379/0")
except GenOpsConfigurationError as error:
    print(error)
"""
    told = subprocess.run([sys.executable, "-c", program], check=True, stdout=subprocess.PIPE, text=True).stdout
    assert "pip install 'genops-otel-posthog[redis]'" in told
    assert "secret" not in told


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("sqlite://var/lib/ledger", "three slashes"),
        ("sqlite://", "names no file"),
        ("sqlite:///", "names no file"),
        ("sqlite:///var/lib/", "names no file"),
        ("sqlite:///:memory:", "memory://"),
        ("sqlite:///var/ledger?mode=ro", "takes no options"),
        ("/var/lib/ledger.sqlite3", "not a URL"),
        ("", "not a URL"),
        ("redis", "not a URL"),
        ("a b://x", "not a URL"),
        ("postgresql://ann:secret@db/ledger", "no ledger for postgresql://"),
        ("secret", "not a URL"),
    ],
)
def test_what_is_wrong_with_a_url_is_said_without_passwords(url: str, reason: str):
    with pytest.raises(GenOpsConfigurationError) as error:
        open_ledger(url)
    assert reason in str(error.value)
    assert "GENOPS_LEDGER_URL" in str(error.value)
    assert "secret" not in str(error.value)


class TestWithoutAUrl:
    """It is in the directory that the user's system has for state."""

    END = ("genops-otel-posthog", "ledger.sqlite3")

    def test_it_is_a_file(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
        monkeypatch.setenv("LOCALAPPDATA", str(tmp_path))
        monkeypatch.setenv("HOME", str(tmp_path))
        assert path_of(None).parts[-2:] == self.END
        assert path_of(None).is_relative_to(tmp_path)

    def test_on_linux(self, tmp_path: Path):
        assert default_path({"XDG_STATE_HOME": str(tmp_path)}, "linux") == tmp_path.joinpath(*self.END)
        assert default_path({}, "linux") == Path.home().joinpath(".local", "state", *self.END)

    def test_on_linux_with_a_relative_path_which_is_ignored(self):
        assert default_path({"XDG_STATE_HOME": "state"}, "linux") == Path.home().joinpath(".local", "state", *self.END)

    def test_on_macos(self):
        expected = Path.home().joinpath("Library", "Application Support", *self.END)
        assert default_path({}, "darwin") == expected

    def test_on_windows(self, tmp_path: Path):
        assert default_path({"LOCALAPPDATA": str(tmp_path)}, "win32") == tmp_path.joinpath(*self.END)
        assert default_path({}, "win32") == Path.home().joinpath("AppData", "Local", *self.END)

    def test_there_is_none_for_a_user_without_a_home_directory(self, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(Path, "home", no_home)
        with pytest.raises(GenOpsConfigurationError, match="set GENOPS_LEDGER_URL"):
            default_path({}, "linux")


def no_home() -> Path:
    raise RuntimeError("Could not determine home directory.")

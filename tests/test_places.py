"""Where files are without a word about it, and which file a URL means."""

from __future__ import annotations

from pathlib import Path

import pytest

from genops_otel_posthog.errors import GenOpsConfigurationError
from genops_otel_posthog.places import sqlite_path, state_directory


@pytest.mark.parametrize(
    ("platform", "environ", "expected"),
    [
        ("linux", {"XDG_STATE_HOME": "/state"}, Path("/state")),
        ("linux", {"XDG_STATE_HOME": "state"}, Path.home() / ".local/state"),
        ("linux", {}, Path.home() / ".local/state"),
        ("darwin", {}, Path.home() / "Library/Application Support"),
        ("win32", {}, Path.home() / "AppData/Local"),
    ],
)
def test_state_is_kept_where_the_system_has_it(platform: str, environ: dict[str, str], expected: Path) -> None:
    assert state_directory("", environ, platform) == expected / "genops-otel-posthog"


def test_without_a_home_the_error_says_what_to_set_instead(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", nobody)
    with pytest.raises(GenOpsConfigurationError, match="no home directory to keep it in; set THIS"):
        state_directory("set THIS", {}, "linux")


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:///var/lib/a.sqlite3", "/var/lib/a.sqlite3"),
        ("sqlite:////var/lib/a.sqlite3", "/var/lib/a.sqlite3"),
        ("sqlite:///./a.sqlite3", "./a.sqlite3"),
        ("sqlite:///../a.sqlite3", "../a.sqlite3"),
        ("sqlite:///a%20b%3F.sqlite3", "/a b?.sqlite3"),
        ("sqlite:///C:/data/a.sqlite3", "C:/data/a.sqlite3"),
    ],
)
def test_a_url_names_a_file(url: str, path: str) -> None:
    assert sqlite_path(url) == Path(path)


def test_a_tilde_is_the_users_home() -> None:
    assert sqlite_path("sqlite:///~/a.sqlite3") == Path.home() / "a.sqlite3"


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("sqlite://var/lib/a", "three slashes"),
        ("sqlite:///", "names no file"),
        ("sqlite:///var/lib/", "names no file"),
        ("sqlite://:memory:", "names no file"),
        ("sqlite:///a?mode=ro", "takes no options"),
        ("sqlite:///a#b", "takes no options"),
    ],
)
def test_a_url_that_names_none_is_refused_with_the_reason(url: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        sqlite_path(url)

"""Where databases are, what URLs mean, and what is said when one cannot be used."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

import pytest

from genops_otel_posthog.errors import GenOpsConfigurationError
from genops_otel_posthog.flags import FlagRow, FlagStoreError, open_flag_store
from genops_otel_posthog.flags.database.sqlite import SqliteFlagStore


def test_without_a_url_flags_are_in_the_users_state_directory(tmp_path):
    store = open_flag_store()
    assert isinstance(store, SqliteFlagStore)
    assert store.path == tmp_path / "state" / "genops-otel-posthog" / "flags.sqlite3"


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:///var/lib/shop/flags.sqlite3", Path("/var/lib/shop/flags.sqlite3")),
        ("sqlite:////var/lib/shop/flags.sqlite3", Path("/var/lib/shop/flags.sqlite3")),
        ("sqlite:///./flags%20of%20mine.sqlite3", Path("flags of mine.sqlite3")),
        ("sqlite:///~/flags.sqlite3", Path("~/flags.sqlite3").expanduser()),
    ],
)
def test_a_url_of_a_file(url, path):
    store = open_flag_store(url)
    assert isinstance(store, SqliteFlagStore)
    assert store.path == path


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("flags.sqlite3", "is named by a URL such as sqlite:///"),
        ("sqlite://:memory:", "names no file that processes can share"),
        ("sqlite:///", "names no file"),
        ("sqlite:///a/b?mode=ro", "takes no options"),
        ("nosuchdb://user:secret@host/shop", "cannot be used"),
    ],
)
def test_a_url_that_cannot_be_used_is_refused_without_its_password(url, said):
    if url.startswith("nosuchdb"):
        pytest.importorskip("sqlalchemy")
    with pytest.raises(GenOpsConfigurationError, match=said) as raised:
        open_flag_store(url)
    assert "secret" not in str(raised.value)


def test_without_sqlalchemy_the_message_is_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "sqlalchemy", None)
    monkeypatch.delitem(sys.modules, "genops_otel_posthog.flags.database.sqlalchemy", raising=False)
    with pytest.raises(GenOpsConfigurationError, match=r"pip install 'genops-otel-posthog\[database\]'"):
        open_flag_store("postgresql+psycopg://host/shop")


def test_reading_makes_no_file(tmp_path):
    store = SqliteFlagStore(tmp_path / "state" / "flags.sqlite3")
    assert store.rows() == []
    assert store.definitions("project") is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such permissions")
def test_a_new_file_is_its_owners_alone(tmp_path):
    store = SqliteFlagStore(tmp_path / "state" / "flags.sqlite3")
    store.put(FlagRow("beta"))
    assert stat.S_IMODE(store.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(store.path.parent.stat().st_mode) == 0o700


def test_a_file_that_is_no_database_is_an_error_that_names_it(tmp_path):
    path = tmp_path / "flags.sqlite3"
    path.write_text("this is no database at all, whatever its name may be" * 40)
    with pytest.raises(FlagStoreError, match=r"flags\.sqlite3 cannot be used"):
        SqliteFlagStore(path).rows()


def test_a_directory_that_cannot_be_made_is_an_error_of_the_store(tmp_path):
    (tmp_path / "taken").write_text("")
    with pytest.raises(FlagStoreError, match="cannot be used"):
        SqliteFlagStore(tmp_path / "taken" / "flags.sqlite3").put(FlagRow("beta"))


def test_a_server_that_is_not_there_is_an_error_without_values_or_password(tmp_path):
    pytest.importorskip("psycopg")
    pytest.importorskip("sqlalchemy")
    store = open_flag_store(f"postgresql+psycopg://user:secret@/shop?host={tmp_path}")
    with pytest.raises(FlagStoreError, match="cannot be used") as raised:
        store.put(FlagRow("beta", "user", "somebody@example.com"))
    assert "secret" not in str(raised.value)
    assert "example.com" not in str(raised.value)


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg"])
def test_a_url_of_postgresql_needs_no_driver_in_it(scheme, tmp_path):
    pytest.importorskip("psycopg")
    pytest.importorskip("sqlalchemy")
    with pytest.raises(FlagStoreError, match="cannot be used: connection"):
        open_flag_store(f"{scheme}://user@/shop?host={tmp_path}").rows()


def test_an_engine_of_the_application_is_used_as_it_is(tmp_path):
    sqlalchemy = pytest.importorskip("sqlalchemy")
    from genops_otel_posthog.flags.database.sqlalchemy import SqlAlchemyFlagStore

    engine = sqlalchemy.create_engine(f"sqlite:///{tmp_path / 'shop.sqlite3'}")
    SqlAlchemyFlagStore(engine).put(FlagRow("beta"))
    assert sqlalchemy.inspect(engine).get_table_names() == ["genops_flag_definitions", "genops_flags"]
    engine.dispose()


def test_tables_that_were_made_beforehand_need_no_right_to_make_any(tmp_path):
    path = tmp_path / "flags.sqlite3"
    SqliteFlagStore(path).put(FlagRow("beta"))
    reader = SqliteFlagStore(path)
    reader.session = refusing_to_make(reader.session)  # type: ignore[method-assign]
    assert [row.flag_key for row in reader.rows()] == ["beta"]


def refusing_to_make(session):
    def read_only(*, writes: bool):
        assert not writes
        return session(writes=False)

    return read_only


def test_a_relative_file_is_below_the_working_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    open_flag_store("sqlite:///./flags.sqlite3").put(FlagRow("beta"))
    assert os.path.exists(tmp_path / "flags.sqlite3")

"""Real databases: SQLite by the standard library, SQLite and PostgreSQL by SQLAlchemy."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from genops_otel_posthog.flags.database.sql import SqlFlagStore
from genops_otel_posthog.flags.database.sqlite import SqliteFlagStore

GIVEN_POSTGRES = os.environ.get("GENOPS_TEST_POSTGRES_URL")
"""A PostgreSQL that is already there. Read on import, because every test hides the settings of the shell."""


class Calendar:
    """A clock of aware UTC that goes on by a second each time it is read."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 22, 12, tzinfo=timezone.utc)

    def __call__(self) -> datetime:
        self.now += timedelta(seconds=1)
        return self.now


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A PostgreSQL on a Unix socket, of this session alone."""
    if GIVEN_POSTGRES:
        yield GIVEN_POSTGRES
        return
    if importlib.util.find_spec("psycopg") is None or (not shutil.which("initdb") and not _binary("initdb")):
        pytest.skip("needs psycopg and PostgreSQL's server, or GENOPS_TEST_POSTGRES_URL")
    directory = Path(tempfile.mkdtemp(prefix="pg"))  # short: a socket's path may have 104 bytes
    as_user: dict[str, str] = {}
    if hasattr(os, "geteuid") and os.geteuid() == 0:  # its server refuses to run as root
        as_user = {"user": "postgres"}
        shutil.chown(directory, "postgres")
    data = directory / "data"
    initdb = [str(_binary("initdb")), "-D", str(data), "-A", "trust", "-U", "test", "--no-sync"]
    subprocess.run(initdb, check=True, capture_output=True, **as_user)  # type: ignore[call-overload]
    options = f"-c listen_addresses='' -c unix_socket_directories={directory} -c fsync=off"
    control = [str(_binary("pg_ctl")), "-D", str(data), "-w", "-l", str(directory / "log")]
    subprocess.run([*control, "-o", options, "start"], check=True, capture_output=True, **as_user)  # type: ignore[call-overload]
    yield f"postgresql+psycopg://test@/postgres?host={directory}"
    subprocess.run([*control, "-m", "immediate", "stop"], check=True, capture_output=True, **as_user)  # type: ignore[call-overload]
    shutil.rmtree(directory)


def _binary(name: str) -> Path | None:
    found = shutil.which(name)
    if found:
        return Path(found)
    return next(iter(sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), reverse=True)), None)


@pytest.fixture(params=["sqlite", "sqlalchemy-sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SqlFlagStore]:
    """An empty database of each kind."""
    if request.param == "sqlite":
        yield SqliteFlagStore(tmp_path / "flags.sqlite3", Calendar())
        return
    pytest.importorskip("sqlalchemy")
    from genops_otel_posthog.flags.database.sqlalchemy import SqlAlchemyFlagStore

    if request.param == "sqlalchemy-sqlite":
        store = SqlAlchemyFlagStore(f"sqlite:///{tmp_path / 'flags.sqlite3'}", Calendar())
    else:
        store = SqlAlchemyFlagStore(request.getfixturevalue("postgres_url"), Calendar())
        with store.session(writes=True) as session:
            session.run("DROP TABLE IF EXISTS genops_flags", {})
            session.run("DROP TABLE IF EXISTS genops_flag_definitions", {})
    yield store
    store.close()

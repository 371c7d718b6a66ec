"""A real PostgreSQL for the tests of the database destination."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of an empty database, of each kind."""
    if request.param == "sqlite":
        return f"sqlite://{tmp_path / 'events.sqlite3'}"
    url: str = request.getfixturevalue("postgresql_url")
    return url

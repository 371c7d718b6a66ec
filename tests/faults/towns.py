"""Fixtures: processes that spend, and ledgers for them, a SQLite file and real servers where there are any."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from processes import Nursery, Town
from proxy import proxies
from servers import KINDS, new_ledger_url, shared_server, start_server

__all__ = ["any_town", "found", "new_ledger_url", "nursery", "proxies", "shared_server", "start_server", "town"]


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    """Starts processes."""
    nursery = Nursery()
    yield nursery
    nursery.close()


@pytest.fixture
def found(nursery: Nursery, tmp_path: Path) -> Iterator[Callable[[str], Town]]:
    """Founds a town around the ledger at a URL."""
    towns: list[Town] = []

    def found(url: str) -> Town:
        directory = tmp_path / f"town{len(towns)}"
        directory.mkdir()
        towns.append(Town(nursery, directory, url))
        return towns[-1]

    yield found
    for town in towns:
        town.close()


@pytest.fixture
def town(found: Callable[[str], Town], tmp_path: Path) -> Town:
    """A town with a ledger in a file."""
    return found(f"sqlite://{tmp_path}/ledger.sqlite3")


@pytest.fixture(params=["sqlite", *KINDS])
def any_town(request: pytest.FixtureRequest, found: Callable[[str], Town], tmp_path: Path) -> Town:
    """A town with a ledger of each kind in turn."""
    if request.param == "sqlite":
        return found(f"sqlite://{tmp_path}/ledger.sqlite3")
    new_url: Callable[[str], str] = request.getfixturevalue("new_ledger_url")
    return found(new_url(request.param))

"""Fixtures: every kind of store, and a clock that stands still until it is moved."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from genops_otel_posthog.service.analytics.memory import MemoryStore
from genops_otel_posthog.service.analytics.mongodb import MongoDbStore
from genops_otel_posthog.service.analytics.opening import open_analytics_store
from genops_otel_posthog.service.analytics.records import RECORDS
from genops_otel_posthog.service.analytics.store import AnalyticsStore

GIVEN_MONGODB = os.environ.get("GENOPS_TEST_MONGODB_URL")
"""A server that is there already. Read on import, because every test hides the settings of the shell. Without one,
mongomock imitates MongoDB behind pymongo's own interface: there is no server on PyPI."""

NOON = datetime(2026, 3, 1, 12, tzinfo=timezone.utc)


class Clock:
    """The time, as the test says."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> datetime:
        return self.now

    def pass_by(self, **duration: float) -> None:
        self.now += timedelta(**duration)


@pytest.fixture
def clock() -> Clock:
    return Clock()


def _mongodb() -> MongoDbStore:
    if GIVEN_MONGODB is None:
        import mongomock

        return MongoDbStore(mongomock.MongoClient(), "genops_test")
    store = MongoDbStore(GIVEN_MONGODB, "genops_test")
    for kind in RECORDS:
        store.remove_before(kind, datetime.max.replace(tzinfo=timezone.utc))
    return store


@pytest.fixture(params=["memory", "sqlite", "postgresql", "mongodb"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[AnalyticsStore]:
    """An empty store, of each kind."""
    store: AnalyticsStore
    if request.param == "memory":
        store = MemoryStore()
    elif request.param == "mongodb":
        store = _mongodb()
    elif request.param == "sqlite":
        store = open_analytics_store(f"sqlite:///{(tmp_path / 'kept' / 'a.sqlite3').as_posix().lstrip('/')}")
    else:
        store = open_analytics_store(request.getfixturevalue("postgresql_url"))
    yield store
    store.close()

"""Which store a URL means, and what is said when it means none."""

from __future__ import annotations

import os
import sys
from unittest.mock import Mock

import mongomock
import pytest
from pymongo.errors import DuplicateKeyError

from genops_otel_posthog.errors import GenOpsConfigurationError
from genops_otel_posthog.service import AnalyticsService
from genops_otel_posthog.service.analytics.memory import MemoryStore
from genops_otel_posthog.service.analytics.mongodb import MongoDbStore
from genops_otel_posthog.service.analytics.opening import open_analytics_store
from genops_otel_posthog.service.analytics.records import SessionAnalytics, UserInteraction
from genops_otel_posthog.service.analytics.sqlalchemy import SqlAlchemyStore
from genops_otel_posthog.service.analytics.store import AnalyticsStoreError


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("memory://", MemoryStore),
        ("sqlite:///./analytics.sqlite3", SqlAlchemyStore),
        ("postgresql://ann:s3cr3t@db.invalid/shop", SqlAlchemyStore),
        ("postgres://ann:s3cr3t@db.invalid/shop", SqlAlchemyStore),
        ("mongodb://ann:s3cr3t@127.0.0.1:9/shop", MongoDbStore),
    ],
)
def test_a_url_means_a_store_and_nothing_is_connected_to(url, kind, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    store = open_analytics_store(url)
    assert isinstance(store, kind)
    store.close()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("redis://ann:s3cr3t@host", "it begins with none of sqlite://, postgresql://, mongodb://, mongodb[+]srv://"),
        ("analytics.s3cr3t", "it begins with none of"),
        ("mongodb://", "it is not of the form mongodb://host:27017/database"),
        ("postgresql:///", "it is not of the form postgresql://"),
        ("sqlite://s3cr3t/a", "three slashes"),
        ("mongodb://ann:s3cr3t@host:port/x", "InvalidURI|ValueError"),
        ("postgresql+nodriver://ann:s3cr3t@host/x", "install its driver"),
        (None, "cannot be used"),
    ],
)
def test_a_url_that_means_none_is_an_error_that_does_not_repeat_it(url, said):
    with pytest.raises(GenOpsConfigurationError, match=said) as caught:
        open_analytics_store(url)
    assert "s3cr3t" not in str(caught.value)


@pytest.mark.parametrize(
    ("module", "package", "url", "extra"),
    [
        ("sqlalchemy", "sqlalchemy", "sqlite:///./a.sqlite3", "database"),
        ("mongodb", "pymongo", "mongodb://host/a", "mongodb"),
    ],
)
def test_a_missing_package_is_named_with_what_to_install(module, package, url, extra, monkeypatch):
    monkeypatch.delitem(sys.modules, f"genops_otel_posthog.service.analytics.{module}")
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(GenOpsConfigurationError, match=rf"pip install 'genops-otel-posthog\[{extra}\]'"):
        open_analytics_store(url)


@pytest.mark.requirement("S0-31")
def test_the_environment_names_the_store(monkeypatch, caplog):
    monkeypatch.setenv("GENOPS_ANALYTICS_URL", "memory://")
    analytics = AnalyticsService()
    assert analytics.initialize_sync()
    assert isinstance(analytics.store, MemoryStore)
    monkeypatch.setenv("GENOPS_ANALYTICS_URL", "mysql://ann:s3cr3t@db/shop")
    assert not AnalyticsService().initialize_sync()
    assert "GENOPS_ANALYTICS_URL cannot be used" in caplog.text
    assert "s3cr3t" not in caplog.text


def test_a_mongodb_that_does_not_answer_is_given_up_soon(monkeypatch):
    monkeypatch.setattr("genops_otel_posthog.service.analytics.mongodb.PATIENCE_MS", 50)
    store = open_analytics_store("mongodb://127.0.0.1:9/shop")
    with pytest.raises(AnalyticsStoreError, match="MongoDB cannot be used: ServerSelectionTimeoutError"):
        store.prepare()
    store.close()


def test_a_session_that_two_processes_make_at_once_is_made_once_and_changed_by_both():
    store = MongoDbStore(mongomock.MongoClient(), "shop")
    store.prepare()
    collection = store._client["shop"]["session_analytics"]
    real = collection.update_one
    # What MongoDB answers to the second of two upserts; the double has no such race.
    collection.update_one = Mock(side_effect=[DuplicateKeyError("E11000"), None], wraps=real)
    store.change(SessionAnalytics, "s1", {"duration": 1.0})
    assert collection.update_one.call_count == 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_forked_process_keeps_in_the_same_database(tmp_path):
    store = open_analytics_store(f"sqlite:///{(tmp_path / 'a.sqlite3').as_posix().lstrip('/')}")
    parent = AnalyticsService(None, store)
    assert parent.track_interaction_sync(type="click", user_id="ann")
    child = os.fork()
    if child == 0:
        os._exit(0 if parent.track_interaction_sync(type="scroll", user_id="ann") else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert len(store.find(UserInteraction, "ann", 10)) == 2


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")
def test_the_file_is_its_owners_alone(tmp_path):
    store = open_analytics_store(f"sqlite:///{(tmp_path / 'new' / 'a.sqlite3').as_posix().lstrip('/')}")
    store.prepare()
    assert (tmp_path / "new" / "a.sqlite3").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o700

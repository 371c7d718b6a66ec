"""The variables about RudderStack and the database."""

from __future__ import annotations

import logging

import pytest

from genops_otel_posthog.errors import GenOpsConfigurationError
from genops_otel_posthog.settings import Settings


def read(name: str, value: str) -> Settings:
    return Settings.from_environ({name: value})


def test_the_data_plane_is_kept_without_its_slash() -> None:
    url = "https://events.example.com/rudder/"
    assert read("RUDDERSTACK_DATA_PLANE_URL", url).rudderstack_data_plane_url == "https://events.example.com/rudder"


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("ftp://events.example.com", "does not begin with"),
        ("https://", "names no host"),
        ("https://events.example.com:port", "port cannot be read"),
        ("https://events.example.com/?a=b", "goes on"),
        ("https://events .example.com", "holds a space"),
    ],
)
def test_what_is_no_address_of_a_data_plane_is_refused(value: str, reason: str) -> None:
    with pytest.raises(GenOpsConfigurationError, match=reason):
        read("RUDDERSTACK_DATA_PLANE_URL", value)


def test_a_password_in_the_data_plane_is_refused_and_not_repeated() -> None:
    with pytest.raises(GenOpsConfigurationError, match="user name or a password") as caught:
        read("RUDDERSTACK_DATA_PLANE_URL", "https://anna:s3cr3t@events.example.com")
    assert "s3cr3t" not in str(caught.value)


@pytest.mark.parametrize(("host", "warned"), [("events.example.com", 1), ("127.0.0.1:8080", 0), ("localhost", 0)])
def test_a_data_plane_without_encryption_is_warned_of_unless_it_is_this_machine(
    host: str, warned: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    read("RUDDERSTACK_DATA_PLANE_URL", f"http://{host}")
    assert len([record for record in caplog.records if "not encrypted" in record.message]) == warned


@pytest.mark.parametrize(
    "url",
    [
        "sqlite:////var/lib/shop/events.sqlite3",
        "sqlite:///events.sqlite3",
        "postgresql://anna@db.example.com/shop",
        "postgres://anna@db.example.com/shop",
        "postgresql+psycopg://anna@db.example.com/shop",
    ],
)
def test_sqlite_and_postgresql_are_databases_for_events(url: str) -> None:
    assert read("GENOPS_DATABASE_URL", url).database_url == url


@pytest.mark.parametrize("url", ["sqlite:///~/flags.sqlite3", "postgresql://flags@db/shop", "mysql+pymysql://db/shop"])
def test_whatever_sqlalchemy_takes_is_a_database_for_flags(url: str) -> None:
    assert read("GENOPS_FLAGS_DATABASE_URL", url).flags_database_url == url


@pytest.mark.parametrize("url", ["flags.sqlite3", "sqlite://", "://host/db", "postgresql:/secret"])
def test_what_is_no_address_of_a_database_for_flags_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(GenOpsConfigurationError, match="GENOPS_FLAGS_DATABASE_URL cannot be used") as caught:
        read("GENOPS_FLAGS_DATABASE_URL", url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("https://eu.posthog.com/project/4711/", "https://eu.posthog.com/project/4711"),
        ("http://localhost:8000/project/1", "http://localhost:8000/project/1"),
        ("https://analytics.example.com/posthog/project/1", "https://analytics.example.com/posthog/project/1"),
    ],
)
def test_the_address_of_a_project_is_what_a_browser_shows(url: str, kept: str) -> None:
    assert read("GENOPS_POSTHOG_PROJECT_URL", url).posthog_project_url == kept


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("eu.posthog.com/project/1", "does not begin with"),
        ("https://eu.i.posthog.com/project/1", "where events are sent to"),
        ("https://eu.posthog.com", "does not end in /project/"),
        ("https://eu.posthog.com/project/1/events", "does not end in /project/"),
        ("https://eu.posthog.com/project/1?x", "goes on"),
        ("https://[::1/project/1", "cannot be read"),
    ],
)
def test_what_is_no_address_of_a_project_is_refused(url: str, reason: str) -> None:
    with pytest.raises(GenOpsConfigurationError, match=reason):
        read("GENOPS_POSTHOG_PROJECT_URL", url)


@pytest.mark.parametrize("url", ["sqlite://", "postgresql://", "postgresql:/db", "oracle://db.example.com/shop"])
def test_what_is_no_address_of_a_database_is_refused(url: str) -> None:
    with pytest.raises(GenOpsConfigurationError, match="GENOPS_DATABASE_URL cannot be used"):
        read("GENOPS_DATABASE_URL", url)

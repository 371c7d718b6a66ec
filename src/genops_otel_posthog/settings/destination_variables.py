"""The environment variables about what stands beside PostHog: RudderStack, a database of events and one of flags."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import urlsplit

from genops_otel_posthog.settings.values import switch, warn_once
from genops_otel_posthog.settings.variable import Variable

DEFAULT_DATA_PLANE_URL: Final = "https://hosted.rudderlabs.com"

#: Databases that events can be written to, with the form of the address.
DATABASE_URLS: Final = {
    "sqlite": "sqlite:///path/to/file",
    "postgresql": "postgresql://user:password@host:5432/database",
    "postgres": "postgres://user:password@host:5432/database",
}

_LOOPBACK = re.compile(r"localhost|.*\.localhost|127\.\d+\.\d+\.\d+|::1")


def write_key(value: str) -> str:
    """The write key of a RudderStack source. The messages repeat no part of it."""
    if not value.isascii() or not value.isprintable() or " " in value:
        raise ValueError("it holds a space or a character that no key holds")
    if ":" in value:
        raise ValueError("it holds a colon, which cannot be part of a user name in HTTP; give the key alone")
    return value


def data_plane_url(value: str) -> str:
    """The URL of a RudderStack data plane, without a slash at its end. The messages repeat no part of it."""
    if not value.isprintable() or " " in value:
        raise ValueError("it holds a space or a control character")
    try:
        parts = urlsplit(value)
        name, _ = parts.hostname or "", parts.port
    except ValueError:
        raise ValueError("its address or its port cannot be read") from None
    if parts.scheme not in ("http", "https"):
        raise ValueError("it does not begin with https:// or http://")
    if not name:
        raise ValueError("it names no host")
    if "@" in parts.netloc:
        raise ValueError("it holds a user name or a password; the write key goes into RUDDERSTACK_WRITE_KEY")
    if parts.query or parts.fragment:
        raise ValueError("it goes on after the address with ? or #")
    if parts.scheme == "http" and not _LOOPBACK.fullmatch(name):
        warn_once(
            "the data plane",
            f"RudderStack data plane http://{name} is not encrypted, so everybody on the way can read the write key "
            "and what the events say about people; use https",
        )
    return value.rstrip("/")


def database_url(value: str) -> str:
    """The URL of a database. The messages repeat no part of it, for it may hold a password."""
    scheme, separator, rest = value.partition("://")
    known = DATABASE_URLS.get(scheme.partition("+")[0].lower())
    if not separator or known is None:
        raise ValueError("it does not begin with sqlite:// or postgresql://")
    if not value.isprintable():
        raise ValueError("it holds a control character")
    if not rest.strip("/"):
        raise ValueError(f"it is not of the form {known}")
    return value


def flags_database_url(value: str) -> str:
    """The URL of a database of flags: SQLite, or what SQLAlchemy takes. The messages repeat no part of it."""
    scheme, separator, rest = value.partition("://")
    if not separator or not re.fullmatch(r"[a-zA-Z][a-zA-Z0-9+_.-]*", scheme) or not rest.strip("/"):
        raise ValueError("it is not of the form sqlite:///path/to/file or postgresql://user:password@host/database")
    if not value.isprintable():
        raise ValueError("it holds a control character")
    return value


DESTINATION_VARIABLES: tuple[Variable, ...] = (
    Variable(
        "RUDDERSTACK_WRITE_KEY",
        "rudderstack_write_key",
        "Write key of the RudderStack source that gets every event too. Not given: no forwarding.",
        "–",
        "1aBcDeFgHiJkLmNoPqRsTuVwXyZ",
        write_key,
        secret=True,
    ),
    Variable(
        "RUDDERSTACK_DATA_PLANE_URL",
        "rudderstack_data_plane_url",
        "Where RudderStack takes events.",
        f"`{DEFAULT_DATA_PLANE_URL}`",
        "https://acme.dataplane.rudderstack.com",
        data_plane_url,
    ),
    Variable(
        "GENOPS_DATABASE_URL",
        "database_url",
        "Database that gets every event too: `sqlite:///path` or `postgresql://…`. Not given: none.",
        "–",
        "postgresql://events@db.internal/analytics",
        database_url,
        secret=True,
    ),
    Variable(
        "GENOPS_FLAGS_DATABASE_URL",
        "flags_database_url",
        "Database with the feature flags that hold when PostHog does not know: `sqlite:///path`, `postgresql://…`, or "
        "what SQLAlchemy takes. Not given: a file in the user's state directory.",
        "–",
        "postgresql://flags@db.internal/shop",
        flags_database_url,
        secret=True,
    ),
    Variable(
        "GENOPS_GATES_ASK_POSTHOG",
        "gates_ask_posthog",
        "Whether PostHog's server is asked, in the background, about the gates that decide what is written: a billed "
        "flag request for each gate and user in half a minute. Otherwise the definitions of the application's own "
        "client and the database decide, for nothing.",
        "`false`",
        "true",
        switch,
    ),
)

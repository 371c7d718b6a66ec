"""The real SDK against the local receiver, real databases, and clocks that the test sets."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from pathlib import Path
from typing import Any

import pytest

from genops_otel_posthog.flags import FlagChain, posthog_source, recording, table, use_chain
from genops_otel_posthog.flags.database import sql
from genops_otel_posthog.flags.database.sqlite import SqliteFlagStore
from genops_otel_posthog.flags.workers import Workers
from genops_otel_posthog.receiver.server import LocalReceiver


def flag(key: str, *, rollout: float = 100, variants: dict[str, float] | None = None, **more: Any) -> dict[str, Any]:
    """A flag in PostHog's own format; variants with their shares."""
    filters: dict[str, Any] = {"groups": [{"properties": [], "rollout_percentage": rollout}]}
    if variants:
        shares = [{"key": name, "rollout_percentage": share} for name, share in variants.items()]
        filters["multivariate"] = {"variants": shares}
    filters.update(more.pop("filters", {}))
    return {"key": key, "active": True, "filters": filters, **more}


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="session")
def shared_receiver() -> Iterator[LocalReceiver]:
    with LocalReceiver(port=0) as receiver:
        yield receiver


@pytest.fixture
def receiver(shared_receiver: LocalReceiver, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalReceiver]:
    """The local receiver, empty, and left alone by this test's workers when it ends."""
    given: list[Future[Any]] = []
    submit = Workers.submit

    def noting(self: Workers, work: Callable[[], Any]) -> Future[Any] | None:
        future = submit(self, work)
        given.extend([] if future is None else [future])
        return future

    monkeypatch.setattr(Workers, "submit", noting)
    shared_receiver.set_flags([])
    shared_receiver.clear()
    yield shared_receiver
    shared_receiver.recover()
    wait(given, timeout=30)


@pytest.fixture
def new_client(receiver: LocalReceiver) -> Iterator[Callable[..., Any]]:
    """Makes clients of the real SDK: ``local=True`` for one that evaluates by definitions."""
    import posthog

    clients: list[posthog.Client] = []
    has_secret_key = "secret_key" in inspect.signature(posthog.Client.__init__).parameters
    secret = "secret_key" if has_secret_key else "personal_api_key"

    def new_client(*, local: bool = False, **options: Any) -> posthog.Client:
        given = {"host": receiver.url, "flush_interval": 0.05, **({secret: "phx_test"} if local else {}), **options}
        client = posthog.Posthog("phc_test", **given)
        clients.append(client)
        return client

    yield new_client
    receiver.recover()  # or the clients would try until they give up
    for client in clients:
        client.shutdown()


@pytest.fixture
def store(tmp_path: Path) -> SqliteFlagStore:
    """A database in a file that does not exist yet."""
    return SqliteFlagStore(tmp_path / "state" / "flags.sqlite3")


@pytest.fixture(autouse=True)
def nothing_said_yet() -> None:
    """Warnings that are said once per process are said once per test."""
    for module in (sql, table, recording, posthog_source):
        module._warn.forget()


@pytest.fixture(autouse=True)
def no_chain_in_use() -> Iterator[None]:
    use_chain(None)
    yield
    use_chain(None)


@pytest.fixture
def quiet_chain(store: SqliteFlagStore) -> Iterator[FlagChain]:
    """A chain of the database alone, in use by everything that names no other."""
    chain = FlagChain(database=store)
    use_chain(chain)
    return chain

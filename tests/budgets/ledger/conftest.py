"""Ledgers to test: whatever is said of one must be true of all."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

# pytest's importlib mode leaves the modules beside this file unfindable.
if str(Path(__file__).parent) not in sys.path:
    sys.path.append(str(Path(__file__).parent))

from conversation import Clock, Process
from proxy import proxies, refusing_server  # noqa: F401 - fixtures
from servers import KINDS, new_ledger_url, redis_url, shared_server, start_server  # noqa: F401 - most are fixtures

from genops_otel_posthog.budgets.ledger.protocol import Ledger

LedgerFactory = Callable[[], Ledger]
"""Opens the ledger of the test; called again, opens it once more, as another process would."""


def memory(request: pytest.FixtureRequest, clock: Clock) -> LedgerFactory:
    """All that is in memory is in one object."""
    from genops_otel_posthog.budgets.ledger.memory import MemoryLedger

    ledger = MemoryLedger(clock=clock)
    return lambda: ledger


def sqlite(request: pytest.FixtureRequest, clock: Clock) -> LedgerFactory:
    """A file of the test's own."""
    from genops_otel_posthog.budgets.ledger.sqlite import SqliteLedger

    path = request.getfixturevalue("tmp_path") / "ledger" / "ledger.sqlite3"
    return lambda: SqliteLedger(path, clock=clock)


def redis(kind: str, request: pytest.FixtureRequest, clock: Clock) -> LedgerFactory:
    """A namespace of the test's own on a real server."""
    from genops_otel_posthog.budgets.ledger.redis import RedisLedger

    url = request.getfixturevalue("new_ledger_url")(kind)
    return lambda: RedisLedger.from_url(url, clock=clock)


BACKENDS: dict[str, Callable[[pytest.FixtureRequest, Clock], LedgerFactory]] = {
    "memory": memory,
    "sqlite": sqlite,
    **{kind: partial(redis, kind) for kind in KINDS},
}
"""Every kind of ledger. The clock is the ledger's."""


@pytest.fixture
def clock() -> Clock:
    """The ledger's clock."""
    return Clock()


@pytest.fixture(params=list(BACKENDS))
def ledger_factory(request: pytest.FixtureRequest, clock: Clock) -> Iterator[LedgerFactory]:
    """Opens the ledger of this test, as often as it is called."""
    opened: list[Ledger] = []
    open_ledger = BACKENDS[request.param](request, clock)

    def factory() -> Ledger:
        opened.append(open_ledger())
        return opened[-1]

    yield factory
    for ledger in opened:
        ledger.close()


@pytest.fixture
def ledger(ledger_factory: LedgerFactory) -> Ledger:
    """A ledger, of each kind in turn."""
    return ledger_factory()


@pytest.fixture
def process(ledger_factory: LedgerFactory) -> Callable[[str], Process]:
    """A process by its name, with the ledger opened for itself."""
    return lambda name: Process(ledger_factory(), name)


@pytest.fixture
def alice(process: Callable[[str], Process]) -> Process:
    """A process."""
    return process("alice")


@pytest.fixture
def bob(process: Callable[[str], Process]) -> Process:
    """Another process."""
    return process("bob")


@pytest.fixture
def carol(process: Callable[[str], Process]) -> Process:
    """A third process."""
    return process("carol")

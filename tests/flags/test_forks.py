"""A process that is forked while flags are being asked for."""

from __future__ import annotations

import os
import threading

import pytest

from genops_otel_posthog.flags import FlagChain, FlagRow, Subject

from .conftest import flag

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork"),
    pytest.mark.filterwarnings("ignore:This process:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning"),
]


def in_child(work) -> bool:
    """Whether ``work`` returned something true in a forked child."""
    pid = os.fork()
    if pid == 0:
        try:
            os._exit(0 if work() else 1)
        except BaseException:
            os._exit(2)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_a_child_asks_posthog_with_threads_of_its_own(receiver, new_client):
    receiver.set_flags([flag("beta")])
    chain = FlagChain(new_client(), deadline=10, recorders=())
    chain.answer("beta", Subject("u1"))
    assert in_child(lambda: chain.answer("beta", Subject("u2")).source == "posthog_remote")


def test_a_child_sees_changes_of_the_database(store):
    chain = FlagChain(database=store)
    assert chain.table is not None
    table = chain.table
    store.put(FlagRow("beta"))
    assert in_child(lambda: table.refresh(10) and chain.is_on("beta"))


def test_a_child_forked_while_everything_is_locked_is_not(receiver, new_client, store):
    store.put(FlagRow("beta"))
    chain = FlagChain(new_client(), store, deadline=0.3)
    assert chain.posthog is not None
    assert chain.table is not None
    locks = [
        chain.posthog.breaker._lock,
        chain.posthog.remembered._lock,
        chain.posthog._workers._lock,
        chain._record._lock,
        chain.table._reading,
        chain.table._workers._lock,
    ]
    held, release = threading.Event(), threading.Event()

    def hold() -> None:
        for lock in locks:
            lock.acquire()
        held.set()
        release.wait(30)
        for lock in locks:
            lock.release()

    holder = threading.Thread(target=hold)
    holder.start()
    assert held.wait(10)
    try:
        assert in_child(lambda: chain.answer("beta", Subject("u1")).source == "database")
    finally:
        release.set()
        holder.join(10)


def test_a_child_may_probe_where_its_parent_was_probing(new_client, clock):
    from genops_otel_posthog.flags.breaker import Breaker

    breaker = Breaker(failures=1, pause=5, clock=clock)
    breaker.failed()
    clock.now += 5
    assert breaker.allows()
    assert in_child(breaker.allows)

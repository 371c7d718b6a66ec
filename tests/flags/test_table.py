"""The snapshot of the database: who is answered by which row, and what a change or an outage does."""

from __future__ import annotations

import threading

import pytest

from genops_otel_posthog.flags import FlagRow, FlagStoreError, Subject
from genops_otel_posthog.flags.answer import MISSING, Unknown
from genops_otel_posthog.flags.table import FlagTable
from genops_otel_posthog.flags.workers import Workers

BOTH = Subject("u1", "acme")


@pytest.fixture
def table(store, clock):
    return FlagTable(store, Workers(limit=1), poll=10, clock=clock)


def settled(table: FlagTable) -> None:
    """Waits until what was started in the background has been done: one thread does one thing after the other."""
    done = threading.Event()
    while table._workers.submit(done.set) is None:
        pass
    assert done.wait(10)


def test_the_narrowest_row_decides(store, table):
    store.put(FlagRow("beta", payload="all"))
    store.put(FlagRow("beta", "workspace", "acme", payload="workspace"))
    store.put(FlagRow("beta", "user", "u1", payload="user"))
    table.refresh(10)
    found = [table.lookup("beta", Subject(*who)) for who in [("u1", "acme"), ("u2", "acme"), ("u2", "other"), ()]]
    assert [answer.payload for answer in found] == ["user", "workspace", "all", "all"]


def test_a_narrow_row_that_is_off_is_not_overruled_by_a_wide_one(store, table):
    store.put(FlagRow("beta"))
    store.put(FlagRow("beta", "user", "u1", enabled=False))
    table.refresh(10)
    assert table.lookup("beta", BOTH).value is False


def test_a_row_of_somebody_else_says_nothing(store, table):
    store.put(FlagRow("beta", "user", "u2"))
    table.refresh(10)
    assert table.lookup("beta", BOTH) is MISSING
    assert table.lookup("gamma", BOTH) is MISSING


def test_a_user_and_a_workspace_of_the_same_name_are_two(store, table):
    store.put(FlagRow("beta", "workspace", "x"))
    table.refresh(10)
    assert table.lookup("beta", Subject("x")) is MISSING
    assert table.lookup("beta", Subject(None, "x")).value is True


def test_before_the_first_reading_nothing_is_known_and_that_is_said(table):
    table._next_look = float("inf")
    assert table.lookup("beta", BOTH) == Unknown("database_unavailable")


def test_a_change_is_seen_after_the_poll(store, table, clock):
    table.refresh(10)
    store.put(FlagRow("beta"))
    clock.now += 9
    assert table.lookup("beta", BOTH) is MISSING
    settled(table)
    assert table.lookup("beta", BOTH) is MISSING
    clock.now += 1
    table.lookup("beta", BOTH)  # begins to read
    settled(table)
    assert table.lookup("beta", BOTH).value is True


def test_an_answer_says_how_long_ago_it_was_confirmed(store, table, clock):
    store.put(FlagRow("beta"))
    table.refresh(10)
    clock.now += 7
    assert table.lookup("beta", BOTH).stale_s == 7


def test_rows_that_have_not_changed_are_not_read_again(store, table, clock, monkeypatch):
    store.put(FlagRow("beta"))
    table.refresh(10)
    monkeypatch.setattr(store, "rows", None)
    clock.now += 20
    assert table.refresh(10)
    assert table.lookup("beta", BOTH).stale_s == 0


def test_rows_changed_by_hand_are_seen_within_a_minute(store, table, clock):
    store.put(FlagRow("beta"))
    table.refresh(10)
    with store.session(writes=True) as session:
        session.run("UPDATE genops_flags SET enabled = 0", {})
    clock.now += 10
    table.refresh(10)
    assert table.lookup("beta", BOTH).value is True
    clock.now += 50
    table.refresh(10)
    assert table.lookup("beta", BOTH).value is False


def test_who_listens_is_told_the_flags_that_changed_and_not_the_first_ones(store, table):
    told = []
    table.on_change(told.append)
    store.put(FlagRow("a"))
    store.put(FlagRow("b"))
    table.refresh(10)
    store.put(FlagRow("b", enabled=False))
    store.put(FlagRow("c"))
    store.remove("a", "global")
    table.refresh(10)
    table.refresh(10)
    assert told == [["a", "b", "c"]]


def test_when_the_database_is_away_what_was_read_stands_and_it_is_said_once(store, table, clock, caplog, monkeypatch):
    store.put(FlagRow("beta"))
    table.refresh(10)

    def away() -> object:
        raise FlagStoreError("the flag database is on holiday")

    monkeypatch.setattr(store, "state", away)
    clock.now += 60
    assert not table.refresh(10)
    assert not table.refresh(10)
    answer = table.lookup("beta", BOTH)
    assert (answer.value, answer.stale_s) == (True, 60)
    assert caplog.text.count("on holiday; until it can be used, what was last read stands") == 1


def test_a_lookup_does_not_wait_for_a_database_that_hangs(store, table, clock, monkeypatch):
    store.put(FlagRow("beta"))
    table.refresh(10)
    release = threading.Event()
    monkeypatch.setattr(store, "state", lambda: release.wait(30))
    clock.now += 100
    assert [table.lookup("beta", BOTH).value for _ in range(3)] == [True] * 3  # the reading hangs meanwhile
    release.set()
    settled(table)

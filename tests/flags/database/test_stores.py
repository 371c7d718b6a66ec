"""What every database of flags does."""

from __future__ import annotations

import itertools
import threading
from datetime import datetime, timezone

import pytest

from genops_otel_posthog.flags import FlagRow, Variant
from genops_otel_posthog.flags.database import StoredDefinitions
from genops_otel_posthog.flags.database.sql import SqlFlagStore

EVERYTHING = FlagRow(
    "pricing",
    "workspace",
    "acme",
    variants=(Variant("a", 12.5, {"x": [1, None]}), Variant("b", 87.5)),
    payload={"text": "ü€😀"},
    rollout_pct=33.3,
)


def test_an_empty_database_has_no_rows_and_no_definitions(store):
    assert store.rows() == []
    assert store.definitions("project") is None
    assert not store.remove("beta", "global")


def test_a_row_is_read_as_it_was_put_with_its_version_and_time(store):
    stored = store.put(EVERYTHING)
    assert stored.version == 1
    assert stored.updated_at == datetime(2026, 11, 22, 12, 0, 1, tzinfo=timezone.utc)
    assert store.rows() == [stored]
    assert stored.variants == EVERYTHING.variants
    assert stored.payload == EVERYTHING.payload


def test_a_row_replaces_that_of_the_same_scope_and_counts_versions(store):
    store.put(FlagRow("beta", "user", "u1", payload=1))
    store.put(FlagRow("beta", "user", "u2"))
    again = store.put(FlagRow("beta", "user", "u1", enabled=False))
    assert again.version == 2
    assert [(row.scope_id, row.enabled, row.payload, row.version) for row in store.rows()] == [
        ("u1", False, None, 2),
        ("u2", True, None, 1),
    ]


def test_the_state_changes_with_each_change_and_not_otherwise(store):
    states = [store.state()]
    store.put(FlagRow("beta"))
    states.append(store.state())
    store.put(FlagRow("beta"))
    states.append(store.state())
    store.remove("beta", "global")
    states.append(store.state())
    assert len(set(states)) >= 3
    assert all(one != other for one, other in itertools.pairwise(states))
    assert store.state() == store.state()


def test_a_row_is_removed_once(store):
    store.put(FlagRow("beta"))
    store.put(FlagRow("beta", "user", "u1"))
    assert store.remove("beta", "user", "u1")
    assert not store.remove("beta", "user", "u1")
    assert [row.scope for row in store.rows()] == ["global"]


def test_values_are_values_whatever_they_look_like(store):
    nasty = FlagRow("be'ta\"; DROP TABLE genops_flags; -- :key %s", "user", "u';:x%(a)s", variant="'")
    stored = store.put(nasty)
    assert store.rows() == [stored]


def test_a_row_that_was_spoiled_by_hand_counts_as_missing_and_is_said_once(store, caplog):
    store.put(FlagRow("good"))
    store.put(FlagRow("spoiled", "user", "somebody@example.com"))
    with store.session(writes=True) as session:
        session.run("UPDATE genops_flags SET payload = :text WHERE flag_key = 'spoiled'", {"text": "{"})
    assert [row.flag_key for row in store.rows()] == ["good"]
    store.rows()
    assert "flag 'spoiled'" in caplog.text
    assert caplog.text.count("cannot be used") == 1
    assert "example.com" not in caplog.text


def test_definitions_are_kept_by_project(store):
    store.put_definitions("one", StoredDefinitions('{"flags": []}', 100.5))
    store.put_definitions("one", StoredDefinitions('{"flags": [1]}', 200.5))
    assert store.definitions("one") == StoredDefinitions('{"flags": [1]}', 200.5)
    assert store.definitions("two") is None


def test_one_leads_until_it_stops_asking(store):
    assert store.lead("project", "a", now=0, until=45)
    assert not store.lead("project", "b", now=44, until=90)
    assert store.lead("project", "a", now=44, until=89)
    assert not store.lead("project", "b", now=45, until=90)
    assert store.lead("project", "b", now=89, until=134)
    assert not store.lead("project", "a", now=90, until=135)


def test_who_resigns_makes_room_at_once(store):
    store.lead("project", "a", now=0, until=45)
    store.resign("project", "b")
    assert not store.lead("project", "b", now=1, until=46)
    store.resign("project", "a")
    assert store.lead("project", "b", now=1, until=46)


def test_of_many_that_ask_at_once_one_leads(store):
    start, leaders = threading.Barrier(8), []

    def run(name: str) -> None:
        start.wait(10)
        if store.lead("project", name, now=0, until=45):
            leaders.append(name)

    store.rows()  # makes the tables
    together([threading.Thread(target=run, args=(f"p{number}",)) for number in range(8)])
    assert len(leaders) == 1


def test_of_many_that_put_the_same_row_at_once_all_are_counted(store):
    start, problems = threading.Barrier(6), []

    def run() -> None:
        start.wait(10)
        try:
            store.put(FlagRow("beta"))
        except Exception as problem:
            problems.append(problem)

    together([threading.Thread(target=run) for _ in range(6)])
    assert problems == []
    assert [row.version for row in store.rows()] == [6]


def together(threads: list[threading.Thread]) -> None:
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)


def test_two_stores_on_one_database_see_each_other(store, tmp_path):
    other = type(store).__new__(type(store))
    other.__dict__.update(store.__dict__)
    other._is_ready = False
    store.put(FlagRow("beta"))
    assert isinstance(other, SqlFlagStore)
    assert other.rows() == store.rows()


@pytest.mark.parametrize("column", ["flag_key", "scope", "scope_id", "rollout_pct", "version", "updated_at"])
def test_the_columns_have_the_documented_names(store, column):
    store.put(FlagRow("beta"))
    with store.session(writes=False) as session:
        assert len(session.run(f"SELECT {column} FROM genops_flags", {})[0]) == 1

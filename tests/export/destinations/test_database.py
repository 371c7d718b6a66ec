"""A database as a destination, on SQLite and on a real PostgreSQL."""

from __future__ import annotations

import builtins
import json
import logging
import os
import sqlite3
import stat
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import datetime, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from genops_otel_posthog.errors import GenOpsConfigurationError
from genops_otel_posthog.export.destinations.protocol import Answer, Verdict, identity
from genops_otel_posthog.export.event import Event

sqlalchemy = pytest.importorskip("sqlalchemy", reason="needs SQLAlchemy")

from genops_otel_posthog.export.destinations.database import DatabaseDestination  # noqa: E402
from genops_otel_posthog.export.destinations.database_tables import DIALECTS, TABLES, ddl  # noqa: E402
from genops_otel_posthog.export.outbox import Outbox, Pauses, Tuning  # noqa: E402

TRACE = "5b8efff798038103d269b633813fc60c"
TIMEOUT = 10.0
AT_ONCE = Pauses(first=0.001, longest=0.002)
QUICK = Tuning(linger=0.0, retries=AT_ONCE, probes=AT_ONCE, survey=0.05, sync=0.05)
ACCEPTED = Answer(Verdict.ACCEPTED)


def body(number: int, name: str = "tool_used", **properties: Any) -> bytes:
    event = Event(
        name=name,
        distinct_id="user-1",
        uuid=str(UUID(int=number)),
        timestamp=f"2026-11-22T12:00:{number % 60:02d}+00:00",
        properties={"number": number, "trace_id": TRACE, **properties},
    )
    return json.dumps(event.body(), separators=(",", ":")).encode()


@pytest.fixture
def opened() -> Iterator[Callable[..., DatabaseDestination]]:
    """Opens destinations that are closed at the end."""
    made: list[DatabaseDestination] = []

    def open_destination(url: str | None, **options: Any) -> DatabaseDestination:
        made.append(DatabaseDestination(url, **options))
        return made[-1]

    yield open_destination
    for destination in made:
        destination.close()


@pytest.fixture
def destination(opened: Callable[..., DatabaseDestination], database_url: str) -> DatabaseDestination:
    return opened(database_url)


def rows(destination: DatabaseDestination, table: str = "event_logs") -> list[Any]:
    with destination._engine.connect() as connection:
        return list(connection.execute(TABLES[table].select().order_by(TABLES[table].c.timestamp)))


def execute(destination: DatabaseDestination, *statements: str) -> None:
    with destination._engine.begin() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


# --- what is written ----------------------------------------------------------------------------------------------


def test_events_are_rows_under_their_uuid(destination: DatabaseDestination) -> None:
    assert destination.send([body(1, workspace_id="w-1", latency_ms=12.5), body(2)], TIMEOUT) == ACCEPTED
    first, second = rows(destination)
    assert (first.id, second.id) == (str(UUID(int=1)), str(UUID(int=2)))
    assert (first.user_id, first.workspace_id, first.event_type) == ("user-1", "w-1", "tool_used")
    assert (first.status, first.latency_ms, first.trace_id) == ("success", 12.5, TRACE)
    assert first.timestamp == datetime(2026, 11, 22, 12, 0, 1, tzinfo=timezone.utc)
    assert first.context["number"] == 1


@pytest.mark.requirement("S3-44", "S3-47")
def test_one_trace_is_found_in_all_three_tables(destination: DatabaseDestination) -> None:
    generation = {"$ai_model": "gpt-5", "$ai_input_tokens": 10, "$ai_output_tokens": 5, "genops_model_cost_usd": 0.0015}
    destination.send(
        [body(1), body(2, "flow_executed", tools_used=["a"]), body(3, "$ai_generation", **generation)], TIMEOUT
    )
    assert [row.trace_id for row in rows(destination)] == [TRACE] * 3
    (history,) = rows(destination, "agent_trace_history")
    assert (history.trace_id, history.execution_nodes, history.input_context) == (TRACE, ["a"], None)
    (cost,) = rows(destination, "model_cost_logs")
    assert (cost.trace_id, cost.cost_usd, cost.rate_per_1k) == (TRACE, Decimal("0.0015"), Decimal("0.1"))


def test_an_event_that_comes_again_changes_nothing(destination: DatabaseDestination) -> None:
    for _ in range(2):
        assert destination.send([body(1), body(1, changed=True), body(2)], TIMEOUT) == ACCEPTED
    assert [(row.id, row.context.get("changed")) for row in rows(destination)] == [
        (str(UUID(int=1)), None),
        (str(UUID(int=2)), None),
    ]


@pytest.mark.parametrize("usd", ["0.000000001", "0.1", "123456.123456789"])
def test_costs_come_back_to_the_nano_usd(destination: DatabaseDestination, usd: str) -> None:
    destination.send([body(1, "$ai_generation", genops_model_cost_usd=usd)], TIMEOUT)
    assert rows(destination, "model_cost_logs")[0].cost_usd == Decimal(usd)


@pytest.mark.parametrize(
    "odd",
    [
        b'"NUL \\u0000 here"',
        b'"half \\ud800 of a pair"',
        b'{"\\u0000key": ["\\udfff", 1]}',
        b"NaN",
        b"Infinity",
        b"1e999",
        b'[1e999, {"a": -1e999}]',
        str(10**40).encode(),
        '"größe 😀"'.encode(),
        json.dumps("x" * 2_000_000).encode(),
    ],
)
def test_no_value_keeps_an_event_out(destination: DatabaseDestination, odd: bytes) -> None:
    text = body(1, odd="ODD", latency_ms=1).replace(b'"ODD"', odd)
    assert destination.send([text, body(2)], TIMEOUT) == ACCEPTED
    assert len(rows(destination)) == 2


@pytest.mark.parametrize("unreadable", [b"", b"{", b"[]", b'{"event":""}', b"\xff"])
def test_what_is_no_event_is_refused_and_the_others_are_written(
    destination: DatabaseDestination, unreadable: bytes
) -> None:
    answer = destination.send([body(1), unreadable, body(2)], TIMEOUT)
    assert (answer.verdict, answer.rejected) == (Verdict.ACCEPTED, {1: "unreadable_event"})
    assert len(rows(destination)) == 2


def test_a_batch_is_written_whole_or_not_at_all(destination: DatabaseDestination) -> None:
    destination.prepare()
    execute(destination, "DROP TABLE model_cost_logs", "CREATE TABLE model_cost_logs (id VARCHAR(36) PRIMARY KEY)")
    destination._is_ready = True
    answer = destination.send([body(1), body(2, "$ai_generation")], TIMEOUT)
    assert answer.verdict is not Verdict.ACCEPTED
    assert rows(destination) == []


def test_a_row_that_the_database_refuses_is_a_rejection(destination: DatabaseDestination) -> None:
    destination.prepare()
    execute(destination, "DROP TABLE event_logs", ddl_with_check(destination))
    answer = destination.send([body(1), body(2, "forbidden")], TIMEOUT)
    assert (answer.verdict, answer.reason) == (Verdict.REJECTED, "row_refused")
    assert "forbidden" not in str(answer)


def ddl_with_check(destination: DatabaseDestination) -> str:
    statement = ddl(destination._engine.dialect.name).split(";")[0]
    return statement.replace("event_type TEXT NOT NULL", "event_type TEXT NOT NULL CHECK (event_type <> 'forbidden')")


# --- flags --------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("S3-18")
def test_a_flag_that_is_off_keeps_costs_out_and_nothing_else(
    opened: Callable[..., DatabaseDestination], database_url: str
) -> None:
    asked: list[tuple[str, str]] = []

    def gate(flag: str, event: Any) -> bool:
        asked.append((flag, event["distinct_id"]))
        return bool(event["properties"]["number"] == 2)

    destination = opened(database_url, gate=gate)
    destination.send([body(1, "$ai_generation"), body(2, "$ai_generation")], TIMEOUT)
    assert len(rows(destination)) == 2
    assert [row.id for row in rows(destination, "model_cost_logs")] == [str(UUID(int=2))]
    assert asked == [("track_model_costs", "user-1")] * 2


def test_a_flag_that_cannot_be_read_keeps_costs_out_and_says_so(
    opened: Callable[..., DatabaseDestination], database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    def gate(_flag: str, _event: Any) -> bool:
        raise RuntimeError("no flags today")

    destination = opened(database_url, gate=gate)
    assert destination.send([body(1, "$ai_generation")], TIMEOUT) == ACCEPTED
    assert (len(rows(destination)), len(rows(destination, "model_cost_logs"))) == (1, 0)
    assert "track_model_costs cannot be read" in caplog.text


# --- tables that are there ----------------------------------------------------------------------------------------


def test_tables_made_by_the_documented_statements_are_used(destination: DatabaseDestination) -> None:
    statements = [text for text in ddl(destination._engine.dialect.name).split(";") if text.strip()]
    execute(destination, *statements)
    assert destination.send([body(1)], TIMEOUT) == ACCEPTED


@pytest.mark.parametrize(
    ("columns", "problem"),
    [
        ("id VARCHAR(36) PRIMARY KEY, message TEXT", "it has no user_id, workspace_id, event_type"),
        ("{ours}, tenant TEXT NOT NULL", "it has tenant, which must not be null"),
        ("{without_key}", "id is neither its key nor unique"),
    ],
)
def test_a_table_with_other_columns_is_refused_with_what_is_wrong_and_nothing_is_lost(
    destination: DatabaseDestination, columns: str, problem: str
) -> None:
    ours = ddl(destination._engine.dialect.name).split("(", 1)[1].split(";")[0].rsplit(")", 1)[0]
    key = ",\n  PRIMARY KEY (id)"
    without_key = ours.replace("PRIMARY KEY (id)", "").rstrip().rstrip(",")
    definition = columns.format(ours=without_key + ",\n id2 TEXT", without_key=without_key)
    definition = definition + key if "tenant" in definition else definition
    execute(destination, f"CREATE TABLE event_logs ({definition})")
    with pytest.raises(GenOpsConfigurationError, match=problem) as caught:
        destination.prepare()
    assert "event_logs" in str(caught.value)
    assert "GENOPS_DATABASE_URL" in str(caught.value)
    answer = destination.send([body(1)], TIMEOUT)
    assert (answer.verdict, answer.reason) == (Verdict.HELD, "schema")
    assert problem in answer.detail


@pytest.mark.parametrize("more", ["note TEXT", "written_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP NOT NULL"])
def test_columns_of_ones_own_do_no_harm(destination: DatabaseDestination, more: str) -> None:
    destination.prepare()
    if destination._engine.dialect.name == "sqlite" and "DEFAULT" in more:
        execute(
            destination,
            "DROP TABLE event_logs",
            ddl("sqlite").split(";")[0].replace("  PRIMARY", f"  {more},\n PRIMARY", 1),
        )
    else:
        execute(destination, f"ALTER TABLE event_logs ADD COLUMN {more}")
    assert destination.send([body(1)], TIMEOUT) == ACCEPTED


def test_a_unique_index_on_the_id_is_as_good_as_a_key(destination: DatabaseDestination) -> None:
    without_key = ddl(destination._engine.dialect.name).split(";")[0].replace(",\n  PRIMARY KEY (id)", "")
    execute(destination, without_key, "CREATE UNIQUE INDEX one_of_each ON event_logs (id)")
    for _ in range(2):
        assert destination.send([body(1)], TIMEOUT) == ACCEPTED
    assert len(rows(destination)) == 1


def test_a_table_that_vanishes_is_made_again(destination: DatabaseDestination) -> None:
    destination.send([body(1)], TIMEOUT)
    execute(destination, "DROP TABLE event_logs")
    assert destination.send([body(2)], TIMEOUT).verdict is not Verdict.ACCEPTED
    assert destination.send([body(2)], TIMEOUT) == ACCEPTED


def test_many_processes_may_make_the_tables_at_once(
    opened: Callable[..., DatabaseDestination], database_url: str
) -> None:
    destinations = [opened(database_url) for _ in range(4)]
    taken: list[int] = []

    def write(number: int) -> None:
        while destinations[number].send([body(number)], TIMEOUT).verdict is not Verdict.ACCEPTED:
            pass
        taken.append(number)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(taken) == [0, 1, 2, 3]
    assert len(rows(destinations[0])) == 4


@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_table_has_statements_for_every_dialect(dialect: str) -> None:
    text = ddl(dialect)
    assert text.count("CREATE TABLE IF NOT EXISTS") == 3
    assert "NOT NULL" in text


def test_there_are_no_statements_for_other_dialects() -> None:
    with pytest.raises(GenOpsConfigurationError, match="'mysql'; use one of sqlite"):
        ddl("mysql")


# --- outages ------------------------------------------------------------------------------------------------------


def test_a_database_that_is_not_there_is_tried_again(opened: Callable[..., DatabaseDestination]) -> None:
    pytest.importorskip("psycopg")
    answer = opened("postgresql://anna:s3cr3t@127.0.0.1:9/shop").send([body(1)], TIMEOUT)
    assert (answer.verdict, answer.reason) == (Verdict.RETRY, "database_unavailable")
    assert "s3cr3t" not in str(answer)


def test_a_database_that_lets_nobody_in_is_tried_again(
    opened: Callable[..., DatabaseDestination], postgresql_url: str
) -> None:
    answer = opened(postgresql_url.replace("postgres:", "nobody:s3cr3t")).send([body(1)], TIMEOUT)
    assert answer.verdict is Verdict.RETRY
    assert "nobody" in answer.detail
    assert "s3cr3t" not in str(answer)


def test_a_user_who_may_not_make_tables_is_told_so(
    opened: Callable[..., DatabaseDestination], postgresql_url: str
) -> None:
    owner = opened(postgresql_url)
    execute(owner, "DROP ROLE IF EXISTS reader", "CREATE ROLE reader LOGIN")
    answer = opened(postgresql_url.replace("postgres:@", "reader@")).send([body(1)], TIMEOUT)
    assert (answer.verdict, answer.reason) == (Verdict.HELD, "database_refuses")
    assert "InsufficientPrivilege" in answer.detail


def test_a_connection_that_the_server_closed_is_made_again(
    opened: Callable[..., DatabaseDestination], postgresql_url: str
) -> None:
    destination, other = opened(postgresql_url), opened(postgresql_url)
    destination.send([body(1)], TIMEOUT)
    execute(
        other,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid()",
    )
    assert destination.send([body(2)], TIMEOUT) == ACCEPTED


def test_a_lock_is_waited_for_no_longer_than_the_sender_would(
    destination: DatabaseDestination, opened: Callable[..., DatabaseDestination], database_url: str
) -> None:
    destination.send([body(1)], TIMEOUT)
    other = opened(database_url)
    with other._engine.connect() as holder:
        if holder.dialect.name == "sqlite":
            holder.exec_driver_sql("BEGIN IMMEDIATE")
        else:
            holder.exec_driver_sql("LOCK TABLE event_logs IN ACCESS EXCLUSIVE MODE")
        answer = destination.send([body(2)], 0.05)
    assert (answer.verdict, answer.reason) == (Verdict.RETRY, "database_unavailable")
    assert destination.send([body(2)], TIMEOUT) == ACCEPTED


@pytest.mark.skipif(os.name == "nt", reason="needs modes of files")
def test_a_file_that_cannot_be_made_is_tried_again(opened: Callable[..., DatabaseDestination], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    answer = opened(f"sqlite://{tmp_path}/file/events.sqlite3").send([body(1)], TIMEOUT)
    assert (answer.verdict, answer.reason) == (Verdict.RETRY, "database_unavailable")


def test_a_file_that_is_no_database_is_not_touched(opened: Callable[..., DatabaseDestination], tmp_path: Path) -> None:
    path = tmp_path / "events.sqlite3"
    path.write_text("these are my notes, and they are longer than the head of a database file would be\n" * 20)
    answer = opened(f"sqlite://{path}").send([body(1)], TIMEOUT)
    assert (answer.verdict, answer.reason) == (Verdict.HELD, "database_refuses")
    assert path.read_text().startswith("these are my notes")


# --- addresses ----------------------------------------------------------------------------------------------------


def test_without_a_url_it_is_a_file_in_the_users_state_directory(
    opened: Callable[..., DatabaseDestination], tmp_path: Path
) -> None:
    destination = opened(None)
    assert destination.send([body(1)], TIMEOUT) == ACCEPTED
    (path,) = (tmp_path / "state").rglob("events.sqlite3")
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT event_type FROM event_logs").fetchall() == [("tool_used",)]


@pytest.mark.skipif(os.name == "nt", reason="needs modes of files")
def test_the_file_is_for_its_user_alone(opened: Callable[..., DatabaseDestination], tmp_path: Path) -> None:
    opened(f"sqlite://{tmp_path}/deep/events.sqlite3").send([body(1)], TIMEOUT)
    assert stat.S_IMODE((tmp_path / "deep" / "events.sqlite3").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "deep").stat().st_mode) == 0o700


def test_a_path_may_be_relative_if_it_says_so(
    opened: Callable[..., DatabaseDestination], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    opened("sqlite:///./events.sqlite3").send([body(1)], TIMEOUT)
    assert (tmp_path / "events.sqlite3").exists()


@pytest.mark.parametrize(
    "url",
    ["sqlite://", "sqlite:///", "sqlite:///:memory:", "sqlite://host/path", "mysql://h/d", "postgresql", "events.db"],
)
def test_an_address_that_cannot_be_right_is_refused(url: str) -> None:
    with pytest.raises(GenOpsConfigurationError):
        DatabaseDestination(url)


@pytest.mark.parametrize("url", ["postgresql://anna:s3cr3t@host:port/d", "oracle://anna:s3cr3t@host/d"])
def test_no_refusal_repeats_a_password(url: str) -> None:
    with pytest.raises(GenOpsConfigurationError) as caught:
        DatabaseDestination(url)
    assert "s3cr3t" not in str(caught.value)


def test_the_identity_of_a_database_is_its_place_and_not_who_logs_in(
    opened: Callable[..., DatabaseDestination],
) -> None:
    pytest.importorskip("psycopg")
    one, same, other = (
        identity(opened(url))
        for url in ("postgresql://anna:a@h/d", "postgres://ben:b@h/d", "postgresql://anna:a@h/other")
    )
    assert one == same != other


@pytest.mark.parametrize(("package", "url"), [("sqlalchemy", None), ("psycopg", "postgresql://h/d")])
def test_a_missing_package_is_named_with_how_to_install_it(
    package: str, url: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name.partition(".")[0] == package:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return real(name, *rest)

    for name in [name for name in sys.modules if name.partition(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(GenOpsConfigurationError, match=f"{package}.*pip install 'genops-otel-posthog"):
        DatabaseDestination(url)


# --- reading ------------------------------------------------------------------------------------------------------


def test_events_are_read_back_as_they_were(destination: DatabaseDestination) -> None:
    destination.send([body(2), body(1, nested={"a": [1, None]})], TIMEOUT)
    assert list(destination.events()) == [json.loads(body(1, nested={"a": [1, None]})), json.loads(body(2))]


def test_events_are_read_by_time_and_name(destination: DatabaseDestination) -> None:
    destination.send([body(number, "tool_used" if number % 2 else "flow_executed") for number in range(10)], TIMEOUT)
    moments = [datetime(2026, 11, 22, 12, 0, second, tzinfo=timezone.utc) for second in (3, 8)]
    found = destination.events(since=moments[0], until=moments[1], names={"tool_used"})
    assert [event["properties"]["number"] for event in found] == [3, 5, 7]


def test_any_number_of_events_is_read_and_none_twice(destination: DatabaseDestination) -> None:
    destination.send([body(number) for number in range(1200)], 60)
    found = [event["uuid"] for event in destination.events()]
    assert len(found) == len(set(found)) == 1200


# --- processes and the outbox -------------------------------------------------------------------------------------


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_connection_is_not_shared_with_a_forked_child(destination: DatabaseDestination) -> None:
    assert destination.send([body(1)], TIMEOUT) == ACCEPTED
    child = os.fork()
    if child == 0:
        os._exit(0 if destination.send([body(2)], TIMEOUT) == ACCEPTED else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert destination.send([body(3)], TIMEOUT) == ACCEPTED
    assert len(rows(destination)) == 3


def test_what_the_outbox_takes_is_in_the_database_once(destination: DatabaseDestination, tmp_path: Path) -> None:
    with Outbox(tmp_path / "outbox", [destination], tuning=QUICK) as box:
        for number in range(1000):
            box.append(body(number))
        assert box.flush(60)
        account = box.accounting().destinations[identity(destination)]
    assert (account.acked, account.dead) == (1000, 0)
    assert len({row.id for row in rows(destination)}) == 1000


def test_the_guilty_row_of_a_batch_is_found_and_the_others_are_written(
    destination: DatabaseDestination, tmp_path: Path
) -> None:
    destination.prepare()
    execute(destination, "DROP TABLE event_logs", ddl_with_check(destination))
    with Outbox(tmp_path / "outbox", [destination], tuning=QUICK) as box:
        for number in range(8):
            box.append(body(number, "forbidden" if number == 5 else "tool_used"))
        assert box.flush(60)
        account = box.accounting().destinations[identity(destination)]
    assert (account.acked, account.dead) == (7, 1)
    assert len(rows(destination)) == 7


def test_no_log_line_holds_what_an_event_says(
    destination: DatabaseDestination, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    destination.prepare()
    execute(destination, "DROP TABLE event_logs", ddl_with_check(destination))
    with Outbox(tmp_path / "outbox", [destination], tuning=QUICK) as box:
        for number in range(4):
            box.append(body(number, "forbidden", email="anna@example.com"))
        assert box.flush(60)
    assert "anna@example.com" not in caplog.text

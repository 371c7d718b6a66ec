"""A database of your own as a destination: every event in ``event_logs``, what agents did and models cost beside it.

SQLite needs nothing, PostgreSQL a driver. A batch is one transaction, and an event that comes again changes nothing:
its uuid is the key. The tables can be forwarded in turn, see :mod:`..forwarding`.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from genops_otel_posthog.acceptance import MAX_AI_EVENT_BYTES
from genops_otel_posthog.errors import GenOpsConfigurationError
from genops_otel_posthog.export.destinations.database_schema import EVENT_TABLES, EventTable, Row
from genops_otel_posthog.export.destinations.protocol import Answer, Verdict
from genops_otel_posthog.export.text import text
from genops_otel_posthog.places import sqlite_path, state_directory

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine
    from sqlalchemy.engine import URL, Inspector

_logger = logging.getLogger(__name__)

Gate = Callable[[str, Mapping[str, Any]], bool]
"""Whether a feature flag is on for an event, in PostHog's form."""

_EXAMPLES: Final = "sqlite:///var/lib/shop/events.sqlite3 or postgresql://user@host/database"
_POSTGRESQL: Final = frozenset({"postgresql", "postgres"})
_ESCAPED = (b"\\u0000", b"\\ud", b"\\uD")
_PAGE = 500


def _utc_now() -> datetime:
    return datetime.now(timezone.utc)


class DatabaseDestination:
    """A database. See :class:`~.protocol.Destination`.

    Args:
        url: ``sqlite:///absolute/path``, ``sqlite:///./relative/path``, ``sqlite:///~/path`` or ``postgresql://…``;
            ``None`` for a SQLite file in the user's state directory.
        gate: Whether a feature flag is on for an event. ``track_model_costs`` keeps events out of
            ``model_cost_logs``. Not given: all are on.
        max_batch_events: Most events of a transaction.
        max_batch_bytes: Most bytes of the events of a transaction.
        clock: The time of an event that has none, aware.
        name: Of the destination.

    Raises:
        GenOpsConfigurationError: The URL cannot be used as it is, or a package is missing. Passwords are not repeated.
    """

    max_event_bytes = MAX_AI_EVENT_BYTES

    def __init__(
        self,
        url: str | None = None,
        *,
        gate: Gate | None = None,
        max_batch_events: int = 500,
        max_batch_bytes: int = 4 * 1024 * 1024,
        clock: Callable[[], datetime] = _utc_now,
        name: str = "database",
    ) -> None:
        self.name = name
        self.max_batch_events = max_batch_events
        self.max_batch_bytes = max_batch_bytes
        self._gate = gate
        self._clock = clock
        self._engine, self._file = _engine(url)
        self.account = _fingerprint(self._engine.url)
        self._process = os.getpid()
        self._is_ready = False

    def send(self, bodies: Sequence[bytes], timeout: float) -> Answer:
        """See :meth:`~.protocol.Destination.send`."""
        rows: dict[str, list[dict[str, Any]]] = {}
        rejected: dict[int, str] = {}
        for position, body in enumerate(bodies):
            event = _event(body)
            if event is None:
                rejected[position] = "unreadable_event"
                continue
            row = Row(event, self._clock())
            for table in EVENT_TABLES:
                values = table.values(row) if self._is_open(table, event) else None
                if values is not None:
                    rows.setdefault(table.name, []).append(values)
        answer = self._write(rows, timeout)
        return answer._replace(rejected=rejected) if answer.verdict is Verdict.ACCEPTED else answer

    def close(self) -> None:
        """See :meth:`~.protocol.Destination.close`."""
        self._engine.dispose(close=self._process == os.getpid())

    def prepare(self, timeout: float = 10.0) -> None:
        """Makes the tables that are not there and looks at those that are.

        Args:
            timeout: Most seconds for each statement.

        Raises:
            GenOpsConfigurationError: A table of that name has other columns.
            SQLAlchemyError: The database cannot be used.
        """
        with self._transaction(timeout) as connection:
            _make_or_check(connection)

    def events(
        self,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        names: Collection[str] | None = None,
    ) -> Iterator[dict[str, Any]]:
        """The events of ``event_logs`` in PostHog's form, oldest first, each under the uuid that it has.

        Args:
            since: Only from this moment on, aware.
            until: Only before this moment, aware.
            names: Only these events.

        Raises:
            SQLAlchemyError: The database cannot be used.
        """
        from sqlalchemy import select, tuple_

        from genops_otel_posthog.export.destinations.database_tables import TABLES

        table = TABLES["event_logs"]
        columns = (table.c.id, table.c.event_type, table.c.context, table.c.timestamp)
        query = select(*columns).order_by(table.c.timestamp, table.c.id).limit(_PAGE)
        if since is not None:
            query = query.where(table.c.timestamp >= since)
        if until is not None:
            query = query.where(table.c.timestamp < until)
        if names is not None:
            query = query.where(table.c.event_type.in_(sorted(names)))
        after: tuple[datetime, str] | None = None
        while True:
            page = query if after is None else query.where(tuple_(table.c.timestamp, table.c.id) > after)
            with self._connected() as connection:
                found = connection.execute(page).all()
            for uuid, name, context, moment in found:
                properties = dict(context)
                distinct_id = properties.pop("distinct_id", None)
                yield {
                    "event": name,
                    "distinct_id": distinct_id,
                    "uuid": uuid,
                    "timestamp": moment.isoformat(),
                    "properties": properties,
                }
            if len(found) < _PAGE:
                return
            after = (found[-1].timestamp, found[-1].id)

    def _is_open(self, table: EventTable, event: Mapping[str, Any]) -> bool:
        if table.gate is None or self._gate is None:
            return True
        try:
            return self._gate(table.gate, event)
        except Exception:  # flags are somebody else's code, and events are not lost for them
            _logger.exception("Flag %s cannot be read; nothing is written to %s", table.gate, table.name)
            return False

    def _write(self, rows: Mapping[str, Sequence[Mapping[str, Any]]], timeout: float) -> Answer:
        from sqlalchemy.exc import SQLAlchemyError

        try:
            with self._transaction(timeout) as connection:
                if not self._is_ready:
                    _make_or_check(connection)
                for name, values in rows.items():
                    connection.execute(_insert(connection.dialect.name, name), values)
            self._is_ready = True
        except GenOpsConfigurationError as problem:
            return Answer(Verdict.HELD, "schema", detail=str(problem))
        except SQLAlchemyError as error:
            self._is_ready = False  # somebody may have changed the tables meanwhile
            return _answer(error)
        except OSError as error:
            return Answer(Verdict.RETRY, "database_unavailable", detail=str(error))
        except (ValueError, OverflowError, TypeError) as error:  # from the driver, about a value
            return Answer(Verdict.REJECTED, "row_refused", detail=type(error).__name__)
        return Answer(Verdict.ACCEPTED)

    @contextmanager
    def _connected(self) -> Iterator[Connection]:
        if self._process != os.getpid():
            # After a fork the connections are the parent's; they are left as they are.
            self._engine.dispose(close=False)
            self._process = os.getpid()
        if self._file is not None:
            _create_private(self._file)
        with self._engine.begin() as connection:
            yield connection

    @contextmanager
    def _transaction(self, timeout: float) -> Iterator[Connection]:
        milliseconds = max(1, int(timeout * 1000))
        with self._connected() as connection:
            # What waits longer than the sender would is given up by the database itself.
            if connection.dialect.name == "sqlite":
                connection.exec_driver_sql(f"PRAGMA busy_timeout = {milliseconds}")
            else:
                connection.exec_driver_sql(f"SET LOCAL statement_timeout = {milliseconds}")
            yield connection


# --- the address ------------------------------------------------------------------------------------------------------


def _engine(url: str | None) -> tuple[Engine, Path | None]:
    """The engine, which connects to nothing yet, and the file if it is one."""
    try:
        from sqlalchemy import create_engine
        from sqlalchemy.engine import URL, make_url
        from sqlalchemy.exc import ArgumentError
        from sqlalchemy.pool import NullPool, QueuePool
    except ModuleNotFoundError as missing:
        if (missing.name or "").partition(".")[0] != "sqlalchemy":
            raise
        raise GenOpsConfigurationError(
            "a database for events needs the package sqlalchemy, which is not installed: "
            "pip install 'genops-otel-posthog[database]'"
        ) from missing
    scheme = "sqlite" if url is None else url.partition("://")[0].partition("+")[0].lower()
    if scheme == "sqlite":
        path = state_directory("set GENOPS_DATABASE_URL") / "events.sqlite3" if url is None else _path(url)
        engine = create_engine(URL.create("sqlite", database=str(path)), poolclass=NullPool, **_ENGINE)
        return engine, path
    if url is None or "://" not in url or scheme not in _POSTGRESQL:
        raise GenOpsConfigurationError(f"events can be written to SQLite and PostgreSQL; use a URL like {_EXAMPLES}")
    try:
        made = make_url(url)
    except (ArgumentError, ValueError):
        raise GenOpsConfigurationError(f"the URL of the database cannot be read; write it like {_EXAMPLES}") from None
    driver = made.drivername.partition("+")[2] or "psycopg"
    try:
        engine = create_engine(
            made.set(drivername=f"postgresql+{driver}"),
            poolclass=QueuePool,
            pool_size=1,
            max_overflow=1,
            pool_pre_ping=True,
            **_ENGINE,
        )
    except ImportError as missing:
        raise GenOpsConfigurationError(
            f"PostgreSQL needs the package {driver}, which is not installed: "
            "pip install 'genops-otel-posthog[postgresql]'"
        ) from missing
    return engine, None


def _dumps(value: Any) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    except ValueError:  # 1e999 is JSON and infinite
        return json.dumps(_without_infinity(value), ensure_ascii=False, separators=(",", ":"))


_ENGINE: Final[dict[str, Any]] = {"hide_parameters": True, "json_serializer": _dumps}


def _path(url: str) -> Path:
    try:
        return sqlite_path(url)
    except ValueError as problem:
        raise GenOpsConfigurationError(f"the database of events {url!r} cannot be used: {problem}") from None


def _create_private(path: Path) -> None:
    """Makes the file before SQLite does, because what people did is nobody else's business."""
    if not path.exists():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))


def _fingerprint(url: URL) -> str:
    """Which database it is, whoever logs in."""
    told = f"{url.get_backend_name()}://{url.host or ''}:{url.port or ''}/{url.database or ''}"
    return hashlib.blake2b(told.encode(), digest_size=5).hexdigest()


# --- events and rows --------------------------------------------------------------------------------------------------


def _event(body: bytes) -> dict[str, Any] | None:
    try:
        event = json.loads(body, parse_constant=lambda _name: None)
    except ValueError:
        return None
    if not isinstance(event, dict) or not event.get("event"):
        return None
    # PostgreSQL takes neither NUL nor half of a surrogate pair.
    return _clean(event) if any(mark in body for mark in _ESCAPED) else event


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return text(value)
    if isinstance(value, dict):
        return {text(key): _clean(item) for key, item in value.items()}
    return [_clean(item) for item in value] if isinstance(value, list) else value


def _without_infinity(value: Any) -> Any:
    if isinstance(value, float):
        return value if value - value == 0 else None
    if isinstance(value, dict):
        return {key: _without_infinity(item) for key, item in value.items()}
    return [_without_infinity(item) for item in value] if isinstance(value, list) else value


def _insert(dialect: str, table: str) -> Any:
    """An insert that leaves a row as it is that is there already."""
    from sqlalchemy.dialects import postgresql, sqlite

    from genops_otel_posthog.export.destinations.database_tables import TABLES

    insert = sqlite.insert if dialect == "sqlite" else postgresql.insert
    return insert(TABLES[table]).on_conflict_do_nothing(index_elements=["id"])


# --- the tables -------------------------------------------------------------------------------------------------------


def _make_or_check(connection: Connection) -> None:
    """Makes the tables that are not there.

    Raises:
        GenOpsConfigurationError: One that is there cannot take the events.
    """
    from sqlalchemy import inspect
    from sqlalchemy.schema import CreateIndex, CreateTable

    from genops_otel_posthog.export.destinations.database_tables import TABLES

    inspector = inspect(connection)
    there = set(inspector.get_table_names())
    for table in EVENT_TABLES:
        if table.name in there:
            problem = _problem(inspector, table)
            if problem:
                raise GenOpsConfigurationError(
                    f"the table {table.name} of the database cannot take events: {problem}. Rename it or name another "
                    "database in GENOPS_DATABASE_URL; docs/database.md has the columns"
                )
            continue
        connection.execute(CreateTable(TABLES[table.name], if_not_exists=True))
        for index in TABLES[table.name].indexes:
            connection.execute(CreateIndex(index, if_not_exists=True))


def _problem(inspector: Inspector, table: EventTable) -> str | None:
    """Why a table that is there cannot be used."""
    found = {column["name"]: column for column in inspector.get_columns(table.name)}
    ours = [column.name for column in table.columns]
    missing = [name for name in ours if name not in found]
    if missing:
        return f"it has no {', '.join(missing)}"
    unfilled = [
        name
        for name, column in found.items()
        if name not in ours and not column["nullable"] and column.get("default") is None
    ]
    if unfilled:
        return f"it has {', '.join(unfilled)}, which must not be null and which events do not fill"
    keys = [inspector.get_pk_constraint(table.name)["constrained_columns"]]
    keys += [unique["column_names"] for unique in inspector.get_unique_constraints(table.name)]
    unique_indexes = [index["column_names"] for index in inspector.get_indexes(table.name) if index["unique"]]
    return (
        None
        if ["id"] in keys or ["id"] in unique_indexes
        else "its id is neither its key nor unique, so that events could be in it twice"
    )


# --- what went wrong --------------------------------------------------------------------------------------------------


def _answer(error: Exception) -> Answer:
    """What an error of the database means. Its text may repeat values, so only that of connections is shown."""
    from sqlalchemy import exc

    if isinstance(error, (exc.IntegrityError, exc.DataError)):
        return Answer(Verdict.REJECTED, "row_refused", detail=_kind(error))
    if isinstance(error, (exc.OperationalError, exc.InterfaceError, exc.InternalError)):
        lines = str(error.orig).splitlines()
        return Answer(Verdict.RETRY, "database_unavailable", detail=lines[0] if lines else _kind(error))
    if isinstance(error, exc.DBAPIError):
        detail = f"{_kind(error)}: check the tables, and what the user of the database may do"
        return Answer(Verdict.HELD, "database_refuses", detail=detail)
    if isinstance(error, exc.StatementError):
        return Answer(Verdict.REJECTED, "row_refused", detail=_kind(error))
    return Answer(Verdict.RETRY, "database_unavailable", detail=type(error).__name__)


def _kind(error: Any) -> str:
    return type(getattr(error, "orig", None) or error).__name__

"""A store of flags in SQL that SQLite, PostgreSQL and the others have in common, whatever carries it there."""

from __future__ import annotations

import json
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import datetime, timezone
from typing import Any, Final, Protocol, cast

from genops_otel_posthog.errors import GenOpsValidationError
from genops_otel_posthog.flags.database.store import FlagStoreError, StoredDefinitions
from genops_otel_posthog.flags.row import FlagRow, Scope, variants_from_json, variants_to_json
from genops_otel_posthog.settings.once import WarnOnce

DDL: Final = (
    """CREATE TABLE IF NOT EXISTS genops_flags (
  flag_key VARCHAR(255) NOT NULL,
  scope VARCHAR(16) NOT NULL,
  scope_id VARCHAR(255) NOT NULL,
  enabled SMALLINT NOT NULL,
  variant VARCHAR(255),
  variants TEXT,
  payload TEXT,
  rollout_pct DOUBLE PRECISION NOT NULL,
  version INTEGER NOT NULL,
  updated_at VARCHAR(40) NOT NULL,
  PRIMARY KEY (flag_key, scope, scope_id)
)""",
    """CREATE TABLE IF NOT EXISTS genops_flag_definitions (
  project VARCHAR(64) NOT NULL PRIMARY KEY,
  document TEXT,
  received_at DOUBLE PRECISION,
  leader VARCHAR(64),
  leads_until DOUBLE PRECISION NOT NULL
)""",
)
"""The two tables, for databases whose application may not make any."""

_PROBE = "SELECT flag_key FROM genops_flags WHERE 1 = 0"
_STATE = "SELECT COUNT(*), SUM(version), MAX(updated_at) FROM genops_flags"
_COLUMNS = "flag_key, scope, scope_id, enabled, variant, variants, payload, rollout_pct, version, updated_at"
_ROWS = f"SELECT {_COLUMNS} FROM genops_flags ORDER BY flag_key, scope, scope_id"
_THIS_ROW = "WHERE flag_key = :flag_key AND scope = :scope AND scope_id = :scope_id"
_UPDATE = (
    "UPDATE genops_flags SET enabled = :enabled, variant = :variant, variants = :variants, payload = :payload, "
    f"rollout_pct = :rollout_pct, version = version + 1, updated_at = :updated_at {_THIS_ROW}"
)
_INSERT = (
    f"INSERT INTO genops_flags ({_COLUMNS}) VALUES (:flag_key, :scope, :scope_id, :enabled, :variant, :variants, "
    ":payload, :rollout_pct, 1, :updated_at)"
)
_VERSION = f"SELECT version FROM genops_flags {_THIS_ROW}"
_DELETE = f"DELETE FROM genops_flags {_THIS_ROW}"

_DEFINITIONS = "SELECT document, received_at FROM genops_flag_definitions WHERE project = :project"
_NEW_PROJECT = "INSERT INTO genops_flag_definitions (project, leads_until) VALUES (:project, 0)"
_PUT_DEFINITIONS = (
    "UPDATE genops_flag_definitions SET document = :document, received_at = :received_at WHERE project = :project"
)
_LEAD = (
    "UPDATE genops_flag_definitions SET leader = :holder, leads_until = :until "
    "WHERE project = :project AND (leads_until <= :now OR leader = :holder)"
)
_RESIGN = "UPDATE genops_flag_definitions SET leads_until = 0 WHERE project = :project AND leader = :holder"

_logger = logging.getLogger(__name__)
_warn = WarnOnce(_logger)


class Session(Protocol):
    """A transaction that is under way."""

    def run(self, statement: str, values: Mapping[str, Any]) -> tuple[list[Sequence[Any]], int]:
        """Runs a statement with ``:name`` parameters; returns its rows and how many were changed."""


class SqlFlagStore(ABC):
    """What all SQL stores have in common.

    Args:
        clock: The time, aware UTC, for ``updated_at``.
    """

    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._is_ready = False

    @abstractmethod
    def session(self, *, writes: bool) -> AbstractContextManager[Session]:
        """A transaction: committed at the end, rolled back on an exception. Raises ``FlagStoreError``."""

    def close(self) -> None:  # noqa: B027  # most stores hold nothing open
        """Gives back what is held open."""

    @property
    def is_there(self) -> bool:
        """Whether there is anything to read."""
        return True

    def state(self) -> object:
        """See :class:`~genops_otel_posthog.flags.database.store.FlagStore`, as for all that follows."""
        return tuple(found[0]) if (found := self._read(_STATE)) else None

    def rows(self) -> list[FlagRow]:
        return [row for values in self._read(_ROWS) if (row := _row(values)) is not None]

    def put(self, row: FlagRow) -> FlagRow:
        at = self._clock()
        values = {
            "flag_key": row.flag_key,
            "scope": row.scope,
            "scope_id": row.scope_id,
            "enabled": int(row.enabled),
            "variant": row.variant,
            "variants": variants_to_json(row.variants),
            "payload": None if row.payload is None else json.dumps(row.payload),
            "rollout_pct": float(row.rollout_pct),
            "updated_at": at.isoformat(),
        }
        self._update_or_insert(_UPDATE, _INSERT, values)
        with self.session(writes=False) as session:
            found, _ = session.run(_VERSION, _key(row.flag_key, row.scope, row.scope_id))
        return replace(row, version=int(found[0][0]) if found else 1, updated_at=at)

    def remove(self, flag_key: str, scope: Scope, scope_id: str = "") -> bool:
        if not self.is_there:
            return False
        self._make_tables()
        with self.session(writes=True) as session:
            return session.run(_DELETE, _key(flag_key, scope, scope_id))[1] > 0

    def definitions(self, project: str) -> StoredDefinitions | None:
        found = self._read(_DEFINITIONS, {"project": project})
        if not found or found[0][0] is None:
            return None
        return StoredDefinitions(str(found[0][0]), float(found[0][1]))

    def put_definitions(self, project: str, stored: StoredDefinitions) -> None:
        self._with_project(_PUT_DEFINITIONS, {"project": project, **stored._asdict()})

    def lead(self, project: str, holder: str, *, now: float, until: float) -> bool:
        return self._with_project(_LEAD, {"project": project, "holder": holder, "now": now, "until": until})

    def resign(self, project: str, holder: str) -> None:
        if self.is_there:
            self._with_project(_RESIGN, {"project": project, "holder": holder})

    def _read(self, statement: str, values: Mapping[str, Any] | None = None) -> list[Sequence[Any]]:
        if not self.is_there:
            return []
        self._make_tables()
        with self.session(writes=False) as session:
            return session.run(statement, values or {})[0]

    def _with_project(self, update: str, values: Mapping[str, Any]) -> bool:
        """Runs an update of a project's row, which is made if it is missing; returns whether the update applied."""
        self._make_tables()
        with self.session(writes=True) as session:
            if session.run(update, values)[1]:
                return True
            if session.run(_DEFINITIONS, {"project": values["project"]})[0]:
                return False
        try:
            with self.session(writes=True) as session:
                session.run(_NEW_PROJECT, {"project": values["project"]})
        except FlagStoreError:
            _logger.debug("Another process has made the project's row at the same moment")
        with self.session(writes=True) as session:
            return session.run(update, values)[1] > 0

    def _update_or_insert(self, update: str, insert: str, values: Mapping[str, Any]) -> None:
        # Databases have no common word for both in one. When two processes insert, the later one updates.
        self._make_tables()
        with self.session(writes=True) as session:
            if session.run(update, {name: value for name, value in values.items() if f":{name}" in update})[1]:
                return
        try:
            with self.session(writes=True) as session:
                session.run(insert, values)
        except FlagStoreError:
            with self.session(writes=True) as session:
                if not session.run(update, {name: value for name, value in values.items() if f":{name}" in update})[1]:
                    raise

    def _make_tables(self) -> None:
        if self._is_ready:
            return
        # Asked first, because the application may be allowed to read and not to make tables.
        try:
            with self.session(writes=False) as session:
                session.run(_PROBE, {})
        except FlagStoreError:
            for statement in reversed(DDL):  # the one that is asked for comes last: where it is, all are
                try:
                    self._run_alone(statement)
                except FlagStoreError:
                    # PostgreSQL refuses one of two that make a table at the same moment, even "if not exists".
                    self._run_alone(statement)
        self._is_ready = True

    def _run_alone(self, statement: str) -> None:
        with self.session(writes=True) as session:
            session.run(statement, {})


def _key(flag_key: str, scope: str, scope_id: str) -> dict[str, str]:
    return {"flag_key": flag_key, "scope": scope, "scope_id": scope_id}


def _row(values: Sequence[Any]) -> FlagRow | None:
    flag_key, scope, scope_id, enabled, variant, variants, payload, rollout_pct, version, updated_at = values
    try:
        return FlagRow(
            flag_key=flag_key,
            scope=cast(Scope, scope),
            scope_id=scope_id,
            enabled=bool(enabled),
            variant=variant,
            variants=variants_from_json(variants),
            payload=None if payload is None else json.loads(payload),
            rollout_pct=rollout_pct,
            version=version,
            updated_at=_time(updated_at),
        )
    except (GenOpsValidationError, ValueError, KeyError, TypeError) as problem:
        reason = problem if isinstance(problem, GenOpsValidationError) else type(problem).__name__
        _warn("flag rows", f"A row of flag {flag_key!r} in the database cannot be used and counts as missing: {reason}")
        return None


def _time(text: str | None) -> datetime | None:
    if not text:
        return None
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)

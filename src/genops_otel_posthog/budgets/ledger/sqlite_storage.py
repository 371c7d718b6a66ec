"""What a ledger remembers, in the tables of a SQLite database: one statement for each thing."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, TypeAlias

from genops_otel_posthog.budgets.ledger.protocol import (
    Alert,
    Counted,
    JournalEntry,
    Override,
    PeriodKey,
    Standing,
    SyncReply,
    Window,
)
from genops_otel_posthog.budgets.ledger.storage import (
    NOTABLE_ENTRIES,
    ROUTINE,
    ROUTINE_ENTRIES,
    LeaseState,
    Note,
    PeriodState,
)

_TRIMS_EVERY = 1_000  # journal entries

_PERIOD = (
    'budget, period, start_ms, end_ms, definition, meter, configured, cap_basis_points, "limit", committed, leased, '
    "held, overdraft, raised, short, short_until_ms"
)
_JOURNAL = "number, at_ms, actor, kind, budget, period, amount, note"

_encode = json.JSONEncoder(separators=(",", ":")).encode


class SqliteStorage:
    """See :class:`~genops_otel_posthog.budgets.ledger.storage.Storage`.

    Args:
        connection: Whoever uses the storage begins and ends its transactions.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._execute = connection.execute
        self._executemany = connection.executemany
        self._noted = 0

    def _one(self, statement: str, *values: object) -> Any:
        return self._execute(statement, values).fetchone()

    # --- processes -------------------------------------------------------------------------------------------------

    def last_sequence(self, process: str) -> int:
        row = self._one("SELECT sequence FROM processes WHERE process = ?", process)
        return row[0] if row else 0

    def last_reply(self, process: str) -> SyncReply:
        (text,) = self._one("SELECT reply FROM processes WHERE process = ?", process)
        return _reply(text)

    def keep_reply(self, process: str, reply: SyncReply) -> None:
        self._execute(
            "INSERT INTO processes VALUES (?1, ?2, ?3, ?4) "
            "ON CONFLICT (process) DO UPDATE SET sequence = ?2, reply = ?3, heard_ms = ?4",
            (process, reply.sequence, _encode(reply), reply.now_ms),
        )

    def rebuild_until_ms(self) -> int:
        (until_ms,) = self._one("SELECT rebuild_until_ms FROM state")
        return int(until_ms)

    def keep_rebuild_until(self, until_ms: int) -> None:
        self._execute("UPDATE state SET rebuild_until_ms = ?", (until_ms,))

    # --- units -----------------------------------------------------------------------------------------------------

    def seen(self, process: str, counted: Counted) -> int:
        row = self._one("SELECT units FROM seen WHERE process = ? AND counted = ?", process, _group(*_key(counted)))
        return row[0] if row else 0

    def keep_seen(self, process: str, counted: Counted) -> None:
        self._execute(
            "INSERT INTO seen VALUES (?1, ?2, ?3, ?4) ON CONFLICT (process, counted) DO UPDATE SET units = ?4",
            (process, _group(*_key(counted)), counted.month, counted.units),
        )

    def used(self, month: str, meter: str) -> int:
        row = self._one("SELECT units FROM used WHERE month = ? AND meter = ?", month, meter)
        return row[0] if row else 0

    def used_all(self, month: str) -> dict[str, int]:
        return dict(self._execute("SELECT meter, units FROM used WHERE month = ? ORDER BY meter", (month,)))

    def keep_used(self, month: str, meter: str, units: int) -> None:
        self._execute(
            "INSERT INTO used VALUES (?1, ?2, ?3) ON CONFLICT (month, meter) DO UPDATE SET units = ?3",
            (month, meter, units),
        )

    # --- periods and leases ----------------------------------------------------------------------------------------

    def period(self, key: PeriodKey) -> PeriodState | None:
        row = self._one(f"SELECT {_PERIOD} FROM periods WHERE budget = ? AND period = ?", *key)
        return _period(row) if row else None

    def periods(self, budget: str | None) -> Sequence[PeriodState]:
        rows = self._execute(
            f"SELECT {_PERIOD} FROM periods WHERE ?1 IS NULL OR budget = ?1 ORDER BY budget, start_ms", (budget,)
        )
        return [_period(row) for row in rows]

    def keep_period(self, period: PeriodState) -> None:
        self._execute(
            "INSERT INTO periods VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16) "
            "ON CONFLICT (budget, period) DO UPDATE SET start_ms = ?3, end_ms = ?4, definition = ?5, meter = ?6, "
            'configured = ?7, cap_basis_points = ?8, "limit" = ?9, committed = ?10, leased = ?11, held = ?12, '
            "overdraft = ?13, raised = ?14, short = ?15, short_until_ms = ?16",
            (
                *period.key,
                period.start_ms,
                period.end_ms,
                period.definition,
                period.meter,
                period.configured,
                period.cap_basis_points,
                period.limit,
                period.committed,
                period.leased,
                period.held,
                period.overdraft,
                " ".join(sorted(period.raised)),
                period.short,
                period.short_until_ms,
            ),
        )

    def lease(self, key: PeriodKey, process: str) -> LeaseState | None:
        row = self._one(
            "SELECT amount, held, expires_ms FROM leases WHERE budget = ? AND period = ? AND process = ?", *key, process
        )
        return LeaseState(key, process, *row) if row else None

    def keep_lease(self, lease: LeaseState) -> None:
        if lease.amount or lease.held:
            self._execute(
                "INSERT INTO leases VALUES (?1, ?2, ?3, ?4, ?5, ?6) "
                "ON CONFLICT (budget, period, process) DO UPDATE SET amount = ?4, held = ?5, expires_ms = ?6",
                (*lease.key, lease.process, lease.amount, lease.held, lease.expires_ms),
            )
        else:
            self._execute(
                "DELETE FROM leases WHERE budget = ? AND period = ? AND process = ?", (*lease.key, lease.process)
            )

    def expired_leases(self, budget: str, but: str, now_ms: int, most: int) -> Sequence[LeaseState]:
        rows = self._execute(
            "SELECT period, process, amount, held, expires_ms FROM leases "
            "WHERE budget = ? AND amount > 0 AND expires_ms <= ? AND process <> ? "
            "ORDER BY expires_ms, period, process LIMIT ?",
            (budget, now_ms, but, most),
        )
        return [LeaseState(PeriodKey(budget, period), *row) for period, *row in rows.fetchall()]

    def other_holders(self, key: PeriodKey, process: str) -> int:
        (holders,) = self._one(
            "SELECT count(*) FROM leases WHERE budget = ? AND period = ? AND process <> ? AND amount > 0", *key, process
        )
        return int(holders)

    # --- limits ----------------------------------------------------------------------------------------------------

    def changed_limits(self) -> Mapping[str, int]:
        return dict(self._execute('SELECT budget, "limit" FROM limits'))

    def keep_changed_limit(self, budget: str, limit: int | None) -> None:
        if limit is None:
            self._execute("DELETE FROM limits WHERE budget = ?", (budget,))
        else:
            self._execute("INSERT OR REPLACE INTO limits VALUES (?, ?)", (budget, limit))

    def overrides(self, now_ms: int) -> Sequence[Override]:
        rows = self._execute(
            "SELECT id, budget, amount, from_ms, until_ms, reason, actor FROM overrides "
            "WHERE until_ms > ? ORDER BY from_ms, id",
            (now_ms,),
        )
        return [Override(*row) for row in rows]

    def keep_override(self, override: Override) -> None:
        self._execute("INSERT OR REPLACE INTO overrides VALUES (?, ?, ?, ?, ?, ?, ?)", override)

    def drop_override(self, override_id: str) -> None:
        self._execute("DELETE FROM overrides WHERE id = ?", (override_id,))

    # --- alerts ----------------------------------------------------------------------------------------------------

    def keep_alert(self, alert: Alert) -> None:
        self._execute(
            "INSERT OR REPLACE INTO alerts VALUES (?, ?, ?, ?, '', 0)",
            (alert.id, _encode(alert), alert.at_ms, alert.period_end_ms),
        )

    def claim_alerts(self, process: str, now_ms: int, until_ms: int, most: int) -> Sequence[Alert]:
        rows = self._execute(
            "SELECT alert FROM alerts WHERE claimed_until_ms <= ? ORDER BY rowid LIMIT ?", (now_ms, most)
        ).fetchall()
        alerts = [Alert(*_decode(text)) for (text,) in rows]
        for alert in alerts:
            self._execute(
                "UPDATE alerts SET claimed_by = ?, claimed_until_ms = ? WHERE id = ?", (process, until_ms, alert.id)
            )
        return alerts

    def free_claims(self, process: str) -> None:
        self._execute("UPDATE alerts SET claimed_until_ms = 0 WHERE claimed_by = ?", (process,))

    def drop_alerts(self, ids: Iterable[str]) -> None:
        self._executemany("DELETE FROM alerts WHERE id = ?", [(alert_id,) for alert_id in ids])

    # --- the journal -----------------------------------------------------------------------------------------------

    def note(self, entries: Iterable[Note]) -> None:
        rows = [(*entry, entry.kind in ROUTINE) for entry in entries]
        self._executemany(
            "INSERT INTO journal (at_ms, actor, kind, budget, period, amount, note, routine) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            rows,
        )
        self._noted += len(rows)
        if self._noted >= _TRIMS_EVERY:
            self._trim_journal()
            self._noted = 0

    def _trim_journal(self) -> None:
        self._execute(
            "DELETE FROM journal WHERE routine AND number <= (SELECT max(number) FROM journal) - ?", (ROUTINE_ENTRIES,)
        )
        self._execute(
            "DELETE FROM journal WHERE routine = 0 AND number <= "
            "(SELECT number FROM journal WHERE routine = 0 ORDER BY number DESC LIMIT 1 OFFSET ?)",
            (NOTABLE_ENTRIES,),
        )

    def journal(self, budget: str | None, newest: int) -> Sequence[JournalEntry]:
        rows = self._execute(
            f"SELECT {_JOURNAL} FROM journal WHERE ?1 IS NULL OR budget = ?1 ORDER BY number DESC LIMIT ?2",
            (budget, max(0, newest)),
        ).fetchall()
        return [JournalEntry(*row) for row in reversed(rows)]

    # --- room ------------------------------------------------------------------------------------------------------

    def forget(
        self,
        *,
        periods_ended_ms: int,
        months_before: str,
        processes_silent_since_ms: int,
        alerts_raised_ms: int,
        now_ms: int,
    ) -> None:
        ended = [
            PeriodKey(*row)
            for row in self._execute("SELECT budget, period FROM periods WHERE end_ms <= ?", (periods_ended_ms,))
        ]
        self._executemany("DELETE FROM leases WHERE budget = ? AND period = ?", ended)
        self._executemany("DELETE FROM periods WHERE budget = ? AND period = ?", ended)
        self._execute("DELETE FROM used WHERE month < ?", (months_before,))
        self._execute("DELETE FROM seen WHERE month < ?", (months_before,))
        silent = (processes_silent_since_ms,)
        self._execute("DELETE FROM processes WHERE heard_ms < ?", silent)
        self._execute("DELETE FROM overrides WHERE until_ms <= ?", (now_ms,))
        self._execute("DELETE FROM alerts WHERE at_ms <= ? AND period_end_ms <= ?", (alerts_raised_ms, now_ms))
        self._trim_journal()  # processes that live briefly never write enough to do so otherwise


_Keys: TypeAlias = "tuple[PeriodKey, ...]"


def _key(counted: Counted) -> tuple[str, str, _Keys, _Keys]:
    return counted.meter, counted.month, counted.charged, counted.overdrawn


@lru_cache(maxsize=4_096)  # a process counts the same again and again
def _group(meter: str, month: str, charged: _Keys, overdrawn: _Keys) -> str:
    return _encode((meter, month, charged, overdrawn))


def _period(row: Sequence[Any]) -> PeriodState:
    period = PeriodState(PeriodKey(row[0], row[1]), *row[2:])
    period.raised = frozenset(row[13].split())
    return period


def _decode(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise sqlite3.DatabaseError(f"{text[:40]!r} is not JSON") from error


def _reply(text: str) -> SyncReply:
    sequence, now_ms, forgotten, standings, usage, alerts = _decode(text)
    return SyncReply(
        sequence=sequence,
        now_ms=now_ms,
        forgotten=forgotten,
        standings=tuple(
            Standing(budget, Window(*window) if window else None, *amounts) for budget, window, *amounts in standings
        ),
        usage=usage,
        alerts=tuple(Alert(*alert) for alert in alerts),
    )

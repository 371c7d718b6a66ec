"""What people see of a ledger in Redis and change in it, over the scripts ``look.lua`` and ``change.lua``."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from heapq import merge
from itertools import islice
from operator import attrgetter
from typing import Any

from genops_otel_posthog.budgets.ledger.protocol import JournalEntry, Override, PeriodKey
from genops_otel_posthog.budgets.ledger.redis.keys import Keys
from genops_otel_posthog.budgets.ledger.redis.server import Server
from genops_otel_posthog.budgets.ledger.storage import Note, PeriodState

_ENTRIES_AT_ONCE = 1_000


class RedisRecords:
    """See :class:`~genops_otel_posthog.budgets.ledger.storage.Records`. Changes are made when all have been said.

    Args:
        server: The server.
        keys: The keys of the ledger.
        clock: The time that the scripts are told, as digits; empty for the server's.
    """

    def __init__(self, server: Server, keys: Keys, clock: str) -> None:
        self._server = server
        self._keys = keys
        self._clock = clock
        self._used: list[tuple[str, str, str]] = []
        self._limits: list[tuple[str, str | bool]] = []
        self._overrides: list[tuple[str, str | bool]] = []
        self._notes: list[tuple[str, str, str, str | bool, str | bool, str, str]] = []

    @cached_property
    def _seen(self) -> dict[str, Any]:
        seen: dict[str, Any] = json.loads(self._server.run("look", self._keys.fixed, "records"))
        return seen

    def used_all(self, month: str) -> dict[str, int]:
        keys = [*self._keys.fixed, self._keys.usage(month)]
        return {meter: int(units) for meter, units in json.loads(self._server.run("look", keys, "usage", month))}

    def keep_used(self, month: str, meter: str, units: int) -> None:
        self._used.append((month, meter, str(units)))

    def periods(self, budget: str | None) -> Sequence[PeriodState]:
        periods = [_period(*fields) for fields in self._seen["periods"]]
        found = [period for period in periods if budget is None or period.key.budget == budget]
        return sorted(found, key=lambda period: (period.key.budget, period.start_ms))

    def changed_limits(self) -> Mapping[str, int]:
        return {budget: int(limit) for budget, limit in self._seen["limits"]}

    def keep_changed_limit(self, budget: str, limit: int | None) -> None:
        self._limits.append((budget, False if limit is None else str(limit)))

    def overrides(self, now_ms: int) -> Sequence[Override]:
        overrides = [_override(override_id, json.loads(stored)) for override_id, stored in self._seen["overrides"]]
        return sorted((one for one in overrides if one.until_ms > now_ms), key=attrgetter("from_ms", "id"))

    def keep_override(self, override: Override) -> None:
        override_id, budget, amount, from_ms, until_ms, reason, actor = override
        stored = [budget, str(amount), str(from_ms), str(until_ms), reason, actor]
        self._overrides.append((override_id, json.dumps(stored, ensure_ascii=False)))

    def drop_override(self, override_id: str) -> None:
        self._overrides.append((override_id, False))

    def note(self, entries: Iterable[Note]) -> None:
        for at_ms, actor, kind, budget, period, amount, text in entries:
            # cjson reads null as something that is neither nil nor false.
            self._notes.append((str(at_ms), actor, kind, budget or False, period or False, str(amount), text))

    def journal(self, budget: str | None, newest: int) -> Sequence[JournalEntry]:
        streams = [self._newest_first(stream) for stream in self._keys.journals]
        entries = merge(*streams, key=attrgetter("number"), reverse=True)
        found = (entry for entry in entries if budget is None or entry.budget == budget)
        return list(islice(found, max(newest, 0)))[::-1]

    def _newest_first(self, stream: str) -> Iterator[JournalEntry]:
        before = "+"
        while True:
            entries = self._server.entries(stream, before, _ENTRIES_AT_ONCE)
            for entry_id, entry in entries:
                yield _entry(entry_id, **entry)
            if len(entries) < _ENTRIES_AT_ONCE:
                return
            before = f"({entries[-1][0]}"

    def apply(self) -> None:
        """Makes the changes that were said, all of them or none."""
        changes = {
            "used": self._used,
            "limits": self._limits,
            "overrides": self._overrides,
            "notes": self._notes,
        }
        if any(changes.values()):
            usage = sorted({self._keys.usage(month) for month, _, _ in self._used})
            said = json.dumps(changes, ensure_ascii=False)
            self._server.run("change", [*self._keys.fixed, *usage], said, self._clock)


def _period(*fields: Any) -> PeriodState:
    budget, period, start, end, definition, meter, configured, cap, *amounts = fields
    limit, committed, leased, held, overdraft = map(int, amounts)
    return PeriodState(
        PeriodKey(budget, period),
        int(start),
        int(end),
        definition=definition,
        meter=meter or None,
        configured=int(configured),
        cap_basis_points=int(cap) if cap else None,
        limit=limit,
        committed=committed,
        leased=leased,
        held=held,
        overdraft=overdraft,
    )


def _override(override_id: str, stored: list[str]) -> Override:
    budget, amount, from_ms, until_ms, reason, actor = stored
    return Override(override_id, budget, int(amount), int(from_ms), int(until_ms), reason, actor)


def _entry(
    entry_id: str, *, at: str, actor: str, kind: str, budget: str, period: str, amount: str, note: str
) -> JournalEntry:
    number = int(entry_id.partition("-")[0])
    return JournalEntry(number, int(at), actor, kind, budget or None, period or None, int(amount), note)

"""What a ledger has to remember, apart from how it decides: the rules are written once, over this."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from genops_otel_posthog.budgets.ledger.protocol import Alert, Counted, JournalEntry, Override, PeriodKey, SyncReply

ROUTINE = frozenset({"commit", "overdraft", "grant", "reap"})
"""Kinds of journal entries that every process writes every second. They are bounded apart from the others, so that they
never push out who changed a limit."""

ROUTINE_ENTRIES = 100_000
NOTABLE_ENTRIES = 10_000


@dataclass(slots=True)
class PeriodState:
    """A budget in one period.

    Attributes:
        key: Budget and period.
        start_ms: First instant.
        end_ms: First instant after it.
        definition: The budget as JSON.
        meter: ``None`` for money.
        configured: Limit as the processes have it.
        cap_basis_points: Part of the limit from which on calls are refused.
        limit: Limit with changes and overrides, when it was last asked for.
        committed: Spent.
        leased: Sum of the leases.
        held: Sum of what is held for silent processes.
        overdraft: Spent past the limit by critical events.
        raised: Thresholds that have been raised.
        short: The process that last got less than it needed; empty if there is none.
        short_until_ms: How long that matters.
    """

    key: PeriodKey
    start_ms: int
    end_ms: int
    definition: str = "{}"
    meter: str | None = None
    configured: int = 0
    cap_basis_points: int | None = None
    limit: int = 0
    committed: int = 0
    leased: int = 0
    held: int = 0
    overdraft: int = 0
    raised: frozenset[str] = frozenset()
    short: str = ""
    short_until_ms: int = 0


@dataclass(slots=True)
class LeaseState:
    """What is lent to one process, of a budget in one period.

    Attributes:
        key: Budget and period.
        process: The process.
        amount: What it may spend.
        held: What it may have spent before it fell silent.
        expires_ms: When the amount may be given to others.
    """

    key: PeriodKey
    process: str
    amount: int = 0
    held: int = 0
    expires_ms: int = 0


class Note(NamedTuple):
    """A journal entry before it has its number."""

    at_ms: int
    actor: str
    kind: str
    budget: str | None
    period: str | None
    amount: int
    note: str


class Records(Protocol):
    """What people ask of a ledger's memory and change in it, within one transaction."""

    def used_all(self, month: str) -> dict[str, int]:
        """Meter -> units that the organisation has used in a month."""
        ...

    def keep_used(self, month: str, meter: str, units: int) -> None: ...

    def periods(self, budget: str | None) -> Sequence[PeriodState]:
        """Of one budget or of all; by budget, the earliest first."""
        ...

    def changed_limits(self) -> Mapping[str, int]:
        """Budget -> limit, where it was changed."""
        ...

    def keep_changed_limit(self, budget: str, limit: int | None) -> None:
        """Remembers a changed limit, or forgets it (``None``)."""
        ...

    def overrides(self, now_ms: int) -> Sequence[Override]:
        """Overrides that have not ended, the earliest first."""
        ...

    def keep_override(self, override: Override) -> None: ...

    def drop_override(self, override_id: str) -> None: ...

    def note(self, entries: Iterable[Note]) -> None:
        """Appends to the journal."""
        ...

    def journal(self, budget: str | None, newest: int) -> Sequence[JournalEntry]:
        """The newest entries, in ascending order."""
        ...


class Storage(Records, Protocol):
    """A ledger's whole memory, within one transaction."""

    def last_sequence(self, process: str) -> int:
        """The sequence number answered last; 0 for a process that is not known."""
        ...

    def last_reply(self, process: str) -> SyncReply:
        """The answer to it."""
        ...

    def keep_reply(self, process: str, reply: SyncReply) -> None:
        """Remembers the answer; the process was heard of at ``reply.now_ms``."""
        ...

    def rebuild_until_ms(self) -> int:
        """Until when nothing is granted."""
        ...

    def keep_rebuild_until(self, until_ms: int) -> None: ...

    def seen(self, process: str, counted: Counted) -> int:
        """The units that were last kept of the same meter, month and periods; 0 if there were none."""
        ...

    def keep_seen(self, process: str, counted: Counted) -> None: ...

    def used(self, month: str, meter: str) -> int:
        """Units that the organisation has used."""
        ...

    def period(self, key: PeriodKey) -> PeriodState | None: ...

    def keep_period(self, period: PeriodState) -> None: ...

    def lease(self, key: PeriodKey, process: str) -> LeaseState | None: ...

    def keep_lease(self, lease: LeaseState) -> None:
        """Remembers a lease, or forgets it if there is nothing lent and nothing held."""
        ...

    def expired_leases(self, budget: str, but: str, now_ms: int, most: int) -> Sequence[LeaseState]:
        """Leases, of all processes but one, that have an amount and expired; the earliest first."""
        ...

    def other_holders(self, key: PeriodKey, process: str) -> int:
        """How many other processes have an amount."""
        ...

    def keep_alert(self, alert: Alert) -> None:
        """Remembers an alert that nobody has claimed."""
        ...

    def claim_alerts(self, process: str, now_ms: int, until_ms: int, most: int) -> Sequence[Alert]:
        """Alerts without a claim that lasts; they are claimed. The earliest first."""
        ...

    def free_claims(self, process: str) -> None:
        """Ends the claims of a process."""
        ...

    def drop_alerts(self, ids: Iterable[str]) -> None: ...

    def forget(
        self,
        *,
        periods_ended_ms: int,
        months_before: str,
        processes_silent_since_ms: int,
        alerts_raised_ms: int,
        now_ms: int,
    ) -> None:
        """Makes room.

        Args:
            periods_ended_ms: Periods that ended until then are forgotten, with their leases.
            months_before: Usage of earlier months is forgotten, and what was seen of it.
            processes_silent_since_ms: Processes that were last heard of before are forgotten.
            alerts_raised_ms: Alerts that were raised until then are forgotten when their period has ended.
            now_ms: Overrides that have ended are forgotten.
        """
        ...

"""What people ask of a ledger and change in it, once for all ledgers that keep records."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager

from genops_otel_posthog.budgets.ledger.limits import effective_limits, limit_of
from genops_otel_posthog.budgets.ledger.protocol import JournalEntry, Override, PeriodRecord, Window, part_of
from genops_otel_posthog.budgets.ledger.storage import Note, Records
from genops_otel_posthog.errors import GenOpsValidationError


class KeptLedger(ABC):
    """The half of a :class:`~genops_otel_posthog.budgets.ledger.protocol.Ledger` that is for people."""

    @property
    @abstractmethod
    def largest_amount(self) -> int:
        """The largest amount this ledger counts exactly."""

    @abstractmethod
    def now_ms(self) -> int:
        """The ledger's clock, milliseconds since the epoch."""

    @abstractmethod
    def _writing(self) -> AbstractContextManager[Records]:
        """The records, for changes that happen all or not at all, and nothing else beside them."""

    @abstractmethod
    def _reading(self) -> AbstractContextManager[Records]:
        """The records as they are at one moment."""

    def set_limit(self, budget: str, limit: int | None, *, actor: str, reason: str) -> None:
        """Replaces the configured limit of a budget, or brings it back with ``None``.

        Raises:
            GenOpsValidationError: the limit is negative, or more than the ledger can count.
        """
        if limit is not None:
            self._check_amount(limit, f"the limit of {budget}")
            if limit < 0:
                raise GenOpsValidationError(f"the limit of {budget} is {limit}; a limit is 0 or more")
        with self._writing() as records:
            records.keep_changed_limit(budget, limit)
            configured = "" if limit is not None else "as configured again: "
            records.note([Note(self.now_ms(), actor, "limit", budget, None, limit or 0, configured + reason)])

    def changed_limits(self) -> Mapping[str, int]:
        """Budget -> the limit that :meth:`set_limit` put in place of the configured one."""
        with self._reading() as records:
            return dict(records.changed_limits())

    def add_override(self, override: Override) -> None:
        """Adds an override; one with the same id is replaced.

        Raises:
            GenOpsValidationError: it ends before it begins, or the amount is more than the ledger can count.
        """
        self._check_amount(override.amount, f"override {override.id} of {override.budget}")
        if override.until_ms <= override.from_ms:
            raise GenOpsValidationError(
                f"override {override.id} of {override.budget} ends at {override.until_ms}, before it begins at "
                f"{override.from_ms} (milliseconds since the epoch)"
            )
        with self._writing() as records:
            records.keep_override(override)
            records.note([self._about(override, override.actor, override.amount, override.reason)])

    def overrides(self, budget: str | None = None) -> Sequence[Override]:
        """Overrides that have not ended, the earliest first."""
        with self._reading() as records:
            return [o for o in records.overrides(self.now_ms()) if budget is None or o.budget == budget]

    def remove_override(self, override_id: str, *, actor: str) -> bool:
        """Ends an override; whether there was one."""
        with self._writing() as records:
            override = next((o for o in records.overrides(self.now_ms()) if o.id == override_id), None)
            if override is None:
                return False
            records.drop_override(override_id)
            records.note([self._about(override, actor, -override.amount, "removed")])
            return True

    def periods(self, budget: str | None = None, *, current: bool = True) -> Sequence[PeriodRecord]:
        """The known budgets, each in its present period, or in every period that is kept (``current=False``)."""
        with self._reading() as records:
            now_ms = self.now_ms()
            changed, added = effective_limits(records, now_ms)
            found = []
            for period in records.periods(budget):
                is_current = period.start_ms <= now_ms < period.end_ms
                if current and not is_current:
                    continue
                name, limit = period.key.budget, period.limit
                if is_current:
                    limit = limit_of(name, period.configured, changed, added, self.largest_amount)
                cap = None if period.cap_basis_points is None else part_of(limit, period.cap_basis_points)
                found.append(
                    PeriodRecord(
                        budget=name,
                        definition=period.definition,
                        window=Window(period.key.period, period.start_ms, period.end_ms),
                        limit=limit,
                        cap=cap,
                        committed=period.committed,
                        leased=period.leased,
                        held=0 if now_ms >= period.end_ms else period.held,
                        overdraft=period.overdraft,
                    )
                )
            return found

    def usage(self, month: str) -> Mapping[str, int]:
        """Units per meter that the organisation has used in a month."""
        with self._reading() as records:
            return records.used_all(month)

    def raise_usage(self, month: str, usage: Mapping[str, int], *, actor: str, note: str) -> Mapping[str, int]:
        """Raises usage to at least the given numbers; returns usage as it is then. It never falls."""
        with self._writing() as records:
            now = records.used_all(month)
            for meter, units in usage.items():
                raised_by = units - now.get(meter, 0)
                if raised_by > 0:
                    now[meter] = units
                    records.keep_used(month, meter, units)
                    text = f"{meter} in {month}, raised to {units}: {note}"
                    records.note([Note(self.now_ms(), actor, "usage", None, None, raised_by, text)])
            return now

    def journal(self, *, budget: str | None = None, newest: int = 100) -> Sequence[JournalEntry]:
        """The newest entries, in ascending order."""
        with self._reading() as records:
            return records.journal(budget, newest)

    def _check_amount(self, amount: int, what: str) -> None:
        if abs(amount) > self.largest_amount:
            raise GenOpsValidationError(
                f"{what} is {amount}, more than this ledger can count ({self.largest_amount}); use a smaller amount"
            )

    def _about(self, override: Override, actor: str, amount: int, note: str) -> Note:
        return Note(self.now_ms(), actor, "override", override.budget, None, amount, f"{override.id}: {note}")

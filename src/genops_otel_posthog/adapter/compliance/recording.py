"""Writing to the audit trail for calls that must not fail because of it, and counting what was done.

When the trail cannot be written to, policy ``strict`` keeps the entry in memory and lets nothing else happen until it
is written; under the other policies the entry is lost, counted and warned about.
"""

from __future__ import annotations

import logging
import os
import threading
import weakref
from collections import Counter, deque
from collections.abc import Mapping
from typing import Any, Final

from genops_otel_posthog.adapter.compliance.audit_trail import AuditTrail, AuditUnavailableError
from genops_otel_posthog.settings.once import WarnOnce

warn_once = WarnOnce(logging.getLogger("genops_otel_posthog.compliance"), limit=50)

_MOST_PENDING: Final = 10_000


class Tally:
    """Counts by name, of many threads."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._counts: Counter[str] = Counter()
        _locked.add(self)

    def add(self, name: str) -> None:
        """One more."""
        with self._mutex:
            self._counts[name] += 1

    def add_all(self, found: Mapping[str, int], prefix: str = "") -> None:
        """Some more of several."""
        with self._mutex:
            for name, count in found.items():
                self._counts[prefix + name] += count

    def counts(self) -> dict[str, int]:
        """All of them."""
        with self._mutex:
            return dict(self._counts)


class Recording:
    """See the module.

    Args:
        trail: Where entries go; ``None`` for nowhere.
        tally: Where ``audit.entries``, ``audit.failures`` and ``audit.lost`` are counted.
        strict: Whether what cannot be written is kept.
        retention_days: For how many days entries are kept.
    """

    def __init__(self, trail: AuditTrail | None, tally: Tally, *, strict: bool, retention_days: int) -> None:
        self._trail = trail
        self._tally = tally
        self._strict = strict
        self._retention_days = retention_days
        self._mutex = threading.Lock()
        self._pending: deque[tuple[str, str, str | None, dict[str, Any]]] = deque()
        _locked.add(self)

    def write(self, action: str, outcome: str, subject: str | None, facts: Mapping[str, Any]) -> int | None:
        """Writes an entry; its number, ``None`` when there is no trail or it could not be written.

        Raises:
            GenOpsValidationError: A name or a fact is nothing that can be written.
        """
        if self._trail is None:
            return None
        try:
            self._write_pending(self._trail)
            number = self._trail.append(action, outcome, subject=subject, retention_days=self._retention_days, **facts)
        except AuditUnavailableError as error:
            self._tally.add("audit.failures")
            if not (self._strict and self._keep((action, outcome, subject, dict(facts)))):
                self._tally.add("audit.lost")
            warn_once("the audit trail", f"Something was done that is not in the audit trail: {error}.")
            return None
        self._tally.add("audit.entries")
        return number

    def problem(self) -> str | None:
        """Why nothing could be written now; ``None`` when it could, and everything before is."""
        if self._trail is None:
            return None
        try:
            self._write_pending(self._trail)
            self._trail.check()
        except AuditUnavailableError as error:
            self._tally.add("audit.failures")
            return str(error)
        return None

    def _write_pending(self, trail: AuditTrail) -> None:
        """Writes, in their order, what could not be written when it happened."""
        if not self._pending:
            return
        with self._mutex:
            while self._pending:
                action, outcome, subject, facts = self._pending[0]
                trail.append(
                    action, outcome, subject=subject, retention_days=self._retention_days, **{**facts, "late": True}
                )
                self._pending.popleft()
                self._tally.add("audit.entries")

    def _keep(self, entry: tuple[str, str, str | None, dict[str, Any]]) -> bool:
        with self._mutex:
            if len(self._pending) >= _MOST_PENDING:
                return False
            self._pending.append(entry)
        return True


_locked: weakref.WeakSet[Tally | Recording] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    """Whoever held a lock is not here. What waits to be written is the parent's to write."""
    for each in list(_locked):
        each._mutex = threading.Lock()
        if isinstance(each, Recording):
            each._pending.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)

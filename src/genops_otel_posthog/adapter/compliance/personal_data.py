"""What is held on this machine about a person: found for access, deleted for erasure.

An event that waits for delivery, a dead letter, consent. What PostHog has, PostHog has to delete
(https://posthog.com/docs/privacy/data-deletion); the audit trail names people by keyed hashes and is kept, because the
law that asks for it is a ground to keep it (GDPR, Art. 17(3)(b)).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final, Protocol

from genops_otel_posthog.errors import GenOpsProviderError

DAYS_TO_ANSWER: Final = 30
"""A request has to be answered within one month (GDPR, Art. 12(3)); the shortest that most months are."""


@dataclass(frozen=True)
class Erasure:
    """What a request for erasure has done here.

    Attributes:
        requested_at: When, UTC.
        erased: How many records were deleted, by where they were.
        left: How many could not be deleted now, by where they are: events that a living process is about to deliver.
            Ask again once it has.
        audit_entry: Number of the entry in the audit trail; ``None`` without one.
    """

    requested_at: datetime
    erased: dict[str, int] = field(default_factory=dict)
    left: dict[str, int] = field(default_factory=dict)
    audit_entry: int | None = None

    @property
    def deadline(self) -> datetime:
        """Until when everybody who has data of the person must have deleted it."""
        return self.requested_at + timedelta(days=DAYS_TO_ANSWER)

    @property
    def complete(self) -> bool:
        """Whether nothing is left on this machine."""
        return not any(self.left.values())

    def document(self) -> dict[str, Any]:
        """The same for programs."""
        return {
            "requested_at": self.requested_at.isoformat(),
            "deadline": self.deadline.isoformat(),
            "erased": dict(self.erased),
            "left": dict(self.left),
            "complete": self.complete,
            "audit_entry": self.audit_entry,
        }


class PersonalData(Protocol):
    """One place where something about people is held. An application may add its own.

    Attributes:
        name: What it is called in reports.
    """

    name: str

    def of_person(self, ids: Collection[str]) -> list[dict[str, Any]]:
        """Everything about a person, ready for JSON.

        Args:
            ids: The person's distinct id and the pseudonym of it.
        """

    def erase(self, ids: Collection[str]) -> tuple[int, int]:
        """Deletes it: how many records are gone, and how many could not be deleted now."""


class WaitingData:
    """Events in an outbox directory that no destination has yet.

    Args:
        directory: Of the outbox; it need not exist.
    """

    name = "waiting_events"

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def of_person(self, ids: Collection[str]) -> list[dict[str, Any]]:
        """See :class:`PersonalData`."""
        from genops_otel_posthog.export.outbox.waiting import waiting_events

        if not self._directory.is_dir():
            return []
        with _explained(self._directory):
            return [content for event in waiting_events(self._directory) if is_about(content := event.content(), ids)]

    def erase(self, ids: Collection[str]) -> tuple[int, int]:
        """See :class:`PersonalData`."""
        from genops_otel_posthog.export.outbox.removal import remove_events

        if not self._directory.is_dir():
            return 0, 0
        with _explained(self._directory):
            return remove_events(self._directory, lambda event: is_about(event.content(), ids))


class DeadData:
    """Dead letters of an outbox directory: events that a destination has refused for good.

    Args:
        directory: Of the outbox; it need not exist.
    """

    name = "dead_letters"

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def of_person(self, ids: Collection[str]) -> list[dict[str, Any]]:
        """See :class:`PersonalData`."""
        return [content for _, content in self._found(ids)]

    def erase(self, ids: Collection[str]) -> tuple[int, int]:
        """See :class:`PersonalData`."""
        from genops_otel_posthog.export.outbox.waiting import dead_letters

        found = [number for number, _ in self._found(ids)]
        if found:
            with _explained(self._directory):
                dead_letters(self._directory).remove(found)
        return len(found), 0

    def _found(self, ids: Collection[str]) -> list[tuple[int, dict[str, Any]]]:
        from genops_otel_posthog.export.outbox.waiting import dead_letters

        if not self._directory.is_dir():
            return []
        with _explained(self._directory):
            letters = dead_letters(self._directory).letters()
        return [(letter.id, content) for letter in letters if is_about(content := letter.content(), ids)]


def is_about(event: dict[str, Any], ids: Collection[str]) -> bool:
    """Whether an event is a person's: by its distinct id, or by a property that holds it."""
    if event.get("distinct_id") in ids:
        return True
    properties = event.get("properties")
    if not isinstance(properties, dict):
        return False
    return any(isinstance(value, str) and value in ids for value in properties.values())


class _explained:
    """Says of an error of the system which directory it is about."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def __enter__(self) -> None:
        return

    def __exit__(self, kind: object, problem: object, trace: object) -> None:
        if isinstance(problem, OSError):
            raise GenOpsProviderError(
                f"the outbox in {self._directory} cannot be used: {problem}; run this as its user"
            ) from problem

"""Who has agreed to what: the protocol of a store of consent, one in memory, and one that asks a function.

Consent is given by a person for a purpose. Who has said nothing has not agreed.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any, Final, NamedTuple, Protocol, runtime_checkable

from genops_otel_posthog.errors import GenOpsConfigurationError, GenOpsValidationError

USUAL_PURPOSE: Final = "analytics"
"""What consent is asked for where nobody says what for."""

_LONGEST_PURPOSE: Final = 100


class Consent(NamedTuple):
    """What a person last said about a purpose.

    Attributes:
        purpose: What for.
        granted: Whether the person agreed.
        at: When it was said.
        source: Where, as the application puts it: a form, a version of a text.
    """

    purpose: str
    granted: bool
    at: datetime
    source: str

    def document(self) -> dict[str, Any]:
        """The same for programs."""
        return {"purpose": self.purpose, "granted": self.granted, "at": self.at.isoformat(), "source": self.source}


@runtime_checkable
class ConsentStore(Protocol):
    """Where consent is kept. Used by many threads at once."""

    def is_granted(self, distinct_id: str, purpose: str) -> bool:
        """Whether a person has agreed to a purpose, and has not withdrawn that. Asked before every event."""

    def put(self, distinct_id: str, purpose: str, *, granted: bool, source: str) -> None:
        """Keeps what a person has said now, in place of what was said before."""

    def of_person(self, distinct_id: str) -> list[Consent]:
        """Everything that is kept about a person, by purpose."""

    def erase(self, distinct_id: str) -> int:
        """Forgets a person; how many purposes something was kept about."""


class MemoryConsent:
    """Consent as long as the process lives: for tests, and for applications that tell it anew.

    Args:
        clock: Seconds since 1970.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._mutex = threading.Lock()
        self._kept: dict[str, dict[str, Consent]] = {}

    def is_granted(self, distinct_id: str, purpose: str) -> bool:
        """See :class:`ConsentStore`."""
        said = self._kept.get(distinct_id, {}).get(purpose)
        return said is not None and said.granted

    def put(self, distinct_id: str, purpose: str, *, granted: bool, source: str) -> None:
        """See :class:`ConsentStore`."""
        now = datetime.fromtimestamp(self._clock(), timezone.utc)
        with self._mutex:
            self._kept.setdefault(distinct_id, {})[purpose] = Consent(purpose, granted, now, source)

    def of_person(self, distinct_id: str) -> list[Consent]:
        """See :class:`ConsentStore`."""
        with self._mutex:
            return [said for _, said in sorted(self._kept.get(distinct_id, {}).items())]

    def erase(self, distinct_id: str) -> int:
        """See :class:`ConsentStore`."""
        with self._mutex:
            return len(self._kept.pop(distinct_id, {}))


class AskedConsent:
    """Consent that the application keeps itself, for instance beside its users.

    Args:
        ask: Answers whether a person, by distinct id, has agreed to a purpose. Called before every event; when it
            fails, the person has not agreed.
    """

    def __init__(self, ask: Callable[[str, str], bool]) -> None:
        self._ask = ask

    def is_granted(self, distinct_id: str, purpose: str) -> bool:
        """See :class:`ConsentStore`."""
        return bool(self._ask(distinct_id, purpose))

    def put(self, distinct_id: str, purpose: str, *, granted: bool, source: str) -> None:
        """Raises: the application keeps it.

        Raises:
            GenOpsConfigurationError: Always.
        """
        raise GenOpsConfigurationError(
            "consent is kept by the application, whose function is asked; grant and withdraw it there"
        )

    def of_person(self, distinct_id: str) -> list[Consent]:
        """Nothing: what there is, the application has."""
        return []

    def erase(self, distinct_id: str) -> int:
        """Nothing: what there is, the application has."""
        return 0


def checked_purpose(purpose: str) -> str:
    """The purpose, if it is one.

    Raises:
        GenOpsValidationError: It is empty or longer than 100 characters.
    """
    if not purpose.strip() or len(purpose) > _LONGEST_PURPOSE:
        raise GenOpsValidationError(
            f"a purpose is a text of 1 to {_LONGEST_PURPOSE} characters such as {USUAL_PURPOSE}, not {purpose!r:.60}"
        )
    return purpose

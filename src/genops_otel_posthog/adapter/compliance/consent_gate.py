"""Is there consent for this event? What has none is withheld under ``strict``, else counted and warned about."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Final, NamedTuple

from genops_otel_posthog import semconv
from genops_otel_posthog.adapter.compliance.consent import USUAL_PURPOSE, ConsentStore, checked_purpose
from genops_otel_posthog.adapter.compliance.recording import Tally, warn_once
from genops_otel_posthog.errors import GenOpsError

_MOST_KNOWN: Final = 4_096


class Withheld(NamedTuple):
    """A call that must not be made.

    Attributes:
        reason: ``no_consent``, ``consent_unknown`` or ``audit_unavailable``: fit for a span or a metric.
        message: The same in a sentence, with what to do. It names no person.
    """

    reason: str
    message: str


class ConsentGate:
    """See the module.

    Args:
        store: Who has agreed.
        policy: ``advisory``, ``enforced`` or ``strict``.
        tally: Where ``withheld.<reason>`` and ``without_consent`` are counted.
        purposes: What consent is asked for, by patterns of event names; the first that fits.
        exempt_events: Patterns of the names of events that need none.
    """

    def __init__(
        self, store: ConsentStore, policy: str, tally: Tally, purposes: Mapping[str, str], exempt_events: Iterable[str]
    ) -> None:
        self._store = store
        self._policy = policy
        self._tally = tally
        self._purposes = {pattern: checked_purpose(purpose) for pattern, purpose in purposes.items()}
        self._exempt = tuple(exempt_events)
        self._known: dict[str, str | None] = {}

    def refuses(self, event_name: str, distinct_id: str | None) -> Withheld | None:
        """Why an event must not be made; ``None`` when it may."""
        purpose = self.purpose(event_name)
        if purpose is None:
            return None
        reason, problem = semconv.POLICY_REASON_NO_CONSENT, f"nobody has agreed to the purpose {purpose!r}"
        if distinct_id is None:
            problem = "it names nobody whose consent could be looked up"
        else:
            try:
                if self._store.is_granted(distinct_id, purpose):
                    return None
            except Exception as error:
                # What an application's function says may name a person; what this package says does not.
                said = str(error) if isinstance(error, GenOpsError) else type(error).__name__
                reason, problem = semconv.POLICY_REASON_CONSENT_UNKNOWN, f"consent could not be looked up: {said}"
        if self._policy == "strict":
            self._tally.add(f"withheld.{reason}")
            return Withheld(reason, f"consent is required, and {problem}; ask the person and call grant_consent()")
        self._tally.add("without_consent")
        warn_once(
            "consent",
            f"Consent is required, and {problem}. Under policy {self._policy} such events are sent all the same and "
            "counted; under strict they are withheld.",
        )
        return None

    def purpose(self, event_name: str) -> str | None:
        """What consent an event needs; ``None`` for none."""
        try:
            return self._known[event_name]
        except KeyError:
            pass
        if any(fnmatchcase(event_name, pattern) for pattern in self._exempt):
            found = None
        else:
            fits = (purpose for pattern, purpose in self._purposes.items() if fnmatchcase(event_name, pattern))
            found = next(fits, USUAL_PURPOSE)
        if len(self._known) >= _MOST_KNOWN:
            self._known.clear()
        self._known[event_name] = found
        return found

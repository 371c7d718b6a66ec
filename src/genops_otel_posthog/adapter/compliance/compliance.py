"""What the tags of an adapter oblige it to, done: before anything of a call is sent or written, and after it.

:meth:`Compliance.admit` is asked first. What it withholds goes nowhere: it is not sent, it is not in the outbox and not
on a span; only the audit trail says that something was withheld, of a person it names by a keyed hash.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple

from genops_otel_posthog import semconv
from genops_otel_posthog.adapter.compliance.audit_trail import AuditTrail
from genops_otel_posthog.adapter.compliance.consent import ConsentStore
from genops_otel_posthog.adapter.compliance.consent_gate import ConsentGate, Withheld
from genops_otel_posthog.adapter.compliance.obligations import Obligations
from genops_otel_posthog.adapter.compliance.opening import opened
from genops_otel_posthog.adapter.compliance.people import People
from genops_otel_posthog.adapter.compliance.personal_data import PersonalData
from genops_otel_posthog.adapter.compliance.property_rules import PropertyRules
from genops_otel_posthog.adapter.compliance.pseudonyms import Pseudonyms, is_pseudonym
from genops_otel_posthog.adapter.compliance.recording import Recording, Tally, warn_once
from genops_otel_posthog.adapter.compliance.stamps import Stamps
from genops_otel_posthog.errors import GenOpsValidationError
from genops_otel_posthog.settings import Settings

_COSTS: Final = ("cost", "list_cost")


class Admitted(NamedTuple):
    """A call that may be made, with what it may carry.

    Attributes:
        distinct_id: Whose it is; a pseudonym where distinct ids are replaced.
        properties: What is left of the properties, and the stamps. Never the given object when it differs.
    """

    distinct_id: str | None
    properties: dict[str, Any]


class Compliance(People):
    """See the module. One for each set of tags; used by many threads at once.

    Args:
        obligations: What is in force.
        consent: Who has agreed; needed when consent is.
        trail: The audit trail; needed when one is.
        rules: What happens to properties.
        pseudonyms: Replaces distinct ids; ``None`` leaves them.
        held: Places on this machine that hold something about people.
        purposes: What consent is asked for, by patterns of event names (``{"ad_*": "marketing"}``), the first that
            fits; ``analytics`` for the others.
        exempt_events: Patterns of the names of events that need no consent, because they are about nobody.
        clock: Seconds since 1970.
    """

    def __init__(
        self,
        obligations: Obligations,
        *,
        consent: ConsentStore | None = None,
        trail: AuditTrail | None = None,
        rules: PropertyRules | None = None,
        pseudonyms: Pseudonyms | None = None,
        held: Iterable[PersonalData] = (),
        purposes: Mapping[str, str] | None = None,
        exempt_events: Iterable[str] = (),
        clock: Callable[[], float] = time.time,
    ) -> None:
        if obligations.consent and consent is None:
            raise GenOpsValidationError("consent is required, so there must be a store to look it up in")
        if obligations.audit and trail is None:
            raise GenOpsValidationError("an audit trail is required, so there must be one to write to")
        self._tally = Tally()
        strict, days = obligations.strict, obligations.audit_days
        recording = Recording(trail, self._tally, strict=strict, retention_days=days)
        super().__init__(consent, trail, recording, pseudonyms, held, clock)
        self.obligations = obligations
        self._rules = rules or PropertyRules()
        self._stamps = Stamps(obligations, clock)
        self._gate: ConsentGate | None = None
        if obligations.consent and consent is not None:
            self._gate = ConsentGate(consent, obligations.policy, self._tally, purposes or {}, exempt_events)
        for warning in obligations.warnings:
            warn_once("tags", f"Compliance: {warning}.")

    @classmethod
    def from_tags(
        cls,
        tags: Mapping[str, str],
        *,
        policy: str = "advisory",
        host: str | None = None,
        settings: Settings | None = None,
        consent: ConsentStore | Callable[[str, str], bool] | None = None,
        purposes: Mapping[str, str] | None = None,
        exempt_events: Iterable[str] = (),
        deny_properties: Iterable[str] = (),
        pseudonymise_properties: Iterable[str] = (),
        clock: Callable[[], float] = time.time,
    ) -> Compliance | None:
        """What the tags of an adapter ask for; ``None`` when they ask for nothing. Opens no file.

        Args:
            tags: ``compliance_framework``, ``compliance_requirements``, ``compliance_level``, ``compliance_required``,
                ``consent_required``, ``audit_trail_required``, ``financial_reporting``, ``data_classification``,
                ``data_retention_days``, ``data_residency``; others are not looked at.
            policy: ``advisory``, ``enforced`` or ``strict``.
            host: Ingestion host, to compare with ``data_residency``.
            settings: Where files and keys are; the environment when not given.
            consent: A store of consent, or a function of distinct id and purpose that is asked; the file of
                ``GENOPS_CONSENT_PATH`` when not given.
            purposes: See the class.
            exempt_events: See the class.
            deny_properties: Patterns of the names of properties that are left out, however deep they are.
            pseudonymise_properties: Patterns of the names of properties that are replaced by pseudonyms; needs
                ``GENOPS_PSEUDONYM_KEY``.
            clock: Seconds since 1970.

        Raises:
            GenOpsConfigurationError: A tag or a setting cannot be used.
        """
        made = opened(
            tags,
            policy=policy,
            host=host,
            settings=settings,
            consent=consent,
            deny_properties=tuple(deny_properties),
            pseudonymise_properties=tuple(pseudonymise_properties),
            clock=clock,
        )
        if made is None:
            return None
        return cls(
            made.obligations,
            consent=made.consent,
            trail=made.trail,
            rules=made.rules,
            pseudonyms=made.pseudonyms,
            held=made.held,
            purposes=purposes,
            exempt_events=exempt_events,
            clock=clock,
        )

    @property
    def explanation(self) -> tuple[str, ...]:
        """What each tag has switched on, a line each, for people."""
        return self.obligations.explanation

    @property
    def warnings(self) -> tuple[str, ...]:
        """What about the tags is contradictory or unknown, a line each."""
        return self.obligations.warnings

    # --- calls -----------------------------------------------------------------------------------------------------

    def admit(
        self, kind: str, event_name: str, distinct_id: str | None, properties: Mapping[str, Any] | None = None
    ) -> Admitted | Withheld:
        """May this call be made, and with what?

        Asked before anything of the call is sent or written. What is withheld is in the audit trail when this returns.

        Args:
            kind: What the call is: ``capture``, ``flag``, …; the action in the audit trail.
            event_name: Of the event, or the key of the flag.
            distinct_id: Whose it is; ``None`` for nobody's.
            properties: What it carries. Not changed.
        """
        obligations = self.obligations
        if self._gate is not None:
            withheld = self._gate.refuses(event_name, distinct_id)
            if withheld is not None:
                self._write(kind, "blocked", distinct_id, {"event": event_name, "reason": withheld.reason})
                return withheld
        if obligations.audit and obligations.strict:
            problem = self._recording.problem()
            if problem is not None:
                reason = semconv.POLICY_REASON_AUDIT_UNAVAILABLE
                self._tally.add(f"withheld.{reason}")
                return Withheld(reason, f"policy strict: nothing is done that cannot be audited; {problem}")
        left = dict(properties) if properties else {}
        if self._rules and left:
            left, found = self._rules.apply(left, distinct_id)
            if found:
                self._tally.add_all(found, "properties.")
        if self._pseudonyms is not None and distinct_id is not None and not is_pseudonym(distinct_id):
            distinct_id = self._pseudonyms.of(distinct_id)
        if kind != "flag":
            left.update(self._stamps.today())
        return Admitted(distinct_id, left)

    def cleaned(self, properties: Mapping[str, Any]) -> dict[str, Any]:
        """What is left of properties that belong to nobody in particular, such as those of a group.

        Args:
            properties: Not changed.
        """
        if not self._rules:
            return dict(properties)
        left, found = self._rules.apply(properties)
        self._tally.add_all(found, "properties.")
        return left

    def record(self, action: str, outcome: str, *, distinct_id: str | None = None, **facts: Any) -> None:
        """Writes to the audit trail what became of a call; nothing when there is no trail.

        Never raises because the trail cannot be written to. Under ``strict`` the entry is then kept in memory and
        written before anything else is admitted; under the other policies the failure is counted and warned about.

        Args:
            action: What was done, such as ``capture``.
            outcome: What became of it, such as ``sent`` or ``blocked``.
            distinct_id: Whose it was; a keyed hash of it is written.
            **facts: ``event``, ``event_uuid``, ``trace_id``, ``reason``, …: texts, numbers, dates and truth values,
                never properties. ``cost`` and ``list_cost`` are only written for financial reporting.

        Raises:
            GenOpsValidationError: A name or a fact is nothing that can be written.
        """
        if not self.obligations.financial:
            facts = {name: value for name, value in facts.items() if name not in _COSTS}
        self._write(action, outcome, distinct_id, facts)

    def count(self, what: str) -> None:
        """Adds one to what :meth:`counts` says."""
        self._tally.add(what)

    def counts(self) -> dict[str, int]:
        """What was done, since this was made.

        ``withheld.<reason>``, ``without_consent`` (sent although nobody agreed), ``properties.<identifier>`` left out
        or replaced, ``audit.entries``, ``audit.failures``, ``audit.lost``.
        """
        return self._tally.counts()

    def close(self) -> None:
        """Synchronises the audit trail with the disk and closes it; it is opened again if it is used again.

        Raises:
            AuditUnavailableError: The disk cannot be synchronised.
        """
        if self.trail is not None:
            self.trail.close()

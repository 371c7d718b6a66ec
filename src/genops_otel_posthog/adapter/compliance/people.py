"""What people may ask for: to agree and to withdraw that, to see what is held about them, to have it deleted.

Each of it is in the audit trail, where there is one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timezone
from typing import Any

from genops_otel_posthog.adapter.compliance.audit_trail import AuditTrail
from genops_otel_posthog.adapter.compliance.consent import USUAL_PURPOSE, ConsentStore, checked_purpose
from genops_otel_posthog.adapter.compliance.personal_data import Erasure, PersonalData
from genops_otel_posthog.adapter.compliance.pseudonyms import Pseudonyms
from genops_otel_posthog.adapter.compliance.recording import Recording
from genops_otel_posthog.errors import GenOpsValidationError


class People:
    """See the module.

    Args:
        consent: Who has agreed; ``None`` when nobody is asked.
        trail: The audit trail.
        recording: Writes to it.
        pseudonyms: Replaces distinct ids; ``None`` leaves them.
        held: Places on this machine that hold something about people.
        clock: Seconds since 1970.
    """

    def __init__(
        self,
        consent: ConsentStore | None,
        trail: AuditTrail | None,
        recording: Recording,
        pseudonyms: Pseudonyms | None,
        held: Iterable[PersonalData],
        clock: Callable[[], float],
    ) -> None:
        self.consent = consent
        self.trail = trail
        self._recording = recording
        self._pseudonyms = pseudonyms
        self._held = list(held)
        self._clock = clock

    def grant_consent(self, distinct_id: str, purpose: str = USUAL_PURPOSE, *, source: str = "") -> None:
        """Keeps that a person has agreed to a purpose.

        Args:
            distinct_id: The person, by the id that events will have.
            purpose: What for.
            source: Where it was said: a form, the version of a text.

        Raises:
            GenOpsValidationError: The purpose is no text.
            GenOpsError: It cannot be kept.
        """
        self._said(distinct_id, purpose, granted=True, source=source)

    def withdraw_consent(self, distinct_id: str, purpose: str = USUAL_PURPOSE, *, source: str = "") -> None:
        """Keeps that a person does not agree any more. From now on, in every process, nothing is sent for it.

        Args and errors are those of :meth:`grant_consent`.
        """
        self._said(distinct_id, purpose, granted=False, source=source)

    def hold(self, data: PersonalData) -> None:
        """Adds a place of the application's own to what :meth:`erase_person` and :meth:`export_person` look at."""
        self._held.append(data)

    def erase_person(self, distinct_id: str) -> Erasure:
        """Deletes what is held on this machine about a person, and writes the request to the audit trail.

        Args:
            distinct_id: The person.

        Raises:
            GenOpsError: A place cannot be used; those before it have been erased. Ask again.
        """
        ids = self._ids(distinct_id)
        now = datetime.fromtimestamp(self._clock(), timezone.utc)
        erased: dict[str, int] = {}
        left: dict[str, int] = {}
        if self.consent is not None:
            erased["consent"] = max(self.consent.erase(each) for each in ids)
        for place in self._held:
            erased[place.name], left[place.name] = place.erase(ids)
        report = Erasure(now, erased, left)
        facts = {f"erased_{name}": count for name, count in erased.items()}
        facts |= {f"left_{name}": count for name, count in left.items() if count}
        number = self._write(
            "erasure_requested",
            "complete" if report.complete else "incomplete",
            distinct_id,
            {"deadline": report.deadline, **facts},
        )
        return Erasure(now, erased, left, number)

    def export_person(self, distinct_id: str) -> dict[str, Any]:
        """Everything that is held on this machine about a person, ready for JSON.

        Args:
            distinct_id: The person.

        Raises:
            GenOpsError: A place cannot be read.
        """
        from genops_otel_posthog.adapter.compliance.audit_check import intact_entries

        ids = self._ids(distinct_id)
        document: dict[str, Any] = {
            "distinct_id": distinct_id,
            "exported_at": datetime.fromtimestamp(self._clock(), timezone.utc).isoformat(),
            "consent": []
            if self.consent is None
            else [each.document() for each in self.consent.of_person(distinct_id)],
        }
        for place in self._held:
            document[place.name] = place.of_person(ids)
        number = self._write("access_requested", "exported", distinct_id, {})
        document["audit"] = []
        if self.trail is not None and number is not None:
            subject = self.trail.subject(distinct_id)
            document["audit"] = [
                dict(entry.content)
                for entry in intact_entries(self.trail.directory)
                if entry.content.get("subject") == subject
            ]
        return document

    def _said(self, distinct_id: str, purpose: str, *, granted: bool, source: str) -> None:
        if self.consent is None:
            raise GenOpsValidationError("no tag asks for consent, so none is kept; set the tag consent_required=true")
        purpose = checked_purpose(purpose)
        for each in self._ids(distinct_id):  # results give the pseudonym back, which may be used as an id then
            self.consent.put(each, purpose, granted=granted, source=source)
        self._write("consent", "granted" if granted else "withdrawn", distinct_id, {"purpose": purpose})

    def _ids(self, distinct_id: str) -> frozenset[str]:
        pseudonym = () if self._pseudonyms is None else (self._pseudonyms.of(distinct_id),)
        return frozenset((distinct_id, *pseudonym))

    def _write(self, action: str, outcome: str, distinct_id: str | None, facts: Mapping[str, Any]) -> int | None:
        return self._recording.write(action, outcome, None if distinct_id is None else str(distinct_id), facts)

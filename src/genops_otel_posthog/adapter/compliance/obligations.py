"""What the tags of an adapter oblige it to: which framework, whose consent, which trail, for how many days.

Tags are texts that people write, so each is read with its reason to be in force, which ``explanation`` gives back, and
two that contradict each other are a warning: the stricter one stands. A value that cannot be read is an error.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from genops_otel_posthog.errors import GenOpsConfigurationError
from genops_otel_posthog.settings import POLICIES, POLICY_ALIASES
from genops_otel_posthog.settings.values import switch

FRAMEWORKS: Final = ("gdpr", "sox", "hipaa")
CLASSIFICATIONS: Final = (
    *("public", "internal", "confidential", "restricted", "financial"),
    *("personal", "sensitive", "health"),
)
PERSONAL_CLASSIFICATIONS: Final = frozenset({"personal", "sensitive", "health"})

KEPT_FOR_SOX_DAYS: Final = 2555
"""Seven years, which 17 CFR 210.2-06 asks for the records of an audit
(https://www.ecfr.gov/current/title-17/section-210.2-06)."""

KEPT_FOR_HIPAA_DAYS: Final = 2192
"""Six years with their leap days, which 45 CFR 164.316(b)(2)(i) asks for documentation
(https://www.ecfr.gov/current/title-45/section-164.316)."""

KEPT_USUALLY_DAYS: Final = 365
"""How long entries of the trail are kept when neither a tag nor a framework says so."""

LONGEST_RETENTION_DAYS: Final = 36_500

_OTHER_NAMES: Final = {"phi": "health", "pii": "personal", "special_category": "sensitive"}
_REGIONS: Final = ("eu", "us")


@dataclass(frozen=True)
class Obligations:
    """What is in force, and why.

    Attributes:
        policy: ``advisory``, ``enforced`` or ``strict``: under ``strict``, what has no consent is withheld and nothing
            is done that cannot be audited; under the others both are warned about and counted.
        frameworks: Some of :data:`FRAMEWORKS`.
        consent: Whether people must have agreed.
        audit: Whether calls are written to the audit trail.
        financial: Whether entries carry what calls cost.
        retention_days: For how many days what is sent may be kept; stamped on events. ``None`` when nobody says.
        audit_days: For how many days entries of the trail are kept.
        classification: One of :data:`CLASSIFICATIONS`, or what the tag says; stamped on events.
        residency: The region that data must not leave, as the tag says.
        explanation: What each tag has switched on, a line each.
        warnings: What is contradictory or unknown, a line each.
    """

    policy: str = "advisory"
    frameworks: frozenset[str] = frozenset()
    consent: bool = False
    audit: bool = False
    financial: bool = False
    retention_days: int | None = None
    audit_days: int = KEPT_USUALLY_DAYS
    classification: str | None = None
    residency: str | None = None
    explanation: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def personal(self) -> bool:
        """Whether the data is about people: by its classification, or because GDPR or HIPAA apply."""
        return self.classification in PERSONAL_CLASSIFICATIONS or bool(self.frameworks & {"gdpr", "hipaa"})

    @property
    def strict(self) -> bool:
        """Whether what is not in order is withheld."""
        return self.policy == "strict"

    @property
    def any(self) -> bool:
        """Whether there is anything to do."""
        return bool(self.frameworks or self.consent or self.audit or self.retention_days or self.classification)


def read_obligations(tags: Mapping[str, str], policy: str = "advisory", host: str | None = None) -> Obligations:
    """Reads the tags.

    Args:
        tags: Of the adapter. Those that are about something else are not looked at.
        policy: The adapter's governance policy.
        host: The ingestion host, to compare with ``data_residency``.

    Raises:
        GenOpsConfigurationError: A value cannot be read; or, under ``strict``, it names something unknown or the host
            is in another region. The message names the tag, the problem and what may be written.
    """
    reader = _Reader({str(name): str(value).strip() for name, value in tags.items()}, policy)
    return reader.read(host)


class _Reader:
    """Collects what the tags say."""

    def __init__(self, tags: Mapping[str, str], policy: str) -> None:
        self._tags = tags
        self._policy = policy
        self._said: list[str] = []
        self._warnings: list[str] = []

    def read(self, host: str | None) -> Obligations:
        frameworks = self._frameworks()
        consent = self._switch("consent_required", "nothing is sent about people who have not agreed")
        financial = self._switch("financial_reporting", "entries of the audit trail carry what calls cost")
        classification = self._classification()
        days = self._days()
        residency = self._residency(host)
        audit = self._audit(frameworks, bool(consent), bool(financial))
        if self._policy == "strict" and not audit and (frameworks or consent or days or classification):
            audit = self._on("policy strict", "with anything of this in force, calls are written to the audit trail")
        if "gdpr" in frameworks and not consent:
            self._say("compliance_framework", "GDPR knows other grounds than consent, so none is asked for", "gdpr")
        return Obligations(
            policy=self._policy,
            frameworks=frameworks,
            consent=bool(consent),
            audit=audit,
            financial=bool(financial),
            retention_days=days,
            audit_days=self._audit_days(frameworks, bool(financial), days) if audit else KEPT_USUALLY_DAYS,
            classification=classification,
            residency=residency,
            explanation=tuple(self._said),
            warnings=tuple(self._warnings),
        )

    # --- one method per kind of tag --------------------------------------------------------------------------------

    def _frameworks(self) -> frozenset[str]:
        found: set[str] = set()
        for tag in ("compliance_framework", "compliance_requirements", "compliance_level"):
            for name in filter(None, (part.strip().lower() for part in self._tags.get(tag, "").split(","))):
                if name in FRAMEWORKS:
                    found.add(name)
                    self._say(tag, _MEANING[name], name)
                elif tag == "compliance_level" and (name in POLICIES or name in POLICY_ALIASES):
                    self._level(POLICY_ALIASES.get(name, name))
                elif name != "none":
                    self._unknown(tag, name, FRAMEWORKS)
        return frozenset(found)

    def _level(self, level: str) -> None:
        if POLICIES.index(level) > POLICIES.index(self._policy):
            self._warn(
                f"compliance_level={level} is stricter than governance_policy={self._policy}: consent and the audit "
                f"trail go by {level}, budgets by {self._policy}. Write the same for both"
            )
            self._policy = level
        elif level != self._policy:
            self._warn(
                f"compliance_level={level} is laxer than governance_policy={self._policy}, which stands. Write the "
                "same for both"
            )

    def _audit(self, frameworks: frozenset[str], consent: bool, financial: bool) -> bool:
        wanted = self._switch("audit_trail_required", "calls are written to the audit trail")
        required = self._switch("compliance_required", "calls are written to the audit trail")
        reasons = [
            name
            for name, given in (
                ("compliance_framework=sox", "sox" in frameworks),
                ("compliance_framework=hipaa", "hipaa" in frameworks),
                ("financial_reporting=true", financial),
                ("compliance_required=true", bool(required)),
            )
            if given
        ]
        if required is False and (frameworks or consent or wanted):
            self._warn("compliance_required=false, but other tags require something, which stands. Leave it out")
        if wanted is False and reasons:
            self._warn(f"audit_trail_required=false, but {reasons[0]} needs the trail, which is kept. Leave it out")
        elif wanted is None:
            for reason in reasons[:1]:
                self._on(reason, "calls are written to the audit trail")
        return bool(wanted or reasons)

    def _audit_days(self, frameworks: frozenset[str], financial: bool, days: int | None) -> int:
        least = max(
            KEPT_FOR_SOX_DAYS if "sox" in frameworks or financial else 0,
            KEPT_FOR_HIPAA_DAYS if "hipaa" in frameworks else 0,
        )
        kept = max(least, days or 0) or KEPT_USUALLY_DAYS
        if days is not None and days < least:
            self._warn(
                f"data_retention_days={days} is shorter than the {least} days that the audit trail has to be kept; "
                f"events are stamped with {days}, entries of the trail with {least}"
            )
        self._on("audit trail", f"entries are kept for {kept} days")
        return kept

    def _classification(self) -> str | None:
        given = self._tags.get("data_classification", "").lower().replace("-", "_").replace(" ", "_")
        if not given:
            return None
        meant = _OTHER_NAMES.get(given, given)
        if meant not in CLASSIFICATIONS:
            self._unknown("data_classification", given, CLASSIFICATIONS)
        also = "; it is about people, so distinct ids are pseudonymised where there is a key for it"
        self._say(
            "data_classification", f"events are stamped{also if meant in PERSONAL_CLASSIFICATIONS else ''}", meant
        )
        return meant

    def _days(self) -> int | None:
        given = self._tags.get("data_retention_days", "")
        if not given:
            return None
        if not (given.isascii() and given.isdigit() and len(given) <= 5 and 0 < int(given) <= LONGEST_RETENTION_DAYS):
            raise GenOpsConfigurationError(
                f"tag data_retention_days={given[:40]!r} cannot be used: it is not a whole number of days from 1 to "
                f"{LONGEST_RETENTION_DAYS:,}; for example 1095"
            )
        self._say("data_retention_days", "events are stamped with the day after which they are to be deleted", given)
        return int(given)

    def _residency(self, host: str | None) -> str | None:
        given = self._tags.get("data_residency", "").lower()
        if not given:
            return None
        region, there = given.split("-")[0], posthog_region(host)
        if region not in _REGIONS:
            self._warn(f"data_residency={given[:40]}: PostHog's cloud is in {' and '.join(_REGIONS)}; not compared")
        elif there is None:
            self._say("data_residency", "the host is not PostHog's cloud, so it is not known where it is", given)
        elif there != region:
            self._refuse_or_warn(
                f"data_residency={given}, but events would go to PostHog's cloud in {there}; "
                f"use posthog_host=https://{region}.i.posthog.com and a project there"
            )
        else:
            self._say("data_residency", f"events go to PostHog's cloud in {there}", given)
        return given

    # --- what they have in common ----------------------------------------------------------------------------------

    def _switch(self, tag: str, meaning: str) -> bool | None:
        given = self._tags.get(tag, "")
        if not given:
            return None
        try:
            on = switch(given)
        except ValueError as error:
            raise GenOpsConfigurationError(
                f"tag {tag}={given[:40]!r} cannot be used: {error}; for example true"
            ) from None
        if on:
            self._say(tag, meaning, "true")
        return on

    def _say(self, tag: str, meaning: str, value: str) -> None:
        self._said.append(f"{tag}={value}: {meaning}")

    def _on(self, reason: str, meaning: str) -> bool:
        self._said.append(f"{reason}: {meaning}")
        return True

    def _warn(self, problem: str) -> None:
        self._warnings.append(problem)

    def _refuse_or_warn(self, problem: str) -> None:
        if self._policy == "strict":
            raise GenOpsConfigurationError(f"tag {problem}")
        self._warn(problem)

    def _unknown(self, tag: str, value: str, known: tuple[str, ...]) -> None:
        close = difflib.get_close_matches(value, known, n=1)
        meant = f"did you mean {close[0]}?" if close else f"known are {', '.join(known)}"
        self._refuse_or_warn(f"{tag}={value[:40]} switches nothing on: {meant}")


_MEANING: Final = {
    "gdpr": "access and erasure answer for people; their distinct ids are pseudonymised where there is a key for it",
    "sox": f"every call is written to the audit trail, and kept for {KEPT_FOR_SOX_DAYS} days at least",
    "hipaa": "properties that the 18 Safe Harbor identifiers name are removed before anything is sent or written",
}


def posthog_region(host: str | None) -> str | None:
    """``eu`` or ``us`` for a host of PostHog's cloud, ``None`` for any other."""
    if not host:
        return None
    name = urlsplit(host if "://" in host else f"https://{host}").hostname or ""
    if not name.endswith(".posthog.com"):
        return None
    return "eu" if name.split(".")[0] == "eu" else "us"

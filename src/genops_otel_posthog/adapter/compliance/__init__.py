"""Consent, audit trail, retention, pseudonyms and de-identification, switched on by the tags of an adapter."""

from __future__ import annotations

from genops_otel_posthog.adapter.compliance.audit_trail import AuditTrail, AuditUnavailableError
from genops_otel_posthog.adapter.compliance.compliance import Admitted, Compliance
from genops_otel_posthog.adapter.compliance.consent import AskedConsent, Consent, ConsentStore, MemoryConsent
from genops_otel_posthog.adapter.compliance.consent_file import ConsentFile, ConsentUnavailableError
from genops_otel_posthog.adapter.compliance.consent_gate import Withheld
from genops_otel_posthog.adapter.compliance.elsewhere import before_send, redact
from genops_otel_posthog.adapter.compliance.obligations import Obligations, read_obligations
from genops_otel_posthog.adapter.compliance.personal_data import Erasure, PersonalData

__all__ = [
    "Admitted",
    "AskedConsent",
    "AuditTrail",
    "AuditUnavailableError",
    "Compliance",
    "Consent",
    "ConsentFile",
    "ConsentStore",
    "ConsentUnavailableError",
    "Erasure",
    "MemoryConsent",
    "Obligations",
    "PersonalData",
    "Withheld",
    "before_send",
    "read_obligations",
    "redact",
]

"""What compliance needs, opened as tags and environment say: obligations, stores, keys, and what happens to properties.

Trails and stores of the same place are one object in a process, however many adapters there are.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from genops_otel_posthog.adapter.compliance.audit_files import default_directory
from genops_otel_posthog.adapter.compliance.audit_trail import AuditTrail
from genops_otel_posthog.adapter.compliance.consent import AskedConsent, ConsentStore
from genops_otel_posthog.adapter.compliance.consent_file import ConsentFile, default_file
from genops_otel_posthog.adapter.compliance.obligations import Obligations, read_obligations
from genops_otel_posthog.adapter.compliance.personal_data import DeadData, PersonalData, WaitingData
from genops_otel_posthog.adapter.compliance.property_rules import PropertyRules
from genops_otel_posthog.adapter.compliance.pseudonyms import Pseudonyms
from genops_otel_posthog.errors import GenOpsConfigurationError
from genops_otel_posthog.settings import Settings

_trails: weakref.WeakValueDictionary[tuple[object, ...], AuditTrail] = weakref.WeakValueDictionary()
_consents: weakref.WeakValueDictionary[tuple[object, ...], ConsentFile] = weakref.WeakValueDictionary()


class Opened(NamedTuple):
    """What there is; see :class:`~.compliance.Compliance` for each."""

    obligations: Obligations
    consent: ConsentStore | None
    trail: AuditTrail | None
    rules: PropertyRules
    pseudonyms: Pseudonyms | None
    held: tuple[PersonalData, ...]


def opened(
    tags: Mapping[str, str],
    *,
    policy: str,
    host: str | None,
    settings: Settings | None,
    consent: ConsentStore | Callable[[str, str], bool] | None,
    deny_properties: tuple[str, ...],
    pseudonymise_properties: tuple[str, ...],
    clock: Callable[[], float],
) -> Opened | None:
    """See :meth:`.compliance.Compliance.from_tags`."""
    obligations = read_obligations(tags, policy, host)
    if not (obligations.any or deny_properties or pseudonymise_properties):
        return None
    settings = settings or Settings.from_environ(strict=True)
    key = None if settings.pseudonym_key is None else Pseudonyms(settings.pseudonym_key)
    if pseudonymise_properties and key is None:
        raise GenOpsConfigurationError(
            "properties are to be pseudonymised, which takes a key: set GENOPS_PSEUDONYM_KEY=$(openssl rand -hex 32)"
        )
    pseudonyms = key if obligations.personal or pseudonymise_properties else None
    if obligations.personal:
        state = "are pseudonymised" if key else "stay as they are: GENOPS_PSEUDONYM_KEY is not set"
        obligations = replace(obligations, explanation=(*obligations.explanation, f"distinct ids {state}"))
    rules = PropertyRules(
        safe_harbor="hipaa" in obligations.frameworks,
        deny=deny_properties,
        pseudonymise=pseudonymise_properties,
        pseudonyms=pseudonyms,
    )
    held: tuple[PersonalData, ...] = ()
    if obligations.personal or obligations.consent:
        outbox = _outbox_directory(settings)
        held = (WaitingData(outbox), DeadData(outbox))
    return Opened(
        obligations,
        _consent(consent, settings, clock) if obligations.consent or consent is not None else None,
        _trail(settings, key, clock) if obligations.audit else None,
        rules,
        pseudonyms,
        held,
    )


def _consent(
    given: ConsentStore | Callable[[str, str], bool] | None, settings: Settings, clock: Callable[[], float]
) -> ConsentStore:
    if given is None:
        file = default_file(settings)
        place = (os.path.realpath(file), id(clock))
        store = _consents.get(place)
        if store is None:
            store = _consents[place] = ConsentFile(file, clock)
        return store
    if isinstance(given, ConsentStore):
        return given
    if callable(given):
        return AskedConsent(given)
    raise GenOpsConfigurationError(
        "consent is a store with the methods of ConsentStore, or a function of distinct id and purpose, not "
        f"{type(given).__name__}"
    )


def _trail(settings: Settings, pseudonyms: Pseudonyms | None, clock: Callable[[], float]) -> AuditTrail:
    directory = default_directory(settings)
    place = (os.path.realpath(directory), settings.audit_key, settings.audit_fsync, settings.pseudonym_key, id(clock))
    trail = _trails.get(place)
    if trail is None:
        trail = _trails[place] = AuditTrail(
            directory, key=settings.audit_key, pseudonyms=pseudonyms, fsync=settings.audit_fsync, clock=clock
        )
    return trail


def _outbox_directory(settings: Settings) -> Path:
    from genops_otel_posthog.export.outbox.directory import default_directory as default_outbox

    return Path(settings.outbox_path) if settings.outbox_path is not None else default_outbox()

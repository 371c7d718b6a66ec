"""Can what GENOPS_TAGS obliges to be done: tags that can be read, keys that are there, files that can be written?"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from genops_otel_posthog.adapter.validation.findings import ValidationIssue, error, info, success, warning
from genops_otel_posthog.adapter.validation.ledger import nearest_folder
from genops_otel_posthog.errors import GenOpsConfigurationError
from genops_otel_posthog.settings import Settings

_COMPLIANCE, _AUDIT, _CONSENT, _PSEUDONYMS = "Compliance", "Audit trail", "Consent", "Pseudonyms"
_NEW_KEY: Final = "$(openssl rand -hex 32)"
_MOST_READ_BYTES: Final = 32 * 1024 * 1024


def validate_compliance(environ: Mapping[str, str] | None = None) -> list[ValidationIssue]:
    """Checks the tags about compliance, the keys and files that they need, and that the audit trail is intact.

    Nothing is written. Tags that only an adapter is given are not seen here: ``adapter.compliance`` has them.

    Args:
        environ: The environment; that of the process when not given.
    """
    return list(_findings(Settings.from_environ(environ, strict=False)))


def _findings(settings: Settings) -> Iterator[ValidationIssue]:
    from genops_otel_posthog.adapter.compliance.obligations import read_obligations

    try:
        obligations = read_obligations(settings.tags, settings.governance_policy, settings.host)
    except GenOpsConfigurationError as problem:
        yield error(_COMPLIANCE, f"GENOPS_TAGS: {problem}.", "Correct the tag.", "export GENOPS_TAGS=k=v,k=v")
        return
    if not obligations.any:
        yield info(_COMPLIANCE, "No tag in GENOPS_TAGS asks for consent, an audit trail or anything else of the kind.")
        return
    yield from (info(_COMPLIANCE, f"{line}.") for line in obligations.explanation)
    for contradiction in obligations.warnings:
        yield warning(_COMPLIANCE, f"GENOPS_TAGS: {contradiction}.", "Correct the tag.", "export GENOPS_TAGS=k=v,k=v")
    if not obligations.warnings:
        yield success(_COMPLIANCE, f"The tags can be read; policy {obligations.policy} decides.")
    if obligations.audit:
        yield from _about_audit(settings)
    if obligations.consent:
        yield from _about_consent(settings)
    if obligations.personal and settings.pseudonym_key is None:
        yield info(
            _PSEUDONYMS,
            "The data is about people, and their distinct ids leave as they are.",
            "Give a key, before the first event: PostHog sees other persons from then on.",
            f"export GENOPS_PSEUDONYM_KEY={_NEW_KEY}",
        )


def _about_audit(settings: Settings) -> Iterator[ValidationIssue]:
    from genops_otel_posthog.adapter.compliance.audit_check import verify
    from genops_otel_posthog.adapter.compliance.audit_files import default_directory

    directory = default_directory(settings)
    problem = _unusable(directory)
    if problem is not None:
        yield error(
            _AUDIT,
            f"{directory} cannot be written to: {problem}. Policy strict does nothing then; others do it unrecorded.",
            "Let the user that the application runs as write there, or keep the trail elsewhere.",
            f"mkdir -p -m 700 {directory}",
        )
        return
    if settings.audit_key is None:
        yield warning(
            _AUDIT,
            "Entries are not signed, so who can write to the directory can write another trail that verifies.",
            "Give a key before the first entry.",
            f"export GENOPS_AUDIT_KEY={_NEW_KEY}",
        )
    if not directory.is_dir():
        yield success(_AUDIT, f"{directory} can be made.")
    elif sum(file.stat().st_size for file in directory.glob("trail*.jsonl")) > _MOST_READ_BYTES:
        yield info(_AUDIT, "The trail is long, and was not read.", "Read it.", "genops-posthog audit verify")
    else:
        found = verify(directory, key=settings.audit_key)
        if found.broken is not None:
            yield error(
                _AUDIT,
                f"Entry {found.broken.number} is not what was written: {found.broken.problem}.",
                "Find out who changed it; then move the directory away, and a new trail begins.",
                "genops-posthog audit verify",
            )
        else:
            yield success(_AUDIT, f"{found.entries} entries in {directory} are as they were written.")


def _about_consent(settings: Settings) -> Iterator[ValidationIssue]:
    from genops_otel_posthog.adapter.compliance.consent_file import default_file

    file = default_file(settings)
    problem = _unusable(file.parent)
    if problem is None and file.exists() and not os.access(file, os.R_OK | os.W_OK):
        problem = "this user may not read and write it"
    if problem is not None:
        yield error(
            _CONSENT,
            f"{file} cannot be used: {problem}. Nobody has agreed to anything then.",
            "Let the user that the application runs as write there, or keep consent elsewhere.",
            f"mkdir -p -m 700 {file.parent}",
        )
        return
    yield success(_CONSENT, f"Consent is kept in {file}, unless the application keeps it itself.")


def _unusable(directory: Path) -> str | None:
    """Why nothing can be made in a directory, or in the nearest one above it that exists."""
    try:
        folder = nearest_folder(directory)
    except OSError as problem:
        return problem.strerror or str(problem)
    return None if os.access(folder, os.W_OK | os.X_OK) else f"this user may not write to {folder}"

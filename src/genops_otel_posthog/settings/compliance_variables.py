"""The environment variables about compliance: where consent and the audit trail are kept, and the keys."""

from __future__ import annotations

from typing import Final

from genops_otel_posthog.settings.values import choice, text
from genops_otel_posthog.settings.variable import Variable

FEWEST_KEY_CHARACTERS: Final = 32
AUDIT_FSYNC: Final = ("interval", "always", "none")


def key_text(value: str) -> str:
    """A secret key. The messages repeat no part of it."""
    if len(value) < FEWEST_KEY_CHARACTERS:
        raise ValueError(
            f"it has fewer than {FEWEST_KEY_CHARACTERS} characters, so it could be guessed; "
            "make one with: openssl rand -hex 32"
        )
    return value


COMPLIANCE_VARIABLES: tuple[Variable, ...] = (
    Variable(
        "GENOPS_AUDIT_PATH",
        "audit_path",
        "Directory of the audit trail; created readable by its user alone. Not given: in the user's state directory.",
        "–",
        "/var/lib/shop/audit",
        text,
    ),
    Variable(
        "GENOPS_AUDIT_KEY",
        "audit_key",
        f"Secret of at least {FEWEST_KEY_CHARACTERS} characters that signs every entry of the audit trail "
        "(HMAC-SHA256), so that nobody without it can write a trail that verifies.",
        "–",
        "$(openssl rand -hex 32)",
        key_text,
        secret=True,
    ),
    Variable(
        "GENOPS_AUDIT_FSYNC",
        "audit_fsync",
        "When entries are synchronised with the disk: `interval` (once a second at most), `always` (each one) or "
        "`none` (when the system does). An entry outlives its process either way; this is about the machine.",
        "`interval`",
        "always",
        choice(*AUDIT_FSYNC),
    ),
    Variable(
        "GENOPS_CONSENT_PATH",
        "consent_path",
        "SQLite file with the consent of people; created readable by its user alone. Not given: in the user's state "
        "directory.",
        "–",
        "/var/lib/shop/consent.sqlite3",
        text,
    ),
    Variable(
        "GENOPS_PSEUDONYM_KEY",
        "pseudonym_key",
        f"Secret of at least {FEWEST_KEY_CHARACTERS} characters with which distinct ids are replaced by keyed hashes, "
        "by adapters whose tags say that their data is personal. The same key makes the same pseudonyms.",
        "–",
        "$(openssl rand -hex 32)",
        key_text,
        secret=True,
    ),
)

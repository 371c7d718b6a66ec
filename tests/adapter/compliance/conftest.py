"""A clock that stands still, and a directory in which compliance keeps its files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from genops_otel_posthog.adapter.compliance import AuditTrail, Compliance
from genops_otel_posthog.adapter.compliance.audit_check import intact_entries

NOON = datetime(2026, 11, 29, 12, tzinfo=timezone.utc)
AUDIT_KEY = "an audit key of a test, long enough"
PSEUDONYM_KEY = "a pseudonym key of a test, long enough"

#: The configurations of the guide, word for word.
GUIDE_GDPR = {
    "compliance_framework": "gdpr",
    "data_retention_days": "1095",
    "consent_required": "true",
    "data_classification": "personal",
}
GUIDE_SOX = {
    "compliance_framework": "sox",
    "audit_trail_required": "true",
    "data_retention_days": "2555",
    "financial_reporting": "true",
}


@dataclass
class Clock:
    """A clock that stands still until it is set."""

    now: datetime = NOON

    def __call__(self) -> float:
        return self.now.timestamp()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where everything is that compliance keeps, in a directory of the test."""
    directory = tmp_path / "kept"
    monkeypatch.setenv("GENOPS_AUDIT_PATH", str(directory / "audit"))
    monkeypatch.setenv("GENOPS_CONSENT_PATH", str(directory / "consent" / "consent.sqlite3"))
    monkeypatch.setenv("GENOPS_OUTBOX_PATH", str(directory / "outbox"))
    return directory


@pytest.fixture
def make(home: Path, clock: Clock) -> Callable[..., Compliance]:
    """Compliance by tags, and never nothing."""

    def make(tags: dict[str, str], policy: str = "strict", **options: Any) -> Compliance:
        made = Compliance.from_tags(tags, policy=policy, clock=clock, **options)
        assert made is not None
        return made

    return make


@pytest.fixture
def trail(home: Path, clock: Clock) -> AuditTrail:
    return AuditTrail(home / "audit", clock=clock)


def entries(directory: Path) -> list[dict[str, Any]]:
    """What the entries of a trail say, without their hashes."""
    return [
        {name: value for name, value in each.content.items() if name != "prev"} for each in intact_entries(directory)
    ]


def told(directory: Path) -> list[tuple[str, str]]:
    """Action and outcome of each entry."""
    return [(entry["action"], entry["outcome"]) for entry in entries(directory)]

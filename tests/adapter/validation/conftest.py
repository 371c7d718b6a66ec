"""A setup in which everything is as it should be, and real servers for what is counted on one."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from genops_otel_posthog.adapter.validation import ValidationIssue
from genops_otel_posthog.receiver.server import LocalReceiver

if str(Path(__file__).parents[2] / "budgets" / "ledger") not in sys.path:
    sys.path.append(str(Path(__file__).parents[2] / "budgets" / "ledger"))

from servers import new_ledger_url, redis_url, shared_server, start_server  # noqa: F401 - fixtures

KEY = "phc_0123456789abcdefghijklmnopqrstuvwxyz"


@pytest.fixture
def environ(receiver: LocalReceiver, tmp_path: Path) -> dict[str, str]:
    """An environment in which everything is as it should be."""
    return {
        "POSTHOG_API_KEY": KEY,
        "POSTHOG_HOST": receiver.url,
        "GENOPS_TEAM": "checkout",
        "GENOPS_PROJECT": "web-shop",
        "XDG_STATE_HOME": str(tmp_path / "state"),
    }


class Findings(list[ValidationIssue]):
    """Findings, to be asked for by what they are about."""

    def one(self, component: str) -> ValidationIssue:
        """The only finding about a component."""
        (found,) = self.about(component)
        return found

    def about(self, component: str) -> list[ValidationIssue]:
        """All findings about a component."""
        return [finding for finding in self if finding.component == component]


@pytest.fixture
def findings() -> type[Findings]:
    """Makes findings easy to ask."""
    return Findings

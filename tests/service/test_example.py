"""The example shows what it promises, and the documentation what to run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from genops_otel_posthog.receiver.server import LocalReceiver

ROOT = Path(__file__).parents[2]


@pytest.mark.requirement("S0-11", "S0-31", "S0-32")
def test_a_morning_is_told_through_an_outage_and_kept(tmp_path):
    with LocalReceiver() as receiver:
        finished = subprocess.run(
            [sys.executable, ROOT / "examples" / "service_and_analytics.py"],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            cwd=tmp_path,
            env=os.environ | {"POSTHOG_HOST": receiver.url, "POSTHOG_API_KEY": "phc_mine"},
        )
        arrived = receiver.events()
    assert (finished.returncode, finished.stderr) == (0, "")
    assert [line.split() for line in finished.stdout.splitlines()] == [
        ["everything", "delivered", "True,", "though", "PostHog", "was", "away", "for", "a", "request"],
        ["accepted", "32,", "undelivered", "0"],
        ["held", "back", "without", "consent", "1"],
        ["arrived", "$set", "1"],
        ["arrived", "cognitive_state_change", "8"],
        ["arrived", "custom_event", "1"],
        ["arrived", "interaction_component_interaction", "12"],
        ["arrived", "interaction_mode_switch", "8"],
        ["arrived", "session_started", "1"],
        ["arrived", "session_updated", "1"],
        ["habit", "Frequent", "mode", "switching", "8", "sure", "to", "85%"],
        ["habit", "Frequent", "use", "of", "revenue-chart", "12", "sure", "to", "62%"],
        ["session", "of", "user_123", "5400000.0", "ms,", "productivity", "0.0"],
    ]
    assert {(event.token, event.distinct_id) for event in arrived} == {("phc_mine", "user_123")}


@pytest.mark.requirement("S0-33")
def test_one_command_runs_the_tests_of_configuration_start_service_and_analytics():
    page = (ROOT / "docs" / "service.md").read_text(encoding="utf-8")
    assert "python3 scripts/run.py unit tests/service" in page
    for file in ("test_configuration.py", "test_lifecycle.py", "test_posthog_service.py", "analytics/test_service.py"):
        assert (ROOT / "tests" / "service" / file).is_file()

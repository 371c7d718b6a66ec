"""The examples of exporting run by themselves, and print what they promise."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.docs

EXAMPLES = Path(__file__).parents[2] / "examples"


def run(example: str, directory: Path) -> str:
    """What an example prints, run from anywhere."""
    command = [sys.executable, EXAMPLES / example]
    finished = subprocess.run(
        command, cwd=directory, env=os.environ, capture_output=True, text=True, timeout=120, check=False
    )
    assert (finished.returncode, finished.stderr) == (0, "")
    return finished.stdout


def test_posthog_beside_a_trace_backend_has_the_same_trace(tmp_path: Path) -> None:
    printed = run("existing_provider_two_exporters.py", tmp_path)

    assert [line.split() for line in printed.splitlines()] == [
        ["In", "the", "trace", "backend:"],
        ["POST", "/orders"],
        ["SELECT", "stock"],
        ["chat", "gpt-4o"],
        ["In", "PostHog,", "with", "the", "same", "trace", "id:"],
        ["$ai_generation", "ann", "checkout"],
        ["order_completed", "ann", "checkout"],
    ]


def test_an_agent_s_steps_are_product_events_and_its_failure_says_why(tmp_path: Path) -> None:
    printed = run("agent_with_tools.py", tmp_path)

    assert "$ai_generation       $ai_model=gpt-4o-mini, $ai_input_tokens=412\n" in printed
    assert "tool_used            tool_id=order_status, status=success\n" in printed
    assert "agent_error          error_message=there is no such order\n" in printed

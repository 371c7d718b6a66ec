"""The examples of loading and setting up run by themselves, and print what they promise."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from genops_otel_posthog.receiver.server import LocalReceiver

pytestmark = pytest.mark.docs

EXAMPLES = Path(__file__).parents[2] / "examples"


def run(example: str, directory: Path, **variables: str) -> str:
    """What an example prints, run from anywhere."""
    finished = subprocess.run(
        [sys.executable, EXAMPLES / example],
        cwd=directory,
        env=os.environ | variables,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (finished.returncode, finished.stderr) == (0, "")
    return finished.stdout


def test_the_script_that_knows_nothing_of_opentelemetry_is_shown_with_its_cost(tmp_path: Path) -> None:
    printed = run("zero_code_script.py", tmp_path)

    assert "capture user_signed_up         $0.000248  events                  growth\n" in printed
    assert "The metric genops.cost.usage says $0.001016.\n" in printed
    assert "PostHog would bill 1 exceptions, 3 events, 2 identified_events, 1 feature_flag_requests\n" in printed


def test_with_a_provider_of_its_own_the_calls_stand_in_the_application_s_trace(tmp_path: Path) -> None:
    printed = run("existing_tracer_provider.py", tmp_path)

    assert [line.split() for line in printed.splitlines()] == [
        ["checkout"],
        ["evaluate_flags", "$0.000100", "acme"],
        ["capture", "order_completed", "$0.000248", "acme"],
    ]


def test_with_the_asynchronous_client_each_customer_has_a_cost(tmp_path: Path) -> None:
    printed = run("async_client.py", tmp_path)

    assert "acme     5 events, 1 of them free  $0.000992\n" in printed
    assert "PostHog would bill    {'events': 9, 'identified_events': 9, 'feature_flag_requests': 3}\n" in printed


@pytest.mark.parametrize("example", ["existing_tracer_provider.py", "async_client.py"])
def test_they_use_a_receiver_that_runs_already(tmp_path: Path, example: str) -> None:
    with LocalReceiver() as receiver:
        run(example, tmp_path, POSTHOG_HOST=receiver.url, POSTHOG_API_KEY="phc_mine")

        assert {event.token for event in receiver.events()} == {"phc_mine"}

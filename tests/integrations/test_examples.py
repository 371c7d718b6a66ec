"""The examples of frameworks run by themselves, and print what arrived at a receiver of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.docs

EXAMPLES = Path(__file__).parents[2] / "examples"


def run(example: str, directory: Path) -> list[str]:
    """What an example prints, run from anywhere."""
    finished = subprocess.run(
        [sys.executable, "-W", "error", EXAMPLES / example],
        cwd=directory,
        env=os.environ,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert (finished.returncode, finished.stderr) == (0, "")
    return finished.stdout.splitlines()


@pytest.mark.requirement("S4-69")
def test_django_serves_threads_and_coroutines_and_says_what_each_request_cost(tmp_path: Path) -> None:
    printed = run("django_app.py", tmp_path)

    assert printed[:3] == ["WSGI  GET /orders/    200", "WSGI  GET /payments/  500", "ASGI  GET /search/    200"]
    assert printed[4:8] == [
        "PostHog got",
        "  order_completed   for acme     by web-team",
        "  payment_started   for initech  by web-team",
        "  search_performed  for acme     by web-team",
    ]
    assert "  session web_request for initech  $0.000050  ConnectionError" in printed


@pytest.mark.requirement("S4-70")
def test_flask_answers_for_a_budget_that_is_used_up(tmp_path: Path) -> None:
    printed = run("flask_app.py", tmp_path)

    assert [line.split()[0] for line in printed[:5]] == ["200"] * 4 + ["503"]
    assert "has spent $0.000992 of $0.001 today, and the call may cost $0.000248" in printed[4]
    assert printed[6] == "PostHog got 4 events:"


@pytest.mark.requirement("S4-70")
def test_fastapi_delivers_what_streams_and_background_tasks_have_captured(tmp_path: Path) -> None:
    printed = [line.split() for line in run("fastapi_app.py", tmp_path)]

    assert ["acme", "orders", "receipt_sent", "0.000050"] in printed
    assert printed.count(["acme", "reports", "row_exported", "0.000050"]) == 3
    assert printed[-1] == ["PostHog", "would", "bill", "9", "events,", "3", "identified_events"]


@pytest.mark.requirement("S4-71", "E-16")
def test_lambda_has_delivered_everything_whenever_it_answers(tmp_path: Path) -> None:
    assert run("lambda_function.py", tmp_path) == [
        'cold: answered {"processed": 2}, and PostHog has',
        "  lambda_processed INSERT for acme",
        "  lambda_processed MODIFY for acme",
        'warm: answered {"processed": 1}, and PostHog has',
        "  lambda_processed REMOVE for initech",
    ]


def test_celery_loses_nothing_with_its_children(tmp_path: Path) -> None:
    assert run("celery_tasks.py", tmp_path) == [
        "child 1: order 0 for initech  by workers",
        "child 1: order 1 for acme     by workers",
        "child 2: order 2 for initech  by workers",
        "child 2: order 3 for acme     by workers",
        "2 processes have ended; nothing was lost with them.",
    ]

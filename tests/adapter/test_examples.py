"""The examples of the adapter run by themselves, print what a reader would want to see, and send what they say."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.docs

EXAMPLES = Path(__file__).parents[2] / "examples"


def run(example: str, receiver: Any, tmp_path: Path) -> str:
    """What an example prints, run from anywhere."""
    finished = subprocess.run(
        [sys.executable, EXAMPLES / example],
        cwd=tmp_path,
        env=os.environ | {"POSTHOG_HOST": receiver.url},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


@pytest.mark.requirement("E-03")
def test_onboarding(receiver: Any, tmp_path: Path) -> None:
    printed = run("onboarding.py", receiver, tmp_path)

    assert printed.count("in all $0.001192 for 6 events worth $49") == 2
    names = Counter(event.event for event in receiver.events())
    assert (names["signup_completed"], names["$feature_flag_called"], len(names)) == (2, 2, 7)
    assert receiver.bill().meters == {"events": 12, "identified_events": 8, "feature_flag_requests": 2}


@pytest.mark.requirement("E-24", "S4-04")
def test_ecommerce(receiver: Any, tmp_path: Path) -> None:
    printed = run("ecommerce.py", receiver, tmp_path)

    assert re.search(r"^control +\d+ +\d+ +\d+%", printed, re.MULTILINE)
    sold = len(receiver.events("purchase"))
    assert f"Sold for ${sold * 24.90:.2f}" in printed
    assert {event.properties["$feature/buy-button"] for event in receiver.events("purchase")} == {"control", "green"}


@pytest.mark.requirement("E-05", "E-19", "S4-68")
def test_mobile_backend(receiver: Any, tmp_path: Path) -> None:
    printed = run("mobile_backend.py", receiver, tmp_path)

    assert re.search(r"^purchase +10 +10 +10$", printed, re.MULTILINE)
    views = receiver.events("page_view")
    assert 0 < len(views) < 200
    assert len({event.timestamp for event in views}) > len(views) / 2
    assert {event.properties["genops_tag_platform"] for event in receiver.events()} == {"ios"}


@pytest.mark.requirement("S4-31", "S4-76", "S4-77", "E-23")
def test_cost_optimisation(receiver: Any, tmp_path: Path) -> None:
    printed = run("cost_optimisation.py", receiver, tmp_path)

    assert printed.startswith("6,000,000 events a month cost $1,137.86")
    assert "4,800,000 identified_events cost $393.16, 0 cost $0.00; $393.16 less" in printed
    assert "pay back after 7.6 months" in printed


@pytest.mark.requirement("E-17", "S4-09")
def test_tenants(receiver: Any, tmp_path: Path) -> None:
    printed = run("tenants.py", receiver, tmp_path)

    assert re.search(r"^startup +enforced +10 +10 ", printed, re.MULTILINE)
    sent = Counter(event.properties["genops_customer_id"] for event in receiver.events())
    assert sent == {"corp": 20, "startup": 10, "trial": 20}


@pytest.mark.requirement("E-18", "S4-52")
def test_failover(receiver: Any, tmp_path: Path) -> None:
    printed = run("failover.py", receiver, tmp_path)

    assert "us-east-1: [1, 2]\n  us-west-2: [3, 4, 5]\n5 orders, 5 uuids; handed over: 1" in printed
    assert sorted(event.properties["order"] for event in receiver.events()) == [3, 4, 5]


@pytest.mark.requirement("E-20", "S4-54")
def test_black_friday(receiver: Any, tmp_path: Path) -> None:
    printed = run("black_friday.py", receiver, tmp_path)

    assert re.search(r"^purchase +120 +120 +120$", printed, re.MULTILINE)
    assert "the same shoppers are chosen: True" in printed
    views = [event for event in receiver.events() if event.event in {"page_view", "add_to_cart"}]
    assert {event.properties["genops_sample_rate"] for event in views} == {0.1}

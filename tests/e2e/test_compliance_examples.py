"""The examples of compliance run by themselves: what they print, and what arrived."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from genops_otel_posthog.receiver.server import LocalReceiver

pytestmark = pytest.mark.docs

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(scope="module")
def receiver() -> Iterator[LocalReceiver]:
    with LocalReceiver() as started:
        yield started


def run(example: str, directory: Path, receiver: LocalReceiver) -> list[str]:
    """The lines that an example prints, with columns apart by one blank."""
    receiver.clear()
    finished = subprocess.run(
        [sys.executable, EXAMPLES / example],
        cwd=directory,
        env={**os.environ, "POSTHOG_HOST": receiver.url, "TMPDIR": str(directory)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    assert "Traceback" not in finished.stderr
    return [" ".join(line.split()) for line in finished.stdout.splitlines()]


@pytest.mark.requirement("S4-49", "E-27")
def test_under_gdpr_only_who_agreed_is_sent_and_who_asks_is_answered(tmp_path: Path, receiver: LocalReceiver) -> None:
    printed = run("gdpr_consent.py", tmp_path, receiver)

    (event,) = receiver.events()
    assert event.event == "signed_up"
    assert re.fullmatch("p_[0-9a-f]{32}", event.distinct_id)
    assert "@example.com" not in repr(event)
    assert f"ada@example.com signed_up sent as {event.distinct_id}" in printed
    assert "bob@example.com signed_up withheld, no_consent" in printed
    assert "ada@example.com order_completed withheld, no_consent" in printed
    assert "consent to analytics: False (account page)" in printed
    assert "erased here: {'consent': 1, 'waiting_events': 0, 'dead_letters': 0}" in printed
    assert printed[-2:] == ["intact: True", "E-mail addresses in files of this machine: 0"]


@pytest.mark.requirement("S4-50", "E-28")
def test_under_sox_every_call_is_in_the_trail_and_tampering_is_found(tmp_path: Path, receiver: LocalReceiver) -> None:
    printed = run("sox_audit.py", tmp_path, receiver)

    assert [event.properties["ledger"] for event in receiver.events()] == ["receivables", "payables", "payroll"]
    assert "taxes refused: $0.00015 of $0.00015 spent" in printed
    entries = [line for line in printed if re.match("[0-9]+ capture", line)]
    assert [line.split()[2] for line in entries] == ["sent", "sent", "sent", "blocked", "blocked"]
    assert "intact: 5 entries, signatures checked" in printed
    assert [line.partition(":")[0] for line in printed if line.startswith("broken")] == ["broken at entry 4"] * 2

"""What is run at SIGTERM: all of it, at the same time, and then the process ends as it would have."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

PROGRAM = """
import os, signal, sys, threading
from genops_otel_posthog.leaving import run_on_sigterm

class Room:
    def __init__(self, name):
        self.name = name
    def leave(self):
        both.wait(20)  # passes only when both have begun
        os.write(1, f"left {self.name}\\n".encode())  # in one piece: both say it at once

both = threading.Barrier(2)
kept, other, forgotten = Room("kept"), Room("other"), Room("forgotten")
assert run_on_sigterm(kept.leave) and run_on_sigterm(kept.leave)  # twice is once
assert run_on_sigterm(forgotten.leave)
del forgotten
def leave_other():
    other.leave()
assert run_on_sigterm(leave_other)
signal.raise_signal(signal.SIGTERM)
sys.stdin.read()
"""

HANDLED = """
import signal, sys
from genops_otel_posthog.leaving import run_on_sigterm

signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
assert not run_on_sigterm(lambda: print("left", flush=True))
signal.raise_signal(signal.SIGTERM)
"""


def ended(program: str) -> tuple[int, list[str]]:
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as one:
        assert one.stdout is not None
        said = one.stdout.read().splitlines()
        return one.wait(30), sorted(said)


@pytest.mark.requirement("S3-52")
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGTERM to send")
def test_everything_that_lives_leaves_once_at_the_same_time_and_the_signal_ends_the_process() -> None:
    assert ended(PROGRAM) == (-signal.SIGTERM, ["left kept", "left other"])


def test_an_application_that_handles_the_signal_goes_its_own_way() -> None:
    assert ended(HANDLED) == (7, [])

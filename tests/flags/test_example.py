"""The example shows what it promises."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

EXAMPLE = Path(__file__).parents[2] / "examples" / "feature_gates.py"


def test_a_flag_goes_through_an_outage(tmp_path):
    environ = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    finished = subprocess.run(
        [sys.executable, str(EXAMPLE)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=tmp_path,
        env=environ,
    )
    assert finished.returncode == 0, finished.stderr
    words = [line.split() for line in finished.stdout.splitlines()]
    assert [next(word for word in line if word in SOURCES) for line in words] == SOURCES
    assert ["new" in line for line in words] == [True, False, True]


SOURCES = ["posthog_remote", "default", "database"]

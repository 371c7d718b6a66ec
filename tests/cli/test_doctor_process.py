"""``doctor`` under ``opentelemetry-instrument``, and ``setup`` that is interrupted: in processes of their own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

BIN = Path(sys.executable).parent
QUIET = {"OTEL_METRICS_EXPORTER": "none", "OTEL_LOGS_EXPORTER": "none"}


def test_under_opentelemetry_it_sees_what_the_application_would_get(tmp_path: Path) -> None:
    key = "phc_0123456789abcdefghijklmnopqrstuvwxyz"
    environ = {
        **os.environ,
        **QUIET,
        "OTEL_TRACES_EXPORTER": "console,posthog",
        "POSTHOG_API_KEY": key,
        "POSTHOG_HOST": "http://127.0.0.1:9",
        "GENOPS_TEAM": "checkout",
        "XDG_STATE_HOME": str(tmp_path),
    }
    command = [BIN / "opentelemetry-instrument", BIN / "genops-posthog", "doctor", "--offline"]

    ended = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60, check=False)

    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "✓ Tracing: TracerProvider with BatchSpanProcessor → " in ended.stdout
    assert "→ PostHogSpanExporter" in ended.stdout
    assert "✓ Instrumentation: The PostHog SDK is instrumented." in ended.stdout
    assert key[4:-4] not in ended.stdout + ended.stderr


@pytest.mark.requirement("E-31")
@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGINT to send")
def test_interrupted_it_ends_with_1_and_writes_nothing(tmp_path: Path) -> None:
    # Started from a shell's background, a process ignores interrupts.
    program = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from genops_otel_posthog.cli import main; main(['setup', '--offline'])"
    )
    setup = subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert setup.stdout is not None
    shown = b""
    while b"Project key" not in shown:
        piece = os.read(setup.stdout.fileno(), 4096)
        assert piece, shown
        shown += piece
    setup.send_signal(signal.SIGINT)
    rest, errors = setup.communicate(timeout=60)

    assert (setup.returncode, errors) == (1, b"")
    assert (shown + rest).endswith(b"Ended. Nothing was written.\n")
    assert list(tmp_path.iterdir()) == []

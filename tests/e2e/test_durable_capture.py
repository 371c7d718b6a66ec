"""``GENOPS_DURABLE_CAPTURE=true`` in applications that nobody changed, from the installed wheel."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from genops_otel_posthog.receiver.server import LocalReceiver

pytestmark = pytest.mark.wheel

KILLED = """
import os, signal
import posthog

posthog.api_key, posthog.host = os.environ["POSTHOG_API_KEY"], os.environ["POSTHOG_HOST"]
for number in range(20):
    assert posthog.capture("order", distinct_id="u1", properties={"number": number})
os.kill(os.getpid(), signal.SIGKILL)
"""

NEXT = """
import os, signal
import posthog

posthog.api_key, posthog.host = os.environ["POSTHOG_API_KEY"], os.environ["POSTHOG_HOST"]
posthog.capture("started", distinct_id="u1")
signal.pause()
"""


def test_an_application_killed_right_after_capture_loses_nothing_and_no_event_is_exported_twice(
    launch: Any, flagged_receiver: LocalReceiver, tmp_path: Path
) -> None:
    durable = {
        "POSTHOG_API_KEY": "phc_durable",
        "GENOPS_DURABLE_CAPTURE": "true",
        "GENOPS_EXPORT_SPANS": "true",
        "GENOPS_OUTBOX_PATH": str(tmp_path / "outbox"),
    }
    with flagged_receiver.fail("capture", status=503):
        assert launch(KILLED, **durable).finish().code == -9
    application = launch(NEXT, **durable)

    found = flagged_receiver.wait_for_events(21, timeout=30, token="phc_durable")
    application.terminate()
    numbers = sorted(event.properties["number"] for event in found if event.event == "order")
    assert numbers == list(range(20))
    assert len(found) == 21

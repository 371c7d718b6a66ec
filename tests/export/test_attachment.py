"""``GENOPS_EXPORT_SPANS=true``, in processes of their own: a process can set its tracer provider only once."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from genops_otel_posthog.receiver.server import LocalReceiver

PROGRAM = """
import logging
import sys

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from genops_otel_posthog.export.attachment import attach_if_asked

logging.basicConfig(format="%(message)s")
for step in sys.argv[1].split():
    if step == "set_up":
        trace.set_tracer_provider(TracerProvider())
    elif step == "attach":
        attach_if_asked()
    elif step == "instrument":
        from genops_otel_posthog import PostHogInstrumentor
        PostHogInstrumentor().instrument()
    elif step == "uninstrument":
        PostHogInstrumentor().uninstrument()
    elif step == "batch":
        from genops_otel_posthog import PostHogSpanExporter
        trace.get_tracer_provider().add_span_processor(BatchSpanProcessor(PostHogSpanExporter()))
    elif step == "exporter":
        print("genops_otel_posthog.export.exporter" in sys.modules)
    else:
        trace.get_tracer("shop").start_span("work", attributes={"genops.analytics.event": "session_started"}).end()
trace.get_tracer_provider().shutdown() if hasattr(trace.get_tracer_provider(), "shutdown") else None
"""


@pytest.fixture(scope="module")
def receiver() -> Iterator[LocalReceiver]:
    with LocalReceiver() as receiver:
        yield receiver


@pytest.fixture
def run(receiver: LocalReceiver, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs the steps and returns the finished process."""
    receiver.clear()

    def run(steps: str, **variables: str) -> subprocess.CompletedProcess[str]:
        environment = {
            **os.environ,
            "POSTHOG_API_KEY": "phc_attached",
            "POSTHOG_HOST": receiver.url,
            "XDG_STATE_HOME": str(tmp_path),
            "GENOPS_EXPORT_SPANS": "true",
            **variables,
        }
        command = [sys.executable, "-c", PROGRAM, steps]
        finished = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
        assert finished.returncode == 0, finished.stderr
        return finished

    return run


@pytest.mark.parametrize(
    "steps",
    [
        "set_up attach span",
        "attach set_up span",
        "attach attach set_up attach span",
        "set_up attach batch span",
        "set_up batch attach span",
        "set_up instrument span",
        "instrument set_up span",
        "set_up instrument uninstrument instrument span",
    ],
)
def test_a_span_is_one_event_however_often_and_whenever_it_is_attached(
    run: Any, receiver: LocalReceiver, steps: str
) -> None:
    run(steps)

    assert [event.event for event in receiver.events(token="phc_attached")] == ["session_started"]


def test_nothing_is_attached_or_loaded_unless_it_is_asked_for(run: Any, receiver: LocalReceiver) -> None:
    finished = run("set_up attach span exporter", GENOPS_EXPORT_SPANS="false")

    assert finished.stdout.split() == ["False"]
    assert receiver.events(token="phc_attached") == []


def test_without_a_key_one_line_says_that_nothing_is_exported(run: Any) -> None:
    finished = run("set_up attach batch span", POSTHOG_API_KEY="")

    assert len([line for line in finished.stderr.splitlines() if "POSTHOG_API_KEY" in line]) == 1


def test_an_application_without_opentelemetry_s_sdk_goes_on(run: Any) -> None:
    assert run("attach span").stderr == ""

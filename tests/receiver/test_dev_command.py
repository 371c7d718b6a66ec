"""``genops-posthog dev`` as a user runs it."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import genops_otel_posthog
from genops_otel_posthog.cli.dev import dev
from genops_otel_posthog.errors import GenOpsConfigurationError, GenOpsValidationError
from genops_otel_posthog.receiver import LocalReceiver, ReceiverClient

COMMAND = [sys.executable, "-c", "from genops_otel_posthog.cli.dev import dev; dev()"]
SOURCE = str(Path(genops_otel_posthog.__file__).parents[1])

Run = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def run() -> Iterator[Run]:
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str) -> subprocess.Popen[str]:
        environment = {**os.environ, "PYTHONPATH": SOURCE}
        process = subprocess.Popen(
            [*COMMAND, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


def read_until(process: subprocess.Popen[str], end: str) -> str:
    assert process.stdout is not None
    lines: list[str] = []
    for line in process.stdout:
        lines.append(line)
        if end in line:
            return "".join(lines)
    raise AssertionError(f"{end!r} never came: {lines}, {process.stderr.read() if process.stderr else ''}")


def post_event(url: str) -> None:
    connection = http.client.HTTPConnection(url.removeprefix("http://"))
    connection.request("POST", "/e/", json.dumps({"api_key": "phc_test", "event": "paid", "distinct_id": "u"}))
    connection.getresponse().read()
    connection.close()


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_it_says_what_to_copy_and_ends_cleanly(run: Run, how: signal.Signals) -> None:
    process = run("--port", "0")
    said = read_until(process, "Ctrl-C")
    url = said.split("receiver at ")[1].split(",")[0]
    data = Path(said.split("data in ")[1].splitlines()[0])
    for line in (f"export POSTHOG_HOST={url}", f"export OTEL_EXPORTER_OTLP_ENDPOINT={url}", "/i/v1/analytics/events"):
        assert line in said
    post_event(url)
    process.send_signal(how)
    rest, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (0, "")
    assert "1 events accepted" in rest
    assert "PostHog would bill 1 events, 1 identified_events." in rest
    assert not data.exists()


def test_json_is_two_documents_one_at_the_start_and_one_at_the_end(run: Run, tmp_path: Path) -> None:
    process = run("--port", "0", "--json", "--data", str(tmp_path / "data.db"))
    assert process.stdout is not None
    start = json.loads(process.stdout.readline())
    assert start["environment"]["POSTHOG_HOST"] == start["url"]
    post_event(start["url"])
    process.terminate()
    end = json.loads(process.communicate(timeout=30)[0])
    assert end["bill"] == {"events": 1, "identified_events": 1}
    assert (tmp_path / "data.db").exists()


def test_flags_faults_and_bodies_are_taken_from_the_command_line(run: Run, tmp_path: Path) -> None:
    flags = tmp_path / "flags.json"
    flags.write_text('[{"key": "beta"}]')
    process = run("--port", "0", "--json", "--flags", str(flags), "--fail", "status=503,path=capture", "--keep-bodies")
    assert process.stdout is not None
    client = ReceiverClient(json.loads(process.stdout.readline())["url"])
    post_event(client.url)
    assert [rule["status"] for rule in client.faults()] == [503]
    assert client.requests("/e")[0].status == 503
    assert b"paid" in client.request_body(1)
    assert json.loads(client._call("GET", "/api/flags"))["flags"][0]["key"] == "beta"


def invoke(*arguments: str) -> Any:
    return CliRunner().invoke(dev, arguments)


def test_a_port_that_is_taken_is_said_before_anything_is_served() -> None:
    with LocalReceiver() as receiver:
        result = invoke("--port", str(receiver.port))
    assert isinstance(result.exception, GenOpsConfigurationError)
    assert str(receiver.port) in str(result.exception)


def test_a_fault_that_cannot_be_read_is_said() -> None:
    result = invoke("--port", "0", "--fail", "status=soon")
    assert isinstance(result.exception, GenOpsValidationError)


def test_listening_beyond_loopback_takes_an_explicit_host_and_warns_first() -> None:
    address_of_no_machine = "192.0.2.1"
    result = invoke("--port", "0", "--host", address_of_no_machine)
    assert "warning: listening on 192.0.2.1" in result.output
    assert isinstance(result.exception, GenOpsConfigurationError)

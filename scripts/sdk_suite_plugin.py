"""The pytest plugin inside a run of PostHog's own tests: no egress, one outcome per test, the instrumentor on demand.

Loaded with ``-p sdk_suite_plugin`` by ``sdk_suite.py``, which reads the report it leaves behind.
"""

from __future__ import annotations

import gzip
import json
import os
import sys
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from loopback_only import refuse_egress

REPORT = "SDK_SUITE_REPORT"
INSTRUMENT = "SDK_SUITE_INSTRUMENT"
OUTBOX = "SDK_SUITE_OUTBOX"

# From best to worst: a test is what the worst of its phases and subtests is.
OUTCOMES = ("passed", "skipped", "failed", "error")


class SpanCount:
    """A span processor that only counts, so that the suite's time is not spent on spans."""

    def __init__(self) -> None:
        self.ended = 0

    def on_start(self, span: object, parent_context: object = None) -> None:
        """Nothing is known yet."""

    def on_end(self, span: object) -> None:
        """Count one finished span."""
        self.ended += 1

    def _on_ending(self, span: object) -> None:
        """Nothing to add; the SDK calls this on every processor."""

    def shutdown(self) -> None:
        """Nothing is held."""

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Nothing is held."""
        return True


class Recorder:
    """Collects outcomes and writes the report when the session ends."""

    def __init__(self, report: Path, spans: SpanCount) -> None:
        self._report = report
        self._spans = spans
        self._outcomes: dict[str, str] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep the worst outcome seen for the test."""
        outcome = "error" if report.failed and report.when != "call" else report.outcome
        known = self._outcomes.get(report.nodeid)
        if report.when == "call" or outcome != "passed":
            self._outcomes[report.nodeid] = max(known or outcome, outcome, key=OUTCOMES.index)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """A file that cannot be collected is an error of that file."""
        if report.failed:
            self._outcomes[report.nodeid] = "error"

    def pytest_sessionfinish(self) -> None:
        """Write the report."""
        content = {
            "posthog": version("posthog"),
            "python": ".".join(map(str, sys.version_info[:3])),
            "spans": self._spans.ended,
            "outcomes": self._outcomes,
        }
        self._report.write_text(json.dumps(content, indent=1, sort_keys=True), encoding="utf-8")


def _instrument(spans: SpanCount) -> None:
    from opentelemetry.sdk.trace import TracerProvider

    from genops_otel_posthog.instrumentation import PostHogInstrumentor

    # Handed over and not made global: some of the suite's tests check what the SDK does when no provider is set.
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(spans)  # type: ignore[arg-type]  # has the methods, saves the import when not instrumenting
    outbox = os.environ.get(OUTBOX)
    if outbox is not None:
        _let_deliveries_arrive()
    PostHogInstrumentor().instrument(tracer_provider=provider, durable_capture=outbox is not None, outbox_path=outbox)


def _let_deliveries_arrive() -> None:
    """The outbox delivers to a PostHog that takes everything: the suite's projects and hosts do not exist."""
    from genops_otel_posthog.export.destinations import http

    def post(self: http.Http, path: str, body: bytes, headers: Mapping[str, str], timeout: float) -> http.Response:
        content = gzip.decompress(body) if headers.get("Content-Encoding") == "gzip" else body
        results = {event["uuid"]: {"result": "ok"} for event in json.loads(content)["batch"]}
        return http.Response(200, json.dumps({"results": results}).encode(), None)

    http.Http.post = post  # type: ignore[method-assign]  # for as long as this process lives


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: Any) -> None:
    """Set up before anything of the suite is collected."""
    from posthog.request import APIError

    # An APIError of status 403 is one of the few errors that the SDK does not retry, so no test waits for a backoff.
    refuse_egress(lambda message: APIError(403, message))
    spans = SpanCount()
    config.pluginmanager.register(Recorder(Path(os.environ[REPORT]), spans), "sdk-suite-recorder")
    if os.environ.get(INSTRUMENT):
        _instrument(spans)

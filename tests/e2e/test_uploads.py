"""What the SDK's own uploads look like in traces, and that nothing of ours travels with them.

With an instrumentation of the HTTP library active, every request of the SDK is a span of that library, and carries its
``traceparent`` to PostHog. That is OpenTelemetry's doing and happens without us too. Ours must not add to it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest

pytestmark = pytest.mark.wheel

SCRIPT = """
import os

from opentelemetry import trace
from posthog import Posthog

client = Posthog(os.environ["POSTHOG_API_KEY"], host=os.environ["POSTHOG_HOST"])
with trace.get_tracer("shop").start_as_current_span("request"):
    client.get_feature_flag("new-checkout", "ann")
    for number in range(20):
        client.capture("page_viewed", distinct_id="ann")
client.shutdown()
"""


class RecordingPostHog(ThreadingHTTPServer):
    """Answers as PostHog does and keeps the headers, which the receiver does not."""

    headers_of: list[tuple[str, dict[str, str]]]


class Answer(BaseHTTPRequestHandler):
    server: RecordingPostHog

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.server.headers_of.append((self.path.partition("?")[0], {k.lower(): v for k, v in self.headers.items()}))
        body = json.dumps({"status": 1, "flags": {}, "featureFlags": {}}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: the test looks at the headers."""


@pytest.fixture(scope="module")
def posthog_with_headers() -> Iterator[RecordingPostHog]:
    server = RecordingPostHog(("127.0.0.1", 0), Answer)
    server.headers_of = []
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def traced(launch: Any, beside_the_wheel: Any) -> Any:
    beside_the_wheel("opentelemetry-instrumentation-requests")
    return launch(SCRIPT, GENOPS_TEAM="web").succeed()


def uploads(application: Any) -> list[Any]:
    return [span for span in application.all_spans() if str(span.attributes.get("http.url", "")).endswith("/batch/")]


def test_with_requests_instrumented_an_upload_is_one_root_span_of_that_library(traced: Any) -> None:
    found = uploads(traced)

    assert [(span.scope, span.parent_span_id) for span in found] == [("opentelemetry.instrumentation.requests", None)]


def test_uploads_cause_no_further_calls_spans_or_events(traced: Any) -> None:
    assert traced.event_names == ["$feature_flag_called"] + ["page_viewed"] * 20
    assert traced.span_names == ["evaluate_flag new-checkout"] + ["capture page_viewed"] * 20


def test_a_flag_request_of_that_library_stands_in_the_application_s_trace(traced: Any) -> None:
    (request,) = [span for span in traced.all_spans() if span.name == "request"]
    (asked,) = [span for span in traced.all_spans() if "/flags/" in str(span.attributes.get("http.url"))]

    assert asked.parent_span_id == request.span_id


def test_the_receivers_of_telemetry_are_not_counted_as_posthog(traced: Any) -> None:
    assert traced.usage() == traced.bill() == {"events": 20, "identified_events": 20, "feature_flag_requests": 1}


def test_opentelemetry_s_exclusion_removes_the_spans_of_uploads_and_none_of_ours(launch: Any) -> None:
    # urllib3, which requests uses, may be instrumented as well.
    excluded = {f"OTEL_PYTHON_{library}_EXCLUDED_URLS": "127.0.0.1" for library in ("REQUESTS", "URLLIB3")}
    application = launch(SCRIPT, **excluded).succeed()

    assert uploads(application) == []
    assert len(application.spans()) == 21


def test_nothing_of_ours_sends_a_traceparent_or_baggage_to_posthog(
    launch: Any, posthog_with_headers: RecordingPostHog
) -> None:
    host = f"http://127.0.0.1:{posthog_with_headers.server_port}"
    launch(
        SCRIPT,
        POSTHOG_HOST=host,
        GENOPS_TEAM="web",
        GENOPS_BAGGAGE_OUT="true",
        OTEL_PYTHON_DISABLED_INSTRUMENTATIONS="requests,urllib3",
    ).succeed()

    paths = {path for path, _ in posthog_with_headers.headers_of}
    leaked = [headers for _, headers in posthog_with_headers.headers_of if {"traceparent", "baggage"} & headers.keys()]
    assert paths == {"/flags/", "/batch/"}
    assert leaked == []

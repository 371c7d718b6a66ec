"""What the adapter says, what an OTLP backend is told and what PostHog gets are the same."""

from __future__ import annotations

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import Queue
from threading import Thread
from typing import Any

import pytest
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from genops_otel_posthog.receiver.server import LocalReceiver


@pytest.mark.requirement("E-33")
def test_the_cost_at_the_backend_is_the_summarys_and_the_events_trace_is_their_spans(
    make_adapter: Any, receiver: LocalReceiver
) -> None:
    tracers = TracerProvider(shutdown_on_exit=False)
    tracers.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(f"{receiver.url}/v1/traces")))
    reader = PeriodicExportingMetricReader(OTLPMetricExporter(f"{receiver.url}/v1/metrics"), 3_600_000)
    meters = MeterProvider([reader], shutdown_on_exit=False)
    adapter = make_adapter(pricing_mode="list", tracer_provider=tracers, meter_provider=meters)
    with tracers.get_tracer("shop").start_as_current_span("GET /"):
        results = [
            adapter.capture_event_with_governance("viewed", distinct_id="ann", is_identified=number % 2 == 0)
            for number in range(10)
        ]
    daily = adapter.get_cost_summary()["daily_costs"]
    assert adapter.flush(20)
    assert tracers.force_flush(20_000)
    assert meters.force_flush(20_000)
    meters.shutdown()
    tracers.shutdown()

    told = sum(series.value or 0 for series in receiver.metrics("genops.cost.usage"))
    assert told == pytest.approx(daily) == pytest.approx(sum(result["cost"] for result in results))
    assert daily > 0
    spans = {span.attributes["posthog.event.uuid"]: span.trace_id for span in receiver.spans("capture viewed")}
    events = {event.uuid: event.properties["$trace_id"] for event in receiver.events("viewed")}
    assert spans == events == {result["event_uuid"]: result["trace_id"] for result in results}


class Webhook(BaseHTTPRequestHandler):
    """Takes alerts."""

    told: Queue[bytes] = Queue()

    def do_POST(self) -> None:
        self.told.put(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *arguments: Any) -> None:
        """Says nothing."""


@pytest.fixture
def webhook() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Webhook) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/alerts"
        server.shutdown()
        thread.join()


@pytest.mark.requirement("S4-47")
@pytest.mark.parametrize("are_on", [True, False], ids=["on", "off"])
def test_alerts_can_be_switched_off(make_adapter: Any, webhook: str, are_on: bool) -> None:
    adapter = make_adapter(
        daily_budget_limit=0.001,  # twenty events at list price
        pricing_mode="list",
        alert_webhook=webhook,
        alert_thresholds="daily:80",
        enable_cost_alerts=are_on,
        ledger_url="memory://",
    )
    for _ in range(17):
        adapter.capture_event_with_governance("x")
    assert adapter.get_cost_summary()["cost_alerts_enabled"] is are_on
    adapter.flush(10)
    if are_on:
        assert b'"threshold": 80' in Webhook.told.get(timeout=30).replace(b'":80', b'": 80')
    adapter.close()
    assert Webhook.told.empty()

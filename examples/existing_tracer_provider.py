"""An application that sets OpenTelemetry up by itself, and instruments PostHog with one line.

Run it with ``python examples/existing_tracer_provider.py``; it needs no PostHog account and no network. It sends to a
local receiver of its own, or to the one in ``POSTHOG_HOST`` (``genops-posthog dev`` starts one).
"""

from __future__ import annotations

import os
from contextlib import nullcontext

from opentelemetry import metrics, trace
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from posthog import Posthog

from genops_otel_posthog import PostHogInstrumentor, governance
from genops_otel_posthog.receiver.client import ReceiverClient
from genops_otel_posthog.receiver.records import SpanNode
from genops_otel_posthog.receiver.server import LocalReceiver


def set_up(url: str) -> tuple[TracerProvider, MeterProvider]:
    """What such an application does anyway, and the one line, which comes after it."""
    resource = Resource.create({"service.name": "web-shop", "deployment.environment.name": "production"})
    tracer_provider = TracerProvider(resource=resource)
    tracer_provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(f"{url}/v1/traces")))
    trace.set_tracer_provider(tracer_provider)
    reader = PeriodicExportingMetricReader(OTLPMetricExporter(f"{url}/v1/metrics"))
    meter_provider = MeterProvider([reader], resource=resource)
    metrics.set_meter_provider(meter_provider)

    PostHogInstrumentor().instrument(team="checkout", project="payments", pricing_mode="list")
    return tracer_provider, meter_provider


def check_out(client: Posthog, customer: str, user: str) -> None:
    """A piece of business. The customer is known here, and owns what is called inside."""
    with trace.get_tracer("web-shop").start_as_current_span("checkout"), governance(customer_id=customer):
        flags = client.get_all_flags(user) or {}
        client.capture("order_completed", distinct_id=user, properties={"one_click": flags.get("one-click")})


def show(node: SpanNode, depth: int = 0) -> None:
    """Prints a span and what is inside it."""
    attributes = node.span.attributes
    cost = f"${attributes['genops.cost.amount']:.6f}" if "genops.cost.amount" in attributes else ""
    print(f"{'  ' * depth + node.span.name:<32}{cost:>10}  {attributes.get('genops.customer_id', '')}")
    for child in node.children:
        show(child, depth + 1)


def main() -> None:
    """Sets up, does business, and shows the trace that arrived."""
    running = os.environ.get("POSTHOG_HOST")
    with nullcontext(ReceiverClient(running)) if running else LocalReceiver() as receiver:
        tracer_provider, meter_provider = set_up(receiver.url)
        client = Posthog(os.environ.get("POSTHOG_API_KEY", "phc_local"), host=receiver.url)
        check_out(client, customer="acme", user="ann")
        client.shutdown()
        tracer_provider.shutdown()
        meter_provider.shutdown()

        (span,) = receiver.spans("checkout", limit=1, order="desc")
        for root in receiver.trace(span.trace_id).roots:
            show(root)


if __name__ == "__main__":
    main()

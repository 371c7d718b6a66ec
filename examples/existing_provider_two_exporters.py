"""An application with a trace backend of its own gets PostHog beside it: one more span processor, and nothing else.

Every span goes to the trace backend as before. Those that say something about the product become PostHog events as
well, with the same trace id: what a model call used and cost, which tool an agent ran, what went wrong, and, by a rule
of the application's own, that an order was completed.

Run it with ``python examples/existing_provider_two_exporters.py``; it needs no PostHog account and no network. It sends
to a local receiver of its own, or to the one in ``POSTHOG_HOST`` (``genops-posthog dev`` starts one).
"""

from __future__ import annotations

import os
import tempfile
from contextlib import nullcontext

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from genops_otel_posthog import GovernanceSpanProcessor, PostHogSpanExporter, SpanRule, governance
from genops_otel_posthog.export.rules.rule import EventTemplate
from genops_otel_posthog.receiver.client import ReceiverClient
from genops_otel_posthog.receiver.server import LocalReceiver

KEY = "phc_two_exporters"
ORDERS = SpanRule(
    "orders",
    span_name="POST /orders",
    status=("unset", "ok"),
    events=[EventTemplate("order_completed", properties={"amount": "cart.amount"}, groups={"shop": "shop.id"})],
)


def set_up(url: str, outbox: str) -> TracerProvider:
    """What such an application does anyway, and the one statement that is new."""
    provider = TracerProvider(resource=Resource.create({"service.name": "web-shop"}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(f"{url}/v1/traces")))
    provider.add_span_processor(
        GovernanceSpanProcessor(PostHogSpanExporter(KEY, url, rules=[ORDERS], outbox=outbox)),
    )
    trace.set_tracer_provider(provider)
    return provider


def order(user: str) -> None:
    """A request to the shop: a recommendation by a model, then the order."""
    tracer = trace.get_tracer("web-shop")
    request = {"user.id": user, "cart.amount": 49.9, "shop.id": "berlin"}
    with (
        governance(team="checkout", feature="recommendations"),
        tracer.start_as_current_span("POST /orders", kind=trace.SpanKind.SERVER, attributes=request),
    ):
        # What an instrumentation of a model's client writes; examples/fastapi_openai.py has a real one.
        chat = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-4o"}
        with tracer.start_as_current_span("chat gpt-4o", kind=trace.SpanKind.CLIENT, attributes=chat) as span:
            span.set_attributes({"gen_ai.usage.input_tokens": 1200, "gen_ai.usage.output_tokens": 90, "user.id": user})
        with tracer.start_as_current_span("SELECT stock"):
            pass  # of interest to the trace backend alone


def main() -> None:
    """Sets up, takes an order, and shows what arrived where."""
    running = os.environ.get("POSTHOG_HOST")
    with tempfile.TemporaryDirectory() as outbox, nullcontext() if running else LocalReceiver() as receiver:
        client = ReceiverClient(running) if running else receiver
        assert client is not None
        provider = set_up(client.url, outbox)
        order("ann")
        provider.force_flush()
        (event,) = client.events("order_completed", token=KEY)[-1:]
        trace_id = event.properties["$trace_id"]
        print("In the trace backend:")
        for span in sorted(client.spans(trace_id=trace_id), key=lambda span: span.name):
            print(f"  {span.name}")
        print("In PostHog, with the same trace id:")
        for event in sorted(client.events(token=KEY), key=lambda event: event.event):
            if event.properties["$trace_id"] == trace_id:
                print(f"  {event.event:<18}{event.distinct_id:<6}{event.properties['genops_team']}")
        provider.shutdown()


if __name__ == "__main__":
    main()

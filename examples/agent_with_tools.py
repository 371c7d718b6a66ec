"""An agent that searches, uses a tool and asks a model; each step is one statement, and becomes a product event.

The steps are told with the functions of ``genops_otel_posthog.export.flows``, which open spans. The model answers
from a recording. One of two runs fails, and the events say so.

Run it with ``python examples/agent_with_tools.py``; it needs no PostHog account, no model and no network. It sends to a
local receiver of its own, or to the one in ``POSTHOG_HOST`` (``genops-posthog dev`` starts one).
"""

from __future__ import annotations

import os
import tempfile
from contextlib import nullcontext, suppress

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider

from genops_otel_posthog import GovernanceSpanProcessor, PostHogSpanExporter, governance
from genops_otel_posthog.export.flows import track_agent, track_rag_query, track_tool
from genops_otel_posthog.receiver.client import ReceiverClient
from genops_otel_posthog.receiver.server import LocalReceiver

KEY = "phc_agent"

RECORDED = {
    "Where is my order?": ("It left Hamburg this morning.", 412, 9),
    "Cancel my order": ("It has left already; refuse it at the door.", 398, 12),
}
"""What the model answered, with the tokens in and out."""

SHOWN = ("$ai_model", "$ai_input_tokens", "sources_found", "tool_id", "status", "success", "error_message")


def ask_model(question: str) -> str:
    """A call of a model, as an instrumentation of its client would tell it."""
    answer, tokens_in, tokens_out = RECORDED[question]
    told = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-4o-mini"}
    used = {"gen_ai.usage.input_tokens": tokens_in, "gen_ai.usage.output_tokens": tokens_out}
    with trace.get_tracer("agent").start_as_current_span("chat gpt-4o-mini", attributes={**told, **used}):
        return answer


@track_tool("order_status")
def order_status(order: int) -> str:
    """A tool: where an order is."""
    if order == 0:
        raise LookupError("there is no such order")
    return "shipped"


def support(question: str, order: int) -> str:
    """The agent: it searches, looks the order up, and lets the model answer."""
    with track_agent("support-agent", framework="plain-python"):
        with track_rag_query("help-pages", vector_db="in-memory") as search:
            search.found(3)
        order_status(order)
        return ask_model(question)


def main() -> None:
    """Runs the agent twice, and shows what arrived."""
    running = os.environ.get("POSTHOG_HOST")
    with tempfile.TemporaryDirectory() as outbox, nullcontext() if running else LocalReceiver() as receiver:
        client = ReceiverClient(running) if running else receiver
        assert client is not None
        provider = TracerProvider()
        provider.add_span_processor(GovernanceSpanProcessor(PostHogSpanExporter(KEY, client.url, outbox=outbox)))
        trace.set_tracer_provider(provider)
        with governance(team="support", user_id="ann", workspace_id="acme"):
            print(support("Where is my order?", order=17))
            with suppress(LookupError):
                support("Cancel my order", order=0)
        provider.force_flush()
        for event in client.events(token=KEY):
            told = {name: event.properties[name] for name in SHOWN if name in event.properties}
            if told:
                print(f"{event.event:<21}{', '.join(f'{name}={value}' for name, value in told.items())}")
        provider.shutdown()


if __name__ == "__main__":
    main()

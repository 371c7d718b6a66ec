"""A FastAPI application that asks OpenAI: OpenTelemetry instruments both, and PostHog gets what it wants to know of it.

Nothing in the application names PostHog. Its requests and its model calls are spans of OpenTelemetry's own
instrumentations; one span processor makes events of those that matter: ``$ai_generation`` with model, tokens and
latency, ``$exception`` when a call fails, and, by a rule of the application's own, ``question_answered`` for a request
that went well.

Run it with ``python examples/fastapi_openai.py``; it needs no account, no model and no network. OpenAI answers from a
recording, and events go to a local receiver of its own, or to the one in ``POSTHOG_HOST`` (``genops-posthog dev``
starts one). It needs::

    pip install fastapi openai opentelemetry-instrumentation-fastapi opentelemetry-instrumentation-genai-openai
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

from fastapi import FastAPI
from fastapi.testclient import TestClient
from openai import AsyncOpenAI
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
from opentelemetry.instrumentation.genai.openai import OpenAIInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from genops_otel_posthog import GovernanceSpanProcessor, PostHogSpanExporter, SpanRule, governance
from genops_otel_posthog.export.rules.rule import EventTemplate
from genops_otel_posthog.receiver.client import ReceiverClient
from genops_otel_posthog.receiver.server import LocalReceiver

KEY = "phc_fastapi_openai"


# --- The application --------------------------------------------------------------------------------------------------


def create_app(openai_url: str) -> FastAPI:
    """An application as anyone would write it; two statements say whose each question is."""
    app = FastAPI()
    client = AsyncOpenAI(api_key="sk-none", base_url=openai_url, max_retries=0)

    @app.post("/companies/{company}/questions")
    async def ask(company: str, user: str, question: str, model: str = "gpt-4o-mini") -> dict[str, str]:
        trace.get_current_span().set_attribute("user.id", user)  # the request's span, which has begun already
        with governance(team="support", customer_id=company, user_id=user, feature="questions"):
            answer = await client.chat.completions.create(
                model=model, messages=[{"role": "user", "content": question}], temperature=0.2, max_tokens=100
            )
            return {"answer": answer.choices[0].message.content or ""}

    return app


# --- Setting up -------------------------------------------------------------------------------------------------------

ANSWERED = SpanRule(
    "question-answered",
    kind="server",
    attributes={"http.route": "/companies/{company}/questions"},
    status=("unset", "ok"),
    events=[EventTemplate("question_answered", properties={"took_ms": "span.duration_ms"})],
)


def set_up(url: str, outbox: str) -> TracerProvider:
    """What an application that uses OpenTelemetry does anyway, and the one statement that is new."""
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(f"{url}/v1/traces")))
    provider.add_span_processor(
        GovernanceSpanProcessor(PostHogSpanExporter(KEY, url, rules=[ANSWERED], outbox=outbox)),
    )
    trace.set_tracer_provider(provider)
    OpenAIInstrumentor().instrument()
    return provider


# --- OpenAI, from a recording -----------------------------------------------------------------------------------------

RECORDED = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1_795_305_600,
    "model": "gpt-4o-mini-2024-07-18",
    "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Lisbon."}}],
    "usage": {
        "prompt_tokens": 1200,
        "completion_tokens": 42,
        "total_tokens": 1242,
        "prompt_tokens_details": {"cached_tokens": 1024},
    },
}
BUSY = {"error": {"message": "Rate limit reached for gpt-busy", "type": "requests", "code": "rate_limit_exceeded"}}


class _OpenAI(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        busy = asked["model"] == "gpt-busy"
        body = json.dumps(BUSY if busy else RECORDED).encode()
        self.send_response(429 if busy else 200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        """Says nothing."""


@contextmanager
def recorded_openai() -> Iterator[str]:
    """OpenAI's address for the length of a block."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _OpenAI) as server:
        server.daemon_threads = True
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/v1"
        server.shutdown()


def main() -> None:
    """Asks twice, the second time in vain, and shows what arrived where."""
    running = os.environ.get("POSTHOG_HOST")
    with (
        tempfile.TemporaryDirectory() as outbox,
        recorded_openai() as openai_url,
        nullcontext() if running else LocalReceiver() as receiver,
    ):
        client = ReceiverClient(running) if running else receiver
        assert client is not None
        provider = set_up(client.url, outbox)
        app = create_app(openai_url)
        FastAPIInstrumentor.instrument_app(app)
        with TestClient(app, raise_server_exceptions=False) as browser:
            for model in ("gpt-4o-mini", "gpt-busy"):
                question = {"user": "ann", "question": "What is the capital of Portugal?", "model": model}
                print("asked:", browser.post("/companies/acme/questions", params=question).status_code)
        provider.force_flush()
        for event in client.events(token=KEY):
            spans = client.spans(trace_id=event.properties["$trace_id"], span_id=event.properties["$span_id"])
            print(f"{event.event:<18} {event.distinct_id:<5} of the span {spans[0].name!r}")
        (generation, _) = client.events("$ai_generation", token=KEY)
        for name in ("$ai_model", "$ai_input_tokens", "$ai_cache_read_input_tokens", "$ai_output_tokens"):
            print(f"  {name} = {generation.properties[name]}")
        provider.shutdown()


if __name__ == "__main__":
    main()

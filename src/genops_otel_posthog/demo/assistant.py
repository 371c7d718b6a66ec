"""The shop's assistant: an agent that searches, looks an order up, asks a model, and fails to give the money back.

Each step is one statement of :mod:`genops_otel_posthog.export.flows`; the call of the model stands for one that an
instrumentation of the model's client would tell. All of it becomes events, with the trace id of the request.
"""

from __future__ import annotations

from opentelemetry import trace

from genops_otel_posthog import governance
from genops_otel_posthog.export.flows import track_agent, track_flow, track_rag_query, track_tool

MODEL = "gpt-5-mini"
_REFUND = "refund"


class RefundRefused(Exception):
    """The bank does not give the money back."""


def answer(question: str, order: int, *, user: str, company: str) -> str:
    """Answers a customer, or says that a colleague will."""
    with governance(user_id=user, workspace_id=company), track_flow("answer-question"):
        try:
            return _run_agent(question, order)
        except RefundRefused:
            return "A colleague will write to you today."


def _run_agent(question: str, order: int) -> str:
    with track_agent("shop-assistant", framework="plain-python"):
        with track_rag_query("help-pages", vector_db="in-memory") as search:
            search.found(2)
        state = find_order(order)
        if ask_model(f"{question} It is {state}.") == _REFUND:
            refund(order)
        return f"Your order is {state}."


@track_tool("find_order")
def find_order(order: int) -> str:
    """A tool: how far an order is."""
    return "on its way"


@track_tool("refund")
def refund(order: int) -> None:
    """A tool: gives the money back, which the bank refuses."""
    raise RefundRefused(f"order {order} was paid with a voucher")


def ask_model(prompt: str) -> str:
    """A recorded answer, told with the attributes that OpenTelemetry's instrumentations of models' clients write."""
    told = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": MODEL}
    used = {"gen_ai.usage.input_tokens": 412 + len(prompt) // 4, "gen_ai.usage.output_tokens": 9}
    tracer = trace.get_tracer(__name__)
    with tracer.start_as_current_span(f"chat {MODEL}", kind=trace.SpanKind.CLIENT, attributes={**told, **used}):
        return _REFUND

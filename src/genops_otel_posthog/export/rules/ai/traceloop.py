"""Traceloop's OpenLLMetry with its own names: before 0.5, and today where a package has not moved on (Vertex AI)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from genops_otel_posthog.export.rules.ai import call as steps
from genops_otel_posthog.export.rules.ai import semconv
from genops_otel_posthog.export.rules.ai.call import AiCall, count, parsed, parsed_mapping, words
from genops_otel_posthog.export.rules.ai.indexed import indexed

if TYPE_CHECKING:
    from genops_otel_posthog.export.rules.view import SpanView

MARKERS: Final = ("llm.request.type", "traceloop.span.kind")

_REQUESTS: Final = {
    "chat": steps.GENERATION,
    "completion": steps.GENERATION,
    "embedding": steps.EMBEDDING,
    "embeddings": steps.EMBEDDING,
}
_STEPS: Final = {"workflow": steps.WORKFLOW, "agent": steps.AGENT, "tool": steps.TOOL}


def read(span: SpanView, content: bool) -> AiCall | None:
    """What the span says: the names that it shares with the conventions, and its own."""
    found = span.attributes
    ai = semconv.read(span, content)
    assert ai is not None
    ai.dialect = "traceloop"
    request, kind = found.get("llm.request.type"), found.get("traceloop.span.kind")
    if isinstance(request, str):
        ai.step = _REQUESTS.get(request, steps.OTHER)
    elif isinstance(kind, str) and "gen_ai.operation.name" not in found:
        ai.step = _STEPS.get(kind, steps.OTHER)
    ai.model = ai.model or words(span.first("llm.response.model", "llm.request.model"))
    ai.provider = ai.provider or words(found.get("llm.vendor"))
    if ai.input_tokens is None:
        ai.input_tokens = count(found.get("llm.usage.prompt_tokens"))
    if ai.output_tokens is None:
        ai.output_tokens = count(found.get("llm.usage.completion_tokens"))
    ai.session_id = ai.session_id or span.first(
        "traceloop.association.properties.session_id", "traceloop.association.properties.thread_id"
    )
    entity = words(found.get("traceloop.entity.name"))
    if entity and ai.step not in (steps.GENERATION, steps.EMBEDDING):
        ai.name = entity
        if ai.step == steps.TOOL:
            ai.tool_name = ai.tool_name or entity
        elif ai.step == steps.AGENT:
            ai.agent_name = ai.agent_name or entity
    if ai.step == steps.RETRIEVAL:
        _read_retrieval(ai, span)
    if content:
        if ai.step in (steps.GENERATION, steps.EMBEDDING):
            ai.tools = ai.tools or indexed(found, "llm.request.functions.") or None
            if ai.input is None and ai.output is None:
                ai.input, ai.output = semconv.flattened_messages(found)
        else:
            ai.input_state = parsed(found.get("traceloop.entity.input"))
            ai.output_state = parsed(found.get("traceloop.entity.output"))
    return ai


def _read_retrieval(ai: AiCall, span: SpanView) -> None:
    """LangChain's name of what was searched, and how many documents it returned, which stand in its output alone."""
    prefix = "traceloop.association.properties.ls_"
    ai.data_source = ai.data_source or words(span.first(f"{prefix}vector_store_provider", f"{prefix}retriever_name"))
    documents = parsed_mapping(span.attributes.get("traceloop.entity.output")).get("documents")
    if ai.documents is None and isinstance(documents, (list, tuple)):
        ai.documents = len(documents)

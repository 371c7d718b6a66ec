"""OpenInference, the conventions of Arize Phoenix: https://github.com/Arize-ai/openinference, ``spec/``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from genops_otel_posthog.export.rules.ai import call as steps
from genops_otel_posthog.export.rules.ai.call import AiCall, count, number, parsed, parsed_mapping, words
from genops_otel_posthog.export.rules.ai.indexed import indexed

if TYPE_CHECKING:
    from genops_otel_posthog.export.rules.view import SpanView

MARKERS: Final = ("openinference.span.kind",)

_STEPS: Final = {
    "LLM": steps.GENERATION,
    "EMBEDDING": steps.EMBEDDING,
    "TOOL": steps.TOOL,
    "AGENT": steps.AGENT,
    "RETRIEVER": steps.RETRIEVAL,
    "GUARDRAIL": steps.GUARDRAIL,
}
_FIRST_TOKEN_EVENT: Final = "First Token Stream Event"

# Most instrumentations do not say the id of the answer, but the answer itself begins with it.
_ID_IN_ANSWER: Final = re.compile(r'^\s*\{\s*"id"\s*:\s*"([^"]{1,200})"')


def read(span: SpanView, content: bool) -> AiCall | None:
    """What the span says."""
    found = span.attributes
    kind = found.get("openinference.span.kind")
    ai = AiCall(_STEPS.get(str(kind).upper(), steps.OTHER), "openinference")
    ai.provider = words(span.first("llm.provider", "llm.system"))
    ai.model = words(
        span.first("llm.response.model_name", "llm.model_name", "embedding.model_name", "reranker.model_name")
    )
    ai.input_tokens = count(found.get("llm.token_count.prompt"))
    ai.output_tokens = count(found.get("llm.token_count.completion"))
    ai.cache_read_tokens = count(found.get("llm.token_count.prompt_details.cache_read"))
    ai.cache_write_tokens = count(found.get("llm.token_count.prompt_details.cache_write"))
    ai.reasoning_tokens = count(found.get("llm.token_count.completion_details.reasoning"))
    cached = (ai.cache_read_tokens or 0) + (ai.cache_write_tokens or 0)
    ai.input_excludes_cache = bool(cached) and (ai.input_tokens or 0) < cached
    ai.cost = number(found.get("llm.cost.total"))
    ai.session_id = found.get("session.id")
    ai.stop_reason = words(found.get("llm.finish_reason"))
    asked = parsed_mapping(span.first("llm.invocation_parameters", "embedding.invocation_parameters"))
    ai.model = ai.model or words(asked.get("model"))
    ai.base_url = words(asked.get("base_url"))
    ai.parameters = {key: value for key, value in asked.items() if key not in _NOT_PARAMETERS and value is not None}
    streamed = ai.parameters.pop("stream", None)
    first_token = next((event for event in span.events if event.name == _FIRST_TOKEN_EVENT), None)
    if first_token is not None and first_token.timestamp is not None:
        ai.first_token_seconds = max(first_token.timestamp - span.start, 0) / 1_000_000_000
        streamed = True
    ai.streamed = streamed if isinstance(streamed, bool) else None
    answer = found.get("output.value")
    if isinstance(answer, str) and ai.step == steps.GENERATION:
        match = _ID_IN_ANSWER.match(answer[:300])
        ai.response_id = match[1] if match else None
    ai.tool_name = words(found.get("tool.name"))
    ai.agent_name = words(found.get("agent.name"))
    ai.name = ai.tool_name or ai.agent_name or span.name
    if ai.step == steps.TOOL:
        ai.tool_name = ai.name
    if ai.step == steps.RETRIEVAL:
        metadata = parsed_mapping(found.get("metadata"))
        ai.data_source = words(metadata.get("ls_vector_store_provider")) or words(metadata.get("ls_retriever_name"))
        ai.documents = len(indexed(found, "retrieval.documents."))
    if content:
        _read_content(ai, found)
    return ai


# Parts of the request that are told elsewhere, or are content.
_NOT_PARAMETERS: Final = frozenset(
    {"model", "model_name", "messages", "input", "instructions", "system", "tools", "base_url", "_type"}
)


def _read_content(ai: AiCall, found: Mapping[str, Any]) -> None:
    if ai.step == steps.GENERATION:
        ai.input = _messages(found, "llm.input_messages.") or _whole(found, "input.value", "user")
        ai.output = _messages(found, "llm.output_messages.") or _whole(found, "output.value", "assistant")
        schemas = [parsed(tool.get("tool.json_schema")) for tool in indexed(found, "llm.tools.")]
        ai.tools = schemas or None
    elif ai.step == steps.EMBEDDING:
        texts = [entry.get("embedding.text") for entry in indexed(found, "embedding.embeddings.")]
        ai.input = [text for text in texts if text is not None] or parsed(found.get("input.value"))
    else:
        ai.input_state = parsed(found.get("input.value"))
        ai.output_state = parsed(found.get("output.value"))


def _messages(found: Mapping[str, Any], prefix: str) -> list[dict[str, Any]]:
    return [
        message
        for entry in indexed(found, prefix, ("message.tool_calls", "message.contents"))
        if (message := _message(entry))
    ]


def _message(entry: Mapping[str, Any]) -> dict[str, Any]:
    message = {
        name: entry[f"message.{name}"]
        for name in ("role", "content", "tool_call_id", "name")
        if entry.get(f"message.{name}") is not None
    }
    contents = entry.get("message.contents")
    if contents:
        message["content"] = [
            {key.removeprefix("message_content."): value for key, value in part.items()} for part in contents
        ]
    calls = entry.get("message.tool_calls")
    if calls:
        message["tool_calls"] = [
            {
                "id": call.get("tool_call.id"),
                "type": "function",
                "function": {
                    "name": call.get("tool_call.function.name"),
                    "arguments": call.get("tool_call.function.arguments"),
                },
            }
            for call in calls
        ]
    return message


def _whole(found: Mapping[str, Any], name: str, role: str) -> Any:
    value = found.get(name)
    return None if value is None else [{"role": role, "content": value}]

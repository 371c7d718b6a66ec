"""The AI SDK of Vercel: https://ai-sdk.dev/docs/ai-sdk-core/telemetry.

Its outer spans (``ai.generateText``) repeat the tokens of the inner ones that talk to the provider
(``ai.generateText.doGenerate``); only the inner ones are model calls.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from genops_otel_posthog.export.rules.ai import call as steps
from genops_otel_posthog.export.rules.ai import semconv
from genops_otel_posthog.export.rules.ai.call import AiCall, count, number, parsed, words

if TYPE_CHECKING:
    from genops_otel_posthog.export.rules.view import SpanView

MARKERS: Final = ("ai.operationId",)

_PARAMETERS: Final = (
    ("ai.settings.maxOutputTokens", "max_tokens"),
    ("ai.settings.maxTokens", "max_tokens"),
    ("ai.settings.temperature", "temperature"),
    ("ai.settings.maxRetries", "max_retries"),
)


def read(span: SpanView, content: bool) -> AiCall | None:
    """What the span says: the names that it shares with the conventions, and its own."""
    found = span.attributes
    ai = semconv.read(span, content=False)
    assert ai is not None
    ai.dialect = "vercel"
    operation = str(found.get("ai.operationId"))
    ai.step = _step(operation)
    # It writes `openai.chat` and `anthropic.messages` where others write the provider alone.
    ai.provider = (words(found.get("ai.model.provider")) or ai.provider or "").partition(".")[0] or None
    ai.model = words(span.first("ai.response.model", "ai.model.id")) or ai.model
    ai.response_id = ai.response_id or words(found.get("ai.response.id"))
    ai.session_id = (
        span.first("ai.telemetry.metadata.$ai_session_id", "ai.telemetry.metadata.sessionId") or ai.session_id
    )
    _read_tokens(ai, span)
    first = number(found.get("ai.response.msToFirstChunk"))
    ai.first_token_seconds = None if first is None else first / 1_000
    ai.streamed = operation.endswith("doStream") if ai.step == steps.GENERATION else None
    ai.stop_reason = words(found.get("ai.response.finishReason")) or ai.stop_reason
    ai.parameters.update({name: found[key] for key, name in _PARAMETERS if found.get(key) is not None})
    ai.tool_name = words(found.get("ai.toolCall.name"))
    ai.name = words(found.get("ai.telemetry.metadata.$ai_span_name")) or ai.tool_name or span.name
    if ai.step == steps.OTHER:
        ai.name = words(found.get("ai.telemetry.functionId")) or ai.name
    if content:
        _read_content(ai, found)
    return ai


def _step(operation: str) -> str:
    if operation.endswith((".doGenerate", ".doStream")):
        return steps.GENERATION
    if operation.endswith(".doEmbed"):
        return steps.EMBEDDING
    return steps.TOOL if operation == "ai.toolCall" else steps.OTHER


def _read_tokens(ai: AiCall, span: SpanView) -> None:
    ai.input_tokens = count(span.first("gen_ai.usage.input_tokens", "ai.usage.inputTokens", "ai.usage.promptTokens"))
    if ai.step == steps.EMBEDDING:
        ai.input_tokens = count(span.first("ai.usage.tokens")) or ai.input_tokens
    ai.output_tokens = count(
        span.first("gen_ai.usage.output_tokens", "ai.usage.outputTokens", "ai.usage.completionTokens")
    )
    if ai.cache_read_tokens is None:
        ai.cache_read_tokens = count(
            span.first("ai.usage.cachedInputTokens", "ai.usage.inputTokenDetails.cacheReadTokens")
        )
    if ai.cache_write_tokens is None:
        ai.cache_write_tokens = count(span.attributes.get("ai.usage.inputTokenDetails.cacheWriteTokens"))
    if ai.reasoning_tokens is None:
        ai.reasoning_tokens = count(
            span.first("ai.usage.reasoningTokens", "ai.usage.outputTokenDetails.reasoningTokens")
        )
    cached = (ai.cache_read_tokens or 0) + (ai.cache_write_tokens or 0)
    ai.input_excludes_cache = bool(cached) and (ai.input_tokens or 0) < cached


def _read_content(ai: AiCall, found: Mapping[str, Any]) -> None:
    prompt = parsed(found.get("ai.prompt.messages"))
    if prompt is None:
        prompt = _messages_of(parsed(found.get("ai.prompt")))
    answer = _answer(found)
    if ai.step == steps.GENERATION:
        ai.input, ai.output = prompt, answer
        tools = found.get("ai.prompt.tools")
        ai.tools = [parsed(tool) for tool in tools] if isinstance(tools, (list, tuple)) else parsed(tools)
    elif ai.step == steps.EMBEDDING:
        values = found.get("ai.values", found.get("ai.value"))
        ai.input = [_unquoted(value) for value in values] if isinstance(values, (list, tuple)) else _unquoted(values)
    elif ai.step == steps.TOOL:
        ai.input_state = parsed(found.get("ai.toolCall.args"))
        ai.output_state = _unquoted(parsed(found.get("ai.toolCall.result")))
    else:
        ai.input_state, ai.output_state = prompt, answer


def _unquoted(value: Any) -> Any:
    """Texts are written as JSON too."""
    if isinstance(value, str) and len(value) > 1 and value[0] == value[-1] == '"':
        told = parsed(f"[{value}]")
        return told[0] if isinstance(told, list) and len(told) == 1 else value
    return parsed(value)


def _messages_of(prompt: Any) -> Any:
    if not isinstance(prompt, Mapping):
        return [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt
    messages: list[Any] = []
    if prompt.get("system"):
        messages.append({"role": "system", "content": prompt["system"]})
    if isinstance(prompt.get("messages"), list):
        messages += prompt["messages"]
    elif prompt.get("prompt"):
        messages.append({"role": "user", "content": prompt["prompt"]})
    return messages or None


def _answer(found: Mapping[str, Any]) -> Any:
    text, calls = found.get("ai.response.text"), parsed(found.get("ai.response.toolCalls"))
    made = parsed(found.get("ai.response.object"))
    if text is None and calls is None and made is None:
        return None
    message: dict[str, Any] = {"role": "assistant", "content": text if text is not None else made}
    if calls is not None:
        message["tool_calls"] = calls
    return [message]

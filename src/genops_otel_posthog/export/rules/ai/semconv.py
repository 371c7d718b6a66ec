"""OpenTelemetry's own conventions for generative AI, today's names and the earlier ones, and what frameworks add.

https://github.com/open-telemetry/semantic-conventions-genai. Written by OpenTelemetry's instrumentations, by those of
Traceloop since 0.5, by Pydantic AI, Logfire and the Anthropic SDK itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from genops_otel_posthog.export.rules.ai import call as steps
from genops_otel_posthog.export.rules.ai.call import AiCall, count, number, parsed, parsed_mapping, words
from genops_otel_posthog.export.rules.ai.indexed import indexed
from genops_otel_posthog.export.rules.ai.semconv_names import (
    CONTENT,
    FIELDS,
    MESSAGE_EVENTS,
    PARAMETER_NAMES,
    PARAMETERS,
    STEPS,
)

if TYPE_CHECKING:
    from genops_otel_posthog.export.rules.view import SpanView
    from genops_otel_posthog.export.shapes import Shape

# The conventions want cached tokens counted among the input tokens. Amazon Bedrock counts them apart, and these hand
# on its figures as they come; recorded spans of both lie in tests/export/recorded.
_COUNT_CACHE_APART: Final = (
    "opentelemetry.instrumentation.botocore",
    "opentelemetry.instrumentation.bedrock",
    "opentelemetry.instrumentation.genai.bedrock",
)

_A_WEEK: Final = 7 * 86_400  # seconds; no answer takes longer

_FLATTENED: Final = ("gen_ai.prompt.", "llm.prompts.", "gen_ai.completion.", "llm.completions.")


def read(span: SpanView, content: bool) -> AiCall | None:
    """What the span says, ``None`` when it says nothing of an AI call."""
    found = span.attributes
    operation = found.get("gen_ai.operation.name")
    step = STEPS.get(operation, steps.OTHER) if isinstance(operation, str) else _step_without_operation(found)
    ai = AiCall(step, "semconv", **FIELDS.read(span))
    _complete_tokens(ai, span)
    ai.stop_reason = _stop_reason(span)
    ai.base_url = words(found.get("gen_ai.openai.api_base")) or _server(found)
    for key in span.shape.among(PARAMETER_NAMES):
        value = found[key]
        if value is not None:
            ai.parameters[PARAMETERS[key]] = value
    ai.name = _name(ai, span)
    _read_logfire(ai, span)
    if step == steps.RETRIEVAL:
        documents = parsed(found.get("gen_ai.retrieval.documents"))
        ai.documents = len(documents) if isinstance(documents, (list, tuple)) else None
    if content and (span.shape.among(CONTENT) or span.has_events or _has_flattened(span.shape)):
        _read_content(ai, span)
    return ai


def _step_without_operation(found: Mapping[str, Any]) -> str:
    # Before the operation had a name of its own, a model and its usage were all there was.
    if any(found.get(name) is not None for name in ("gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens")):
        return steps.GENERATION
    return steps.OTHER


def _complete_tokens(ai: AiCall, span: SpanView) -> None:
    """What the counts mean together, and those that only the provider's own account has."""
    five, hour = ai.cache_write_5m_tokens, ai.cache_write_1h_tokens
    if span.attributes.get("gen_ai.usage.raw") is not None:
        raw = parsed_mapping(span.attributes["gen_ai.usage.raw"])
        inputs = _inner(raw, "prompt_tokens_details", "input_tokens_details")
        outputs = _inner(raw, "completion_tokens_details", "output_tokens_details")
        written = _inner(raw, "cache_creation")
        ai.cache_read_tokens = _first_count(
            ai.cache_read_tokens, raw.get("cache_read_input_tokens"), inputs.get("cached_tokens")
        )
        ai.cache_write_tokens = _first_count(ai.cache_write_tokens, raw.get("cache_creation_input_tokens"))
        ai.reasoning_tokens = _first_count(ai.reasoning_tokens, outputs.get("reasoning_tokens"))
        five = _first_count(five, written.get("ephemeral_5m_input_tokens"))
        hour = _first_count(hour, written.get("ephemeral_1h_input_tokens"))
    if five is not None or hour is not None:
        # PostHog bills the two instead of the total, so they count only where they add up to it.
        is_all = (five or 0) + (hour or 0) == (ai.cache_write_tokens or 0)
        ai.cache_write_5m_tokens, ai.cache_write_1h_tokens = (five or 0, hour or 0) if is_all else (None, None)
    cached = (ai.cache_read_tokens or 0) + (ai.cache_write_tokens or 0)
    if cached:
        apart = span.scope.startswith(_COUNT_CACHE_APART)
        ai.input_excludes_cache = apart or (ai.input_tokens or 0) < cached


def _first_count(*values: object) -> int | None:
    return next((found for found in map(count, values) if found is not None), None)


def _inner(raw: Mapping[str, Any], *names: str) -> Mapping[str, Any]:
    return next((value for name in names if isinstance(value := raw.get(name), Mapping)), {})


def _stop_reason(span: SpanView) -> str | None:
    reasons = parsed(span.attributes.get("gen_ai.response.finish_reasons"))
    if isinstance(reasons, (list, tuple)) and reasons:
        return words(reasons[0])
    return words(reasons) or words(
        span.first("anthropic.message.stop_reason", "llm.response.stop_reason", "llm.response.finish_reason")
    )


def _server(found: Mapping[str, Any]) -> str | None:
    address, port = words(found.get("server.address")), found.get("server.port")
    if address is None or port in (None, 443, 80):
        return address
    return f"{address}:{port}"


def _name(ai: AiCall, span: SpanView) -> str:
    if ai.step == steps.TOOL and ai.tool_name:
        return ai.tool_name
    if ai.step in (steps.AGENT, steps.AGENT_CREATION) and ai.agent_name:
        return ai.agent_name
    if ai.step == steps.WORKFLOW:
        workflow = words(span.attributes.get("gen_ai.workflow.name"))
        if workflow:
            return workflow
    return words(span.attributes.get("logfire.msg")) or span.name


def _read_logfire(ai: AiCall, span: SpanView) -> None:
    """Logfire tells a streamed call twice: the request in one span, the answer in a second one without length."""
    kind = span.attributes.get("logfire.span_type")
    if kind == "log":
        seconds = number(span.attributes.get("duration"))
        ai.seconds = seconds if seconds is not None and seconds < _A_WEEK else None
        ai.streamed = True
        ai.answer_alone = True
    elif ai.step == steps.GENERATION and span.scope.startswith("logfire"):
        ai.answer_follows = ai.input_tokens is None and ai.response_id is None and not span.is_error


def _read_content(ai: AiCall, span: SpanView) -> None:
    found = span.attributes
    if ai.step in (steps.GENERATION, steps.EMBEDDING):
        messages = parsed(found.get("gen_ai.input.messages"))
        answers = parsed(found.get("gen_ai.output.messages"))
        if messages is None and answers is None and _has_flattened(span.shape):
            messages, answers = flattened_messages(found)
        if messages is None and answers is None and (span.has_events or "events" in found):
            messages, answers = _from_events(span)
        ai.input = _with_instructions(messages, parsed(found.get("gen_ai.system_instructions")))
        ai.output = answers
        ai.tools = parsed(found.get("gen_ai.tool.definitions"))
        return
    ai.input_state = parsed(
        span.first(
            "gen_ai.tool.call.arguments", "tool_arguments", "gen_ai.input.messages", "gen_ai.retrieval.query.text"
        )
    )
    ai.output_state = parsed(
        span.first("gen_ai.tool.call.result", "tool_response", "gen_ai.output.messages", "final_result")
    )
    if ai.input_state is None:
        every = parsed(found.get("pydantic_ai.all_messages"))
        if isinstance(every, list):
            ai.input_state = next(
                (item for item in every if isinstance(item, dict) and item.get("role") == "user"), None
            )


def _with_instructions(messages: Any, instructions: Any) -> Any:
    if not instructions:
        return messages
    if isinstance(instructions, list):
        texts = [part.get("content") for part in instructions if isinstance(part, Mapping)]
        instructions = "\n\n".join(text for text in texts if isinstance(text, str) and text)
    if not isinstance(messages, (list, tuple)):
        messages = [] if messages is None else [messages]
    first = messages[0] if messages else None
    if not instructions or (isinstance(first, Mapping) and first.get("role") == "system"):
        return list(messages)
    return [{"role": "system", "content": instructions}, *messages]


def _has_flattened(shape: Shape) -> bool:
    known: bool | None = shape.plans.get(_FLATTENED)
    if known is None:
        known = shape.plans[_FLATTENED] = any(name.startswith(_FLATTENED) for name in shape.names)
    return known


def flattened_messages(found: Mapping[str, Any]) -> tuple[Any, Any]:
    """Messages in and out as Traceloop wrote them before 0.5, ``None`` for what is not there."""
    prompts = indexed(found, "gen_ai.prompt.", ("tool_calls",)) or indexed(found, "llm.prompts.", ("tool_calls",))
    answers = indexed(found, "gen_ai.completion.", ("tool_calls",)) or indexed(
        found, "llm.completions.", ("tool_calls",)
    )
    return prompts or None, answers or None


def _from_events(span: SpanView) -> tuple[Any, Any]:
    """As the conventions had it before 1.37: one span event per message, or Logfire's list of them in one attribute."""
    listed = parsed(span.attributes.get("events"))
    entries: list[tuple[object, Mapping[str, Any]]] = []
    if isinstance(listed, list):
        entries = [(item.get("event.name"), item) for item in listed if isinstance(item, Mapping)]
    entries += [(event.name, event.attributes or {}) for event in span.events]
    messages: list[dict[str, Any]] = []
    answers: list[dict[str, Any]] = []
    for name, entry in entries:
        if isinstance(name, str) and name in MESSAGE_EVENTS:
            kept = {key: parsed(entry[key]) for key in ("content", "tool_calls", "id") if key in entry}
            messages.append({"role": entry.get("role") or MESSAGE_EVENTS[name], **kept})
        elif name == "gen_ai.choice":
            message = parsed(entry.get("message"))
            answers.append(dict(message) if isinstance(message, Mapping) else {"role": "assistant", "content": message})
        elif name in ("gen_ai.content.prompt", "gen_ai.content.completion"):
            kind = "prompt" if name.endswith("prompt") else "completion"
            told = parsed(entry.get(f"gen_ai.{kind}"))
            (messages if kind == "prompt" else answers).extend(told if isinstance(told, list) else [{"content": told}])
    return messages or None, answers or None

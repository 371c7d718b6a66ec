"""Where OpenTelemetry's conventions for generative AI, and frameworks that add to them, write what: tables alone."""

from __future__ import annotations

from typing import Any, Final

from genops_otel_posthog.export.rules.ai import call as steps
from genops_otel_posthog.export.rules.ai.call import count, number, words
from genops_otel_posthog.export.rules.ai.fields import Fields
from genops_otel_posthog.export.shapes import Names

#: Attributes of which one at least stands on every span of this dialect.
MARKERS: Final = ("gen_ai.operation.name", "gen_ai.system", "gen_ai.provider.name", "gen_ai.request.model")

STEPS: Final = {
    "chat": steps.GENERATION,
    "completion": steps.GENERATION,
    "generate_content": steps.GENERATION,
    "text_completion": steps.GENERATION,
    "embedding": steps.EMBEDDING,
    "embeddings": steps.EMBEDDING,
    "create_agent": steps.AGENT_CREATION,
    "execute_tool": steps.TOOL,
    "invoke_agent": steps.AGENT,
    "invoke_workflow": steps.WORKFLOW,
    "retrieval": steps.RETRIEVAL,
    "vector_db_retrieve": steps.RETRIEVAL,  # Traceloop's, for LangChain
}
PARAMETERS: Final = {
    "gen_ai.request.temperature": "temperature",
    "gen_ai.request.max_tokens": "max_tokens",
    "gen_ai.request.top_p": "top_p",
    "gen_ai.request.top_k": "top_k",
    "gen_ai.request.seed": "seed",
    "gen_ai.request.frequency_penalty": "frequency_penalty",
    "gen_ai.request.presence_penalty": "presence_penalty",
    "gen_ai.request.stop_sequences": "stop",
    "gen_ai.request.choice.count": "n",
    "gen_ai.request.reasoning.level": "reasoning_effort",
    "gen_ai.openai.request.service_tier": "service_tier",
    "openai.request.service_tier": "service_tier",
}
PARAMETER_NAMES: Final = Names(*PARAMETERS)


def _as_it_is(value: object) -> Any:
    return value


def _flag(value: object) -> bool | None:
    return value if isinstance(value, bool) else None


FIELDS: Final = Fields(
    ("provider", ("gen_ai.provider.name", "gen_ai.system"), words),
    ("model", ("gen_ai.response.model", "gen_ai.request.model", "model_name"), words),
    ("response_id", ("gen_ai.response.id",), words),
    ("session_id", ("anthropic.session.id", "gen_ai.conversation.id"), _as_it_is),
    ("input_tokens", ("gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens"), count),
    ("output_tokens", ("gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens"), count),
    (
        "cache_read_tokens",
        (
            "gen_ai.usage.cache_read.input_tokens",
            "gen_ai.usage.cache_read_input_tokens",
            "gen_ai.usage.details.cache_read_tokens",
        ),
        count,
    ),
    (
        "cache_write_tokens",
        (
            "gen_ai.usage.cache_write.input_tokens",
            "gen_ai.usage.cache_creation.input_tokens",
            "gen_ai.usage.cache_creation_input_tokens",
            "gen_ai.usage.details.cache_write_tokens",
        ),
        count,
    ),
    ("cache_write_5m_tokens", ("anthropic.usage.cache_creation.ephemeral_5m_input_tokens",), count),
    ("cache_write_1h_tokens", ("anthropic.usage.cache_creation.ephemeral_1h_input_tokens",), count),
    (
        "reasoning_tokens",
        (
            "gen_ai.usage.reasoning.output_tokens",
            "gen_ai.usage.reasoning_tokens",
            "gen_ai.usage.details.reasoning_tokens",
        ),
        count,
    ),
    ("cost", ("gen_ai.usage.cost.amount", "operation.cost", "gen_ai.usage.cost"), number),
    (
        "first_token_seconds",
        ("gen_ai.response.time_to_first_chunk", "gen_ai.response.time_to_first_token"),
        number,
    ),
    ("streamed", ("gen_ai.request.stream", "gen_ai.is_streaming", "llm.is_streaming"), _flag),
    ("request_url", ("url.full",), words),
    ("tool_name", ("gen_ai.tool.name",), words),
    ("tool_type", ("gen_ai.tool.type",), words),
    ("agent_id", ("gen_ai.agent.id",), words),
    ("agent_name", ("gen_ai.agent.name", "agent_name"), words),
    ("data_source", ("gen_ai.data_source.id", "gen_ai.data_source.name"), words),
)

CONTENT: Final = Names(
    "gen_ai.input.messages",
    "gen_ai.output.messages",
    "gen_ai.system_instructions",
    "gen_ai.tool.definitions",
    "gen_ai.tool.call.arguments",
    "gen_ai.tool.call.result",
    "gen_ai.retrieval.query.text",
    "tool_arguments",
    "tool_response",
    "final_result",
    "pydantic_ai.all_messages",
    "events",
)

MESSAGE_EVENTS: Final = {
    "gen_ai.system.message": "system",
    "gen_ai.user.message": "user",
    "gen_ai.assistant.message": "assistant",
    "gen_ai.tool.message": "tool",
}

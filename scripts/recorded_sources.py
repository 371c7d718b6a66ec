"""What is recorded by ``record_spans.py``: instrumentations, the packages they need, and the calls they are shown."""

from __future__ import annotations

from typing import NamedTuple

# The variables by which instrumentations are told to record prompts and answers, and to write their newest form.
CONTENT = {
    "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": "true",
    "TRACELOOP_TRACE_CONTENT": "true",
    "TRACELOOP_TELEMETRY": "false",
    "OPENAI_AGENTS_DISABLE_TRACING": "false",
}
NEWEST_FORM = {
    **CONTENT,
    "OTEL_SEMCONV_STABILITY_OPT_IN": "gen_ai_latest_experimental",
    "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT": "SPAN_ONLY",
}


class Source(NamedTuple):
    """An instrumentation and the calls it is recorded with.

    Attributes:
        packages: What is installed from PyPI; the first is the instrumentation.
        calls: Name of the function in ``recorded_calls`` that makes the calls.
        instrument: ``module:Class`` of the instrumentor, or ``module:function``, or nothing for an SDK that does so
            itself.
        variables: Environment variables the calls are made with.
    """

    packages: tuple[str, ...]
    calls: str
    instrument: str = ""
    variables: dict[str, str] = NEWEST_FORM


def _otel(package: str, sdk: str, calls: str, module: str, variables: dict[str, str] = NEWEST_FORM) -> Source:
    return Source((package, sdk, "opentelemetry-sdk"), calls, module, variables)


SOURCES: dict[str, Source] = {
    # It imports httpx, which the openai SDK brought along until version 3, and a module that later versions of
    # opentelemetry-util-genai do not have.
    "openai-v2": Source(
        (
            "opentelemetry-instrumentation-openai-v2",
            "openai",
            "httpx",
            "opentelemetry-util-genai == 0.4b0",
            "opentelemetry-sdk",
        ),
        "openai",
        "opentelemetry.instrumentation.openai_v2:OpenAIInstrumentor",
        CONTENT,
    ),
    "genai-openai": _otel(
        "opentelemetry-instrumentation-genai-openai",
        "openai",
        "openai",
        "opentelemetry.instrumentation.genai.openai:OpenAIInstrumentor",
    ),
    "genai-anthropic": _otel(
        "opentelemetry-instrumentation-genai-anthropic",
        "anthropic",
        "anthropic",
        "opentelemetry.instrumentation.genai.anthropic:AnthropicInstrumentor",
    ),
    "genai-openai-agents": _otel(
        "opentelemetry-instrumentation-genai-openai-agents",
        "openai-agents",
        "openai_agents",
        "opentelemetry.instrumentation.genai.openai_agents:OpenAIAgentsInstrumentor",
    ),
    "genai-bedrock": _otel(
        "opentelemetry-instrumentation-genai-bedrock",
        "boto3",
        "bedrock",
        "opentelemetry.instrumentation.genai.bedrock:BedrockInstrumentor",
    ),
    "genai-langchain": Source(
        ("opentelemetry-instrumentation-genai-langchain", "langchain-openai", "langchain", "opentelemetry-sdk"),
        "langchain",
        "opentelemetry.instrumentation.genai.langchain:LangChainInstrumentor",
    ),
    "google-genai": _otel(
        "opentelemetry-instrumentation-google-genai",
        "google-genai < 3",  # all that the instrumentation takes
        "gemini",
        "opentelemetry.instrumentation.google_genai:GoogleGenAiSdkInstrumentor",
    ),
    "botocore": _otel(
        "opentelemetry-instrumentation-botocore",
        "boto3",
        "bedrock",
        "opentelemetry.instrumentation.botocore:BotocoreInstrumentor",
        CONTENT,
    ),
    "traceloop-openai": _otel(
        "opentelemetry-instrumentation-openai",
        "openai",
        "openai",
        "opentelemetry.instrumentation.openai:OpenAIInstrumentor",
        CONTENT,
    ),
    "traceloop-anthropic": _otel(
        "opentelemetry-instrumentation-anthropic",
        "anthropic",
        "anthropic",
        "opentelemetry.instrumentation.anthropic:AnthropicInstrumentor",
        CONTENT,
    ),
    "traceloop-bedrock": _otel(
        "opentelemetry-instrumentation-bedrock",
        "boto3",
        "bedrock",
        "opentelemetry.instrumentation.bedrock:BedrockInstrumentor",
        CONTENT,
    ),
    "traceloop-vertexai": _otel(
        "opentelemetry-instrumentation-vertexai",
        "google-cloud-aiplatform",
        "vertexai",
        "opentelemetry.instrumentation.vertexai:VertexAIInstrumentor",
        CONTENT,
    ),
    "traceloop-langchain": _otel(
        "opentelemetry-instrumentation-langchain",
        "langchain-openai",
        "langchain",
        "opentelemetry.instrumentation.langchain:LangchainInstrumentor",
        CONTENT,
    ),
    # It imports httpx, which the openai SDK brought along until version 3.
    "traceloop-sdk": Source(("traceloop-sdk", "openai", "httpx", "opentelemetry-sdk"), "traceloop", "", CONTENT),
    "openinference-bedrock": _otel(
        "openinference-instrumentation-bedrock",
        "boto3",
        "bedrock",
        "openinference.instrumentation.bedrock:BedrockInstrumentor",
    ),
    "openinference-google-genai": _otel(
        "openinference-instrumentation-google-genai",
        "google-genai",
        "gemini",
        "openinference.instrumentation.google_genai:GoogleGenAIInstrumentor",
    ),
    "openinference-openai-agents": _otel(
        "openinference-instrumentation-openai-agents",
        "openai-agents",
        "openai_agents",
        "openinference.instrumentation.openai_agents:OpenAIAgentsInstrumentor",
    ),
    "openinference-openai": _otel(
        "openinference-instrumentation-openai",
        "openai",
        "openai",
        "openinference.instrumentation.openai:OpenAIInstrumentor",
    ),
    "openinference-anthropic": _otel(
        "openinference-instrumentation-anthropic",
        "anthropic",
        "anthropic",
        "openinference.instrumentation.anthropic:AnthropicInstrumentor",
    ),
    "openinference-langchain": _otel(
        "openinference-instrumentation-langchain",
        "langchain-openai",
        "langchain",
        "openinference.instrumentation.langchain:LangChainInstrumentor",
    ),
    "autogen": Source(("autogen-agentchat", "autogen-ext", "opentelemetry-sdk"), "autogen"),
    "pydantic-ai": Source(("pydantic-ai-slim[openai]", "opentelemetry-sdk"), "pydantic_ai"),
    "logfire": Source(("logfire", "openai", "anthropic"), "logfire"),
    "launchdarkly": Source(
        ("launchdarkly-server-sdk-otel", "launchdarkly-server-sdk", "opentelemetry-sdk"), "launchdarkly"
    ),
    "openfeature": Source(("openfeature-hooks-opentelemetry", "openfeature-sdk", "opentelemetry-sdk"), "openfeature"),
}

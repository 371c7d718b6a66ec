"""The calls that are recorded: one function per SDK, run in that SDK's own environment by ``record_spans.py``.

Every function makes the calls that tell dialects apart: a plain answer with cached tokens, a stream, a tool call, an
embedding, a refusal. SDKs are imported by name, because no environment has all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from typing import Any

import recorded_frameworks
from fake_providers import MODEL_THAT_IS_BUSY
from recorded_frameworks import QUESTION

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


def record(calls: str, instrument: str, url: str) -> Sequence[Any]:
    """Makes the calls.

    Args:
        calls: Name of a function of this module, or of ``recorded_frameworks``.
        instrument: ``module:Class`` of the instrumentor, or nothing.
        url: Where the provider is.

    Returns:
        The spans, in the order in which they ended.
    """
    trace = import_module("opentelemetry.trace")
    sdk = import_module("opentelemetry.sdk.trace")
    export = import_module("opentelemetry.sdk.trace.export")
    memory = import_module("opentelemetry.sdk.trace.export.in_memory_span_exporter").InMemorySpanExporter()
    resource = import_module("opentelemetry.sdk.resources").Resource({"service.name": "recorded"})
    provider = sdk.TracerProvider(resource=resource)
    provider.add_span_processor(export.SimpleSpanProcessor(memory))
    if calls != "logfire":
        trace.set_tracer_provider(provider)
    if instrument:
        module, _, name = instrument.partition(":")
        getattr(import_module(module), name)().instrument(tracer_provider=provider)
    own = globals().get(f"call_{calls}")
    (own or getattr(recorded_frameworks, f"call_{calls}"))(url, provider)
    provider.force_flush()
    return list(memory.get_finished_spans())


def call_openai(url: str, provider: Any) -> None:
    """Chat, stream, tool call, embedding, the Responses API and a refusal."""
    openai = import_module("openai")
    client = openai.OpenAI(api_key="sk-none", base_url=f"{url}/v1", max_retries=0)
    messages = [{"role": "system", "content": "Answer in one word."}, {"role": "user", "content": QUESTION}]
    chat = client.chat.completions.create
    chat(model="gpt-4o", messages=messages, temperature=0.2, max_tokens=100, top_p=0.9, seed=7)
    for _ in chat(model="gpt-4o", messages=messages, stream=True, stream_options={"include_usage": True}):
        pass
    chat(model="gpt-4o", messages=messages, tools=[WEATHER])
    client.embeddings.create(model="text-embedding-3-small", input="Lisbon")
    client.responses.create(model="gpt-4o", instructions="Answer in one word.", input=QUESTION)
    with suppress(openai.RateLimitError):
        chat(model=MODEL_THAT_IS_BUSY, messages=messages)


def call_anthropic(url: str, provider: Any) -> None:
    """A message with cached tokens, a stream and a refusal."""
    anthropic = import_module("anthropic")
    client = anthropic.Anthropic(api_key="sk-none", base_url=url, max_retries=0)
    messages = [{"role": "user", "content": QUESTION}]
    ask = {"max_tokens": 100, "messages": messages, "system": "Answer in one word."}
    client.messages.create(model="claude-sonnet-4-5", **ask)
    with client.messages.stream(model="claude-sonnet-4-5", **ask) as stream:
        stream.get_final_message()
    with suppress(anthropic.RateLimitError):
        client.messages.create(model=MODEL_THAT_IS_BUSY, **ask)


def call_gemini(url: str, provider: Any) -> None:
    """One answer with thoughts and cached content."""
    genai = import_module("google.genai")
    client = genai.Client(api_key="none", http_options={"base_url": url})
    client.models.generate_content(
        model="gemini-2.5-flash",
        contents=QUESTION,
        config={"temperature": 0.2, "max_output_tokens": 100, "system_instruction": "Answer in one word."},
    )


def call_bedrock(url: str, provider: Any) -> None:
    """Converse and InvokeModel of a Claude model."""
    json = import_module("json")
    boto3 = import_module("boto3")
    client = boto3.client(
        "bedrock-runtime",
        region_name="eu-west-1",
        endpoint_url=url,
        aws_access_key_id="none",
        aws_secret_access_key="none",
    )
    model = "anthropic.claude-3-5-sonnet-20240620-v1:0"
    client.converse(
        modelId=model,
        messages=[{"role": "user", "content": [{"text": QUESTION}]}],
        system=[{"text": "Answer in one word."}],
        inferenceConfig={"maxTokens": 100, "temperature": 0.2, "topP": 0.9},
    )
    body = {
        "anthropic_version": "bedrock-2023-05-31",
        "max_tokens": 100,
        "messages": [{"role": "user", "content": [{"type": "text", "text": QUESTION}]}],
    }
    client.invoke_model(modelId=model, body=json.dumps(body))["body"].read()


def call_vertexai(url: str, provider: Any) -> None:
    """One answer, over REST."""
    vertexai = import_module("vertexai")
    credentials = import_module("google.auth.credentials").AnonymousCredentials()
    vertexai.init(
        project="recorded",
        location="europe-west1",
        api_endpoint=url,
        api_transport="rest",
        credentials=credentials,
    )
    models = import_module("vertexai.generative_models")
    models.GenerativeModel("gemini-2.5-flash").generate_content(
        QUESTION, generation_config={"temperature": 0.2, "max_output_tokens": 100}
    )


def call_logfire(url: str, provider: Any) -> None:
    """OpenAI and Anthropic through Logfire's own instrumentation."""
    logfire = import_module("logfire")
    processor = provider._active_span_processor._span_processors[0]
    logfire.configure(
        send_to_logfire=False, console=False, additional_span_processors=[processor], service_name="recorded"
    )
    logfire.instrument_openai()
    logfire.instrument_anthropic()
    call_openai(url, provider)
    call_anthropic(url, provider)

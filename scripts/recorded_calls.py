"""The calls that are recorded: one function per SDK, run in that SDK's own environment by ``record_spans.py``.

Every function makes the calls that tell dialects apart: a plain answer with cached tokens, a stream, a tool call, an
embedding, a refusal. SDKs are imported by name, because no environment has all of them.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from typing import Any

from fake_providers import MODEL_THAT_IS_BUSY

QUESTION = "What is the capital of Portugal?"
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
        calls: Name of a function of this module.
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
    globals()[f"call_{calls}"](url, provider)
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


def call_pydantic_ai(url: str, provider: Any) -> None:
    """An agent that calls a tool and then answers, and one whose tool fails."""
    pydantic_ai = import_module("pydantic_ai")
    os.environ["OPENAI_API_KEY"] = "sk-none"
    openai_models = import_module("pydantic_ai.models.openai")
    providers = import_module("pydantic_ai.providers.openai")
    model = openai_models.OpenAIChatModel(
        "gpt-4o", provider=providers.OpenAIProvider(base_url=f"{url}/v1", api_key="sk-none")
    )
    pydantic_ai.Agent.instrument_all()

    def get_weather(city: str) -> str:
        return f"Sunny in {city}."

    def broken_weather(city: str) -> str:
        raise RuntimeError(f"no weather station in {city}")

    agent = pydantic_ai.Agent(model, name="travel-agent", tools=[get_weather], instructions="Answer in one word.")
    agent.run_sync(QUESTION, conversation_id="conversation-1")
    failing = pydantic_ai.Agent(model, name="broken-agent", tools=[broken_weather])
    with suppress(RuntimeError):
        failing.run_sync(QUESTION)


def call_openai_agents(url: str, provider: Any) -> None:
    """An agent that calls a tool and then answers."""
    agents = import_module("agents")
    openai = import_module("openai")
    client = openai.AsyncOpenAI(api_key="sk-none", base_url=f"{url}/v1", max_retries=0)
    agents.set_default_openai_client(client, use_for_tracing=False)
    agents.set_default_openai_api("chat_completions")

    def get_weather(city: str) -> str:
        """The weather of a city."""
        return f"Sunny in {city}."

    agent = agents.Agent(
        name="travel-agent",
        instructions="Answer in one word.",
        model="gpt-4o",
        tools=[agents.function_tool(get_weather)],
    )
    asyncio.run(agents.Runner.run(agent, QUESTION))


def call_autogen(url: str, provider: Any) -> None:
    """An agent that is made by its runtime, calls a tool and then answers."""
    agents = import_module("autogen_agentchat.agents")
    teams = import_module("autogen_agentchat.teams")
    conditions = import_module("autogen_agentchat.conditions")
    core = import_module("autogen_core")
    models = import_module("autogen_core.models")
    replay = import_module("autogen_ext.models.replay")
    call = core.FunctionCall(id="call_1", name="get_weather", arguments='{"city": "Lisbon"}')
    usage = models.RequestUsage(prompt_tokens=1200, completion_tokens=42)
    client = replay.ReplayChatCompletionClient(
        [
            models.CreateResult(finish_reason="function_calls", content=[call], usage=usage, cached=False),
            "Lisbon.",
        ],
        model_info={
            "vision": False,
            "function_calling": True,
            "json_output": False,
            "family": "unknown",
            "structured_output": False,
        },
    )

    async def get_weather(city: str) -> str:
        """The weather of a city."""
        return f"Sunny in {city}."

    async def run() -> None:
        agent = agents.AssistantAgent("travel_agent", client, tools=[get_weather], description="Knows places.")
        team = teams.RoundRobinGroupChat([agent], termination_condition=conditions.MaxMessageTermination(2))
        await team.run(task=QUESTION)

    asyncio.run(run())


def call_traceloop(url: str, provider: Any) -> None:
    """A workflow with an agent, a tool and a model call, told by the decorators of Traceloop's SDK."""
    sdk = import_module("traceloop.sdk")
    decorators = import_module("traceloop.sdk.decorators")
    openai = import_module("openai")
    nothing = import_module("opentelemetry.sdk.trace").SpanProcessor()  # it adds its own to the provider that is there
    sdk.Traceloop.init(app_name="recorded", processor=nothing, telemetry_enabled=False, api_endpoint=url)
    client = openai.OpenAI(api_key="sk-none", base_url=f"{url}/v1", max_retries=0)

    @decorators.tool(name="get_weather")  # type: ignore[untyped-decorator]  # the decorator is found at run time
    def get_weather(city: str) -> str:
        return f"Sunny in {city}."

    @decorators.agent(name="travel-agent")  # type: ignore[untyped-decorator]  # the decorator is found at run time
    def travel_agent(question: str) -> str:
        get_weather("Lisbon")
        messages = [{"role": "user", "content": question}]
        answer = client.chat.completions.create(model="gpt-4o", messages=messages)
        return str(answer.choices[0].message.content)

    @decorators.workflow(name="travel")  # type: ignore[untyped-decorator]  # the decorator is found at run time
    def travel(question: str) -> str:
        return str(travel_agent(question))

    travel(QUESTION)


def call_langchain(url: str, provider: Any) -> None:
    """A chain with a retriever, a tool and a chat model."""
    openai = import_module("langchain_openai")
    runnables = import_module("langchain_core.runnables")
    tools = import_module("langchain_core.tools")
    retrievers = import_module("langchain_core.retrievers")
    documents = import_module("langchain_core.documents")

    class Atlas(retrievers.BaseRetriever):  # type: ignore[misc, name-defined]  # the base is found at run time
        """Finds two documents, whatever is asked."""

        def _get_relevant_documents(self, query: str) -> list[Any]:
            return [documents.Document(page_content="Lisbon is the capital."), documents.Document(page_content="Porto")]

    def get_weather(city: str) -> str:
        """The weather of a city."""
        return f"Sunny in {city}."

    weather = tools.tool(get_weather)
    model = openai.ChatOpenAI(model="gpt-4o", api_key="sk-none", base_url=f"{url}/v1", max_retries=0, temperature=0.2)
    atlas = Atlas()

    def answer(question: str) -> Any:
        atlas.invoke(question)
        weather.invoke({"city": "Lisbon"})
        return model.invoke(question)

    runnables.RunnableLambda(answer, name="travel-chain").invoke(QUESTION)


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


def call_openfeature(url: str, provider: Any) -> None:
    """Three evaluations inside a request's span: a variant, one flag that does not exist, and the first once more."""
    api = import_module("openfeature.api")
    hook = import_module("openfeature.contrib.hook.opentelemetry")
    memory = import_module("openfeature.provider.in_memory_provider")
    context = import_module("openfeature.evaluation_context").EvaluationContext(targeting_key="user-42")
    flag = memory.InMemoryFlag("on", {"on": True, "off": False})
    api.set_provider(memory.InMemoryProvider({"new-checkout": flag}))
    api.add_hooks([hook.TracingHook()])
    client = api.get_client()
    with provider.get_tracer("shop").start_as_current_span("GET /checkout"):
        client.get_boolean_value("new-checkout", False, context)
        client.get_boolean_value("no-such-flag", False, context)
        client.get_boolean_value("new-checkout", False, context)


def call_launchdarkly(url: str, provider: Any) -> None:
    """Three evaluations, told by spans of their own and by events of the request's span."""
    client = import_module("ldclient.client")
    config = import_module("ldclient.config")
    context = import_module("ldclient").Context.create("user-42")
    flags = import_module("ldclient.integrations.test_data").TestData.data_source()
    flags.update(flags.flag("new-checkout").variation_for_all(True))
    flags.update(flags.flag("button-colour").variations("red", "blue").variation_for_all(1))
    otel = import_module("ldotel.tracing")
    hook = otel.Hook(otel.HookOptions(add_spans=True, include_variant=True))
    settings = config.Config("sdk-none", update_processor_class=flags, send_events=False, hooks=[hook])
    with provider.get_tracer("shop").start_as_current_span("GET /checkout"):
        launchdarkly = client.LDClient(settings)
        launchdarkly.variation("new-checkout", context, False)
        launchdarkly.variation("button-colour", context, "red")
        launchdarkly.variation("no-such-flag", context, False)
        launchdarkly.close()

"""The recorded calls of frameworks for agents and of feature flags; those of models are in ``recorded_calls.py``.

Every framework runs the same journey as far as it knows the parts: a workflow or an agent, a tool, a search, a model.
"""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from importlib import import_module
from typing import Any

QUESTION = "What is the capital of Portugal?"


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

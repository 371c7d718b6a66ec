"""Flows, tools, agents, retrievals and guardrails told as spans, by functions that know which attributes say it.

Nothing here knows PostHog: the functions open and end spans through OpenTelemetry's API, with its own names for what is
said, and the built-in rules make events of these like of anybody's spans. Without an SDK they do nothing.

``track_flow``, ``track_tool``, ``track_rag_query`` and ``track_agent`` measure time and success themselves. They are
used with ``with`` or ``async with``, or as decorators of functions and coroutine functions. The others tell what has
happened already.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager, ExitStack
from types import TracebackType
from typing import Any, TypeVar
from uuid import uuid4

from opentelemetry.context import attach, detach, get_value, set_value
from opentelemetry.trace import Span, Status, StatusCode

from genops_otel_posthog.export import names
from genops_otel_posthog.export.telling import EXECUTION, given_only, owner_attributes, stamped, tell, tracer

_F = TypeVar("_F", bound=Callable[..., Any])


class Step:
    """The step that is running, for what becomes known meanwhile.

    Attributes:
        span: Its span.
        execution_id: The execution that it belongs to.
    """

    __slots__ = ("_tools", "execution_id", "span")

    def __init__(self, span: Span, execution_id: str | None) -> None:
        self.span = span
        self.execution_id = execution_id
        self._tools: list[str] = []

    def used_tool(self, tool_id: str) -> None:
        """Names a tool that ran in this flow without a span of its own."""
        self._tools.append(tool_id)
        self.span.set_attribute(names.FLOW_TOOLS_USED, tuple(self._tools))

    def found(self, sources: int) -> None:
        """How many sources this retrieval found."""
        self.span.set_attribute(names.RETRIEVAL_SOURCES_FOUND, sources)

    def spent(self, *, tokens: int | None = None, cost: float | None = None) -> None:
        """What this agent spent.

        Args:
            tokens: Tokens, in and out.
            cost: US dollars.
        """
        self.span.set_attributes(given_only({names.AGENT_TOKENS_USED: tokens, names.AGENT_COST: cost}))

    def fail(self, message: str, code: str | None = None) -> None:
        """Says that this step failed without an exception.

        Args:
            message: What went wrong.
            code: The application's code for it.
        """
        self.span.set_status(Status(StatusCode.ERROR, message))
        if code is not None:
            self.span.set_attribute(names.AGENT_ERROR_CODE, code)


class Tracked(AbstractContextManager[Step], AbstractAsyncContextManager[Step]):
    """A step that is about to run, once or, as a decorator, over and over."""

    def __init__(self, operation: str, target: str | None, attributes: Mapping[str, Any]) -> None:
        self._operation = operation
        self._target = target
        self._attributes = attributes
        self._running: list[ExitStack] = []

    def __enter__(self) -> Step:
        stack, step = self._begin(self._target)
        self._running.append(stack)
        return step

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._running.pop().__exit__(kind, error, traceback)

    async def __aenter__(self) -> Step:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, traceback)

    def __call__(self, function: _F) -> _F:
        """Makes every call of ``function`` such a step, named after it unless a name was given."""
        target = self._target or getattr(function, "__name__", None)

        @functools.wraps(function)
        def tracked(*args: Any, **kwargs: Any) -> Any:
            stack, _ = self._begin(target)
            with stack:
                return function(*args, **kwargs)

        @functools.wraps(function)
        async def tracked_coroutine(*args: Any, **kwargs: Any) -> Any:
            stack, _ = self._begin(target)
            with stack:
                return await function(*args, **kwargs)

        return tracked_coroutine if inspect.iscoroutinefunction(function) else tracked  # type: ignore[return-value]  # wraps keeps the signature

    def _begin(self, target: str | None) -> tuple[ExitStack, Step]:
        attributes = {**self._attributes, "gen_ai.operation.name": self._operation}
        name = _NAME_ATTRIBUTES.get(self._operation)
        if name is not None and target is not None:
            attributes[name] = target
        execution = attributes.get(names.EXECUTION_ID) or get_value(EXECUTION)
        if execution is None and self._operation == "invoke_workflow":
            execution = str(uuid4())
        if execution is not None:
            attributes[names.EXECUTION_ID] = execution
        stack = ExitStack()
        if execution is not None:
            stack.callback(detach, attach(set_value(EXECUTION, execution)))
        span = stack.enter_context(
            tracer().start_as_current_span(
                f"{self._operation} {target}" if target else self._operation, attributes=stamped(attributes)
            )
        )
        return stack, Step(span, None if execution is None else str(execution))


_NAME_ATTRIBUTES: Mapping[str, str] = {
    "invoke_workflow": "gen_ai.workflow.name",
    "execute_tool": "gen_ai.tool.name",
    "invoke_agent": "gen_ai.agent.name",
    "retrieval": "gen_ai.data_source.id",
}


def track_flow(flow_id: str | None = None, *, execution_id: str | None = None, **owner: str | None) -> Tracked:
    """A flow that runs: becomes ``flow_executed``.

    Args:
        flow_id: The flow; the function's name where it is left out of a decorator.
        execution_id: This execution of it; a new one where it is not given. All that runs inside belongs to it.
        owner: ``user_id``, ``workspace_id``, ``organization_id``.

    Raises:
        GenOpsValidationError: ``owner`` names something else.

    Example:
        >>> with track_flow("answer-question") as flow:
        ...     flow.used_tool("search")
    """
    attributes = given_only({names.FLOW_ID: flow_id, names.EXECUTION_ID: execution_id, **owner_attributes(owner)})
    return Tracked("invoke_workflow", flow_id, attributes)


def track_tool(
    tool_id: str | None = None, *, tool_type: str = "function", execution_id: str | None = None, **owner: str | None
) -> Tracked:
    """A tool that runs: becomes ``tool_used``.

    Args:
        tool_id: The tool; the function's name where it is left out of a decorator.
        tool_type: ``function``, ``extension``, ``datastore``, or a type of your own.
        execution_id: The execution it belongs to; that of the flow around it where it is not given.
        owner: As in :func:`track_flow`.
    """
    attributes = given_only(
        {"gen_ai.tool.type": tool_type, names.EXECUTION_ID: execution_id, **owner_attributes(owner)}
    )
    return Tracked("execute_tool", tool_id, attributes)


def track_rag_query(
    index_name: str | None = None,
    *,
    vector_db: str | None = None,
    execution_id: str | None = None,
    **owner: str | None,
) -> Tracked:
    """A search for what a model is to know: becomes ``rag_query_triggered``.

    Args:
        index_name: The index that is searched.
        vector_db: The database it lies in.
        execution_id: As in :func:`track_tool`.
        owner: As in :func:`track_flow`.
    """
    attributes = given_only(
        {names.RETRIEVAL_VECTOR_DB: vector_db, names.EXECUTION_ID: execution_id, **owner_attributes(owner)}
    )
    return Tracked("retrieval", index_name, attributes)


def track_agent(
    agent_id: str | None = None,
    *,
    framework: str | None = None,
    query: str | None = None,
    execution_id: str | None = None,
    **owner: str | None,
) -> Tracked:
    """An agent that runs: becomes ``agent_execution``, and ``agent_error`` where it fails.

    Args:
        agent_id: The agent.
        framework: What it is built with.
        query: What it was asked. Content: giving it here is what switches it on, for the span and for the event.
        execution_id: As in :func:`track_tool`.
        owner: As in :func:`track_flow`.
    """
    attributes = given_only(
        {
            "gen_ai.agent.id": agent_id,
            names.AGENT_FRAMEWORK: framework,
            names.AGENT_QUERY: query,
            names.EXECUTION_ID: execution_id,
            **owner_attributes(owner),
        }
    )
    return Tracked("invoke_agent", agent_id, attributes)


def track_flow_executed(
    flow_id: str,
    *,
    execution_id: str,
    tools_used: Sequence[str] = (),
    time_ms: float,
    success: bool,
    **owner: str | None,
) -> None:
    """A flow that has ended. See :func:`track_flow`."""
    attributes = {
        "gen_ai.operation.name": "invoke_workflow",
        "gen_ai.workflow.name": flow_id,
        names.FLOW_ID: flow_id,
        names.EXECUTION_ID: execution_id,
        names.FLOW_TOOLS_USED: tuple(tools_used),
        **owner_attributes(owner),
    }
    tell(f"invoke_workflow {flow_id}", attributes, milliseconds=time_ms, error=None if success else "failed")


def track_tool_used(
    tool_id: str,
    *,
    tool_type: str = "function",
    success: bool = True,
    latency_ms: float,
    execution_id: str | None = None,
    **owner: str | None,
) -> None:
    """A tool that has run. See :func:`track_tool`."""
    attributes = {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": tool_id,
        "gen_ai.tool.type": tool_type,
        names.EXECUTION_ID: execution_id,
        **owner_attributes(owner),
    }
    tell(f"execute_tool {tool_id}", attributes, milliseconds=latency_ms, error=None if success else "failed")


def track_rag_query_triggered(
    index_name: str | None,
    *,
    vector_db: str | None = None,
    latency_ms: float,
    sources_found: int,
    execution_id: str | None = None,
    **owner: str | None,
) -> None:
    """A search that has ended. See :func:`track_rag_query`."""
    attributes = {
        "gen_ai.operation.name": "retrieval",
        "gen_ai.data_source.id": index_name,
        names.RETRIEVAL_VECTOR_DB: vector_db,
        names.RETRIEVAL_SOURCES_FOUND: sources_found,
        names.EXECUTION_ID: execution_id,
        **owner_attributes(owner),
    }
    tell("retrieval", attributes, milliseconds=latency_ms)


def track_agent_created(
    agent_id: str,
    *,
    agent_type: str | None = None,
    memory_backend: str | None = None,
    framework: str | None = None,
    **owner: str | None,
) -> None:
    """An agent that was made: becomes ``agent_created``.

    Args:
        agent_id: The agent.
        agent_type: The kind of agent.
        memory_backend: Where it keeps what it remembers.
        framework: What it is built with.
        owner: As in :func:`track_flow`.
    """
    attributes = {
        "gen_ai.operation.name": "create_agent",
        "gen_ai.agent.id": agent_id,
        names.AGENT_TYPE: agent_type,
        names.AGENT_MEMORY_BACKEND: memory_backend,
        names.AGENT_FRAMEWORK: framework,
        **owner_attributes(owner),
    }
    tell(f"create_agent {agent_id}", attributes)


def track_agent_execution(
    execution_id: str,
    *,
    framework: str | None = None,
    query: str | None = None,
    success: bool,
    execution_time: float,
    tokens_used: int | None = None,
    cost: float | None = None,
    error: str | None = None,
    **owner: str | None,
) -> None:
    """An agent that has run: becomes ``agent_execution``, and ``agent_error`` where it failed.

    Args:
        execution_id: The execution.
        framework: What the agent is built with.
        query: What it was asked. Content, as in :func:`track_agent`.
        success: Whether it succeeded.
        execution_time: Milliseconds.
        tokens_used: Tokens, in and out.
        cost: US dollars.
        error: What went wrong.
        owner: As in :func:`track_flow`.
    """
    attributes = {
        "gen_ai.operation.name": "invoke_agent",
        names.EXECUTION_ID: execution_id,
        names.AGENT_FRAMEWORK: framework,
        names.AGENT_QUERY: query,
        names.AGENT_TOKENS_USED: tokens_used,
        names.AGENT_COST: cost,
        **owner_attributes(owner),
    }
    tell("invoke_agent", attributes, milliseconds=execution_time, error=None if success else error or "failed")


def track_agent_error(
    execution_id: str,
    *,
    framework: str | None = None,
    error_message: str,
    error_code: str | None = None,
    **owner: str | None,
) -> None:
    """An error of an agent whose execution is told elsewhere, or not at all: becomes ``agent_error`` alone."""
    attributes = {
        "gen_ai.operation.name": "invoke_agent",
        names.AGENT_ERROR_ONLY: True,
        names.EXECUTION_ID: execution_id,
        names.AGENT_FRAMEWORK: framework,
        names.AGENT_ERROR_CODE: error_code,
        **owner_attributes(owner),
    }
    tell("agent_error", attributes, error=error_message)


def track_prompt_blocked(
    *,
    source: str,
    match_score: float,
    reason: str,
    prompt_preview: str | None = None,
    **owner: str | None,
) -> None:
    """A prompt that was not let through: becomes ``prompt_blocked``.

    Args:
        source: What blocked it, such as ``abuse_detection`` or ``prompt_similarity``.
        match_score: How sure that is, 0 to 1.
        reason: Why, in words.
        prompt_preview: The prompt, of which the first 100 characters are recorded. Content, as in :func:`track_agent`.
        owner: As in :func:`track_flow`.
    """
    attributes = {
        names.GUARDRAIL_SOURCE: source,
        names.GUARDRAIL_MATCH_SCORE: match_score,
        names.GUARDRAIL_REASON: reason,
        names.GUARDRAIL_PROMPT_PREVIEW: None if prompt_preview is None else prompt_preview[: names.PREVIEW_LENGTH],
        **owner_attributes(owner),
    }
    tell("prompt_blocked", attributes)

"""Flows, tools, agents, retrievals and guardrails as product events, from any dialect of spans about AI.

Every event of these carries ``trace_id``, ``user_id``, ``workspace_id`` and ``organization_id``; what is not known is
null, so that a table of them has all its columns.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

from genops_otel_posthog import semconv
from genops_otel_posthog.export import names
from genops_otel_posthog.export.names import PREVIEW_LENGTH
from genops_otel_posthog.export.rules.ai import call as steps
from genops_otel_posthog.export.rules.ai.call import AiCall, count, number, parsed, words
from genops_otel_posthog.export.rules.ai.dialects import Reader
from genops_otel_posthog.export.rules.ai.events import totals_on
from genops_otel_posthog.export.rules.ai.trace_memory import TraceMemory
from genops_otel_posthog.export.rules.rule import EventDraft, Skip, about
from genops_otel_posthog.export.text import text

if TYPE_CHECKING:
    from genops_otel_posthog.export.rules.view import SpanView

_COMMON: Final = (semconv.PROPERTY_USER_ID, semconv.PROPERTY_WORKSPACE_ID, semconv.PROPERTY_ORGANIZATION_ID)


class AgentEvents:
    """Makes the product events of a span about a flow, a tool, an agent, a retrieval or a guardrail.

    Args:
        reader: Reads the step off the span.
        memory: What other spans of the trace have told.
        content: Whether the query of an agent may leave where an instrumentation recorded it. What the application
            itself handed to :mod:`~genops_otel_posthog.export.flows` may.
    """

    def __init__(self, reader: Reader, memory: TraceMemory, *, content: bool = False) -> None:
        self._reader = reader
        self._memory = memory
        self._content = content

    @about(steps.WORKFLOW)
    def flow_executed(self, span: SpanView) -> Iterable[EventDraft] | Skip | None:
        """A workflow that ended, well or not."""
        ai = self._step(span, steps.WORKFLOW)
        if ai is None:
            return None
        given = span.attributes.get(names.FLOW_TOOLS_USED)
        remembered = self._memory.take_tools(span.trace_number)
        tools = list(given) if isinstance(given, (list, tuple)) else []
        properties = {
            "flow_id": words(span.attributes.get(names.FLOW_ID)) or ai.name,
            "execution_id": _execution(span),
            "tools_used": [*tools, *(tool for tool in remembered if tool not in tools)],
            "time_ms": span.milliseconds,
            "success": not span.is_error,
        }
        return [_draft("flow_executed", properties)]

    @about(steps.TOOL)
    def tool_used(self, span: SpanView) -> Iterable[EventDraft] | Skip | None:
        """A tool that ran."""
        ai = self._step(span, steps.TOOL)
        if ai is None:
            return None
        tool = ai.tool_name or ai.name
        self._memory.used_tool(span.trace_number, text(tool)[:200])
        properties = {
            "tool_id": tool,
            "tool_type": ai.tool_type or "function",
            "status": "error" if span.is_error else "success",
            "latency_ms": span.milliseconds,
            "execution_id": _execution(span),
        }
        return [_draft("tool_used", properties)]

    @about(steps.AGENT_CREATION)
    def agent_created(self, span: SpanView) -> Iterable[EventDraft] | Skip | None:
        """An agent that was made."""
        ai = self._step(span, steps.AGENT_CREATION)
        if ai is None:
            return None
        if span.is_error:
            return Skip("the agent could not be created")
        properties = {
            "agent_id": ai.agent_id or ai.agent_name,
            "agent_type": words(span.attributes.get(names.AGENT_TYPE)) or ai.agent_name,
            "memory_backend": words(span.attributes.get(names.AGENT_MEMORY_BACKEND)),
            "framework": _framework(span),
        }
        return [_draft("agent_created", properties)]

    @about(steps.AGENT)
    def agent_executed(self, span: SpanView) -> Iterable[EventDraft] | Skip | None:
        """An agent that ran: ``agent_execution``, and ``agent_error`` where it failed."""
        ai = self._step(span, steps.AGENT)
        if ai is None:
            return None
        found = span.attributes
        execution, framework, error = _execution(span), _framework(span), span.error_message()
        tokens, cost = self._memory.take_spent(span.trace_number)
        given_tokens, given_cost = count(found.get(names.AGENT_TOKENS_USED)), number(found.get(names.AGENT_COST))
        own = totals_on(found)
        properties = {
            "execution_id": execution,
            "framework": framework,
            "query": found.get(names.AGENT_QUERY) or (_question(ai.input_state) if self._content else None),
            "success": not span.is_error,
            "execution_time": span.milliseconds,
            "tokens_used": given_tokens if given_tokens is not None else (own if own is not None else tokens),
            "cost": given_cost if given_cost is not None else (ai.cost if ai.cost is not None else cost),
            "error": error,
            "agent_id": ai.agent_id or ai.agent_name,
        }
        drafts = [] if found.get(names.AGENT_ERROR_ONLY) is True else [_draft("agent_execution", properties)]
        if span.is_error:
            exception = span.exception() or {}
            problem = {
                "execution_id": execution,
                "framework": framework,
                "error_message": exception.get("exception.message") or error,
                "error_code": found.get(names.AGENT_ERROR_CODE)
                or exception.get("exception.type")
                or found.get("error.type"),
            }
            drafts.append(_draft("agent_error", problem, key="error"))
        return drafts

    @about(steps.RETRIEVAL)
    def rag_query_triggered(self, span: SpanView) -> Iterable[EventDraft] | Skip | None:
        """A search for what a model is to know."""
        ai = self._step(span, steps.RETRIEVAL)
        if ai is None:
            return None
        found = span.attributes
        sources = count(found.get(names.RETRIEVAL_SOURCES_FOUND))
        properties = {
            "vector_db_used": words(span.first(names.RETRIEVAL_VECTOR_DB, "db.system.name", "db.system")),
            "index_name": ai.data_source or words(span.first("db.collection.name", "db.namespace")),
            "latency_ms": span.milliseconds,
            "sources_found": ai.documents if sources is None else sources,
            "execution_id": _execution(span),
        }
        return [_draft("rag_query_triggered", properties)]

    def prompt_blocked(self, span: SpanView) -> Iterable[EventDraft] | Skip | None:
        """A prompt that a guardrail did not let through."""
        found = span.attributes
        preview = found.get(names.GUARDRAIL_PROMPT_PREVIEW)
        properties = {
            "match_score": number(found.get(names.GUARDRAIL_MATCH_SCORE)),
            "source": found.get(names.GUARDRAIL_SOURCE),
            "prompt_preview": None if preview is None else text(preview)[:PREVIEW_LENGTH],
            "reason": found.get(names.GUARDRAIL_REASON),
        }
        return [_draft("prompt_blocked", properties, importance="critical")]

    def _step(self, span: SpanView, step: str) -> AiCall | None:
        ai = self._reader.read(span)
        return ai if ai is not None and ai.step == step else None


def _draft(name: str, properties: dict[str, Any], *, key: str = "", importance: str = "normal") -> EventDraft:
    return EventDraft(name, properties, key=key, importance=importance, null_properties=_COMMON)


def _execution(span: SpanView) -> str:
    """The execution: what the application names, else the trace, which is one for all that ran in it."""
    return words(span.attributes.get(names.EXECUTION_ID)) or span.trace_id


def _framework(span: SpanView) -> str | None:
    given = words(span.attributes.get(names.AGENT_FRAMEWORK))
    if given is not None or span.scope == names.SCOPE:
        return given
    return span.scope.removesuffix(".tracer").rpartition(".")[2] or None


def _question(state: Any) -> str | None:
    """The text of what an agent was asked, from the message or messages that it was given."""
    found = parsed(state)
    if isinstance(found, list) and found:
        users = [item for item in found if isinstance(item, dict) and item.get("role") == "user"]
        found = users[-1] if users else found[-1]
    if isinstance(found, dict):
        parts = found.get("parts") or found.get("content")
        if isinstance(parts, list):
            texts = [part.get("content", part.get("text")) for part in parts if isinstance(part, dict)]
            return " ".join(piece for piece in texts if isinstance(piece, str)) or None
        found = parts
    return found if isinstance(found, str) else None

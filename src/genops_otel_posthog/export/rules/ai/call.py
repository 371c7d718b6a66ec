"""What a span says about an AI call, by one set of names whichever dialect it is written in."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

GENERATION: Final = "generation"
EMBEDDING: Final = "embedding"
TOOL: Final = "tool"
AGENT: Final = "agent"
AGENT_CREATION: Final = "agent_creation"
WORKFLOW: Final = "workflow"
RETRIEVAL: Final = "retrieval"
GUARDRAIL: Final = "guardrail"
OTHER: Final = "other"
STEPS: Final = frozenset(
    {GENERATION, EMBEDDING, TOOL, AGENT, AGENT_CREATION, WORKFLOW, RETRIEVAL, GUARDRAIL, OTHER},
)

MAX_JSON_LENGTH: Final = 500_000
"""Longest text that is read as JSON; what is longer stays a text. PostHog's own reader of spans stops there too."""


@dataclass
class AiCall:
    """One step.

    Attributes:
        step: What it is: :data:`GENERATION` and its neighbours.
        dialect: Whose names the span used.
        name: What PostHog shows for it.
        provider: Who served the model.
        model: The model that answered, else the one that was asked for.
        response_id: The provider's id of the answer: the same on every span about one call.
        session_id: The conversation.
        input_tokens: Tokens that went in.
        output_tokens: Tokens that came out, those spent on reasoning included.
        cache_read_tokens: Tokens read from the provider's cache.
        cache_write_tokens: Tokens written to it.
        cache_write_5m_tokens: Of these, kept for five minutes.
        cache_write_1h_tokens: Of these, kept for an hour.
        reasoning_tokens: Tokens of the output that were reasoning.
        input_excludes_cache: Whether cached tokens come on top of ``input_tokens``.
        cost: What the instrumentation says it cost, US dollars.
        seconds: How long it took, where the span's own length is not that.
        first_token_seconds: How long until the first token.
        stop_reason: Why the model stopped.
        streamed: Whether the answer was streamed.
        base_url: Where the provider was reached.
        request_url: The whole address.
        parameters: What the model was asked with, by the names of the providers' APIs.
        input: Messages in, or the text of an embedding. Content.
        output: Messages out. Content.
        tools: Definitions of the tools that were offered. Content.
        input_state: What went into a step that is not a model call. Content.
        output_state: What came out of it. Content.
        tool_name: Name of the tool.
        tool_type: Its type.
        agent_id: Id of the agent.
        agent_name: Its name.
        data_source: What was searched.
        documents: How many documents a search found.
        answer_follows: The answer comes in a span of its own; this one has neither tokens nor output.
        answer_alone: This is that span: nothing on it says which call it belongs to.
    """

    step: str
    dialect: str
    name: str = ""
    provider: str | None = None
    model: str | None = None
    response_id: str | None = None
    session_id: Any = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None
    cache_write_5m_tokens: int | None = None
    cache_write_1h_tokens: int | None = None
    reasoning_tokens: int | None = None
    input_excludes_cache: bool = False
    cost: float | None = None
    seconds: float | None = None
    first_token_seconds: float | None = None
    stop_reason: str | None = None
    streamed: bool | None = None
    base_url: str | None = None
    request_url: str | None = None
    parameters: dict[str, Any] = field(default_factory=dict)
    input: Any = None
    output: Any = None
    tools: Any = None
    input_state: Any = None
    output_state: Any = None
    tool_name: str | None = None
    tool_type: str | None = None
    agent_id: str | None = None
    agent_name: str | None = None
    data_source: str | None = None
    documents: int | None = None
    answer_follows: bool = False
    answer_alone: bool = False

    @property
    def all_input_tokens(self) -> int | None:
        """Tokens that went in, cached ones included."""
        if self.input_tokens is None or not self.input_excludes_cache:
            return self.input_tokens
        return self.input_tokens + (self.cache_read_tokens or 0) + (self.cache_write_tokens or 0)

    @property
    def tokens(self) -> int | None:
        """Tokens in and out, ``None`` when neither is known."""
        if self.input_tokens is None and self.output_tokens is None:
            return None
        return (self.all_input_tokens or 0) + (self.output_tokens or 0)


def count(value: object) -> int | None:
    """A number of tokens, ``None`` for what is not one."""
    if value is None or isinstance(value, bool):
        return None
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 16:
        value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, int) and 0 <= value < 2**53 else None


def number(value: object) -> float | None:
    """A number that is not negative, ``None`` for what is not one."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        found = float(value)
    except (ValueError, OverflowError):
        return None
    return found if 0 <= found < float("inf") else None


def words(value: object) -> str | None:
    """A text that is not empty, ``None`` for anything else."""
    return value if isinstance(value, str) and value else None


def parsed(value: object) -> Any:
    """What a text of JSON says; any other value as it is."""
    if not isinstance(value, str) or not value.startswith(("{", "[")) or len(value) > MAX_JSON_LENGTH:
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value


def parsed_mapping(value: object) -> Mapping[str, Any]:
    """What a text of a JSON object says, empty for anything else."""
    found = parsed(value)
    return found if isinstance(found, Mapping) else {}

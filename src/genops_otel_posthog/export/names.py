"""Attributes by which flows, guardrails and product analytics are told on spans, for :mod:`.flows` and the rules.

They stand beside OpenTelemetry's own (``gen_ai.…``), which are used wherever there is one.
"""

from __future__ import annotations

from typing import Final

SCOPE: Final = "genops_otel_posthog.flows"
"""The scope of the spans that :mod:`.flows` opens."""

EXECUTION_ID: Final = "genops.execution.id"
"""The execution of a flow or of an agent that a span belongs to."""
FLOW_ID: Final = "genops.flow.id"
"""The flow that was executed."""
FLOW_TOOLS_USED: Final = "genops.flow.tools_used"
"""The tools that ran in it."""
AGENT_TYPE: Final = "genops.agent.type"
"""The kind of agent."""
AGENT_FRAMEWORK: Final = "genops.agent.framework"
"""The framework it is built with."""
AGENT_MEMORY_BACKEND: Final = "genops.agent.memory_backend"
"""Where it keeps what it remembers."""
AGENT_QUERY: Final = "genops.agent.query"
"""What it was asked. Content."""
AGENT_TOKENS_USED: Final = "genops.agent.tokens_used"
"""Tokens that it spent."""
AGENT_COST: Final = "genops.agent.cost"
"""US dollars that it spent."""
AGENT_ERROR_CODE: Final = "genops.agent.error_code"
"""The application's code for what went wrong."""
AGENT_ERROR_ONLY: Final = "genops.agent.error_only"
"""True on a span that tells an error and not an execution."""
RETRIEVAL_VECTOR_DB: Final = "genops.retrieval.vector_db"
"""The vector database that was searched."""
RETRIEVAL_SOURCES_FOUND: Final = "genops.retrieval.sources_found"
"""How many sources it found."""
GUARDRAIL_SOURCE: Final = "genops.guardrail.source"
"""What blocked a prompt."""
GUARDRAIL_MATCH_SCORE: Final = "genops.guardrail.match_score"
"""How sure it was, 0 to 1."""
GUARDRAIL_REASON: Final = "genops.guardrail.reason"
"""Why it did."""
GUARDRAIL_PROMPT_PREVIEW: Final = "genops.guardrail.prompt_preview"
"""The beginning of the prompt, at most 100 characters. Content."""

INTERACTION_TYPE: Final = "genops.interaction.type"
"""What a user did."""
ANALYTICS_SESSION_ID: Final = "genops.analytics.session_id"
"""The application's session."""
ANALYTICS_EVENT: Final = "genops.analytics.event"
"""``interaction``, ``session_started``, ``session_updated`` or ``cognitive_state_change``."""
ANALYTICS_PREFIX: Final = "genops.analytics."
"""Properties of product analytics; the rest of the name is the property's. Nested values are texts of JSON."""

PREVIEW_LENGTH: Final = 100
"""Most characters of a prompt that are shown."""

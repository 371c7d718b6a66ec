"""The rules that come with the package. Spans that none of them is about are cheaper as traces and stay there."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from genops_otel_posthog.errors import GenOpsValidationError
from genops_otel_posthog.export import names
from genops_otel_posthog.export.rules.agents import AgentEvents
from genops_otel_posthog.export.rules.ai.dialects import MARKERS, Reader
from genops_otel_posthog.export.rules.ai.events import AiEvents
from genops_otel_posthog.export.rules.ai.prices import ModelPrices
from genops_otel_posthog.export.rules.ai.trace_memory import TraceMemory
from genops_otel_posthog.export.rules.analytics import AnalyticsEvents
from genops_otel_posthog.export.rules.exceptions import ExceptionEvents
from genops_otel_posthog.export.rules.flags import SPAN_EVENTS, FlagEvents
from genops_otel_posthog.export.rules.rule import SpanRule, nearest

FAMILIES: Final = ("ai", "agents", "analytics", "errors", "flags")

GUARDRAILS_GATE: Final = "enable_guardrails_tracing"
"""The flag that ``prompt_blocked`` needs."""
RETRIEVAL_GATE: Final = "versioned_rag_tracking"
"""The flag that ``rag_query_triggered`` needs."""


def builtin_rules(
    *,
    families: Iterable[str] = FAMILIES,
    content: bool = False,
    prices: ModelPrices | None = None,
    send_costs: bool = False,
) -> tuple[SpanRule, ...]:
    """The built-in rules, with a memory of their own: make them once per exporter.

    Args:
        families: Which of them, among :data:`FAMILIES`.
        content: Whether prompts, answers, and inputs and outputs of tools become properties.
        prices: Where the price of a model call is looked up, for ``genops_model_cost_usd``.
        send_costs: Whether PostHog is to take that price instead of its own.

    Raises:
        GenOpsValidationError: A family does not exist.
    """
    wanted = frozenset((families,) if isinstance(families, str) else families)
    for family in wanted - set(FAMILIES):
        raise GenOpsValidationError(
            f"families: {family!r} is not one of {', '.join(FAMILIES)}{nearest(family, FAMILIES)}"
        )
    reader, memory = Reader(content), TraceMemory()
    ai = AiEvents(reader, memory, prices, send_costs=send_costs)
    agents = AgentEvents(reader, memory, content=content)
    exceptions, evaluations = ExceptionEvents(), FlagEvents()
    rules = (
        SpanRule("ai.model_call", any_attribute=MARKERS, convert=ai.model_call),
        SpanRule("ai.step", any_attribute=MARKERS, convert=ai.step),
        SpanRule("agents.tool_used", any_attribute=MARKERS, convert=agents.tool_used),
        SpanRule("agents.flow_executed", any_attribute=MARKERS, convert=agents.flow_executed),
        SpanRule("agents.agent_created", any_attribute=MARKERS, convert=agents.agent_created),
        SpanRule("agents.agent_executed", any_attribute=MARKERS, convert=agents.agent_executed),
        SpanRule(
            "agents.rag_query_triggered",
            any_attribute=MARKERS,
            convert=agents.rag_query_triggered,
            gate=RETRIEVAL_GATE,
        ),
        SpanRule(
            "agents.prompt_blocked",
            any_attribute=(names.GUARDRAIL_SOURCE,),
            convert=agents.prompt_blocked,
            gate=GUARDRAILS_GATE,
        ),
        SpanRule("analytics.event", any_attribute=(names.ANALYTICS_EVENT,), convert=AnalyticsEvents().event),
        SpanRule("errors.exception", span_event="exception", convert=exceptions.events),
        SpanRule("flags.recorded", span_event=SPAN_EVENTS, convert=evaluations.recorded),
        SpanRule("flags.span", any_attribute=("feature_flag.key",), convert=evaluations.span),
    )
    return tuple(rule for rule in rules if rule.id.partition(".")[0] in wanted)

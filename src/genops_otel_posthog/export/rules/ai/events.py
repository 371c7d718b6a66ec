"""Model calls as ``$ai_generation`` and ``$ai_embedding``, the steps around them as ``$ai_span`` and ``$ai_trace``.

The schema is https://posthog.com/docs/ai-observability/generations and its neighbours. Three of its traps are minded
here (https://github.com/PostHog/posthog, nodejs/src/ingestion/pipelines/ai/costs):

* PostHog adds up the cost of every ``$ai_…`` event, so only model calls carry tokens and cost, never the agent or the
  workflow around them, however many totals stand on their spans.
* It takes cached tokens to come on top of the input tokens for Claude models, where OpenTelemetry counts them among
  these; ``$ai_cache_reporting_exclusive`` says which it is.
* It adds reasoning tokens to the output of Gemini models, where OpenTelemetry has them in there already;
  ``$ai_text_output_tokens`` keeps them from being paid twice.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

from genops_otel_posthog.export.rules.ai import call as steps
from genops_otel_posthog.export.rules.ai.call import AiCall
from genops_otel_posthog.export.rules.ai.dialects import Reader
from genops_otel_posthog.export.rules.ai.prices import ModelPrices
from genops_otel_posthog.export.rules.ai.rates import Price
from genops_otel_posthog.export.rules.ai.trace_memory import TraceMemory
from genops_otel_posthog.export.rules.rule import EventDraft, Skip, about
from genops_otel_posthog.export.text import text

if TYPE_CHECKING:
    from genops_otel_posthog.export.rules.view import SpanView

_NOT_IN_ID: Final = re.compile(r"[^A-Za-z0-9\-_~.@()!':|]")
_REASONING_IS_ADDED: Final = re.compile(r"(?:^|/)gemini-(?:2\.5|3(?:\.\d+)?)-", re.IGNORECASE)
_PENDING: Final = "pending_span"
_TELLS_TWICE: Final = "the same model call is told by another span"


class AiEvents:
    """Makes the ``$ai_…`` event of a span.

    Args:
        reader: Reads the call off the span.
        memory: What other spans have told.
        prices: Where the price of a call is looked up; ``None`` for nowhere.
        send_costs: Whether that price goes to PostHog as the cost of the call. Otherwise PostHog prices it, and the
            price is a property of this package alone.
    """

    def __init__(
        self, reader: Reader, memory: TraceMemory, prices: ModelPrices | None = None, *, send_costs: bool = False
    ) -> None:
        self._reader = reader
        self._memory = memory
        self._prices = prices
        self._send_costs = send_costs

    @about(steps.GENERATION, steps.EMBEDDING)
    def model_call(self, span: SpanView) -> Iterable[EventDraft] | Skip | None:
        """The event of a model call."""
        ai = self._reader.read(span)
        if ai is None or ai.step not in (steps.GENERATION, steps.EMBEDDING):
            return None
        if span.attributes.get("logfire.span_type") == _PENDING:
            return Skip("it stands in for a span that has not ended yet")
        if ai.answer_follows:
            return Skip("the answer is told by a span of its own")
        if self._memory.told_before(span, ai):
            return Skip(_TELLS_TWICE)
        price = self._prices.price(ai, span.start) if self._prices is not None else None
        cost = _cost(ai, price)
        self._memory.spent(span.trace_number, ai.tokens or 0, None if cost is None else float(cost))
        properties = _ids(span, ai)
        _add_call(properties, span, ai)
        _add_tokens(properties, ai)
        if cost is not None:
            properties["genops_model_cost_usd"] = float(cost)
            properties["genops_model_cost_source"] = "span" if ai.cost is not None else "genai-prices"
        # PostHog takes the two only where neither is 0; with one of them it would price the call on its own.
        if self._send_costs and price is not None and price.input and price.output:
            properties["$ai_input_cost_usd"] = price.input
            properties["$ai_output_cost_usd"] = price.output
        if ai.tools is not None:
            properties["$ai_tools"] = ai.tools
        if ai.input is not None:
            properties["$ai_input"] = ai.input
        if ai.output is not None:
            properties["$ai_output_choices"] = ai.output
        name = "$ai_generation" if ai.step == steps.GENERATION else "$ai_embedding"
        time = span.start if ai.seconds is None else span.end - int(ai.seconds * 1_000_000_000)
        return [EventDraft(name, properties, time=time, model_cost=cost)]

    @about(*steps.STEPS - {steps.GENERATION, steps.EMBEDDING})
    def step(self, span: SpanView) -> Iterable[EventDraft] | Skip | None:
        """The event of a step that is not a model call: ``$ai_trace`` for the root, ``$ai_span`` below it."""
        ai = self._reader.read(span)
        if ai is None or ai.step in (steps.GENERATION, steps.EMBEDDING):
            return None
        if span.attributes.get("logfire.span_type") == _PENDING:
            return Skip("it stands in for a span that has not ended yet")
        properties = _ids(span, ai)
        properties["$ai_latency"] = span.seconds
        _add_error(properties, span)
        if ai.provider is not None:
            properties["$ai_provider"] = ai.provider
        for name, value in (("$ai_input_state", ai.input_state), ("$ai_output_state", ai.output_state)):
            if value is not None:
                properties[name] = value
        name = "$ai_span" if span.parent_id is not None else "$ai_trace"
        return [EventDraft(name, properties, time=span.start, importance="low")]


def _ids(span: SpanView, ai: AiCall) -> dict[str, Any]:
    properties: dict[str, Any] = {"$ai_trace_id": span.trace_id, "$ai_span_id": span.span_id}
    if span.parent_id is not None:
        properties["$ai_parent_id"] = span.parent_id
    if ai.session_id is not None and ai.session_id != "":
        properties["$ai_session_id"] = _NOT_IN_ID.sub("-", text(ai.session_id))
    properties["$ai_span_name"] = ai.name or span.name
    properties["$ai_lib"] = f"opentelemetry/{span.scope}" if span.scope else "opentelemetry"
    return properties


def _add_call(properties: dict[str, Any], span: SpanView, ai: AiCall) -> None:
    parameters = ai.parameters
    if ai.model is not None:
        properties["$ai_model"] = unquote(ai.model) if "%" in ai.model else ai.model
    if ai.provider is not None:
        properties["$ai_provider"] = ai.provider
    properties["$ai_latency"] = span.seconds if ai.seconds is None else ai.seconds
    if ai.first_token_seconds is not None:
        properties["$ai_time_to_first_token"] = ai.first_token_seconds
    status = span.http_status()
    if status is not None:
        properties["$ai_http_status"] = status
    if ai.base_url is not None:
        properties["$ai_base_url"] = ai.base_url
    if ai.request_url is not None:
        properties["$ai_request_url"] = ai.request_url
    if ai.stop_reason is not None:
        properties["$ai_stop_reason"] = ai.stop_reason
    if ai.streamed is not None:
        properties["$ai_stream"] = ai.streamed
    if parameters:
        temperature = parameters.get("temperature")
        if temperature is not None:
            properties["$ai_temperature"] = temperature
        most = parameters.get("max_tokens", parameters.get("max_completion_tokens"))
        if most is not None:
            properties["$ai_max_tokens"] = most
        properties["$ai_model_parameters"] = parameters
    _add_error(properties, span)


def _add_error(properties: dict[str, Any], span: SpanView) -> None:
    if span.is_error:
        properties["$ai_is_error"] = True
        properties["$ai_error"] = span.error_message()


def _add_tokens(properties: dict[str, Any], ai: AiCall) -> None:
    if ai.input_tokens is not None:
        properties["$ai_input_tokens"] = ai.input_tokens
    if ai.output_tokens is not None and ai.step == steps.GENERATION:
        properties["$ai_output_tokens"] = ai.output_tokens
    if ai.cache_read_tokens is not None:
        properties["$ai_cache_read_input_tokens"] = ai.cache_read_tokens
    if ai.cache_write_tokens is not None:
        properties["$ai_cache_creation_input_tokens"] = ai.cache_write_tokens
    if ai.cache_write_5m_tokens is not None:
        properties["$ai_cache_creation_5m_input_tokens"] = ai.cache_write_5m_tokens
    if ai.cache_write_1h_tokens is not None:
        properties["$ai_cache_creation_1h_input_tokens"] = ai.cache_write_1h_tokens
    if ai.reasoning_tokens is not None:
        properties["$ai_reasoning_tokens"] = ai.reasoning_tokens
    if ai.input_tokens is not None:
        properties["$ai_cache_reporting_exclusive"] = ai.input_excludes_cache
    if not ai.reasoning_tokens or ai.model is None or _REASONING_IS_ADDED.search(ai.model) is None:
        return
    if ai.output_tokens is not None and ai.output_tokens >= ai.reasoning_tokens:
        properties["$ai_text_output_tokens"] = ai.output_tokens - ai.reasoning_tokens


def _cost(ai: AiCall, price: Price | None) -> Decimal | None:
    """What the instrumentation says first: it may know a price of one's own."""
    if ai.cost is not None:
        return Decimal(repr(ai.cost))
    return None if price is None else price.total


def totals_on(attributes: Mapping[str, Any]) -> int | None:
    """The tokens that an agent's own span adds up, ``None`` where it does not."""
    sums = [
        steps.count(attributes.get(name))
        for prefix in ("gen_ai.aggregated_usage", "gen_ai.usage")
        for name in (f"{prefix}.input_tokens", f"{prefix}.output_tokens")
    ]
    first = sums[:2] if sums[0] is not None or sums[1] is not None else sums[2:]
    known = [value for value in first if value is not None]
    return sum(known) if known else None

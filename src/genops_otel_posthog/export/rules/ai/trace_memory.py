"""What the spans of a trace that have ended say to those that end after them.

A span ends after the spans inside it. That lets a flow name the tools that ran in it and an agent the tokens it spent,
and lets a call that two instrumentations tell (one inside the other, or side by side) be counted once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from genops_otel_posthog.export.rules.ai.call import AiCall
from genops_otel_posthog.export.rules.recent import Recent

if TYPE_CHECKING:
    from genops_otel_posthog.export.rules.view import SpanView

_MAX_TOOLS = 100
_A_MOMENT = 5_000_000_000  # nanoseconds


class TraceMemory:
    """Bounded and without locks; what is forgotten is at worst told twice, or not named."""

    def __init__(self) -> None:
        self._answers: Recent[str, int] = Recent(4_096)
        self._calls_inside: Recent[tuple[int, str], tuple[str | None, int]] = Recent(4_096)
        self._usages: Recent[tuple[object, ...], tuple[str, int]] = Recent(4_096)
        self._tools: Recent[int, tuple[str, ...]] = Recent()
        self._spent: Recent[int, tuple[int, float | None]] = Recent()

    def told_before(self, span: SpanView, ai: AiCall) -> bool:
        """Whether another span has told this model call already; if not, remembers that this one does.

        The same answer id says so, or, where the provider refused and there is no answer, a call for the same model
        in a span directly inside this one. A span that brings the answer of a stream alone has neither; there the same
        model and counts of tokens, told by another instrumentation a moment ago, say so.
        """
        usage = (ai.model, ai.input_tokens, ai.output_tokens, ai.cache_read_tokens, ai.cache_write_tokens)
        if ai.answer_alone:
            like = self._usages.get(usage)
            if like is not None and like[0] != span.scope and abs(like[1] - span.end) < _A_MOMENT:
                return True
        if ai.response_id is not None:
            teller = self._answers.get(ai.response_id)
            if teller is not None and teller != span.span_number:
                return True
        inside = self._calls_inside.get((span.trace_number, span.span_id))
        if inside is not None and inside[1] != span.span_number and _same_model(inside[0], ai.model):
            return True
        if ai.output_tokens is not None:
            self._usages.put(usage, (span.scope, span.end))
        if ai.response_id is not None:
            self._answers.put(ai.response_id, span.span_number)
        if span.parent_id is not None:
            self._calls_inside.put((span.trace_number, span.parent_id), (ai.model, span.span_number))
        return False

    def used_tool(self, trace: int, tool: str) -> None:
        """Remembers a tool."""
        known = self._tools.get(trace) or ()
        if tool not in known and len(known) < _MAX_TOOLS:
            self._tools.put(trace, (*known, tool))

    def take_tools(self, trace: int) -> list[str]:
        """The tools since this was asked last, in the order they were used first."""
        return list(self._tools.pop(trace) or ())

    def spent(self, trace: int, tokens: int, cost: float | None) -> None:
        """Remembers what a model call took."""
        before, cost_before = self._spent.get(trace) or (0, None)
        total = cost_before if cost is None else (cost_before or 0) + cost
        self._spent.put(trace, (before + tokens, total))

    def take_spent(self, trace: int) -> tuple[int | None, float | None]:
        """Tokens and US dollars since this was asked last, ``None`` for what is not known."""
        return self._spent.pop(trace) or (None, None)


def _same_model(one: str | None, other: str | None) -> bool:
    if one is None or other is None:
        return True
    return one == other or one.startswith(other) or other.startswith(one)

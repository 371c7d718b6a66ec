"""Which dialect a span is written in, and what it says in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from genops_otel_posthog.export.rules.ai import openinference, semconv, semconv_names, traceloop, vercel
from genops_otel_posthog.export.rules.ai.call import AiCall
from genops_otel_posthog.export.shapes import Names

if TYPE_CHECKING:
    from genops_otel_posthog.export.rules.view import SpanView

# The conventions come last: the others use some of their names beside their own.
_DIALECTS: Final = (
    (Names(*openinference.MARKERS), openinference.read),
    (Names(*vercel.MARKERS), vercel.read),
    (Names(*traceloop.MARKERS), traceloop.read),
    (Names(*semconv_names.MARKERS), semconv.read),
)

#: Attributes of which one at least stands on every span about an AI call.
MARKERS: Final = tuple(name for markers, _ in _DIALECTS for name in markers.names)


class Reader:
    """Reads AI calls off spans; the last one read is kept, because several rules ask for the same span.

    Args:
        content: Whether prompts and answers are read.
    """

    def __init__(self, content: bool) -> None:
        self._content = content
        self._last: tuple[SpanView | None, AiCall | None] = (None, None)

    def read(self, span: SpanView) -> AiCall | None:
        """What the span says of an AI call, ``None`` when it says nothing."""
        known, ai = self._last
        if known is span:
            return ai
        ai = None
        for markers, read in _DIALECTS:
            there = span.shape.among(markers)
            if there and (span.attributes[there[0]] is not None or span.first(*there) is not None):
                ai = read(span, self._content)
                break
        self._last = (span, ai)
        span.step = "" if ai is None else ai.step
        return ai

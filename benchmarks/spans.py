"""The spans that become events: of an order and of a model call, 15 attributes each, small and of 4 KB.

Both have a rule: the order's is a template, as people write it into a file; the model call's is built in.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import count
from typing import Any, Final

from opentelemetry.trace import SpanKind

from genops_otel_posthog import SpanRule
from genops_otel_posthog.export.rules import EventTemplate

Attributes = Mapping[str, Any]

MARK: Final = "ai.assistant"
"""Name of every span, and once in every event made of it, so that the sink can count what arrives. PostHog's own
exporter takes spans whose name, or the name of an attribute, begins with ``ai.``."""

_numbers = count()

_WORDS = "The customer asks for the parcel that should have come on Tuesday, and would like to know what became of it. "
_PROMPT = (_WORDS * 30)[:3_000]
_ANSWER = (_WORDS * 10)[:1_000]


@dataclass(frozen=True)
class Work:
    """A kind of span.

    Attributes:
        kind: OpenTelemetry's kind.
        attributes: Its attributes.
        unique: The attribute that no two spans share: an answer that was told before is no second event.
    """

    kind: SpanKind
    attributes: Attributes
    unique: str

    def next_attributes(self) -> Callable[[], dict[str, Any]]:
        """A function that gives the attributes of one span after the other."""
        attributes, unique = self.attributes, self.unique
        begins = attributes[unique]
        return lambda: {**attributes, unique: f"{begins}{next(_numbers)}"}


_ORDER: Attributes = {
    "http.request.method": "POST",
    "http.route": "/checkout/{cart}",
    "http.response.status_code": 200,
    "url.scheme": "https",
    "url.path": "/checkout/8d1f",
    "server.address": "shop.example",
    "server.port": 443,
    "user_agent.original": "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
    "user.id": "user-00042",
    "cart.id": "cart_8d1f52c09a",
    "cart.total": 49.99,
    "cart.currency": "EUR",
    "cart.items": 3,
    "cart.first_order": False,
    "cart.coupon": "AUTUMN26",
}
_LONG_ORDER: Attributes = {**_ORDER, "cart.first_order": _PROMPT, "cart.coupon": _ANSWER}

_CALL: Attributes = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt-4o-mini",
    "gen_ai.response.model": "gpt-4o-mini-2024-07-18",
    "gen_ai.response.id": "chatcmpl-CqPdSbkzTS5bMOYnBIXStREyNLzGZ",
    "gen_ai.response.finish_reasons": ("stop",),
    "gen_ai.request.temperature": 0.2,
    "gen_ai.request.max_tokens": 512,
    "gen_ai.request.top_p": 0.9,
    "gen_ai.usage.input_tokens": 742,
    "gen_ai.usage.output_tokens": 189,
    "gen_ai.conversation.id": "conv_5j66UpCpwteGg4YSxUnt7lPY",
    "server.address": "api.openai.example",
    "server.port": 443,
    "user.id": "user-00042",
}
_LONG_CALL: Attributes = {
    **{name: value for name, value in _CALL.items() if name not in ("server.address", "server.port")},
    "gen_ai.input.messages": json.dumps([{"role": "user", "parts": [{"type": "text", "content": _PROMPT}]}]),
    "gen_ai.output.messages": json.dumps(
        [{"role": "assistant", "parts": [{"type": "text", "content": _ANSWER}], "finish_reason": "stop"}]
    ),
}

WORK: Final[Mapping[str, Work]] = {
    "order": Work(SpanKind.SERVER, _ORDER, "cart.id"),
    "order, 4 KB": Work(SpanKind.SERVER, _LONG_ORDER, "cart.id"),
    "model call": Work(SpanKind.CLIENT, _CALL, "gen_ai.response.id"),
    "model call, 4 KB": Work(SpanKind.CLIENT, _LONG_CALL, "gen_ai.response.id"),
}
"""The spans by name."""

ORDER_RULE: Final = SpanRule(
    "checkout",
    span_name=MARK,
    kind="server",
    attributes={"http.response.status_code": 200},
    events=[
        EventTemplate(
            "checkout_completed",
            distinct_id=["user.id"],
            properties={
                "span_name": "span.name",
                "took_ms": "span.duration_ms",
                "amount": "cart.total",
                "currency": "cart.currency",
            },
            constants={"source": "trace"},
            copy=["http.", "url.", "server.", "user_agent.", "cart."],
        )
    ],
    final=True,
)
"""What makes an event of an order."""

"""One call to PostHog, from the moment the application makes it until its span ends.

The public method of the SDK opens the call; the SDK's narrow waists (see ``waists.py``) write into it what really
happened: events that were taken, flag requests that were made, what they cost. It ends exactly once. The span is
created then, with every attribute known, so that a sampler sees the cost and the span's kind is the true one; its
start time is that of the call. It is never current, because a current span changes what the SDK sends.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar, Token
from time import time_ns
from typing import Any

from opentelemetry.context import Context

from genops_otel_posthog.attribution import Attribution
from genops_otel_posthog.pricing.pricer import Price


class PostHogCall:
    """What is known about one call. Fields are written by the waists and read when the span is made.

    Attributes:
        operation: ``posthog.operation.name``.
        target: What the call is about: the event's name, the flag's key, or ``None``.
        owner: Whose call it is.
        context: The OpenTelemetry context the call was made in; the parent of its span.
        started_ns: Start, nanoseconds since the epoch.
        events: Events that the SDK took.
        event: Name of the first of them.
        event_uuid: Its uuid.
        identified: Whether it is billed as identified.
        distinct_id: Its distinct id.
        flag_requests: Remote flag requests made.
        definition_polls: Downloads of flag definitions that brought new definitions.
        quota_limited: Whether PostHog refused a flag request for quota.
        touched_network: Whether the call waited for PostHog.
        amount_nano: Marginal cost so far, nano-USD.
        list_nano: The same at list price.
        meter: The meter that the call is mainly counted by.
        units: Units so far, by meter.
        closed: Whether the call has ended. Tasks that the SDK started during the call go on seeing it in their context.
    """

    __slots__ = (
        "amount_nano",
        "closed",
        "context",
        "definition_polls",
        "distinct_id",
        "event",
        "event_uuid",
        "events",
        "flag_requests",
        "identified",
        "list_nano",
        "meter",
        "operation",
        "owner",
        "quota_limited",
        "started_ns",
        "target",
        "touched_network",
        "units",
    )

    def __init__(self, operation: str, target: str | None, owner: Attribution, context: Context) -> None:
        self.operation = operation
        self.target = target
        self.owner = owner
        self.context = context
        self.events = 0
        self.event: str | None = None
        self.event_uuid: str | None = None
        self.identified = False
        self.distinct_id: str | None = None
        self.flag_requests = 0
        self.definition_polls = 0
        self.quota_limited = False
        self.touched_network = False
        self.amount_nano = 0
        self.list_nano = 0
        self.meter: str | None = None
        self.units: dict[str, int] = {}
        self.closed = False
        self.started_ns = time_ns()

    def add_price(self, price: Price) -> None:
        """Adds what one unit of work cost."""
        self.amount_nano += price.amount_nano
        self.list_nano += price.list_nano
        if price.meter is not None:
            self.units[price.meter] = self.units.get(price.meter, 0) + price.units
            if self.meter is None:
                self.meter = price.meter

    def add_event(self, message: Mapping[str, Any], identified: bool, price: Price) -> None:
        """Adds an event that the SDK took."""
        if not self.events:
            self.event = message["event"]
            self.event_uuid = message["uuid"]
            self.distinct_id = message["distinct_id"]
            self.identified = identified
            self.meter = price.meter or self.meter  # an event is what it is, even if it asked for flags first
        self.events += 1
        self.add_price(price)


_current: ContextVar[PostHogCall | None] = ContextVar("genops_posthog_call", default=None)


def current_call() -> PostHogCall | None:
    """The call that is under way in this context, if any."""
    call = _current.get()
    return None if call is None or call.closed else call


def enter_call(call: PostHogCall) -> Token[PostHogCall | None]:
    """Makes ``call`` the current one until :func:`leave_call`."""
    return _current.set(call)


def leave_call(call: PostHogCall, token: Token[PostHogCall | None]) -> None:
    """Ends the call's time as the current one."""
    call.closed = True
    _current.reset(token)

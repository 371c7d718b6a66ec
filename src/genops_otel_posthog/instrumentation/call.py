"""One call to PostHog, from the moment the application makes it until its span ends.

The public method of the SDK opens the call; the SDK's narrow waists (see ``waists.py``) write into it what really
happened: events that were taken, flag requests that were made, what they cost. It ends exactly once. The span is
created then, with every attribute known, so that a sampler sees the cost and the span's kind is the true one; its start
time is that of the call. It is never current, because a current span changes what the SDK sends.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextvars import ContextVar
from time import time_ns
from typing import TYPE_CHECKING, Any, TypeAlias

from opentelemetry.context import _SUPPRESS_INSTRUMENTATION_KEY, Context, create_key, get_current, set_value
from opentelemetry.trace import Span

from genops_otel_posthog.attribution import Attribution
from genops_otel_posthog.budgets.decision import Reservation
from genops_otel_posthog.instrumentation.enforcement import Decision
from genops_otel_posthog.instrumentation.operations import Operation
from genops_otel_posthog.instrumentation.patches import Switch
from genops_otel_posthog.pricing.billing import Charge
from genops_otel_posthog.pricing.pricer import Price

if TYPE_CHECKING:
    from genops_otel_posthog.instrumentation.telemetry import Telemetry

_OLD_SUPPRESSION_KEY = "suppress_instrumentation"  # of older OpenTelemetry versions, still honoured by today's


class PostHogCall:
    """What is known about one call. Fields are written by the waists and read when the span is made.

    Attributes:
        telemetry: Who prices, counts and shows it.
        operation: What was asked for.
        owner: Whose call it is; ``None`` until :meth:`Telemetry.owner_of` is asked.
        context: The OpenTelemetry context the call was made in; the parent of its span.
        started_ns: Start, nanoseconds since the epoch.
        span: Its span, once it has one.
        sent: Properties of its event, once governance has added its own; ``None`` where it adds none.
        events: Events that the SDK took.
        event: Name of the first of them; like the next four set together with it.
        event_uuid: Its uuid.
        event_time: Its timestamp, ISO 8601.
        identified: Whether it is billed as identified.
        distinct_id: Its distinct id.
        flag_requests: Remote flag requests made.
        definition_polls: Downloads of flag definitions that brought new definitions.
        unanswered: Name of the error of a flag request that brought no answer.
        quota_limited: Whether PostHog refused a flag request for quota.
        touched_network: Whether the call waited for PostHog.
        amount_nano: Marginal cost so far, nano-USD.
        list_nano: The same at list price.
        meter: The meter that the call is mainly counted by.
        units: Units of that meter so far.
        uncleaned: The event that the SDK is about to clean, with its charges; it gets its properties after that.
        decision: What budgets said, where they were asked.
        reserved: What is set aside for an event that the SDK has prepared and not taken yet.
        always: Whether no sampling may leave its event out.
        closed: Whether the call has ended. Tasks that the SDK started during the call go on seeing it in their context.
    """

    __slots__ = (
        "always",
        "amount_nano",
        "closed",
        "context",
        "decision",
        "definition_polls",
        "distinct_id",
        "event",
        "event_time",
        "event_uuid",
        "events",
        "flag_requests",
        "identified",
        "list_nano",
        "meter",
        "operation",
        "owner",
        "quota_limited",
        "reserved",
        "sent",
        "span",
        "started_ns",
        "telemetry",
        "touched_network",
        "unanswered",
        "uncleaned",
        "units",
    )

    event: str
    event_uuid: str
    event_time: str
    identified: bool
    distinct_id: str

    def __init__(self, telemetry: Telemetry, operation: Operation, owner: Attribution | None, context: Context) -> None:
        self.telemetry = telemetry
        self.operation = operation
        self.owner = owner
        self.context = context
        self.events = self.flag_requests = self.definition_polls = 0
        self.quota_limited = self.touched_network = self.closed = self.always = False
        self.amount_nano = self.list_nano = self.units = 0
        self.meter: str | None = None
        self.unanswered: str | None = None
        self.span: Span | None = None
        self.sent: dict[str, Any] | None = None
        self.uncleaned: tuple[Any, tuple[Charge, ...]] | None = None
        self.decision: Decision | None = None
        self.reserved: Reservation | None = None
        self.started_ns = time_ns()

    def add_price(self, price: Price) -> None:
        """Adds what one unit of work cost."""
        self.amount_nano += price.amount_nano
        self.list_nano += price.list_nano
        if self.meter is None:
            self.meter = price.meter
            self.units = price.units
        elif self.meter == price.meter:
            self.units += price.units

    def add_event(self, message: Mapping[str, Any], identified: bool, price: Price) -> None:
        """Adds an event that the SDK took."""
        self.events += 1
        if self.events > 1:
            self.add_price(price)
            return
        self.event = str(message["event"])
        self.event_uuid = message["uuid"]
        self.event_time = message["timestamp"]
        self.distinct_id = message["distinct_id"]
        self.identified = identified
        self.amount_nano += price.amount_nano
        self.list_nano += price.list_nano
        if price.meter is not None:  # an event is counted as an event, even if it asked for flags first
            self.meter = price.meter
            self.units = price.units


#: The call that was opened last in this context; it may have ended since, see :attr:`PostHogCall.closed`.
latest_call: ContextVar[PostHogCall | None] = ContextVar("genops_posthog_call", default=None)


def context_to_observe(switch: Switch) -> Context | None:
    """The current OpenTelemetry context, ``None`` where a call made in it is not to be observed.

    It is not inside another call, where instrumentation is suppressed, and once ours is switched off.
    ``opentelemetry.instrumentation.utils.is_instrumentation_enabled`` asks the second question too, but looks up the
    current context anew for each of two keys: in the way of every call that is seven function calls instead of two.
    """
    outer = latest_call.get()
    if (outer is not None and not outer.closed) or not switch.on:
        return None
    context = get_current()
    return None if context.get(_SUPPRESS_INSTRUMENTATION_KEY) or context.get(_OLD_SUPPRESSION_KEY) else context


def current_call() -> PostHogCall | None:
    """The call that is under way in this context, if any."""
    call = latest_call.get()
    return None if call is None or call.closed else call


#: Told of every call that ends in a context, whoever made it. It must not raise.
Onlooker: TypeAlias = Callable[[PostHogCall], None]

_ONLOOKER_KEY = create_key("genops-posthog-onlooker")


def with_onlooker(context: Context, onlooker: Onlooker) -> Context:
    """A context like the given one, of whose calls somebody is told."""
    return set_value(_ONLOOKER_KEY, onlooker, context)


def onlooker_in(context: Context) -> Onlooker | None:
    """Who is told of the calls of a context, the innermost; ``None`` where nobody is."""
    return context.get(_ONLOOKER_KEY)  # type: ignore[return-value]  # nobody else can write under this key

"""A governance session: a piece of work whose PostHog calls have one owner, one span above them and one sum."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from datetime import datetime, timezone
from decimal import Decimal
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

from opentelemetry.context import Context, create_key, get_current, set_value
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer, set_span_in_context
from typing_extensions import Self

from genops_otel_posthog import semconv
from genops_otel_posthog.adapter.session_calls import SessionCalls
from genops_otel_posthog.adapter.session_spending import SessionSpending
from genops_otel_posthog.attribution import Attribution, context_owned_by
from genops_otel_posthog.attribution.entered import enter, leave
from genops_otel_posthog.errors import GenOpsValidationError
from genops_otel_posthog.instrumentation.call import Onlooker, PostHogCall, onlooker_in, with_onlooker
from genops_otel_posthog.instrumentation.enforcement import Withheld
from genops_otel_posthog.money import NANO_PER_USD
from genops_otel_posthog.pricing.meters import LLM_EVENTS, RECORDINGS

if TYPE_CHECKING:
    from genops_otel_posthog.adapter.adapter import GenOpsPostHogAdapter

_SESSION_KEY: Final = create_key("genops-analytics-session")


class PostHogAnalyticsSession(
    SessionCalls,
    AbstractContextManager["PostHogAnalyticsSession"],
    AbstractAsyncContextManager["PostHogAnalyticsSession"],
):
    """See the module. Made by :meth:`GenOpsPostHogAdapter.track_analytics_session`.

    Used with ``with`` or ``async with``, or by calling ``__enter__`` and ``__exit__``, from different threads too.
    Inside, everything that calls PostHog in the same context is the session's: calls of the adapter, of other adapters,
    and instrumented calls of the application. The adapter's own calls join from anywhere by ``session_id=``.

    Attributes:
        session_id: Names it; a random UUID, known before it begins.
        session_name: What it is for.
        start_time: When it began, UTC; ``None`` before.
        end_time: When it ended, UTC; ``None`` before.
        governance_attributes: What else was given, as tags on every span and event of the session.
        budget_limit: What it may spend, with sessions inside it, US dollars; ``None`` for no limit of its own. It
            refuses calls of adapters; other calls of the session are counted.
        spending: What it has spent of that.
    """

    def __init__(
        self,
        adapter: GenOpsPostHogAdapter,
        session_name: str,
        named: Attribution,
        owner: Attribution,
        governance_attributes: Mapping[str, Any],
        budget_limit: Decimal | None,
        tracer: Tracer,
    ) -> None:
        self.session_id = str(uuid4())
        self.session_name = session_name
        self.start_time: datetime | None = None
        self.end_time: datetime | None = None
        self.governance_attributes = dict(governance_attributes)
        self.budget_limit = budget_limit
        self.named = named.in_session(self.session_id)
        self._owner = owner.in_session(self.session_id)
        self._adapter = adapter
        self._tracer = tracer
        self.spending = SessionSpending(self.session_id, session_name, budget_limit)
        self._span: Span | None = None
        self._outer: Onlooker | None = None
        self._is_entered = False
        self._events = self._flags = self._recordings = self._llm_events = self._conversions = 0
        self._conversion_value = Decimal(0)

    # --- whose and how much -----------------------------------------------------------------------------------------

    @property
    def team(self) -> str | None:
        """The team that answers for it."""
        return self._owner.team

    @property
    def project(self) -> str | None:
        """The project."""
        return self._owner.project

    @property
    def environment(self) -> str | None:
        """The deployment environment."""
        return self._owner.environment

    @property
    def customer_id(self) -> str | None:
        """The customer it is for."""
        return self._owner.customer_id

    @property
    def cost_center(self) -> str | None:
        """The cost centre that is charged."""
        return self._owner.cost_center

    @property
    def events_captured(self) -> int:
        """Events that were taken."""
        return self._events

    @property
    def flags_evaluated(self) -> int:
        """Flags that were read, wherever they were answered."""
        return self._flags

    @property
    def recordings_created(self) -> int:
        """Session recordings."""
        return self._recordings

    @property
    def llm_events_tracked(self) -> int:
        """Those of the events that PostHog bills as events of language models."""
        return self._llm_events

    @property
    def conversions(self) -> int:
        """Conversions that were recorded."""
        return self._conversions

    @property
    def conversion_value(self) -> Decimal:
        """What these were worth together, in the currency of the application."""
        return self._conversion_value

    @property
    def total_cost(self) -> float:
        """What its calls have cost so far, US dollars: the sum of their costs."""
        return self.spending.spent_nano / NANO_PER_USD

    @property
    def cost_per_event(self) -> float:
        """What an event has cost on average, with everything else that was paid for; 0 without events."""
        return self.total_cost / self._events if self._events else 0.0

    @property
    def is_active(self) -> bool:
        """Whether it has begun and not ended."""
        return self.start_time is not None and self.end_time is None

    # --- beginning and ending ---------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        """Begins it.

        Raises:
            GenOpsValidationError: It has begun before.
        """
        outer = get_current()
        self._begin(outer)
        enter(self, outer, self.context_in(outer))
        self._is_entered = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Ends it. Doing so again does nothing."""
        if self._is_entered:
            self._is_entered = False
            leave(self)
        self._end(error)

    async def __aenter__(self) -> Self:
        """Begins it, as in :meth:`__enter__`."""
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Ends it, as in :meth:`__exit__`."""
        self.__exit__(kind, error, traceback)

    def finalize_session(self) -> dict[str, Any]:
        """Ends it, if it has not ended, and tells what it was.

        Returns:
            JSON-ready values under the names of the attributes, and ``duration_seconds``.
        """
        self.__exit__(None, None, None)
        return self.summary()

    def is_of(self, adapter: GenOpsPostHogAdapter) -> bool:
        """Whether an adapter, or one with the same options, has made it."""
        return self._adapter.governed is adapter.governed

    def summary(self) -> dict[str, Any]:
        """What it has been so far; see :meth:`finalize_session`."""
        start, end = self.start_time, self.end_time
        until = end or datetime.now(timezone.utc)
        return {
            "session_id": self.session_id,
            "session_name": self.session_name,
            "start_time": start and start.isoformat(),
            "end_time": end and end.isoformat(),
            "duration_seconds": (until - start).total_seconds() if start else 0.0,
            "team": self.team,
            "project": self.project,
            "environment": self.environment,
            "customer_id": self.customer_id,
            "cost_center": self.cost_center,
            "events_captured": self.events_captured,
            "flags_evaluated": self.flags_evaluated,
            "recordings_created": self.recordings_created,
            "llm_events_tracked": self.llm_events_tracked,
            "conversions": self.conversions,
            "conversion_value": float(self.conversion_value),
            "total_cost": self.total_cost,
            "cost_per_event": self.cost_per_event,
            "governance_attributes": {key: str(value) for key, value in self.governance_attributes.items()},
        }

    def _begin(self, outer: Context) -> None:
        with self.spending.lock:
            if self.start_time is not None:
                raise GenOpsValidationError(
                    f"session {self.session_name!r} has begun already; make a new one with track_analytics_session()"
                )
            self.start_time = datetime.now(timezone.utc)
        self._outer = onlooker_in(outer)
        around = session_in(outer)
        self.spending.around = None if around is None else around.spending
        attributes = {
            **self._owner.span_attributes(),
            semconv.GENOPS_SESSION_ID: self.session_id,
            semconv.GENOPS_SESSION_NAME: self.session_name,
        }
        self._span = self._tracer.start_span(
            f"session {self.session_name}", context=outer, kind=SpanKind.INTERNAL, attributes=attributes
        )

    def _end(self, error: BaseException | None) -> None:
        with self.spending.lock:
            if self.end_time is not None:
                return
            self.end_time = datetime.now(timezone.utc)
        span = self._span
        if span is None:
            return
        span.set_attribute(semconv.GENOPS_SESSION_COST, self.total_cost)
        for name, count in (
            (semconv.GENOPS_SESSION_EVENTS, self._events),
            (semconv.GENOPS_SESSION_FLAGS, self._flags),
            (semconv.GENOPS_SESSION_RECORDINGS, self._recordings),
            (semconv.GENOPS_SESSION_LLM_EVENTS, self._llm_events),
        ):
            if count:
                span.set_attribute(name, count)
        if error is not None and not isinstance(error, GeneratorExit):
            # The type alone, as for calls: messages may say something about people.
            kind = type(error).__qualname__
            span.set_attribute(semconv.ERROR_TYPE, kind)
            span.set_status(Status(StatusCode.ERROR, kind))
        span.end()

    # --- for the adapter --------------------------------------------------------------------------------------------

    def context_in(self, surrounding: Context) -> Context:
        """The context of a call of this session that is made somewhere else.

        Args:
            surrounding: The context there.
        """
        if session_in(surrounding) is self:
            return surrounding
        context = context_owned_by(self.named, surrounding)
        if self._span is not None:
            context = set_span_in_context(self._span, context)
        return set_value(_SESSION_KEY, self, with_onlooker(context, self._note))

    def _note(self, call: PostHogCall) -> None:
        operation = call.operation
        with self.spending.lock:
            self.spending.spent_nano += call.amount_nano
            if operation.reads_flags:
                self._flags += not isinstance(call.decision, Withheld)  # such a one was not read at all
            elif operation.sends_event:
                self._events += call.events
                self._llm_events += bool(call.events) and call.meter == LLM_EVENTS
            elif call.meter == RECORDINGS:
                self._recordings += call.units
        if self._outer is not None:
            self._outer(call)


def session_in(context: Context) -> PostHogAnalyticsSession | None:
    """The innermost session of a context."""
    return context.get(_SESSION_KEY)  # type: ignore[return-value]  # nobody else can write under this key

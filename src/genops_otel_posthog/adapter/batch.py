"""Events that are gathered and captured together, with the time at which each happened."""

from __future__ import annotations

import atexit
import logging
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypedDict

from opentelemetry.context import Context, attach, detach, get_current
from typing_extensions import Self

from genops_otel_posthog.adapter import arguments
from genops_otel_posthog.adapter.moments import Moment, moment_utc
from genops_otel_posthog.errors import (
    GenOpsBudgetExceededError,
    GenOpsConfigurationError,
    GenOpsProviderError,
)
from genops_otel_posthog.forks import start_over_after_fork
from genops_otel_posthog.instrumentation.call import PostHogCall, onlooker_in, with_onlooker

if TYPE_CHECKING:
    from genops_otel_posthog.adapter.adapter import GenOpsPostHogAdapter
    from genops_otel_posthog.adapter.session import PostHogAnalyticsSession

_logger = logging.getLogger(__name__)

MOST_WAITING: Final = 100_000
"""Events that wait at most; what comes then is refused, not lost in silence."""


class FlushReport(TypedDict):
    """What a flush did.

    Attributes:
        events: Events that were captured.
        cost: What they cost, US dollars.
        waiting: Events that still wait, because a budget refused them.
    """

    events: int
    cost: float
    waiting: int


class _Waiting(NamedTuple):
    event_name: str
    properties: dict[str, Any]
    distinct_id: str | None
    is_identified: bool
    timestamp: Moment
    context: Context


class BatchEventProcessor(AbstractContextManager["BatchEventProcessor"]):
    """Gathers events and captures them when there are enough, when they have waited long enough, and at exit.

    An event belongs to whom it would have belonged where it was added, whoever captures it later; a session counts what
    was added inside it. What a budget refuses goes on waiting, in its place, and is tried again with the next flush.
    Safe to use from any thread and after a fork; a child begins without events, which its parent sends.

    Args:
        adapter: Who captures them.
        batch_size: How many are enough, 1 or more.
        flush_interval: How long the oldest waits, seconds, more than 0; also when no other event comes.
        clock: Seconds since the epoch, for events.

    Raises:
        GenOpsConfigurationError: A number cannot be used.
    """

    def __init__(
        self,
        adapter: GenOpsPostHogAdapter,
        batch_size: int = 100,
        flush_interval: float = 60.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if batch_size < 1 or not flush_interval > 0:
            raise GenOpsConfigurationError(
                f"batch_size={batch_size!r} and flush_interval={flush_interval!r} cannot be used: the first must be 1 "
                "or more, the second more than 0 seconds"
            )
        self.adapter = adapter
        self.batch_size = batch_size
        self.flush_interval = flush_interval
        self._clock = clock
        self.start_over()
        start_over_after_fork(self)
        # The client's own exit handler must be there first, so that it runs after this one.
        _ = adapter.client
        _alive.add(self)
        atexit.unregister(_flush_all)
        atexit.register(_flush_all)

    def start_over(self) -> None:
        """Begins without events and threads, as a forked process does."""
        self._events: deque[_Waiting] = deque()
        self._flushing = threading.Lock()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._is_closed = False

    def __len__(self) -> int:
        """How many events wait."""
        return len(self._events)

    def add_event(
        self,
        event_name: str,
        properties: Mapping[str, Any] | None = None,
        distinct_id: str | None = None,
        *,
        is_identified: bool = False,
        timestamp: Moment | None = None,
    ) -> None:
        """Adds an event.

        Args:
            event_name: Its name.
            properties: Its properties.
            distinct_id: Whose it is.
            is_identified: Whether it is processed with a person profile.
            timestamp: When it happened; now when not given.

        Raises:
            GenOpsValidationError: An argument cannot be used.
            GenOpsProviderError: Too many events wait already, or the processor is closed; this one was not taken.
        """
        moment = self._clock() if timestamp is None else moment_utc(timestamp)
        event = _Waiting(
            arguments.event_name(event_name),
            arguments.properties(properties),
            arguments.distinct_id(distinct_id),
            is_identified,
            moment,
            get_current(),
        )
        with self._changed:
            if self._is_closed:
                raise GenOpsProviderError("the batch is closed and takes no more events; make a new one")
            if len(self._events) >= MOST_WAITING:
                raise GenOpsProviderError(
                    f"{MOST_WAITING:,} events wait already, because a budget refuses them; raise it, or add fewer"
                )
            self._events.append(event)
            is_enough = len(self._events) % self.batch_size == 0
            if self._thread is None:
                is_enough = not self._start() or is_enough
        if is_enough:
            self._flush_quietly()

    def flush_events(self) -> FlushReport:
        """Captures everything that waits, in its order.

        Returns:
            What was done.

        Raises:
            GenOpsBudgetExceededError: A budget refuses an event. It and those after it go on waiting.
        """
        captured, cost = 0, 0.0
        with self._flushing:
            due = len(self._events)
            if not due:
                return {"events": 0, "cost": 0.0, "waiting": 0}
            session = self.adapter.track_analytics_session("batch_processing")
            # Nobody's: who happens to capture it all has added only some of it.
            with _in(Context()), session:
                while captured < due and self._events:
                    event = self._events[0]
                    with _in(_added_in(event.context, session)):
                        result = self.adapter.capture_event_with_governance(
                            event.event_name,
                            event.properties,
                            event.distinct_id,
                            event.is_identified,
                            timestamp=event.timestamp,
                        )
                    # Taken off only now: what was refused goes on waiting.
                    self._events.popleft()
                    captured += 1
                    cost += result["cost"]
        _logger.info("Captured %d gathered events, which cost $%.6f", captured, cost)
        return {"events": captured, "cost": cost, "waiting": len(self._events)}

    def close(self) -> None:
        """Captures what waits, and ends. What a budget refuses then is lost, and an error says how much it was.

        Raises:
            GenOpsBudgetExceededError: A budget refuses an event.
        """
        with self._changed:
            self._is_closed = True
            self._changed.notify()
        self.flush_events()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __enter__(self) -> Self:
        return self

    def _start(self) -> bool:
        """Starts the thread that flushes in time; whether that could be done. The caller holds the lock."""
        thread = threading.Thread(target=self._run, name="genops-posthog-batch", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # the interpreter is about to end and starts no threads any more
            return False
        self._thread = thread
        return True

    def _run(self) -> None:
        """Flushes as long as something waits. Then nothing holds a batch that nobody uses any more."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._is_closed, self.flush_interval)
                if self._is_closed:
                    return
            self._flush_quietly()
            with self._changed:
                if not self._events:
                    self._thread = None
                    return

    def _flush_quietly(self) -> None:
        """Flushes where there is nobody who could be told."""
        try:
            self.flush_events()
        except GenOpsBudgetExceededError as refusal:
            _logger.warning("%d gathered events wait: %s", len(self._events), refusal)
        except Exception as problem:  # PostHog's SDK raises in debug mode; the next flush tries again
            _logger.error("%d gathered events wait: %s", len(self._events), problem)


def _added_in(context: Context, session: PostHogAnalyticsSession) -> Context:
    """The context in which an event was added, as part of the session of the batch."""
    inside, adding = session.context_in(context), onlooker_in(context)
    counting = onlooker_in(inside)
    if adding is None or counting is None:
        return inside

    def both(call: PostHogCall) -> None:
        counting(call)
        adding(call)

    return with_onlooker(inside, both)


@contextmanager
def _in(context: Context) -> Iterator[None]:
    token = attach(context)
    try:
        yield
    finally:
        detach(token)


_alive: weakref.WeakSet[BatchEventProcessor] = weakref.WeakSet()


def _flush_all() -> None:
    for batch in list(_alive):
        batch._flush_quietly()
        if batch:
            _logger.error("%d gathered events are lost with this process: a budget refuses them", len(batch))

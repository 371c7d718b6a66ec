"""AWS Lambda: a session for every invocation, and everything delivered before the handler returns.

    @governed_handler(team="serverless-team", project="lambda-analytics", environment="production")
    def lambda_handler(event, context): ...

When a handler has returned, Lambda freezes the process until the next invocation, and may never thaw it. So the PostHog
SDK's own threads come too late there, and what they hold is delivered here, in the time that the invocation has left.
What could not be is said in the log; with ``GENOPS_DURABLE_CAPTURE`` it lies in ``GENOPS_OUTBOX_PATH``, which has to be
below ``/tmp``. That outlives the invocation, but not the execution environment.
"""

from __future__ import annotations

import functools
import inspect
import logging
import math
from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from genops_otel_posthog.errors import GenOpsValidationError
from genops_otel_posthog.integrations.flushing import flush
from genops_otel_posthog.integrations.sessions import Sessions

if TYPE_CHECKING:
    from genops_otel_posthog.adapter.adapter import GenOpsPostHogAdapter

_logger = logging.getLogger(__name__)

_Answer = TypeVar("_Answer")
#: What Lambda calls.
Handler: TypeAlias = Callable[[Any, Any], _Answer]


def governed_handler(
    *,
    adapter: GenOpsPostHogAdapter | None = None,
    owner: Callable[[Any, Any], Any] | None = None,
    session_name: str = "lambda_execution",
    flush_seconds: float = 10.0,
    reserve_seconds: float = 0.25,
    **options: Any,
) -> Callable[[Handler[_Answer]], Handler[_Answer]]:
    """Decorates a handler: each invocation is a session, ``context.analytics_session``, and ends when all is delivered.

    The adapter is made once, when the module is loaded, and serves every invocation of the execution environment.

    Args:
        adapter: Whose sessions they are; one made of ``options`` when not given.
        owner: Called with event and context, answers whose the invocation is; see :class:`~.sessions.Sessions`.
        session_name: What sessions are called.
        flush_seconds: The most that an invocation waits for deliveries.
        reserve_seconds: How long before the invocation's deadline the waiting ends.
        **options: Arguments of :class:`~genops_otel_posthog.GenOpsPostHogAdapter`.

    Raises:
        GenOpsConfigurationError: Something that was given cannot be used.
        GenOpsValidationError: The handler is a coroutine function, which Lambda does not await.
    """
    sessions = Sessions(adapter, owner, **options)

    def decorate(handler: Handler[_Answer]) -> Handler[_Answer]:
        if inspect.iscoroutinefunction(handler):
            raise GenOpsValidationError(
                f"{handler.__name__} is a coroutine function, which Lambda calls and never awaits; "
                "call asyncio.run(…) in a plain function"
            )

        @functools.wraps(handler)
        def governed(event: Any, context: Any) -> _Answer:
            headers = _headers(event)
            session = sessions.open(session_name, sessions.owner_of(event, context), headers.get)
            if context is not None:
                context.analytics_session = session.session
            failure: BaseException | None = None
            try:
                with session.active():
                    return handler(event, context)
            except BaseException as error:
                failure = error
                raise
            finally:
                session.close(failure)
                _deliver(sessions.adapter, min(flush_seconds, _seconds_left(context) - reserve_seconds))

        return governed

    return decorate


def _headers(event: Any) -> dict[str, str]:
    """The HTTP headers of an event of API Gateway, a function URL or a load balancer; of others, none."""
    given = event.get("headers") if isinstance(event, dict) else None
    if not isinstance(given, dict):
        return {}
    return {str(name).lower(): value for name, value in given.items() if isinstance(value, str)}


def _seconds_left(context: Any) -> float:
    """Until Lambda ends the invocation; who calls a handler in a test may give no context."""
    if context is None:
        return math.inf
    milliseconds: float = context.get_remaining_time_in_millis()
    return milliseconds / 1000


def _deliver(adapter: GenOpsPostHogAdapter, seconds: float) -> None:
    started = monotonic()
    if flush(adapter, max(0.0, seconds)):
        return
    _logger.error(
        "Not everything was delivered before the invocation ended; there were %.1f s for it, of which %.1f were used. "
        "What is in memory is delivered if this environment is used again, and lost if not. Give the function a longer "
        "timeout, or set GENOPS_DURABLE_CAPTURE=true and GENOPS_OUTBOX_PATH below /tmp, where events outlive a crash",
        seconds,
        monotonic() - started,
    )

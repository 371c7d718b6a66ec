"""What the sessions of all frameworks have in common: whose a request is, what it belongs to, and how it ends.

A request may be worked on in several threads and tasks, and its response may be streamed long after the framework's
hook has returned. So a session is entered and left in a context of its own, and the OpenTelemetry context inside it is
attached wherever the request is worked on.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from contextvars import Token, copy_context
from functools import lru_cache, partial
from inspect import isawaitable
from typing import TYPE_CHECKING, Any

from opentelemetry import propagate, trace
from opentelemetry.context import Context, attach, detach, get_current

from genops_otel_posthog.errors import GenOpsConfigurationError
from genops_otel_posthog.integrations.owners import fields_of

if TYPE_CHECKING:
    from genops_otel_posthog.adapter.adapter import GenOpsPostHogAdapter
    from genops_otel_posthog.adapter.session import PostHogAnalyticsSession

_logger = logging.getLogger(__name__)


class RequestSession:
    """A session that is open as long as its request, whoever works on it.

    Args:
        make: Makes the session, where it is to stand.
        outer: The OpenTelemetry context that it stands in.
    """

    __slots__ = ("_home", "_inside", "_is_open", "session")

    def __init__(self, make: Callable[[], PostHogAnalyticsSession], outer: Context) -> None:
        self._is_open = True
        self._home = copy_context()
        self.session, self._inside = self._home.run(_begin, make, outer)

    def active(self) -> InSession:
        """A block whose calls are made in the session. Any number of them, in any threads and tasks."""
        return InSession(self._inside)

    def close(self, error: BaseException | None = None) -> None:
        """Ends the session. A second time does nothing.

        Args:
            error: What the request failed with. What only ends it, such as a cancellation, is no failure.
        """
        if not self._is_open:
            return
        self._is_open = False
        if isinstance(error, Exception):
            self._home.run(self.session.__exit__, type(error), error, error.__traceback__)
        else:
            self._home.run(self.session.__exit__, None, None, None)


class InSession(AbstractContextManager[None]):
    """A block in the context of a session.

    Args:
        inside: That context.
    """

    __slots__ = ("_inside", "_token")

    _token: Token[Context]

    def __init__(self, inside: Context) -> None:
        self._inside = inside

    def __enter__(self) -> None:
        self._token = attach(self._inside)

    def __exit__(self, *_: object) -> None:
        detach(self._token)


def _begin(make: Callable[[], PostHogAnalyticsSession], outer: Context) -> tuple[PostHogAnalyticsSession, Context]:
    attach(outer)
    session = make().__enter__()
    return session, get_current()


class Sessions:
    """Opens the sessions of one application.

    Args:
        adapter: Whose sessions they are; one made of ``options`` when not given.
        owner: Answers whose a request is: a customer's id, a mapping of the fields of
            :class:`~genops_otel_posthog.Attribution`, one of these itself, or ``None``. It may be a coroutine function
            where requests are served by coroutines. When it fails, that is logged, and the request is nobody's.
        excluded_paths: Paths that get no session: health checks. One that ends in ``*`` stands for all that begin so.
        **options: Arguments of :class:`~genops_otel_posthog.GenOpsPostHogAdapter`.

    Raises:
        GenOpsConfigurationError: An adapter and arguments for one were given, or these cannot be used.
        TypeError: There is no such argument.
    """

    def __init__(
        self,
        adapter: GenOpsPostHogAdapter | None = None,
        owner: Callable[..., Any] | None = None,
        excluded_paths: Iterable[str] = (),
        **options: Any,
    ) -> None:
        if adapter is None:
            from genops_otel_posthog.adapter.adapter import GenOpsPostHogAdapter

            adapter = GenOpsPostHogAdapter(**options)
        elif options:
            raise GenOpsConfigurationError(
                f"An adapter was given, so {', '.join(sorted(options))} would have no effect: give the adapter or what "
                "one is to be made of"
            )
        paths = (excluded_paths,) if isinstance(excluded_paths, str) else tuple(excluded_paths)
        self.adapter = adapter
        self._owner = owner
        self._excluded = frozenset(path for path in paths if not path.endswith("*"))
        self._excluded_beginnings = tuple(path[:-1] for path in paths if path.endswith("*"))
        self._propagator: object = None
        self._headers: tuple[str, ...] = ()

    @property
    def excludes_some(self) -> bool:
        """Whether there is any path whose requests get no session."""
        return bool(self._excluded or self._excluded_beginnings)

    def excludes(self, path: str) -> bool:
        """Whether requests to a path get no session."""
        return path in self._excluded or path.startswith(self._excluded_beginnings)

    def owner_of(self, *request: Any) -> dict[str, Any]:
        """The fields that the application's ``owner`` names for a request."""
        try:
            return {} if self._owner is None else fields_of(self._owner(*request))
        except Exception:
            return _nobody()

    async def owner_awaited(self, *request: Any) -> dict[str, Any]:
        """The same where ``owner`` may be a coroutine function."""
        try:
            owned: Any = None if self._owner is None else self._owner(*request)
            return fields_of(await owned if isawaitable(owned) else owned)
        except Exception:
            return _nobody()

    def open(self, name: str, fields: dict[str, Any], header: Callable[[str], str | None]) -> RequestSession:
        """Opens a session.

        Args:
            name: Its name, one of few: it becomes part of the name of a span.
            fields: Its owner, see :meth:`owner_of`.
            header: Gives a header of the request by its name in lower case. Where no instrumentation of the framework
                has done so, they say which trace the request belongs to and, as W3C baggage, whose it is.
        """
        outer = get_current()
        if not trace.get_current_span(outer).get_span_context().is_valid:
            outer = self._joined(outer, header)
        return RequestSession(partial(self.adapter.track_analytics_session, name, **fields), outer)

    def _joined(self, context: Context, header: Callable[[str], str | None]) -> Context:
        propagator = propagate.get_global_textmap()
        if propagator is not self._propagator:
            self._headers, self._propagator = tuple(propagator.fields), propagator
        carrier = {name: value for name in self._headers if (value := header(name))}
        return propagator.extract(carrier, context) if carrier else context


def header_of(environ: Mapping[str, Any]) -> Callable[[str], str | None]:
    """How a WSGI environment, or what is like one, answers for a header by its name in lower case."""
    return lambda name: environ.get(_variable_of(name))


@lru_cache(maxsize=64)
def _variable_of(name: str) -> str:
    return "HTTP_" + name.upper().replace("-", "_")


def _nobody() -> dict[str, Any]:
    _logger.exception(
        "The owner of a request could not be told, so it is nobody's; correct the function given as owner"
    )
    return {}

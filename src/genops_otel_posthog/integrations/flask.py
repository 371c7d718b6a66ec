"""Flask: a session for every request, as ``g.analytics_session``.

PostHogGovernance(app, team="api-team", project="flask-api", owner=lambda request: request.headers.get("X-Customer"))
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from genops_otel_posthog.integrations.frameworks import framework
from genops_otel_posthog.integrations.sessions import RequestSession, Sessions, header_of
from genops_otel_posthog.integrations.streams import Stream

if TYPE_CHECKING:
    from genops_otel_posthog.adapter.adapter import GenOpsPostHogAdapter

_OPEN = "_genops_open"  # on `g`


@dataclass
class _Open:
    """The session of the request that is being served, and the block that it is served in."""

    session: RequestSession
    block: AbstractContextManager[None]
    is_streaming: bool = False


class PostHogGovernance:
    """A Flask extension that opens a session before a request and closes it when Flask is through with the request.

    A streamed response ends it with its last part. What an unhandled exception ends is an error.
    ``app.config["GENOPS_POSTHOG"]``, a dictionary, may hold any argument that is not given.

    Args:
        app: The application; ``None`` when :meth:`init_app` is called later.
        adapter: See :class:`~.sessions.Sessions`, also for ``owner``, which is called with Flask's ``request``, and
            ``excluded_paths``.
        owner: As said.
        session_name: What sessions are called.
        excluded_paths: As said.
        **options: Arguments of :class:`~genops_otel_posthog.GenOpsPostHogAdapter`.

    Raises:
        GenOpsConfigurationError: Flask is not installed, or something that was given cannot be used.
    """

    def __init__(
        self,
        app: Any = None,
        *,
        adapter: GenOpsPostHogAdapter | None = None,
        owner: Callable[[Any], Any] | None = None,
        session_name: str | None = None,
        excluded_paths: Iterable[str] | None = None,
        **options: Any,
    ) -> None:
        given = {"adapter": adapter, "owner": owner, "session_name": session_name, "excluded_paths": excluded_paths}
        self._given = {**options, **{name: value for name, value in given.items() if value is not None}}
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Any) -> None:
        """Gives the requests of an application their sessions.

        Raises:
            GenOpsConfigurationError: Something that was given, or stands in its configuration, cannot be used.
        """
        flask = framework("flask", "flask")
        given = {**app.config.get("GENOPS_POSTHOG", {}), **self._given}
        name: str = given.pop("session_name", "api_request")
        sessions = Sessions(**given)

        def open_session() -> None:
            # The objects themselves: every access through Flask's proxies looks for them anew.
            request, kept = flask.request._get_current_object(), flask.g._get_current_object()
            if sessions.excludes_some and sessions.excludes(request.path):
                return
            opened = sessions.open(name, sessions.owner_of(request), header_of(request.environ))
            block = opened.active()
            block.__enter__()
            setattr(kept, _OPEN, _Open(opened, block))
            kept.analytics_session = opened.session

        def keep_open_while_streaming(response: Any) -> Any:
            open_: _Open | None = flask.g.get(_OPEN)
            # A file is sent by the server alone, in large pieces if nothing stands around it.
            if open_ is not None and response.is_streamed and not response.direct_passthrough:
                response.response = Stream(open_.session, response.response)
                # Not at the teardown, which may come while a part is made and the session is entered once more.
                open_.block.__exit__(None, None, None)
                open_.is_streaming = True
            return response

        def close_session(error: BaseException | None) -> None:
            open_: _Open | None = flask.g.pop(_OPEN, None)
            if open_ is None:
                return
            if not open_.is_streaming:
                open_.block.__exit__(None, None, None)
                open_.session.close(error)
            elif error is not None:  # what Flask answers an error with is a stream to it, too
                open_.session.close(error)

        app.before_request(open_session)
        app.after_request(keep_open_while_streaming)
        app.teardown_request(close_session)
        app.extensions["genops_posthog"] = sessions

"""Starlette, FastAPI and any ASGI application: a session for each request, as ``request.state.analytics_session``.

app.add_middleware(PostHogGovernanceMiddleware, team="api-team", project="fastapi-app", owner=customer_of)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any

from genops_otel_posthog.integrations.flushing import flush
from genops_otel_posthog.integrations.lifespan import App, Message, Receive, Send, serve_lifespan
from genops_otel_posthog.integrations.sessions import Sessions

if TYPE_CHECKING:
    from genops_otel_posthog.adapter.adapter import GenOpsPostHogAdapter


class PostHogGovernanceMiddleware:
    """Opens a session for a request and closes it when the application is through with it.

    That is after the last byte of a streamed response and after its background tasks. What an exception ends is an
    error. When the server shuts down, what is still in memory is delivered.

    Args:
        app: The application.
        adapter: See :class:`~.sessions.Sessions`, also for ``owner``, which is called with ASGI's ``scope``, and
            ``excluded_paths``.
        owner: As said; it may be a coroutine function.
        session_name: What sessions are called.
        websockets: Whether a connection of this kind is a session too, as long as it stands. Else they are left alone.
        flush_seconds: The most that a shutdown waits for deliveries.
        excluded_paths: As said.
        **options: Arguments of :class:`~genops_otel_posthog.GenOpsPostHogAdapter`.

    Raises:
        GenOpsConfigurationError: Something that was given cannot be used.
    """

    def __init__(
        self,
        app: App,
        *,
        adapter: GenOpsPostHogAdapter | None = None,
        owner: Callable[[Message], Any] | None = None,
        session_name: str = "web_request",
        websockets: bool = False,
        flush_seconds: float = 10.0,
        excluded_paths: Iterable[str] = (),
        **options: Any,
    ) -> None:
        self._app = app
        self._sessions = Sessions(adapter, owner, excluded_paths, **options)
        self._session_name = session_name
        self._kinds = {"http", "websocket"} if websockets else {"http"}
        self._flush = partial(flush, self._sessions.adapter, flush_seconds)

    @property
    def adapter(self) -> GenOpsPostHogAdapter:
        """Whose sessions they are."""
        return self._sessions.adapter

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serves a request, a connection or the lifespan."""
        kind = scope["type"]
        if kind == "lifespan":
            await serve_lifespan(self._app, scope, receive, send, self._flush)
            return
        if kind not in self._kinds or self._sessions.excludes(scope["path"]):
            await self._app(scope, receive, send)
            return
        fields = await self._sessions.owner_awaited(scope)
        session = self._sessions.open(self._session_name, fields, partial(_header, scope["headers"]))
        # A mapping of the request's own, whether or not the server made one.
        scope["state"] = {**scope.get("state", {}), "analytics_session": session.session}
        try:
            with session.active():
                await self._app(scope, receive, send)
        except BaseException as error:
            session.close(error)
            raise
        session.close()


def _header(headers: Iterable[tuple[bytes, bytes]], name: str) -> str | None:
    """A header of a request; one that was sent in several lines as one, which is allowed of those that are lists."""
    wanted = name.encode()
    return ",".join(value.decode("latin-1") for key, value in headers if key == wanted) or None

"""Django: a session for every request, as ``request.analytics_session``, under WSGI and ASGI.

MIDDLEWARE = [..., "genops_otel_posthog.integrations.django.PostHogGovernanceMiddleware"]
GENOPS_POSTHOG = {"team": "web-team", "project": "django-app", "owner": "shop.owners.customer_of"}
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from genops_otel_posthog.errors import GenOpsConfigurationError
from genops_otel_posthog.integrations.frameworks import framework
from genops_otel_posthog.integrations.sessions import RequestSession, Sessions, header_of
from genops_otel_posthog.integrations.streams import AsyncStream, Stream

if TYPE_CHECKING:
    from genops_otel_posthog.adapter.adapter import GenOpsPostHogAdapter

_SETTING = "GENOPS_POSTHOG"
_FAILURE = "_genops_failure"  # on the request: what it failed with


class PostHogGovernanceMiddleware:
    """Opens a session for a request and closes it when the response, streamed or not, is through.

    What an unhandled exception ends is an error; what Django answers with 404 or 403 is none.

    The setting ``GENOPS_POSTHOG`` is a dictionary, of which all may be left out: ``adapter`` (or its dotted path), or
    else the arguments of one; ``owner``, a function (or its dotted path) that answers whose a request is;
    ``session_name``, by default ``web_request``; ``excluded_paths``. See :class:`~.sessions.Sessions`.

    Place it after the middleware that ``owner`` needs, such as ``AuthenticationMiddleware``.

    Args:
        get_response: The rest of the application.

    Raises:
        GenOpsConfigurationError: Django is not installed, or the setting cannot be used.
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[Any], Any]) -> None:
        sync = framework("asgiref.sync", "django")
        options = dict(getattr(framework("django.conf", "django").settings, _SETTING, {}))
        load = framework("django.utils.module_loading", "django").import_string
        for name in ("adapter", "owner"):
            if isinstance(options.get(name), str):
                options[name] = load(options[name])
        self._session_name: str = options.pop("session_name", "web_request")
        try:
            self._sessions = Sessions(**options)
        except (TypeError, GenOpsConfigurationError) as error:
            raise GenOpsConfigurationError(f"The setting {_SETTING} cannot be used: {error}") from error
        self._get_response = get_response
        self._is_async: bool = sync.iscoroutinefunction(get_response)
        if self._is_async:
            sync.markcoroutinefunction(self)
        signal = framework("django.core.signals", "django").got_request_exception
        signal.connect(_note_failure, dispatch_uid=__name__)

    @property
    def adapter(self) -> GenOpsPostHogAdapter:
        """Whose sessions they are."""
        return self._sessions.adapter

    def __call__(self, request: Any) -> Any:
        """Answers a request."""
        if self._is_async:
            return self._answer_async(request)
        if self._sessions.excludes(request.path):
            return self._get_response(request)
        session = self._open(request, self._sessions.owner_of(request))
        try:
            with session.active():
                response = self._get_response(request)
        except BaseException as error:
            session.close(error)
            raise
        return _closing(session, request, response)

    async def _answer_async(self, request: Any) -> Any:
        get_response: Callable[[Any], Awaitable[Any]] = self._get_response
        if self._sessions.excludes(request.path):
            return await get_response(request)
        session = self._open(request, await self._sessions.owner_awaited(request))
        try:
            with session.active():
                response = await get_response(request)
        except BaseException as error:
            session.close(error)
            raise
        return _closing(session, request, response)

    def _open(self, request: Any, fields: dict[str, Any]) -> RequestSession:
        opened = self._sessions.open(self._session_name, fields, header_of(request.META))
        request.analytics_session = opened.session
        return opened


def _note_failure(sender: object, request: Any = None, **_: object) -> None:
    """Django says that it answers with 500; the exception itself is what it is handling."""
    if request is not None:
        setattr(request, _FAILURE, sys.exc_info()[1])


def _closing(session: RequestSession, request: Any, response: Any) -> Any:
    """The response, at whose end the session ends."""
    # A file is sent by Django and the server alone, in large pieces if nothing stands around it.
    if not response.streaming or getattr(response, "file_to_stream", None) is not None:
        session.close(getattr(request, _FAILURE, None))
    elif response.is_async:
        response.streaming_content = AsyncStream(session, response.streaming_content)
    else:
        response.streaming_content = Stream(session, response.streaming_content)
    return response

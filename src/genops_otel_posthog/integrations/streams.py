"""Responses that are made while they are sent: each part is made in the session, which ends with the last one."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from typing import Any

from genops_otel_posthog.integrations.sessions import RequestSession


class Stream:
    """The content of a response. Whoever sends it calls :meth:`close` at its end, however that comes.

    Between two parts nothing of the session is seen by the server, which may send them from different threads.

    Args:
        session: The session of the request.
        content: The content as the application makes it.
    """

    def __init__(self, session: RequestSession, content: Iterable[Any]) -> None:
        self._session = session
        self._content = content
        self._parts = iter(content)

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        try:
            with self._session.active():
                return next(self._parts)
        except BaseException as end:
            self._session.close(None if isinstance(end, StopIteration) else end)
            raise

    def close(self) -> None:
        """Ends the content and the session."""
        end = getattr(self._content, "close", None)
        try:
            if end is not None:
                with self._session.active():
                    end()
        finally:
            self._session.close()


class AsyncStream:
    """The same for content that is made by a coroutine, which its framework closes itself.

    Args:
        session: The session of the request.
        content: The content as the application makes it.
    """

    def __init__(self, session: RequestSession, content: AsyncIterable[Any]) -> None:
        self._session = session
        self._parts = content.__aiter__()
        self.close = session.close

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        try:
            with self._session.active():
                return await self._parts.__anext__()
        except BaseException as end:
            self._session.close(None if isinstance(end, StopAsyncIteration) else end)
            raise

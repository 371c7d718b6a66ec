"""ASGI's lifespan: what is still in memory when a server shuts down is delivered before the server ends.

A server like uvicorn ends by the signal that it was sent, so no exit handler of Python runs: this is the last moment.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias

Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
App: TypeAlias = Callable[[Message, Receive, Send], Awaitable[None]]


async def serve_lifespan(app: App, scope: Message, receive: Receive, send: Send, flush: Callable[[], object]) -> None:
    """Serves the lifespan of an application, and flushes when it has shut down.

    An application that knows nothing of lifespans, as Django's, is answered for.

    Args:
        app: The application.
        scope: Of type ``lifespan``.
        receive: The server's.
        send: The server's.
        flush: Delivers; it may take its time, and runs in a thread.
    """
    was_asked = False

    async def received() -> Message:
        nonlocal was_asked
        was_asked = True
        return await receive()

    async def flush_first(message: Message) -> None:
        if message["type"] in ("lifespan.shutdown.complete", "lifespan.shutdown.failed"):
            await asyncio.to_thread(flush)
        await send(message)

    try:
        await app(scope, received, flush_first)
    except Exception:
        if was_asked:
            raise  # it does know, and failed
    else:
        if was_asked:
            return
    while True:
        message = await receive()
        await flush_first({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return

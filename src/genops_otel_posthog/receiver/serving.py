"""The receiver as a running server: one uvicorn on one thread, started when it listens and stopped without waiting.

Only this module imports uvicorn, so that the client half of the receiver works without it.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from contextlib import suppress
from typing import Any

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from genops_otel_posthog.errors import GenOpsError
from genops_otel_posthog.receiver.app import create_app
from genops_otel_posthog.receiver.faults import Faults
from genops_otel_posthog.receiver.flag_evaluation import FlagDefinitions
from genops_otel_posthog.receiver.gateway import TRANSPORT
from genops_otel_posthog.receiver.store import Store

_KEEP_ALIVE_SECONDS = 75  # longer than the SDK's 30 s poll, so that a pooled connection is not closed under it
_SHUTDOWN_SECONDS = 1
_LAST_ACCEPT_SECONDS = 0.01  # for a connection accepted at the last moment to become one that can be closed


class RunningServer:
    """A server on a thread of its own.

    Args:
        listener: a bound and listening socket; closed when the server stops.
        store: closed when the server stops.
        definitions: the feature flags of the project.
        faults: rules in force from the start.
        keep_bodies: whether request bodies are kept as sent.
        allow_remote: whether the query API answers to other names than those of this machine.
    """

    def __init__(
        self,
        listener: socket.socket,
        store: Store,
        *,
        definitions: FlagDefinitions,
        faults: Faults,
        keep_bodies: bool,
        allow_remote: bool,
    ) -> None:
        self._listener = listener
        self._store = store
        self._stopping = asyncio.Event()
        self._started = threading.Event()
        self._problem: BaseException | None = None
        app = create_app(
            store,
            definitions=definitions,
            faults=faults,
            keep_bodies=keep_bodies,
            allow_remote=allow_remote,
            stopping=self._stopping,
        )
        config = uvicorn.Config(
            app,
            http=_Protocol,
            loop="asyncio",
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=True,
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=_SHUTDOWN_SECONDS,
        )
        self._server = _Server(config, self._started, self._stopping)
        self._thread = threading.Thread(target=self._run, name="genops-posthog-receiver", daemon=True)

    def start(self) -> None:
        """Return when requests are answered.

        Raises:
            GenOpsError: the server could not start.
        """
        self._thread.start()
        self._started.wait()
        if self._problem is not None:
            self.stop()
            raise GenOpsError(f"the receiver did not start: {self._problem!r}") from self._problem

    def stop(self) -> None:
        """Answer what is at hand, cut what waits, and close the store."""
        loop = self._server.loop
        if loop is not None and self._thread.is_alive():
            loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join()
        self._listener.close()
        self._store.close()

    def _run(self) -> None:
        try:
            asyncio.run(self._server.serve(sockets=[self._listener]))
        except BaseException as problem:  # handed to the thread that waits in start()
            self._problem = problem
        finally:
            self._started.set()


class _Server(uvicorn.Server):
    """uvicorn, told by an event when to stop instead of looking ten times a second."""

    def __init__(self, config: uvicorn.Config, started: threading.Event, stopping: asyncio.Event) -> None:
        super().__init__(config)
        self.loop: asyncio.AbstractEventLoop | None = None
        self._has_started = started
        self._stopping = stopping

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        self.loop = asyncio.get_running_loop()
        self._has_started.set()

    async def main_loop(self) -> None:
        while not self._stopping.is_set():
            await self.on_tick(0)  # the Date of answers
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), 1)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # A server that is closed while it accepts forgets that connection, and its client waits for ever.
        for listener in sockets or ():
            asyncio.get_running_loop().remove_reader(listener)
        await asyncio.sleep(_LAST_ACCEPT_SECONDS)
        await super().shutdown(sockets=sockets)
        for connection in list(self.server_state.connections):
            transport: Any = getattr(connection, "transport", None)
            if transport is not None:
                transport.abort()
        await asyncio.sleep(0)


class _Protocol(H11Protocol):
    """HTTP/1.1 that shows each request its connection, for faults that cut it."""

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        # asyncio does this only for sockets made with an explicit protocol number. Without it the body of an answer
        # waits for the client to acknowledge the head: 40 ms a request.
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.app = _with_transport(self.app, transport)


def _with_transport(app: Any, transport: asyncio.Transport) -> ASGIApp:
    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        scope[TRANSPORT] = transport
        await app(scope, receive, send)

    return call

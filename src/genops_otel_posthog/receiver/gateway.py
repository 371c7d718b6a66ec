"""One request from the socket to the store and back, with the faults in between.

The event loop only reads, waits and writes; judging and storing happen in one worker thread, so a large batch never
keeps others from being answered late by more than its own work, and SQLite has a single writer.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import socket
import struct
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from genops_otel_posthog.receiver.exchange import Call, Endpoint, Reply, json_reply, text_reply
from genops_otel_posthog.receiver.faults import FaultRule, Faults
from genops_otel_posthog.receiver.store import Store, Transaction, clean_text, iso

logger = logging.getLogger(__name__)

TRANSPORT = "genops.transport"
"""Key of the asyncio transport in the ASGI scope, put there by the server for resets."""

NO_ANSWER = 0
"""Status in the request log when no answer was given."""

_REQUEST_COLUMNS = (
    "id", "at", "method", "path", "query", "status", "bytes", "encoding", "user_agent", "duration_us", "note", "fault",
    "body",
)  # fmt: skip
_LONGEST_PAUSE = 0.2
_SECRET_KEY = re.compile(r"\b(ph[xs]_)\w+")


@dataclass(slots=True)
class Gateway:
    """What all PostHog and OTLP endpoints share.

    Attributes:
        store: where everything goes.
        worker: its single thread is the only one that writes.
        keep_bodies: whether request bodies are kept as sent.
        stopping: set when the receiver shuts down; ends every wait.
        changed: replaced and set after each request, for those who wait for one.
    """

    store: Store
    faults: Faults
    worker: ThreadPoolExecutor
    keep_bodies: bool
    stopping: asyncio.Event
    changed: asyncio.Event

    def route(self, endpoint: Endpoint, *, limit: int) -> Callable[[Request], Awaitable[Response]]:
        """An ASGI endpoint around ``endpoint``; larger bodies than ``limit`` bytes are refused with 413."""

        async def handle(request: Request) -> Response:
            return await self._handle(request, endpoint, limit)

        return handle

    async def _handle(self, request: Request, endpoint: Endpoint, limit: int) -> Response:
        started = time.perf_counter()
        try:
            body = await _read(request, limit)
        except ClientDisconnect:
            return Response(status_code=400)  # nobody is there to read it
        path: str = request.scope["path"].rstrip("/") or "/"
        at = datetime.now(timezone.utc)
        strike = self.faults.strike(request.method, path, at, body or b"")
        call = Call(
            id=self.store.next_request_id(),
            at=at,
            method=request.method,
            path=path,
            query=dict(request.query_params),
            headers={name.lower(): value for name, value in request.headers.items()},
            body=body or b"",
            over_quota=strike.over_quota,
            event_faults=strike.event_faults,
        )
        if body is None:
            endpoint = _too_large(limit)
        rule = strike.rule
        log = _RequestLog(call, request.scope["query_string"].decode("latin-1"), started, strike.id, self.keep_bodies)
        if rule is not None and rule.stage == "before":
            await self._pause(rule.delay)
            if rule.status or rule.hang or rule.reset:
                reply = _faulty_reply(rule)
                await self._run(lambda transaction: reply, log, replaced_status=_visible_status(rule))
                return await self._deliver(rule, reply, request)
        visible = _visible_status(rule) if rule is not None and rule.stage == "after" else None
        reply = await self._run(lambda transaction: endpoint(call, transaction), log, replaced_status=visible)
        if rule is not None and rule.stage == "after":
            await self._pause(rule.delay)
            return await self._deliver(rule, _faulty_reply(rule) if rule.status else reply, request)
        return _response(reply)

    async def _run(
        self, work: Callable[[Transaction], Reply], log: _RequestLog, *, replaced_status: int | None
    ) -> Reply:
        """Run ``work`` and log the request in one transaction of the worker thread."""
        reply = await asyncio.get_running_loop().run_in_executor(
            self.worker, _process, self.store, work, log, replaced_status
        )
        self.changed.set()
        self.changed = asyncio.Event()
        return reply

    async def _pause(self, seconds: float) -> None:
        if seconds:
            await _wait_for(self.stopping, seconds)

    async def _deliver(self, rule: FaultRule, reply: Reply, request: Request) -> Response:
        if rule.reset:
            return _Reset(reply, after_half=True)
        if rule.hang:
            await self._hang(request)
            return _Reset(reply, after_half=False)
        return _response(reply)

    async def _hang(self, request: Request) -> None:
        """Until the client gives up, or the receiver stops."""

        async def client_gone() -> None:
            while (await request.receive())["type"] != "http.disconnect":
                pass

        waits = {asyncio.ensure_future(client_gone()), asyncio.ensure_future(self.stopping.wait())}
        _, pending = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for task in pending:
            task.cancel()


@dataclass(frozen=True, slots=True)
class _RequestLog:
    """What the log says of a request beside its status."""

    call: Call
    query: str
    started: float
    fault: int | None
    keep_body: bool

    def row(self, status: int, note: str | None) -> tuple[object, ...]:
        call = self.call
        query = _SECRET_KEY.sub(r"\1…", self.query)
        duration_us = int((time.perf_counter() - self.started) * 1e6)
        return (
            call.id, iso(call.at), call.method, clean_text(call.path), clean_text(query), status, len(call.body),
            call.headers.get("content-encoding", ""), call.headers.get("user-agent", ""), duration_us,
            None if note is None else clean_text(_SECRET_KEY.sub(r"\1…", note)), self.fault,
            call.body if self.keep_body else None,
        )  # fmt: skip


def _process(
    store: Store, work: Callable[[Transaction], Reply], log: _RequestLog, replaced_status: int | None
) -> Reply:
    try:
        with store.transaction() as transaction:
            reply = work(transaction)
            status = reply.status if replaced_status is None else replaced_status
            transaction.add("requests", _REQUEST_COLUMNS, [log.row(status, reply.note)])
    except Exception as problem:
        logger.exception("the receiver failed on %s %s", log.call.method, log.call.path)
        note = f"the receiver itself failed: {type(problem).__name__}: {problem}"
        reply = json_reply({"detail": note}, 500, note=note)
        with store.transaction() as transaction:
            transaction.add("requests", _REQUEST_COLUMNS, [log.row(500, note)])
    return reply


async def _read(request: Request, limit: int) -> bytes | None:
    """The body, or ``None`` when it is longer than ``limit`` bytes; the rest is then read and thrown away."""
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size <= limit:
            parts.append(part)
        else:
            parts.clear()
    return b"".join(parts) if size <= limit else None


def _too_large(limit: int) -> Endpoint:
    def refuse(_call: Call, _transaction: Transaction) -> Reply:
        return text_reply("length limit exceeded", 413, note=f"the body has more than {limit} bytes")

    return refuse


def _faulty_reply(rule: FaultRule) -> Reply:
    note = "fault: reset" if rule.reset else "fault: hang" if rule.hang else f"fault: {rule.status}"
    headers = {} if rule.retry_after is None else {"Retry-After": rule.retry_after}
    if rule.body is not None:
        reply = text_reply(rule.body, rule.status or 200, note=note)
    else:
        reply = json_reply({"detail": "this outage is rehearsed: a fault of the local receiver"}, rule.status or 200)
    return replace(reply, headers=headers, note=note)


def _visible_status(rule: FaultRule) -> int | None:
    """What the client sees: no answer at all, another status, or ``None`` for the true one."""
    return NO_ANSWER if rule.hang or rule.reset else rule.status


def _response(reply: Reply) -> Response:
    response = Response(reply.body, reply.status, headers=reply.headers)
    if reply.body or reply.status == 200:
        response.headers["content-type"] = reply.content_type
    return response


class _Reset(Response):
    """A connection reset, in the middle of an answer or in place of one."""

    def __init__(self, reply: Reply, *, after_half: bool) -> None:
        super().__init__(reply.body or b"{}", reply.status)
        self._after_half = after_half

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        transport: Any = scope[TRANSPORT]
        if self._after_half and not transport.is_closing():
            length = str(2 * len(self.body) + 1000).encode()
            headers = [(b"content-length", length)]
            await send({"type": "http.response.start", "status": self.status_code, "headers": headers})
            await send({"type": "http.response.body", "body": self.body, "more_body": True})
        if not transport.is_closing():
            # Without lingering, closing sends a reset instead of an orderly end.
            transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            transport.abort()
        await asyncio.sleep(0)  # let the server see that the connection is gone before this returns


async def _wait_for(event: asyncio.Event, seconds: float) -> bool:
    """Whether ``event`` was set within ``seconds``."""
    try:
        await asyncio.wait_for(event.wait(), seconds)
    except asyncio.TimeoutError:
        return False
    return True


async def wait_until(gateway: Gateway, condition: Callable[[], Awaitable[bool]], *, seconds: float) -> bool:
    """Wait until ``condition`` holds, asking again after each request; ``False`` when time runs out or we stop.

    Asking never takes more than half of the time, however many requests come and however long it takes to count.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    while True:
        changed = gateway.changed  # taken before asking, so that no change in between is missed
        asked = loop.time()
        if await condition():
            return True
        await asyncio.sleep(min(loop.time() - asked, _LONGEST_PAUSE))
        left = deadline - loop.time()
        if left <= 0 or gateway.stopping.is_set():
            return False
        waits = {asyncio.ensure_future(changed.wait()), asyncio.ensure_future(gateway.stopping.wait())}
        _, pending = await asyncio.wait(waits, timeout=left, return_when=asyncio.FIRST_COMPLETED)
        for task in pending:
            task.cancel()


def api_error(problem: Exception, status: int = 400) -> Response:
    """A refusal of the query API."""
    return Response(json.dumps({"detail": str(problem)}), status, media_type="application/json")

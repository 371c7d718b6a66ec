"""The routes of the receiver: PostHog's endpoints, OTLP's endpoints, and its own query API under ``/api/``."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from datetime import datetime, timezone
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from genops_otel_posthog.acceptance import MAX_BATCH_BODY_BYTES, MAX_SINGLE_BODY_BYTES, MAX_V1_BODY_BYTES
from genops_otel_posthog.errors import GenOpsError, GenOpsValidationError
from genops_otel_posthog.receiver import billing_api, otlp, query, rudderstack
from genops_otel_posthog.receiver.bill import bill
from genops_otel_posthog.receiver.capture import capture_endpoint
from genops_otel_posthog.receiver.capture_v1 import capture_v1_endpoint
from genops_otel_posthog.receiver.exchange import Endpoint
from genops_otel_posthog.receiver.faults import Faults, read_rule
from genops_otel_posthog.receiver.flag_evaluation import FlagDefinitions, read_definitions
from genops_otel_posthog.receiver.flags import FlagService
from genops_otel_posthog.receiver.gateway import Gateway, api_error, wait_until
from genops_otel_posthog.receiver.loopback import is_loopback
from genops_otel_posthog.receiver.store import Store

MAX_WAIT = 600.0
"""Longest wait in seconds of one ``/api/wait`` request."""


def create_app(
    store: Store,
    *,
    definitions: FlagDefinitions,
    faults: Faults,
    keep_bodies: bool,
    allow_remote: bool,
    stopping: asyncio.Event,
) -> Starlette:
    """The ASGI application.

    Args:
        store: where everything goes; the caller closes it.
        definitions: the feature flags of the project.
        faults: rules in force from the start.
        keep_bodies: whether request bodies are kept as sent.
        allow_remote: whether the query API answers to other names than those of this machine.
        stopping: set by the caller before it shuts down, so that nothing waits any longer.
    """
    gateway = Gateway(
        store,
        faults,
        ThreadPoolExecutor(1, "receiver-store"),
        keep_bodies,
        stopping,
        asyncio.Event(),
    )
    api = _Api(gateway, FlagService(definitions), ThreadPoolExecutor(1, "receiver-query"), allow_remote)

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        yield
        gateway.worker.shutdown()
        api.reader.shutdown()

    return Starlette(routes=[*_posthog_routes(gateway, api.flags), *_otlp_routes(gateway), *api.routes()],
                     lifespan=lifespan)  # fmt: skip


def _posthog_routes(gateway: Gateway, flags: FlagService) -> list[Route]:
    single = capture_endpoint(limit=MAX_SINGLE_BODY_BYTES)
    batch = capture_endpoint(limit=MAX_BATCH_BODY_BYTES)
    ai_batch = capture_endpoint(limit=MAX_BATCH_BODY_BYTES, lane="ai")
    project_flag = "/api/projects/{project}/feature_flags/{key:path}/remote_config"
    table: list[tuple[str, str, Endpoint, int]] = [
        *(("POST", path, single, MAX_SINGLE_BODY_BYTES) for path in ("/e", "/capture", "/track", "/engage", "/i/v0/e")),
        ("POST", "/batch", batch, MAX_BATCH_BODY_BYTES),
        ("POST", "/i/v0/ai/batch", ai_batch, MAX_BATCH_BODY_BYTES),
        ("POST", "/i/v1/analytics/events", capture_v1_endpoint(), MAX_V1_BODY_BYTES),
        ("POST", "/i/v1/ai/events", capture_v1_endpoint(lane="ai"), MAX_V1_BODY_BYTES),
        ("POST", "/flags", flags.flags, MAX_SINGLE_BODY_BYTES),
        ("POST", "/decide", flags.decide, MAX_SINGLE_BODY_BYTES),
        ("GET", "/flags/definitions", flags.definitions_poll, 0),
        ("GET", "/api/feature_flag/local_evaluation", flags.definitions_poll, 0),
        ("GET", project_flag, flags.remote_config, 0),
        ("GET", "/api/billing", billing_api.overview, 0),
        ("GET", "/api/billing/usage", billing_api.daily_usage, 0),
        ("POST", "/v1/batch", rudderstack.batch, rudderstack.MAX_READ_BYTES),
    ]
    return _both_ways(gateway, table)


def _otlp_routes(gateway: Gateway) -> list[Route]:
    limit = otlp.MAX_BODY_BYTES
    return _both_ways(
        gateway,
        [
            ("POST", "/v1/traces", otlp.traces, limit),
            ("POST", "/v1/metrics", otlp.metrics, limit),
            ("POST", "/v1/logs", otlp.logs, limit),
        ],
    )


def _both_ways(gateway: Gateway, table: list[tuple[str, str, Endpoint, int]]) -> list[Route]:
    """Each path with and without a trailing slash: a redirect would lose the body of a POST."""
    return [
        Route(path + slash, gateway.route(endpoint, limit=limit), methods=[method])
        for method, path, endpoint, limit in table
        for slash in ("", "/")
    ]


class _Api:
    """The query API. Reads happen in a thread of their own, beside the one that writes."""

    def __init__(self, gateway: Gateway, flags: FlagService, reader: ThreadPoolExecutor, allow_remote: bool) -> None:
        self.gateway = gateway
        self.flags = flags
        self.reader = reader
        self.allow_remote = allow_remote

    def routes(self) -> list[Route]:
        """All routes under ``/api/``."""
        get = [
            *((f"/api/{name}", self._listing(name)) for name in query.LISTINGS),
            ("/api/traces", self._read(lambda rows, request: query.list_traces(rows, _parameters(request)))),
            ("/api/traces/{trace_id}", self._trace),
            ("/api/metrics", self._read(lambda rows, request: query.list_series(rows, _parameters(request)))),
            ("/api/bill", self._read(_bill)),
            ("/api/summary", self._read(lambda rows, _request: query.summary(rows))),
            ("/api/requests/{id:int}/body", self._body),
            ("/api/wait/{name}", self._wait),
        ]  # fmt: skip
        return [
            *(Route(path, self._guarded(endpoint), methods=["GET"]) for path, endpoint in get),
            Route("/api/flags", self._guarded(self._flags), methods=["GET", "PUT"]),
            Route("/api/faults", self._guarded(self._faults), methods=["GET", "PUT", "POST", "DELETE"]),
            Route("/api/faults/{id:int}", self._guarded(self._one_fault), methods=["DELETE"]),
            Route("/api/data", self._guarded(self._data), methods=["DELETE"]),
        ]

    def _guarded(self, endpoint: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
        """A wrong question gets a sentence, not a traceback; a web page that posed as this machine gets nothing.

        What was received may be personal, and a browser lets any page ask a name that its owner pointed at loopback.
        """

        async def handle(request: Request) -> Response:
            if not self.allow_remote and not is_loopback(request.url.hostname):
                return api_error(GenOpsValidationError("ask by the address of this machine, such as 127.0.0.1"), 403)
            if request.method == "POST" and request.headers.get("content-type") != "application/json":
                return api_error(GenOpsValidationError("the content type must be application/json"), 415)
            try:
                return await endpoint(request)
            except GenOpsError as problem:
                return api_error(problem)

        return handle

    async def _query(self, work: Callable[[Any], Any]) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self.reader, self.gateway.store.read, work)

    def _listing(self, name: str) -> Callable[[Request], Awaitable[Response]]:
        return self._read(lambda connection, request: query.list_rows(connection, name, _parameters(request)))

    def _read(self, work: Callable[[Any, Request], Any]) -> Callable[[Request], Awaitable[Response]]:
        async def handle(request: Request) -> Response:
            return JSONResponse(await self._query(lambda connection: work(connection, request)))

        return handle

    async def _trace(self, request: Request) -> Response:
        trace_id = request.path_params["trace_id"]
        tree = await self._query(lambda connection: query.trace_tree(connection, trace_id))
        if tree is None:
            return api_error(GenOpsValidationError(f"no span of trace {trace_id} was received"), 404)
        return JSONResponse(tree)

    async def _body(self, request: Request) -> Response:
        sql = "SELECT body FROM requests WHERE id = ?"
        row = await self._query(lambda connection: connection.execute(sql, [request.path_params["id"]]).fetchone())
        if row is None or row[0] is None:
            return api_error(GenOpsValidationError("that body was not kept; start the receiver to keep bodies"), 404)
        return Response(row[0], media_type="application/octet-stream")

    async def _wait(self, request: Request) -> Response:
        """``at_least`` rows of a listing, or the end of ``timeout`` seconds."""
        name, parameters = request.path_params["name"], _parameters(request)
        if name not in query.LISTINGS:
            raise GenOpsValidationError(f"nothing is called {name!r}; wait for one of {', '.join(query.LISTINGS)}")
        at_least = int(_number(parameters.pop("at_least", "1")))
        seconds = min(_number(parameters.pop("timeout", "5")), MAX_WAIT)
        total = 0

        async def enough() -> bool:
            nonlocal total
            total = await self._query(lambda connection: query.count_rows(connection, name, parameters))
            return bool(total >= at_least)

        reached = await wait_until(self.gateway, enough, seconds=seconds)
        return JSONResponse({"reached": reached, "total": total})

    async def _flags(self, request: Request) -> Response:
        if request.method == "PUT":
            self.flags.definitions = read_definitions(await _json(request), source="PUT /api/flags")
        return Response(self.flags.definitions.document, media_type="application/json")

    async def _faults(self, request: Request) -> Response:
        """POST adds rules, PUT replaces all, DELETE lifts all."""
        faults, added = self.gateway.faults, []
        if request.method in ("PUT", "POST"):
            given = await _json(request)
            now = datetime.now(timezone.utc)
            rules = [read_rule(one, now=now) for one in (given if isinstance(given, list) else [given])]
            if request.method == "PUT":
                faults.clear()
            added = [faults.add(rule) for rule in rules]
        elif request.method == "DELETE":
            faults.clear()
        return JSONResponse({"faults": faults.as_json(), "added": added})

    async def _one_fault(self, request: Request) -> Response:
        if not self.gateway.faults.remove(request.path_params["id"]):
            return api_error(GenOpsValidationError(f"there is no fault {request.path_params['id']}"), 404)
        return JSONResponse({"faults": self.gateway.faults.as_json(), "added": []})

    async def _data(self, _request: Request) -> Response:
        await asyncio.get_running_loop().run_in_executor(self.gateway.worker, self.gateway.store.clear)
        return JSONResponse({})


def _bill(connection: Any, request: Request) -> dict[str, Any]:
    parameters = _parameters(request)
    group_analytics = parameters.pop("group_analytics", "0") not in ("", "0", "false")
    token = parameters.pop("token", None)
    if parameters:
        raise GenOpsValidationError(
            f"the bill has no parameter {next(iter(parameters))!r}; it has group_analytics, token"
        )
    return bill(connection, token=token, group_analytics=group_analytics)


def _parameters(request: Request) -> dict[str, str]:
    return dict(request.query_params)


async def _json(request: Request) -> Any:
    try:
        return json.loads(await request.body())
    except ValueError as problem:
        raise GenOpsValidationError(f"the body is not JSON: {problem}") from problem


def _number(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number < 1e9:
        raise GenOpsValidationError(f"{text!r} is not a number of rows or seconds")
    return number

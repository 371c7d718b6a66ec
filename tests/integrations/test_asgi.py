"""ASGI: real requests to Starlette through httpx, and the server's side of the protocol spoken by the test."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest
from opentelemetry.context import get_current
from opentelemetry.trace import StatusCode
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from genops_otel_posthog.attribution import attribution_in
from genops_otel_posthog.integrations.asgi import PostHogGovernanceMiddleware

pytestmark = pytest.mark.requirement("S4-70")


def by_header(scope: dict[str, Any]) -> str | None:
    """Whose a request is: what the tests give as ``owner``."""
    return next((value.decode() for name, value in scope["headers"] if name == b"x-customer"), None)


async def order(request: Request) -> JSONResponse:
    session = request.state.analytics_session
    result = session.capture_event("order_completed", {"total": 42}, distinct_id="ann")
    await asyncio.sleep(0)
    return JSONResponse({"session": session.session_id, "result": result})


def order_in_a_thread(request: Request) -> JSONResponse:
    request.state.analytics_session.capture_event("order_completed", {"total": 42}, distinct_id="ann")
    return JSONResponse(attribution_in().customer_id)


async def failing(request: Request) -> JSONResponse:
    raise LookupError("no such basket")


async def refused(request: Request) -> JSONResponse:
    raise HTTPException(403)


async def report(request: Request) -> StreamingResponse:
    async def rows() -> AsyncIterator[str]:
        for row in range(3):
            request.state.analytics_session.capture_event("row_sent", {"row": row}, distinct_id="ann")
            yield attribution_in().customer_id or "nobody"

    def afterwards() -> None:
        request.state.analytics_session.capture_event("report_filed", distinct_id="ann")

    return StreamingResponse(rows(), background=BackgroundTask(afterwards))


async def healthz(request: Request) -> PlainTextResponse:
    return PlainTextResponse(str(hasattr(request.state, "analytics_session")))


async def chat(socket: WebSocket) -> None:
    await socket.accept()
    await socket.send_text(attribution_in().customer_id or "nobody")
    await socket.close()


Serve = Callable[..., httpx.AsyncClient]


def shop(**options: Any) -> Starlette:
    pages = (order, order_in_a_thread, failing, refused, report, healthz)
    return Starlette(
        routes=[*(Route(f"/{page.__name__}", page) for page in pages), WebSocketRoute("/chat", chat)],
        middleware=[Middleware(PostHogGovernanceMiddleware, **options)],
    )


@pytest.fixture
def governed(project: Any) -> Serve:
    """Makes a client of a shop whose requests have sessions."""

    def make(**options: Any) -> httpx.AsyncClient:
        app = shop(**{"adapter": project.adapter, "owner": by_header, **options})
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        return httpx.AsyncClient(transport=transport, base_url="http://shop", headers={"x-customer": "acme"})

    return make


async def test_a_request_has_a_session_whose_calls_belong_to_its_customer(project: Any, governed: Serve) -> None:
    async with governed() as client:
        answer = (await client.get("/order")).json()

    (event,) = project.events("order_completed")
    assert event.uuid == answer["result"]["event_uuid"]
    assert (event.properties["genops_team"], event.properties["genops_customer_id"]) == ("web-team", "acme")
    span = project.session()
    assert (span.name, span.status.status_code) == ("session web_request", StatusCode.UNSET)
    assert span.attributes["genops.session.id"] == answer["session"]


async def test_a_function_that_runs_in_a_thread_is_in_the_session(project: Any, governed: Serve) -> None:
    async with governed() as client:
        assert (await client.get("/order_in_a_thread")).json() == "acme"

    assert project.customers("order_completed") == ["acme"]


async def test_an_exception_marks_the_session_and_ends_it(project: Any, governed: Serve) -> None:
    async with governed() as client:
        assert (await client.get("/failing")).status_code == 500

    span = project.session()
    assert span.status.status_code is StatusCode.ERROR
    assert span.attributes["error.type"] == "LookupError"


async def test_an_answer_that_is_no_success_is_no_error(project: Any, governed: Serve) -> None:
    async with governed() as client:
        assert (await client.get("/refused")).status_code == 403

    assert project.session().status.status_code is StatusCode.UNSET


async def test_streams_and_background_tasks_are_in_the_session(project: Any, governed: Serve) -> None:
    async with governed() as client:
        assert (await client.get("/report")).text == "acmeacmeacme"

    assert project.customers("row_sent") == ["acme", "acme", "acme"]
    assert project.customers("report_filed") == ["acme"]
    assert len(project.sessions()) == 1


async def test_requests_that_are_served_at_the_same_time_keep_their_owners_apart(project: Any, governed: Serve) -> None:
    customers = [f"customer-{number}" for number in range(50)]
    before = get_current()
    async with governed() as client:
        await asyncio.gather(*(client.get("/order", headers={"x-customer": customer}) for customer in customers))

    assert sorted(map(str, project.customers("order_completed"))) == sorted(customers)
    assert len(project.sessions()) == 50
    assert get_current() is before


async def test_a_cancelled_request_ends_its_session_and_is_no_error(project: Any) -> None:
    arrived = asyncio.Event()

    async def endless(scope: Any, receive: Any, send: Any) -> None:
        arrived.set()
        await asyncio.Event().wait()

    app = PostHogGovernanceMiddleware(endless, adapter=project.adapter)
    scope = {"type": "http", "path": "/", "headers": []}
    task = asyncio.create_task(app(scope, _never, _never))
    await arrived.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert project.session().status.status_code is StatusCode.UNSET


async def _never(*message: object) -> Any:
    raise AssertionError("nobody asks")


async def test_baggage_and_trace_of_the_caller_are_respected(project: Any, governed: Serve) -> None:
    headers = {
        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "baggage": "genops.customer_id=acme",
    }
    async with governed(owner=None) as client:
        await client.get("/order", headers=headers)

    assert project.customers("order_completed") == ["acme"]
    assert f"{project.session().context.trace_id:032x}" == "0af7651916cd43dd8448eb211c80319c"


async def test_the_owner_may_be_a_coroutine_function(project: Any, governed: Serve) -> None:
    async def from_the_database(scope: Any) -> dict[str, str]:
        await asyncio.sleep(0)
        return {"customer_id": "initech", "feature": "checkout"}

    async with governed(owner=from_the_database) as client:
        await client.get("/order")

    (event,) = project.events("order_completed")
    assert (event.properties["genops_customer_id"], event.properties["genops_feature"]) == ("initech", "checkout")


async def test_what_a_server_shares_between_requests_stays_as_it_is(project: Any) -> None:
    shared = {"database": "of the lifespan"}
    seen: list[dict[str, Any]] = []

    async def inner(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["state"])

    app = PostHogGovernanceMiddleware(inner, adapter=project.adapter)
    for _ in range(2):
        await app({"type": "http", "path": "/", "headers": [], "state": shared}, _never, _never)

    assert shared == {"database": "of the lifespan"}
    assert [state["database"] for state in seen] == ["of the lifespan"] * 2
    assert seen[0]["analytics_session"] is not seen[1]["analytics_session"]


async def test_health_checks_can_be_left_out(project: Any, governed: Serve) -> None:
    async with governed(excluded_paths=["/healthz"]) as client:
        assert (await client.get("/healthz")).text == "False"

    assert project.sessions() == []


@pytest.mark.parametrize(("websockets", "sessions", "owner"), [(False, 0, "nobody"), (True, 1, "acme")])
async def test_websockets_are_left_alone_unless_they_are_to_be_sessions(
    project: Any, websockets: bool, sessions: int, owner: str
) -> None:
    app = shop(adapter=project.adapter, owner=by_header, websockets=websockets)
    scope = {
        "type": "websocket",
        "path": "/chat",
        "query_string": b"",
        "headers": [(b"x-customer", b"acme")],
        "subprotocols": [],
    }
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "websocket.connect"}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await app(scope, receive, send)

    assert [message.get("text") for message in sent if message["type"] == "websocket.send"] == [owner]
    assert len(project.sessions()) == sessions


class Server:
    """The server's side of a lifespan."""

    def __init__(self) -> None:
        self.said: asyncio.Queue[str] = asyncio.Queue()
        self.asked: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    async def send(self, message: dict[str, Any]) -> None:
        await self.said.put(message["type"])

    async def live(self, app: Any, between: Callable[[], object]) -> list[str]:
        """Starts an application, does something, shuts it down; what it answered."""
        task = asyncio.create_task(app({"type": "lifespan", "asgi": {"version": "3.0"}}, self.asked.get, self.send))
        await self.asked.put({"type": "lifespan.startup"})
        answers = [await self.said.get()]
        between()
        await self.asked.put({"type": "lifespan.shutdown"})
        answers.append(await self.said.get())
        await task
        return answers


async def _knows_nothing_of_lifespans(scope: Any, receive: Any, send: Any) -> None:
    raise ValueError(f"there are only requests here, no {scope['type']}")


@pytest.mark.requirement("E-39")
@pytest.mark.parametrize("inner", [Starlette(), _knows_nothing_of_lifespans], ids=["Starlette", "one like Django's"])
async def test_a_shutdown_is_complete_when_everything_has_been_delivered(project: Any, inner: Any) -> None:
    app = PostHogGovernanceMiddleware(inner, adapter=project.adapter)

    def capture() -> None:
        for number in range(50):
            project.adapter.capture_event_with_governance("order_completed", {"number": number}, distinct_id="ann")

    answers = await Server().live(app, capture)

    assert answers == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    assert len(project.delivered("order_completed")) == 50


async def test_an_application_that_fails_to_start_fails(project: Any) -> None:
    async def failing(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        raise LookupError("no database")

    server = Server()
    await server.asked.put({"type": "lifespan.startup"})
    with pytest.raises(LookupError):
        await PostHogGovernanceMiddleware(failing, adapter=project.adapter)(
            {"type": "lifespan"}, server.asked.get, server.send
        )

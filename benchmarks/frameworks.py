"""A request with an idle session, and the same without, in each web framework: the framework's work and nothing else.

The view answers with two letters and touches no session. The server, its sockets and its parsing are left out, because
they are the same on both sides.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable
from contextlib import nullcontext
from io import BytesIO
from typing import Any

from benchmarks.slices import Variant
from benchmarks.stage import Stage
from genops_otel_posthog import GenOpsPostHogAdapter

_JOINED = {
    "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    "baggage": "genops.customer_id=acme",
}


def prepare() -> tuple[Stage, dict[str, Variant]]:
    """The stage, and a variant of each framework without sessions, with them, and with a caller's trace and baggage."""
    stage = Stage()
    adapter = GenOpsPostHogAdapter(
        "phc_benchmark",
        "http://127.0.0.1:9",
        team="web",
        ledger_url="memory://",
        tracer_provider=stage.tracer_provider,
    )
    variants: dict[str, Variant] = {}
    for framework, make in (("Django", _django), ("Flask", _flask), ("ASGI", _asgi)):
        for what, given, headers in (
            ("bare", None, {}),
            ("idle session", adapter, {}),
            ("idle session of a caller's trace", adapter, _JOINED),
        ):
            # Outside of any span: the framework is not instrumented, so the middleware reads the headers itself.
            variants[f"{framework}, {what}"] = Variant(make(given, headers), nullcontext)
    return stage, variants


def _customer(*_: object) -> str:
    return "acme"


def _environ(headers: dict[str, str]) -> dict[str, Any]:
    sent = {f"HTTP_{name.upper()}": value for name, value in headers.items()}
    return {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "",
        "PATH_INFO": "/idle",
        "QUERY_STRING": "",
        "SERVER_NAME": "shop",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_HOST": "shop",
        "wsgi.url_scheme": "http",
        "wsgi.input": BytesIO(),
        **sent,
    }


def _wsgi(app: Callable[..., Iterable[bytes]], headers: dict[str, str]) -> Callable[[], None]:
    environ = _environ(headers)

    def start_response(*_: object) -> None: ...

    def call() -> None:
        response: Any = app(dict(environ), start_response)
        for _ in response:
            pass
        response.close()

    return call


def _django(adapter: GenOpsPostHogAdapter | None, headers: dict[str, str]) -> Callable[[], None]:
    import django
    from django.conf import settings
    from django.core.handlers.wsgi import WSGIHandler
    from django.http import HttpRequest, HttpResponse
    from django.test import override_settings
    from django.urls import path

    def idle(request: HttpRequest) -> HttpResponse:
        return HttpResponse("ok")

    if not settings.configured:
        settings.configure(ALLOWED_HOSTS=["*"], ROOT_URLCONF=(path("idle", idle),))
        django.setup()
    middleware = [] if adapter is None else ["genops_otel_posthog.integrations.django.PostHogGovernanceMiddleware"]
    with override_settings(MIDDLEWARE=middleware, GENOPS_POSTHOG={"adapter": adapter, "owner": _customer}):
        return _wsgi(WSGIHandler(), headers)


def _flask(adapter: GenOpsPostHogAdapter | None, headers: dict[str, str]) -> Callable[[], None]:
    from flask import Flask

    from genops_otel_posthog.integrations.flask import PostHogGovernance

    app = Flask("idle")
    app.get("/idle")(lambda: "ok")
    if adapter is not None:
        PostHogGovernance(app, adapter=adapter, owner=_customer)
    return _wsgi(app.wsgi_app, headers)


def _asgi(adapter: GenOpsPostHogAdapter | None, headers: dict[str, str]) -> Callable[[], None]:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import PlainTextResponse
    from starlette.routing import Route

    from genops_otel_posthog.integrations.asgi import PostHogGovernanceMiddleware

    async def idle(request: Request) -> PlainTextResponse:
        return PlainTextResponse("ok")

    app = Starlette(routes=[Route("/idle", idle)])
    if adapter is not None:
        app.add_middleware(PostHogGovernanceMiddleware, adapter=adapter, owner=_customer)
    scope: dict[str, Any] = {
        "type": "http",
        "method": "GET",
        "scheme": "http",
        "path": "/idle",
        "root_path": "",
        "query_string": b"",
        "headers": [(b"host", b"shop"), *((name.encode(), value.encode()) for name, value in headers.items())],
    }

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b""}

    async def send(message: object) -> None: ...

    def call() -> None:
        _run(app({**scope, "state": {}}, receive, send))

    return call


def _run(coroutine: Coroutine[Any, Any, None]) -> None:
    """Runs a coroutine that waits for nothing, without a loop."""
    try:
        coroutine.send(None)
    except StopIteration:
        return
    raise RuntimeError("the request waited for something")

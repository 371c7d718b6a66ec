"""A Django application whose requests are sessions, served by a thread and by a coroutine.

``python examples/django_app.py`` serves a few requests and shows what PostHog got of them; it needs no account and no
network, only ``pip install 'genops-otel-posthog[instruments,receiver,django]'``. In a project of yours, the two
settings are all there is.
"""

from __future__ import annotations

import asyncio
import logging
import os
from typing import Any

import django
from django.conf import settings
from django.http import HttpRequest, JsonResponse
from django.urls import path

# --- The application --------------------------------------------------------------------------------------------------


def customer_of(request: HttpRequest) -> str | None:
    """Whose a request is; in earnest, ``request.user.customer_id``."""
    return request.headers.get("X-Customer")


MIDDLEWARE = ["genops_otel_posthog.integrations.django.PostHogGovernanceMiddleware"]
GENOPS_POSTHOG = {
    "team": "web-team",
    "project": "django-app",
    "owner": customer_of,  # or a dotted path: "shop.owners.customer_of"
    "pricing_mode": "list",  # what it costs once the free tier is used up
}


def order(request: HttpRequest) -> JsonResponse:
    """A synchronous view."""
    result = request.analytics_session.capture_event("order_completed", {"total": 42}, "ann", is_identified=True)
    return JsonResponse({"cost": result["cost"], "session": request.analytics_session.session_id})


async def search(request: HttpRequest) -> JsonResponse:
    """An asynchronous one."""
    request.analytics_session.capture_event("search_performed", {"words": 2}, "ann")
    return JsonResponse({"cost": request.analytics_session.total_cost})


def failing(request: HttpRequest) -> JsonResponse:
    """One that fails after it has captured an event, which is delivered all the same."""
    request.analytics_session.capture_event("payment_started", distinct_id="ann")
    raise ConnectionError("the payment provider does not answer")


urlpatterns = [path("orders/", order), path("search/", search), path("payments/", failing)]


# --- The stage --------------------------------------------------------------------------------------------------------


def main() -> None:
    """Serves a few requests, and shows what PostHog got."""
    from django.test import AsyncClient, Client
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    from genops_otel_posthog import GenOpsPostHogAdapter
    from genops_otel_posthog.receiver.server import LocalReceiver, environment_for

    logging.getLogger("django").setLevel(logging.CRITICAL)  # one of the requests is to fail
    spans = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    trace.set_tracer_provider(provider)
    with LocalReceiver() as posthog:
        os.environ.update(environment_for(posthog.url), GENOPS_LEDGER_URL="memory://")
        settings.configure(
            ALLOWED_HOSTS=["*"],
            GENOPS_POSTHOG=GENOPS_POSTHOG,
            LOGGING_CONFIG=None,
            MIDDLEWARE=MIDDLEWARE,
            ROOT_URLCONF=__name__,
        )
        django.setup()

        def shown(kind: str, page: str, answer: Any) -> None:
            print(f"{kind:<5} GET {page:<11} {answer.status_code}")

        client = Client(raise_request_exception=False)
        shown("WSGI", "/orders/", client.get("/orders/", headers={"x-customer": "acme"}))
        shown("WSGI", "/payments/", client.get("/payments/", headers={"x-customer": "initech"}))
        shown("ASGI", "/search/", asyncio.run(AsyncClient().get("/search/", headers={"x-customer": "acme"})))
        GenOpsPostHogAdapter().flush()

        print("\nPostHog got")
        for event in posthog.events():
            owner = event.properties
            print(f"  {event.event:<17} for {owner['genops_customer_id']:<8} by {owner['genops_team']}")
    print("\nThe traces show")
    for span in spans.get_finished_spans():
        if span.name.startswith("session "):
            told = span.attributes or {}
            how = told.get("error.type", "ok")
            print(f"  {span.name} for {told['genops.customer_id']:<8} ${told['genops.session.cost']:.6f}  {how}")


if __name__ == "__main__":
    main()

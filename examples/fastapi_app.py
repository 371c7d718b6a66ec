"""A FastAPI application whose requests are sessions: who caused what PostHog costs, request by request.

``python examples/fastapi_app.py`` serves a few requests and shows what PostHog got of them; it needs no account and no
network, only ``pip install 'genops-otel-posthog[instruments,receiver]' fastapi httpx``. In earnest::

    POSTHOG_API_KEY=phc_… uvicorn --factory fastapi_app:create_app
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from fastapi import BackgroundTasks, FastAPI, Request
from fastapi.responses import StreamingResponse
from fastapi.testclient import TestClient

from genops_otel_posthog.integrations.asgi import PostHogGovernanceMiddleware
from genops_otel_posthog.receiver.server import LocalReceiver, environment_for

# --- The application --------------------------------------------------------------------------------------------------


def customer_of(scope: dict[str, Any]) -> dict[str, str]:
    """Whose a request is; in earnest, from the token that it was signed with."""
    headers = dict(scope["headers"])
    return {"customer_id": headers.get(b"x-customer", b"").decode(), "feature": scope["path"].split("/")[1]}


def create_app() -> FastAPI:
    """The application. Key, host, team, budgets and ledger come from the environment."""
    app = FastAPI()
    app.add_middleware(PostHogGovernanceMiddleware, owner=customer_of, excluded_paths=["/healthz"])

    @app.get("/healthz")
    async def healthz() -> str:
        return "ok"

    @app.post("/orders")
    async def order(request: Request, tasks: BackgroundTasks, user: str) -> dict[str, Any]:
        session = request.state.analytics_session
        result = session.capture_event("order_completed", {"total": 42}, user, is_identified=True)
        tasks.add_task(session.capture_event, "receipt_sent", distinct_id=user)  # after the answer, in the same session
        return {"event": result["event_uuid"], "cost": result["cost"]}

    @app.get("/reports")
    def report(request: Request, user: str) -> StreamingResponse:
        session = request.state.analytics_session

        def rows() -> Iterator[str]:
            for row in range(3):
                session.capture_event("row_exported", {"row": row}, user)
                yield f"{row}\n"

        return StreamingResponse(rows())

    return app


# --- The stage --------------------------------------------------------------------------------------------------------


def main() -> None:
    """Serves a few requests, shuts down, and shows what PostHog got."""
    with LocalReceiver() as posthog:
        os.environ.update(
            environment_for(posthog.url),
            GENOPS_TEAM="api-team",
            GENOPS_PRICING_MODE="list",  # what it costs once the free tier is used up
            GENOPS_LEDGER_URL="memory://",
        )
        with TestClient(create_app()) as client:
            client.get("/healthz")
            for customer, user in (("acme", "ann"), ("acme", "bob"), ("initech", "cleo")):
                answer = client.post(f"/orders?user={user}", headers={"x-customer": customer}).json()
                print(f"POST /orders for {customer:<8} ${answer['cost']:.6f}  {answer['event']}")
            client.get("/reports?user=ann", headers={"x-customer": "acme"})

        # The server has shut down, so everything has been delivered.
        print(f"\n{'customer':<10}{'feature':<10}{'event':<18}{'cost':>10}")
        for event in sorted(posthog.events(), key=lambda event: str(event.properties.get("genops_customer_id"))):
            owner = event.properties
            print(
                f"{owner['genops_customer_id']:<10}{owner['genops_feature']:<10}{event.event:<18}"
                f"{owner['genops_cost_estimated']:>10.6f}"
            )
        print("\nPostHog would bill", ", ".join(f"{units} {meter}" for meter, units in posthog.bill().meters.items()))


if __name__ == "__main__":
    main()

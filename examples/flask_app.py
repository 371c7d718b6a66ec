"""A Flask application whose requests are sessions, and a budget that one of them meets.

``python examples/flask_app.py`` serves a few requests and shows what PostHog got of them; it needs no account and no
network, only ``pip install 'genops-otel-posthog[instruments,receiver,flask]'``. In earnest::

    POSTHOG_API_KEY=phc_… gunicorn 'flask_app:create_app()'
"""

from __future__ import annotations

import logging
import os
from typing import Any

from flask import Flask, Request, Response, g, jsonify

from genops_otel_posthog import GenOpsBudgetExceededError
from genops_otel_posthog.integrations.flask import PostHogGovernance
from genops_otel_posthog.receiver.server import LocalReceiver, environment_for

# --- The application --------------------------------------------------------------------------------------------------


def customer_of(request: Request) -> str | None:
    """Whose a request is; in earnest, from the session of who is logged in."""
    return request.headers.get("X-Customer")


def create_app() -> Flask:
    """The application. Key, host, team, budgets and ledger come from the environment."""
    app = Flask(__name__)
    PostHogGovernance(app, owner=customer_of, excluded_paths="/healthz")

    @app.get("/healthz")
    def healthz() -> str:
        return "ok"

    @app.post("/orders")
    def order() -> Response:
        result = g.analytics_session.capture_event("order_completed", {"total": 42}, "ann", is_identified=True)
        return jsonify(result)

    @app.errorhandler(GenOpsBudgetExceededError)
    def beyond_the_budget(error: GenOpsBudgetExceededError) -> tuple[dict[str, Any], int]:
        return {"refused": str(error)}, 503

    return app


# --- The stage --------------------------------------------------------------------------------------------------------


def main() -> None:
    """Serves requests until the day's budget is used up, and shows what PostHog got."""
    logging.getLogger("genops_otel_posthog").setLevel(logging.CRITICAL)  # it says the same as the answers
    with LocalReceiver() as posthog:
        os.environ.update(
            environment_for(posthog.url),
            GENOPS_TEAM="web-team",
            GENOPS_PRICING_MODE="list",  # what it costs once the free tier is used up
            GENOPS_DAILY_BUDGET_LIMIT="0.001",
            GENOPS_GOVERNANCE_POLICY="enforced",
            GENOPS_LEDGER_URL="memory://",
        )
        app = create_app()
        client = app.test_client()
        for customer in ("acme", "acme", "initech", "acme", "initech"):
            answer = client.post("/orders", headers={"X-Customer": customer})
            said = f"${answer.json['cost']:.6f}" if answer.status_code == 200 else answer.json["refused"]
            print(f"{answer.status_code} for {customer:<8} {said}")
        app.extensions["genops_posthog"].adapter.flush()

        events = posthog.events()
        print(f"\nPostHog got {len(events)} events:")
        for event in events:
            print(f"{event.event} of {event.properties['genops_team']} for {event.properties['genops_customer_id']}")


if __name__ == "__main__":
    main()

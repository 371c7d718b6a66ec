"""A web shop as anyone might write it: Flask, PostHog's SDK, and not a word about telemetry.

Four teams share it, one blueprint each; companies shop at their own subdomain. Run it with

    POSTHOG_API_KEY=phc_… opentelemetry-instrument python shop.py

and every call to PostHog below is a span that says what it cost. The one optional part that knows about ownership is
``name_owners`` at the end. The assistant beside it, an agent, tells its steps.
"""

from __future__ import annotations

import os
import signal
import sys
from contextlib import ExitStack
from typing import Any
from uuid import uuid4

from flask import Blueprint, Flask, Response, g, jsonify, request
from posthog import Posthog

from genops_otel_posthog.demo import assistant

PRODUCTS = {"mug": 1400, "lamp": 4900, "desk": 32000, "chair": 18500}  # prices in cents

posthog = Posthog(
    os.environ.get("POSTHOG_API_KEY", ""),
    host=os.environ.get("POSTHOG_HOST"),
    # With a personal or secret key the SDK evaluates flags by itself, which PostHog does not bill.
    secret_key=os.environ.get("POSTHOG_PERSONAL_API_KEY"),
    poll_interval=int(os.environ.get("FLAG_POLL_SECONDS", "30")),
)

storefront = Blueprint("storefront", __name__)
growth = Blueprint("growth", __name__)
checkout = Blueprint("checkout", __name__)
support = Blueprint("support", __name__)


def company() -> str:
    """The customer whose shop this is: ``acme`` of ``acme.shop.example``."""
    return request.host.partition(".")[0]


def visitor() -> str:
    """The distinct id: the signed-in user, else the anonymous visitor."""
    return request.cookies.get("user") or request.cookies["visitor"]


def browsing(**properties: object) -> dict[str, object]:
    """Properties of a browsing event. PostHog bills strangers at a fifth when no person profile is made for them."""
    if "user" not in request.cookies:
        properties["$process_person_profile"] = False
    return properties


# --- Team storefront: pages and products -----------------------------------------------------------------------------


@storefront.get("/")
def home() -> Response:
    navigation = posthog.feature_enabled("new-navigation", visitor())
    posthog.capture("$pageview", distinct_id=visitor(), properties=browsing(**{"$current_url": request.url}))
    return jsonify(products=sorted(PRODUCTS), navigation="new" if navigation else "classic")


@storefront.get("/products/<sku>")
def product(sku: str) -> Response:
    flags = posthog.evaluate_flags(visitor(), flag_keys=["recommendations"])
    others = sorted(PRODUCTS.keys() - {sku}) if flags.is_enabled("recommendations") else []
    posthog.capture("product_viewed", distinct_id=visitor(), properties=browsing(sku=sku), flags=flags)
    return jsonify(sku=sku, price=PRODUCTS[sku], recommended=others)


@storefront.post("/products/<sku>/description")
def describe(sku: str) -> Response:
    prompt = f"Describe a {sku} for {company()} in one sentence."
    text = f"A {sku} that {company()} will want to keep."  # stands for the answer of a language model
    posthog.capture_ai(
        "$ai_generation",
        distinct_id=visitor(),
        properties={
            "$ai_trace_id": str(uuid4()),
            "$ai_provider": "openai",
            "$ai_model": "gpt-5-mini",
            "$ai_input_tokens": len(prompt) // 4,
            "$ai_output_tokens": len(text) // 4,
        },
    )
    return jsonify(sku=sku, description=text)


# --- Team growth: pricing page and sign-up ---------------------------------------------------------------------------


@growth.get("/pricing")
def pricing() -> Response:
    variant = posthog.get_feature_flag("pricing-page", visitor())
    posthog.capture("pricing_viewed", distinct_id=visitor(), properties=browsing(variant=variant))
    return jsonify(variant=variant)


@growth.post("/signup")
def sign_up() -> tuple[Response, int]:
    form: dict[str, Any] = request.get_json()
    user = form["user"]
    # Only PostHog knows which offer the visitor saw before, so this flag is a request, which is billed.
    flags = posthog.evaluate_flags(user, flag_keys=["welcome-offer"])
    posthog.alias(previous_id=request.cookies["visitor"], distinct_id=user)
    posthog.set(distinct_id=user, properties={"plan": form["plan"]})
    posthog.capture(
        "user_signed_up",
        distinct_id=user,
        properties={"plan": form["plan"]},
        groups={"company": company()},
        flags=flags,
    )
    if form["plan"] == "business":
        posthog.group_identify("company", company(), properties={"plan": "business"}, distinct_id=user)
    return jsonify(user=user, discount=10 if flags.is_enabled("welcome-offer") else 0), 201


# --- Team checkout: orders and payments ------------------------------------------------------------------------------


class CardDeclined(Exception):
    """The bank said no."""


def charge(card: str, cents: int) -> None:
    if card == "declined":
        raise CardDeclined(f"the bank declined {cents} cents")


@checkout.post("/orders")
def order() -> tuple[Response, int]:
    form: dict[str, Any] = request.get_json()
    flags = posthog.evaluate_flags(
        visitor(),
        flag_keys=["one-click-checkout", "free-shipping"],
        person_properties={"plan": form["plan"]},
        groups={"company": company()},
    )
    cents = sum(PRODUCTS[sku] for sku in form["items"]) + (0 if flags.is_enabled("free-shipping") else 900)
    try:
        charge(form["card"], cents)
    except CardDeclined as declined:
        posthog.capture_exception(declined, distinct_id=visitor())
        return jsonify(error=str(declined)), 402
    posthog.capture(
        "order_completed",
        distinct_id=visitor(),
        properties={"items": len(form["items"]), "revenue": cents / 100},
        groups={"company": company()},
        flags=flags,
    )
    return jsonify(paid=cents, clicks=1 if flags.is_enabled("one-click-checkout") else 4), 201


# --- Team support: questions about orders, answered by an agent -------------------------------------------------------


@support.post("/questions")
def question() -> Response:
    form: dict[str, Any] = request.get_json()
    answer = assistant.answer(form["question"], form["order"], user=visitor(), company=company())
    posthog.capture("question_answered", distinct_id=visitor(), properties={"order": form["order"]})
    return jsonify(answer=answer)


# --- Optional: whose cost is it? -------------------------------------------------------------------------------------
# Without this function every call belongs to GENOPS_TEAM and GENOPS_PROJECT. A process that several teams share, or
# that serves several customers, says here which of them a request is for. These are the only lines that know genops.

PROJECTS = {"storefront": "web-shop", "growth": "onboarding", "checkout": "payments", "support": "assistant"}


def name_owners(app: Flask) -> None:
    from genops_otel_posthog import governance

    @app.before_request
    def begin() -> None:
        team = request.blueprint
        owner = governance(team=team, project=PROJECTS.get(team or ""), customer_id=company(), feature=request.endpoint)
        g.owner = ExitStack()
        g.owner.enter_context(owner)

    @app.teardown_request
    def end(_: BaseException | None) -> None:
        g.pop("owner", ExitStack()).close()


# --- The application -------------------------------------------------------------------------------------------------


def create_app() -> Flask:
    """The shop, ready to serve."""
    app = Flask("shop")
    for blueprint in (storefront, growth, checkout, support):
        app.register_blueprint(blueprint)
    app.add_url_rule("/health", "health", lambda: "ok")
    name_owners(app)
    return app


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # leave in order, so that nothing queued is lost
    if os.environ.get("POSTHOG_PERSONAL_API_KEY"):
        posthog.load_feature_flags()  # type: ignore[no-untyped-call]  # the SDK has no annotations here
    try:
        create_app().run(os.environ.get("HOST", "127.0.0.1"), int(os.environ.get("PORT", "8000")))
    finally:
        posthog.shutdown()

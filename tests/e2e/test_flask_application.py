"""A Flask application under ``opentelemetry-instrument``: PostHog's calls stand in the trace of their request."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = pytest.mark.wheel

SHOP = """
import os
import threading
import urllib.request

from flask import Flask, request
from posthog import Posthog
from werkzeug.serving import make_server

client = Posthog(os.environ["POSTHOG_API_KEY"], host=os.environ["POSTHOG_HOST"])
shop = Flask(__name__)


@shop.post("/checkout")
def checkout():
    user = request.headers["X-User"]
    if client.get_feature_flag("new-checkout", user):
        client.capture("order_completed", distinct_id=user)
    return "thanks"


@shop.post("/broken")
def broken():
    client.capture("order_failed", distinct_id="ann")
    raise RuntimeError("out of stock")


server = make_server("127.0.0.1", 0, shop)
threading.Thread(target=server.serve_forever).start()
# A caller that is not traced itself, but says whose request it is.
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
for path, headers in [
    ("/checkout", {"X-User": "ann"}),
    ("/checkout", {"X-User": "bob", "baggage": "genops.customer_id=acme,colour=red"}),
    ("/broken", {"X-User": "ann"}),
]:
    asked = urllib.request.Request(f"http://127.0.0.1:{server.port}{path}", headers=headers, method="POST")
    try:
        print(opener.open(asked).read().decode())
    except urllib.error.HTTPError as error:
        print(error.code)
server.shutdown()
"""


@pytest.fixture(scope="module")
def shop(launch: Any, beside_the_wheel: Any) -> Any:
    beside_the_wheel("flask", "opentelemetry-instrumentation-flask")
    variables = {"OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "requests", "GENOPS_TEAM": "checkout"}
    return launch(SHOP, **variables).succeed()


def test_the_shop_serves(shop: Any) -> None:
    assert shop.out.split() == ["thanks", "thanks", "500"]


def test_the_calls_are_children_of_the_span_of_their_request(shop: Any) -> None:
    requests = {span.span_id: span for span in shop.all_spans() if span.kind == "server"}

    assert [(requests[span.parent_span_id or ""].name, span.name) for span in shop.spans()] == [
        ("POST /checkout", "evaluate_flag new-checkout"),
        ("POST /checkout", "capture order_completed"),
        ("POST /checkout", "evaluate_flag new-checkout"),
        ("POST /checkout", "capture order_completed"),
        ("POST /broken", "capture order_failed"),
    ]


def test_each_request_is_a_trace_of_its_own(shop: Any) -> None:
    assert len({span.trace_id for span in shop.spans()}) == 3


def test_a_call_lies_within_its_request(shop: Any) -> None:
    requests = {span.span_id: span for span in shop.all_spans() if span.kind == "server"}

    for span in shop.spans():
        request = requests[span.parent_span_id or ""]
        assert request.start_ns <= span.start_ns <= span.end_ns <= request.end_ns


def test_the_events_name_the_trace_and_the_span_of_their_request(shop: Any) -> None:
    requests = {span.span_id: span for span in shop.all_spans() if span.kind == "server"}

    for event in shop.events():
        request = requests[event.properties["$span_id"]]
        assert event.properties["$trace_id"] == event.properties["trace_id"] == request.trace_id


def test_a_customer_named_in_baggage_owns_the_calls_of_that_request_alone(shop: Any) -> None:
    owners = [span.attributes.get("genops.customer_id") for span in shop.spans()]

    assert owners == [None, None, "acme", "acme", None]


def test_the_estimate_is_the_bill(shop: Any) -> None:
    assert shop.usage() == shop.bill() == {"events": 3, "identified_events": 3, "feature_flag_requests": 2}

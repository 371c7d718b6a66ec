"""Web requests become events by a rule, and only by a rule; seen on a Flask application that is really instrumented."""

from __future__ import annotations

import flask
import pytest
from opentelemetry.instrumentation.flask import FlaskInstrumentor

from genops_otel_posthog.export.rules import Rules, builtin_rules
from genops_otel_posthog.export.rules.toml import load_rules

RULES = """
[[rule]]
id = "checkout"
match.kind = "server"
match.span_name = "POST /checkout/*"
match.attributes."http.route" = "/checkout/<cart>"
match.status = ["unset", "ok"]

[[rule.event]]
name = "checkout_completed"
properties.route = "http.route"
properties.took_ms = "span.duration_ms"
"""


@pytest.fixture
def client(spans):
    app = flask.Flask("shop")

    @app.post("/checkout/<cart>")
    def checkout(cart):
        if cart == "broken":
            raise LookupError("no such cart")
        return "ok"

    instrumentor = FlaskInstrumentor()
    instrumentor.instrument_app(app, tracer_provider=spans.provider)
    yield app.test_client()
    instrumentor.uninstrument_app(app)


@pytest.fixture
def rules(tmp_path):
    (tmp_path / "rules.toml").write_text(RULES, encoding="utf-8")
    return Rules([*load_rules(tmp_path / "rules.toml"), *builtin_rules()])


def test_a_request_is_no_event_of_itself(client, spans):
    client.post("/checkout/c1")
    conversion = Rules(builtin_rules()).events_for(spans.taken()[0])
    assert (conversion.events, conversion.reason.value) == ((), "filtered")


def test_a_request_that_a_rule_asks_for_is_its_event(client, spans, rules):
    client.post("/checkout/c1")
    (event,) = rules.events_for(spans.taken()[0]).events
    assert (event.name, event.properties["route"]) == ("checkout_completed", "/checkout/<cart>")
    assert event.properties["$process_person_profile"] is False


def test_a_request_that_failed_is_an_error_and_not_a_checkout(client, spans, rules):
    assert client.post("/checkout/broken").status_code == 500
    events = [event for span in spans.taken() for event in rules.events_for(span).events]
    assert [event.name for event in events] == ["$exception"]
    (told,) = events[0].properties["$exception_list"]
    assert (told["type"], told["stacktrace"]["frames"][-1]["function"]) == ("LookupError", "checkout")

"""What may leave, and that nothing leaves when it cannot be told."""

from __future__ import annotations

from dataclasses import replace

import pytest
from opentelemetry.sdk.trace import TracerProvider

from genops_otel_posthog.errors import GenOpsValidationError
from genops_otel_posthog.export.privacy import Privacy
from genops_otel_posthog.export.rules import EventTemplate, Reason, Rules, SpanRule


def convert(privacy, **attributes):
    span = TracerProvider(shutdown_on_exit=False).get_tracer("shop").start_span("work", attributes=attributes)
    span.end()
    rule = SpanRule("r", events=[EventTemplate("seen", copy=["a", "p", "s"])])
    return Rules([rule], privacy=privacy).events_for(span)


@pytest.mark.parametrize(
    ("lists", "made"),
    [
        ({}, True),
        ({"allow_events": ["seen"]}, True),
        ({"allow_events": ["SE*"]}, True),
        ({"allow_events": ["other"]}, False),
        ({"deny_events": ["se?n"]}, False),
        ({"allow_events": ["*"], "deny_events": ["seen"]}, False),
    ],
)
def test_events_pass_by_their_name(lists, made):
    conversion = convert(Privacy(**lists))
    assert bool(conversion.events) is made
    assert made or conversion.reason is Reason.FILTERED


def test_properties_that_say_that_they_are_secret_do_not_leave():
    properties = convert(Privacy(), api_key="k", password="p", set_cookie="c", page="/").events[0].properties
    assert properties["page"] == "/"
    assert not {"api_key", "password", "set_cookie"} & properties.keys()


def test_counts_of_tokens_are_not_secrets():
    assert Privacy().name_of("$ai_input_tokens") == "$ai_input_tokens"


def test_the_list_of_secrets_can_be_replaced():
    properties = convert(Privacy(deny_properties=["page"]), api_key="k", page="/").events[0].properties
    assert properties["api_key"] == "k"
    assert "page" not in properties


def test_with_a_list_of_properties_only_these_and_the_systems_own_leave():
    properties = convert(Privacy(allow_properties=["page"]), page="/", address="x").events[0].properties
    own = {name for name in properties if not name.startswith(("$", "genops_"))}
    assert own == {"page"}
    assert "$trace_id" in properties


def test_that_an_event_is_anonymous_cannot_be_taken_from_it():
    properties = convert(Privacy(deny_properties=["*"])).events[0].properties
    assert properties == {"$process_person_profile": False, "$geoip_disable": True}


def test_the_hook_sees_the_finished_event_and_may_change_it():
    def redact(event):
        return replace(event, properties={**event.properties, "page": "hidden"})

    assert convert(Privacy(redact=redact), page="/secret").events[0].properties["page"] == "hidden"


def test_what_the_hook_adds_is_made_plain_too():
    def redact(event):
        return replace(event, properties={**event.properties, "page": float("nan"), "at": b"x"})

    properties = convert(Privacy(redact=redact)).events[0].properties
    assert (properties["page"], properties["at"]) == (None, "x")


def test_the_hook_may_drop_an_event():
    conversion = convert(Privacy(redact=lambda event: None))
    assert (conversion.events, conversion.reason) == ((), Reason.FILTERED)


@pytest.mark.parametrize("redact", [lambda event: 1 / 0, lambda event: "no event"])
def test_an_event_whose_hook_fails_does_not_leave(redact):
    conversion = convert(Privacy(redact=redact))
    assert (conversion.events, conversion.reason) == ((), Reason.REDACTION_FAILED)


def test_a_list_that_is_not_of_texts_is_refused():
    with pytest.raises(GenOpsValidationError, match="deny_events: 7 is not a text"):
        Privacy(deny_events=[7])

"""Owners in W3C baggage, through OpenTelemetry's own propagator: read where allowed, written where asked for."""

from __future__ import annotations

import pytest
from opentelemetry import baggage, context
from opentelemetry.baggage.propagation import W3CBaggagePropagator

from genops_otel_posthog.attribution import FIELDS, NOBODY, Attribution, AttributionResolver, attribution_in, governance
from genops_otel_posthog.settings import BAGGAGE_FIELDS

EVERYTHING = (*FIELDS, "tags")


def outgoing():
    """The headers of a request made now."""
    headers: dict[str, str] = {}
    W3CBaggagePropagator().inject(headers)
    return headers


def incoming(headers, allowed=BAGGAGE_FIELDS):
    """The owner of a call made while serving a request with these headers."""
    request = W3CBaggagePropagator().extract(headers, context.Context())
    return AttributionResolver(NOBODY, allowed).resolve(request)


def test_the_caller_names_the_owner():
    assert incoming({"baggage": "genops.team=checkout,genops.customer_id=acme,user=7"}) == Attribution(
        team="checkout", customer_id="acme"
    )


@pytest.mark.parametrize("field", FIELDS)
def test_the_caller_sets_only_the_fields_that_are_allowed(field):
    with governance(**{field: "somebody"}, baggage=EVERYTHING):
        headers = outgoing()
    assert getattr(incoming(headers, {field}), field) == "somebody"
    assert incoming(headers, set(EVERYTHING) - {field}) == NOBODY


def test_the_caller_sets_tags_only_where_tags_are_allowed():
    headers = {"baggage": "genops.tag.tier=gold,genops.team=checkout"}
    assert incoming(headers) == Attribution(team="checkout")
    assert incoming(headers, {"tags"}) == Attribution(tags={"tier": "gold"})


def test_with_nothing_allowed_the_caller_sets_nothing():
    assert incoming({"baggage": "genops.team=checkout,genops.tag.tier=gold"}, ()) == NOBODY


def test_by_default_the_caller_sets_neither_environment_nor_user_nor_session_nor_tags():
    assert set(EVERYTHING) - set(BAGGAGE_FIELDS) == {
        "environment",
        "user_id",
        "workspace_id",
        "organization_id",
        "session_id",
        "tags",
    }


@pytest.mark.parametrize("header", ["", "=", "genops.team", "genops.team=", "a=b,,;;", "genops.team=%FF", "\x00"])
def test_a_malformed_header_breaks_nothing(header):
    incoming({"baggage": header})


def test_what_a_stranger_writes_is_made_safe():
    owner = incoming({"baggage": "genops.team=a%0Ab,genops.project=" + "x" * 4000})
    assert owner == Attribution(team="a\ufffdb", project="x" * 256)


def test_baggage_that_the_application_sets_itself_may_hold_any_value():
    token = context.attach(baggage.set_baggage("genops.team", ["not", "hashable"]))
    try:
        resolver = AttributionResolver(NOBODY, BAGGAGE_FIELDS)
        assert resolver.resolve() == resolver.resolve() == Attribution(team="['not', 'hashable']")
    finally:
        context.detach(token)


def test_what_is_not_baggage_under_the_key_of_baggage_breaks_nothing():
    (key,) = baggage.set_baggage("a", "b", context.Context())
    broken = context.set_value(key, "genops.team=checkout", context.Context())
    assert AttributionResolver(NOBODY, EVERYTHING).resolve(broken) == NOBODY


def test_a_block_writes_no_baggage_unless_asked():
    with governance(team="checkout", customer_id="acme"):
        assert outgoing() == {}


def test_a_block_that_is_asked_writes_the_usual_fields_until_it_ends():
    owner = {field: f"a-{field}" for field in FIELDS}
    with governance(**owner, tags={"tier": "gold"}, baggage=True):
        headers = outgoing()
    assert outgoing() == {}
    assert incoming(headers, EVERYTHING) == Attribution(**{field: owner[field] for field in BAGGAGE_FIELDS})


@pytest.mark.parametrize("fields", [{"user_id", "tags"}, ["user_id", "tags"], ("tags", "user_id")])
def test_a_block_writes_the_fields_that_are_named(fields):
    with governance(team="checkout", user_id="u-17", tags={"tier": "gold"}, baggage=fields):
        assert incoming(outgoing(), EVERYTHING) == Attribution(user_id="u-17", tags={"tier": "gold"})


def test_a_single_field_may_be_named_by_itself():
    with governance(team="checkout", project="shop", baggage="team"):
        assert outgoing() == {"baggage": "genops.team=checkout"}


@pytest.mark.parametrize(
    ("value", "header"),
    [
        ("true", {"baggage": "genops.team=checkout"}),
        ("false", {}),
        ("team,user_id", {"baggage": "genops.team=checkout,genops.user.id=u-17"}),
    ],
)
def test_the_environment_decides_for_blocks_that_do_not_say(monkeypatch, value, header):
    monkeypatch.setenv("GENOPS_BAGGAGE_OUT", value)
    with governance(team="checkout", user_id="u-17"):
        assert outgoing() == header
    with governance(team="checkout", baggage=False):
        assert outgoing() == {}
    with governance(team="checkout", baggage=True):
        assert outgoing() == {"baggage": "genops.team=checkout"}


def test_a_block_keeps_the_baggage_of_others_and_gives_it_back_as_it_was():
    token = context.attach(baggage.set_baggage("genops.team", "caller", baggage.set_baggage("shop", "7")))
    try:
        with governance(team="checkout", baggage=True):
            assert dict(baggage.get_all()) == {"shop": "7", "genops.team": "checkout"}
        assert dict(baggage.get_all()) == {"shop": "7", "genops.team": "caller"}
    finally:
        context.detach(token)


def test_nested_blocks_write_what_each_of_them_gives():
    with governance(team="checkout", baggage=True), governance(customer_id="acme", baggage=True):
        assert incoming(outgoing()) == Attribution(team="checkout", customer_id="acme")
    with governance(team="checkout"), governance(customer_id="acme", baggage=True):
        assert incoming(outgoing()) == Attribution(customer_id="acme")


@pytest.mark.parametrize("value", ["a,b;c=d", "größe", "日本" * 128, "50 % off", 'a"b\\c', "a\ud800b"])
def test_text_of_any_kind_crosses_the_wire_unharmed(value):
    with governance(project=value, baggage=True):
        sent = attribution_in()
        assert incoming(outgoing()) == sent != NOBODY

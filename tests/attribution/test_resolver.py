"""Whose call is this? Every source, every pair of sources, and what is kept between calls."""

from __future__ import annotations

import gc
import itertools
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor

import pytest
from opentelemetry import baggage, context

from genops_otel_posthog.attribution import FIELDS, NOBODY, Attribution, AttributionResolver, governance
from genops_otel_posthog.settings import Settings

EVERYTHING = (*FIELDS, "tags")
SOURCES = ("call", "block", "baggage", "option", "environment", "resource")
PAIRS = list(itertools.combinations(SOURCES, 2))


def owner_of_a_call(said):
    """The owner of a call, given what each source says as ``{source: {field or tag.key: value}}``."""

    def prefixed(source, prefix):
        return {f"{prefix}{name}": value for name, value in said.get(source, {}).items()}

    def attribution(source):
        fields = dict(said.get(source, {}))
        tags = {name[4:]: fields.pop(name) for name in list(fields) if name.startswith("tag.")}
        return {**fields, "tags": tags}

    environment = {name: value for name, value in said.get("environment", {}).items() if not name.startswith("tag.")}
    tags = ",".join(f"{key}={value}" for key, value in attribution("environment")["tags"].items())
    environ = {f"GENOPS_{name.upper()}": value for name, value in environment.items() if value is not None}
    settings = Settings.from_environ({**environ, "GENOPS_TAGS": tags})
    defaults = (
        Attribution(**attribution("option"))
        .over(Attribution.from_settings(settings))
        .over(Attribution.from_resource(prefixed("resource", "genops.")))
    )
    request = context.Context()
    for name, value in prefixed("baggage", "genops.").items():
        request = baggage.set_baggage(name, value, request)
    token = context.attach(request)
    try:
        with governance(**attribution("block")):
            return AttributionResolver(defaults, EVERYTHING).resolve(call=Attribution(**attribution("call")))
    finally:
        context.detach(token)


@pytest.mark.parametrize("source", SOURCES)
def test_each_source_alone_names_the_owner(source):
    said = {source: {"team": "checkout", "tag.tier": "gold"}}
    assert owner_of_a_call(said) == Attribution(team="checkout", tags={"tier": "gold"})


@pytest.mark.parametrize(("near", "far"), PAIRS)
def test_the_nearer_source_wins_and_the_farther_fills_the_gaps(near, far):
    said = {near: {"team": "near", "feature": "near"}, far: {"team": "far", "project": "far"}}
    assert owner_of_a_call(said) == Attribution(team="near", feature="near", project="far")


@pytest.mark.parametrize(("near", "far"), PAIRS)
def test_tags_of_two_sources_add_up_and_the_nearer_wins(near, far):
    said = {near: {"tag.tier": "near", "tag.a": "near"}, far: {"tag.tier": "far", "tag.b": "far"}}
    assert owner_of_a_call(said).tags == {"tier": "near", "a": "near", "b": "far"}


@pytest.mark.parametrize(("near", "far"), PAIRS)
@pytest.mark.parametrize("nothing", [None, "", "  "])
def test_a_source_that_gives_nothing_erases_nothing(near, far, nothing):
    if nothing is None and near == "baggage":
        nothing = ""
    assert owner_of_a_call({near: {"team": nothing}, far: {"team": "far"}}) == Attribution(team="far")


def test_of_six_sources_each_decides_what_no_nearer_one_gives():
    said = {source: dict.fromkeys(FIELDS[: rank + 1], source) for rank, source in enumerate(SOURCES)}
    assert owner_of_a_call(said) == Attribution(**dict(zip(FIELDS, SOURCES, strict=False)))


def test_when_nobody_is_named_the_defaults_answer():
    defaults = Attribution(team="checkout")
    assert AttributionResolver(defaults, EVERYTHING).resolve() is defaults


def test_baggage_without_owner_changes_nothing():
    defaults = Attribution(team="checkout")
    request = baggage.set_baggage("shop", "7", context.Context())
    assert AttributionResolver(defaults, EVERYTHING).resolve(request) == defaults


def test_a_given_context_is_asked_instead_of_the_current_one():
    resolver = AttributionResolver(NOBODY)
    with governance(team="checkout"):
        inside = context.get_current()
        assert resolver.resolve(context.Context()) == NOBODY
    assert resolver.resolve(inside) == Attribution(team="checkout")


def test_the_same_owner_is_the_same_object_each_time():
    resolver = AttributionResolver(Attribution(project="shop"))
    found = []
    for _ in range(2):
        with governance(team="checkout"):
            found.append(resolver.resolve())
    assert found[0] is found[1]


def test_the_caches_do_not_grow_with_the_number_of_customers():
    def owners_alive():
        gc.collect()
        return sum(type(thing) is Attribution for thing in gc.get_objects())

    resolver = AttributionResolver(Attribution(team="checkout"), {"customer_id"})
    before = owners_alive()
    for number in range(100_000):
        customer = Attribution(customer_id=number)
        assert resolver.resolve(call=customer).customer_id == str(number)
        if number % 10 == 0:
            request = baggage.set_baggage("genops.customer_id", f"c{number}", context.Context())
            assert resolver.resolve(request).customer_id == f"c{number}"
    assert owners_alive() - before < 3 * 2048 + 10


@pytest.mark.parametrize(("length", "kept"), [(256, True), (257, False)])
def test_what_a_stranger_writes_at_length_is_not_kept(length, kept):
    class Text(str):
        pass

    value = Text("x" * length)
    written = weakref.ref(value)
    resolver = AttributionResolver(NOBODY, {"project"})
    resolver.resolve(baggage.set_baggage("genops.project", value, context.Context()))
    del value
    gc.collect()
    assert (written() is not None) == kept


def test_threads_that_ask_at_once_get_their_own_answers():
    resolver = AttributionResolver(Attribution(team="checkout"), {"customer_id"})
    start = threading.Barrier(4)

    def ask(thread):
        start.wait()
        for number in range(3000):
            request = baggage.set_baggage("genops.customer_id", f"{thread}-{number}", context.Context())
            assert resolver.resolve(request) == Attribution(team="checkout", customer_id=f"{thread}-{number}")
        return True

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(ask, range(4)))

"""Prices of model calls: from genai-prices where it is installed, unknown where it does not know, never 0 for that."""

from __future__ import annotations

import sys
from dataclasses import replace
from datetime import datetime, timezone
from decimal import Decimal

import pytest

from genops_otel_posthog.errors import GenOpsConfigurationError
from genops_otel_posthog.export.rules import Rules, builtin_rules
from genops_otel_posthog.export.rules.ai.call import GENERATION, AiCall
from genops_otel_posthog.export.rules.ai.prices import PublishedPrices
from genops_otel_posthog.export.rules.ai.rates import Price

AT = 1_795_305_600 * 10**9


def call(**parts):
    return AiCall(GENERATION, "semconv", **parts)


@pytest.fixture(scope="module")
def prices():
    pytest.importorskip("genai_prices")
    return PublishedPrices()


def test_a_known_model_has_a_price(prices):
    found = prices.price(call(provider="openai", model="gpt-4o", input_tokens=1000, output_tokens=100), AT)
    assert found.total == Decimal("0.0035")


def test_cached_tokens_that_are_counted_apart_are_added_before_the_price_is_looked_up(prices):
    among = call(
        provider="anthropic", model="claude-sonnet-4-5", input_tokens=1350, output_tokens=42, cache_read_tokens=1000,
        cache_write_tokens=300,
    )  # fmt: skip
    apart = call(
        provider="anthropic", model="claude-sonnet-4-5", input_tokens=50, output_tokens=42, cache_read_tokens=1000,
        cache_write_tokens=300, input_excludes_cache=True,
    )  # fmt: skip
    assert prices.price(among, AT) == prices.price(apart, AT)


@pytest.mark.parametrize("provider", ["aws.bedrock", "gcp.vertex_ai", "gemini", "x_ai", "azure.ai.openai", "_OTHER"])
def test_names_of_providers_that_opentelemetry_gives_are_understood(prices, provider):
    model = {"aws.bedrock": "anthropic.claude-3-5-sonnet-20240620-v1:0", "x_ai": "grok-3", "azure.ai.openai": "gpt-4o"}
    name = model.get(provider, "gemini-2.5-flash")
    assert prices.price(call(provider=provider, model=name, input_tokens=10, output_tokens=10), AT).total > 0


@pytest.mark.parametrize(
    "parts",
    [
        {"provider": "openai", "model": "no-such-model-at-all", "input_tokens": 10, "output_tokens": 10},
        {"provider": "openai", "model": "gpt-4o"},
        {"provider": "openai", "input_tokens": 10},
        {"provider": "openai", "model": "gpt-4o", "input_tokens": 10, "cache_read_tokens": 1000},
    ],
)
def test_what_is_not_known_has_no_price(prices, parts):
    assert prices.price(call(**parts), AT) is None


MODELS = [
    ("openai", "gpt-4o-mini"),
    ("openai", "gpt-4o-audio-preview"),
    ("anthropic", "claude-sonnet-4-5"),  # dearer beyond 200,000 tokens
    ("google", "gemini-2.5-pro"),  # the same, and images and sounds have prices
    ("deepseek", "deepseek-chat"),  # cheaper at night
    ("openai", "text-embedding-3-small"),  # no price for what comes out
]


@pytest.mark.parametrize(("provider", "model"), MODELS)
@pytest.mark.parametrize("hour", [0, 12, 20])
def test_a_price_is_the_same_whether_it_is_computed_from_rates_or_asked_for(provider, model, hour):
    genai_prices = pytest.importorskip("genai_prices")
    prices = PublishedPrices()
    at = AT + hour * 3_600 * 10**9
    for tokens in (1, 742, 250_000, 3_000_000):
        for cached in (None, 0, tokens // 3):
            for output in (None, 0, 189):
                parts = {"input_tokens": tokens, "output_tokens": output, "cache_read_tokens": cached}
                asked = genai_prices.calc_price(
                    genai_prices.Usage(**{name: value for name, value in parts.items() if value}),
                    model_ref=model,
                    provider_id=provider,
                    genai_request_timestamp=datetime.fromtimestamp(at // 10**9, timezone.utc),
                )
                told = prices.price(call(provider=provider, model=model, **parts), at)
                assert told == (asked.input_price, asked.output_price)


def test_prices_that_the_application_updates_hold_from_then_on(prices):
    snapshots = pytest.importorskip("genai_prices.data_snapshot")
    types = pytest.importorskip("genai_prices.types")
    asked = call(provider="openai", model="gpt-4o", input_tokens=1_000_000, output_tokens=0)
    before = prices.price(asked, AT)
    dearer = types.ModelPrice(input_mtok=Decimal(7), output_mtok=Decimal(8))
    (openai,) = [one for one in snapshots.get_snapshot().providers if one.id == "openai"]
    changed = replace(openai, models=[replace(one, prices=dearer) for one in openai.models])
    snapshots.set_custom_snapshot(snapshots.DataSnapshot(providers=[changed], from_auto_update=False))
    try:
        assert prices.price(asked, AT).total == 7
    finally:
        snapshots.set_custom_snapshot(None)
    assert prices.price(asked, AT) == before


def test_a_model_that_is_not_known_is_known_once_the_prices_are_updated(prices):
    snapshots = pytest.importorskip("genai_prices.data_snapshot")
    types = pytest.importorskip("genai_prices.types")
    asked = call(provider="openai", model="no-such-model-yet", input_tokens=1_000_000, output_tokens=0)
    assert prices.price(asked, AT) is None
    (openai,) = [one for one in snapshots.get_snapshot().providers if one.id == "openai"]
    new = types.ModelInfo(
        id="no-such-model-yet",
        match=types.ClauseEquals("no-such-model-yet"),
        prices=types.ModelPrice(input_mtok=Decimal(3), output_mtok=Decimal(4)),
    )
    changed = replace(openai, models=[*openai.models, new])
    snapshots.set_custom_snapshot(snapshots.DataSnapshot(providers=[changed], from_auto_update=False))
    try:
        assert prices.price(asked, AT).total == 3
    finally:
        snapshots.set_custom_snapshot(None)


class Fixed:
    def price(self, ai, at):
        return Price(Decimal("0.01"), Decimal("0.02")) if ai.model else None


def test_the_price_is_a_property_of_ours_and_posthog_keeps_its_own(events_of):
    first = events_of("genai-openai", "$ai_generation", prices=Fixed())[0].properties
    assert (first["genops_model_cost_usd"], first["genops_model_cost_source"]) == (0.03, "genai-prices")
    assert "$ai_input_cost_usd" not in first


def test_posthog_takes_the_price_when_it_is_told_to(events_of):
    first = events_of("genai-openai", "$ai_generation", prices=Fixed(), send_costs=True)[0].properties
    assert (first["$ai_input_cost_usd"], first["$ai_output_cost_usd"]) == (0.01, 0.02)


def test_an_embedding_whose_output_costs_nothing_is_left_to_posthog(events_of):
    class Embedding:
        def price(self, ai, at):
            return Price(Decimal("0.01"), Decimal(0))

    (event,) = events_of("genai-openai", "$ai_embedding", prices=Embedding(), send_costs=True)
    assert not {"$ai_input_cost_usd", "$ai_output_cost_usd"} & event.properties.keys()
    assert event.properties["genops_model_cost_usd"] == 0.01


def test_the_conversion_says_what_the_model_call_cost(recorded):
    rules = Rules(builtin_rules(prices=Fixed()))
    costs = [rules.events_for(span).model_cost for span in recorded("genai-openai")]
    assert costs == [Decimal("0.03")] * 6


def test_without_the_package_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "genai_prices", None)
    with pytest.raises(GenOpsConfigurationError, match=r"pip install 'genops-otel-posthog\[prices\]'"):
        PublishedPrices()

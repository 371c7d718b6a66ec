"""Flags of an adapter: really asked for, priced, and honest where there is no answer."""

from __future__ import annotations

import json
from typing import Any

import pytest

from genops_otel_posthog import GenOpsConfigurationError, GenOpsPostHogAdapter, GenOpsValidationError
from genops_otel_posthog.adapter.flag_cache import CachedFeatureFlagEvaluator

ON = {"groups": [{"properties": [], "rollout_percentage": 100}]}


def flag(key: str, **more: Any) -> dict[str, Any]:
    return {"key": key, "active": True, "filters": {**ON, **more}}


@pytest.mark.requirement("S4-02", "S4-28", "E-06")
def test_a_variant_is_the_value_and_the_metadata_says_how(make_adapter: Any, receiver: Any, providers: Any) -> None:
    receiver.set_flags([flag("layout", multivariate={"variants": [{"key": "test", "rollout_percentage": 100}]})])
    value, metadata = make_adapter(pricing_mode="list").evaluate_feature_flag_with_governance(
        "layout", "user-42", {"segment": "enterprise"}
    )

    assert value == metadata["variant"] == "test"
    assert metadata["cost"] == metadata["list_cost"] == 0.0001
    assert (metadata["cached"], metadata["locally_evaluated"], metadata["error"]) == (False, False, None)
    assert (metadata["reason"], metadata["evaluation_context"]) == ("split", 1)
    assert json.loads(json.dumps(metadata)) == metadata
    assert metadata["trace_id"] == format(providers.span("evaluate_flag layout").context.trace_id, "032x")


@pytest.mark.requirement("S4-29")
def test_properties_are_the_persons(adapter: GenOpsPostHogAdapter, receiver: Any) -> None:
    condition = [{"key": "plan", "value": ["pro"], "operator": "exact", "type": "person"}]
    receiver.set_flags(
        [{"key": "beta", "active": True, "filters": {"groups": [{"properties": condition, "rollout_percentage": 100}]}}]
    )

    assert adapter.evaluate_feature_flag_with_governance("beta", "ann", {"plan": "pro"})[0] is True
    assert adapter.evaluate_feature_flag_with_governance("beta", "bob", {"plan": "free"})[0] is False


@pytest.mark.requirement("E-06", "S4-28")
def test_a_server_that_fails_gives_the_default_and_no_exception(adapter: GenOpsPostHogAdapter, receiver: Any) -> None:
    receiver.fail("flags", status=500)
    value, metadata = adapter.evaluate_feature_flag_with_governance("beta", "ann", default="fallback")

    assert value == "fallback"
    assert (metadata["error"], metadata["reason"], metadata["cost"]) == ("APIError", "error", 0.0)


def test_a_flag_that_is_not_there_is_told_apart(adapter: GenOpsPostHogAdapter, receiver: Any) -> None:
    value, metadata = adapter.evaluate_feature_flag_with_governance("no-such-flag", "ann")

    assert (value, metadata["error"]) == (False, "flag_not_found")


def test_a_flag_that_is_off_is_an_answer(adapter: GenOpsPostHogAdapter, receiver: Any) -> None:
    receiver.set_flags([flag("beta", groups=[{"properties": [], "rollout_percentage": 0}])])
    value, metadata = adapter.evaluate_feature_flag_with_governance("beta", "ann", default=True)

    assert (value, metadata["error"]) == (False, None)


def test_a_budget_that_refuses_gives_the_default_and_says_so(make_adapter: Any, receiver: Any, providers: Any) -> None:
    receiver.set_flags([flag("beta")])
    adapter = make_adapter(governance_policy="enforced", daily_budget_limit=0, pricing_mode="list")
    value, metadata = adapter.evaluate_feature_flag_with_governance("beta", "ann", default="fallback")

    assert (value, metadata["error"], metadata["cost"]) == ("fallback", "budget_exceeded", 0.0)
    assert receiver.flag_requests() == []
    assert providers.span("evaluate_flag beta").attributes["genops.policy.result"] == "blocked"


def test_with_a_secret_key_flags_are_evaluated_here_and_cost_nothing(make_adapter: Any, receiver: Any) -> None:
    receiver.set_flags([flag("beta")])
    adapter = make_adapter(secret_key="phx_local_evaluation_of_this_test", pricing_mode="list")
    adapter.evaluate_feature_flag_with_governance("beta", "first-loads-definitions")
    value, metadata = adapter.evaluate_feature_flag_with_governance("beta", "ann")

    assert (value, metadata["locally_evaluated"], metadata["cost"]) == (True, True, 0.0)
    assert receiver.flag_requests("evaluation") == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(("", "ann"), "flag_key"), ((None, "ann"), "flag_key"), (("x", ""), "distinct_id"), (("x", None), "distinct_id")],
)
def test_what_cannot_be_asked_is_refused(
    arguments: tuple[Any, ...], message: str, adapter: GenOpsPostHogAdapter
) -> None:
    with pytest.raises(GenOpsValidationError, match=message):
        adapter.evaluate_feature_flag_with_governance(*arguments)


# --- remembered -------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("E-07", "S4-67", "D-23")
def test_a_hundred_reads_are_one_request_until_the_answer_is_old(make_adapter: Any, receiver: Any) -> None:
    receiver.set_flags([flag("beta")])
    now = [0.0]
    cache = CachedFeatureFlagEvaluator(make_adapter(pricing_mode="list"), cache_ttl=300, clock=lambda: now[0])
    answers = [
        cache.evaluate_with_cache("beta", "ann", {"a": 1, "b": 2} if number % 2 else {"b": 2, "a": 1})
        for number in range(100)
    ]

    assert len(receiver.flag_requests()) == 1
    assert [metadata["cached"] for _, metadata in answers] == [False] + [True] * 99
    assert [metadata["cost"] for _, metadata in answers] == [0.0001] + [0.0] * 99
    assert {frozenset(metadata) for _, metadata in answers} == {frozenset(answers[0][1])}
    assert {value for value, _ in answers} == {True}
    now[0] = 300.0
    assert cache.evaluate_with_cache("beta", "ann", {"a": 1, "b": 2})[1]["cached"] is False
    assert len(receiver.flag_requests()) == 2


@pytest.mark.requirement("D-23")
def test_the_cache_tells_people_and_properties_apart_and_is_bounded(adapter: Any, receiver: Any) -> None:
    receiver.set_flags([flag("beta")])
    cache = CachedFeatureFlagEvaluator(adapter, max_entries=2)
    for person, properties in (("ann", None), ("bob", None), ("ann", {"plan": "pro"}), ("ann", None)):
        cache.evaluate_with_cache("beta", person, properties)

    assert len(receiver.flag_requests()) == 4
    assert (len(cache), cache.hits, cache.misses) == (2, 0, 4)
    cache.forget("beta")
    assert len(cache) == 0


def test_what_has_no_answer_is_not_remembered(adapter: Any, receiver: Any) -> None:
    cache = CachedFeatureFlagEvaluator(adapter)
    with receiver.fail("flags", status=500):
        assert cache.evaluate_with_cache("beta", "ann")[0] is False
    receiver.set_flags([flag("beta")])

    assert cache.evaluate_with_cache("beta", "ann")[0] is True


@pytest.mark.parametrize("numbers", [{"cache_ttl": 0}, {"cache_ttl": float("nan")}, {"max_entries": 0}])
def test_a_cache_that_could_keep_nothing_is_refused(numbers: Any, adapter: Any) -> None:
    with pytest.raises(GenOpsConfigurationError):
        CachedFeatureFlagEvaluator(adapter, **numbers)

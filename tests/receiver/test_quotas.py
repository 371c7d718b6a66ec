"""What happens once a billing limit is reached."""

from __future__ import annotations

from typing import Any

import pytest

from genops_otel_posthog.receiver import LocalReceiver

KINDS = ["signed_up", "$exception", "survey sent", "$ai_generation", "$feature_flag_called"]


def kept(receiver: LocalReceiver) -> set[str]:
    return {event.event for event in receiver.events()}


@pytest.mark.parametrize("path", ["/batch/", "/i/v0/ai/batch/", "/e/"])
def test_v0_answers_200_and_drops_in_silence(
    receiver: LocalReceiver, http_to: Any, make_v0_event: Any, path: str
) -> None:
    receiver.fail("capture", quota=["events"])
    answer = http_to.batch(make_v0_event(), path=path)
    assert (answer.status, answer.json) == (200, {"status": 1})
    assert receiver.events() == []
    assert receiver.events(outcome="dropped")[0].reason == "events_over_quota"


def test_the_v0_limit_on_events_spares_what_has_a_limit_of_its_own(
    receiver: LocalReceiver, http_to: Any, make_v0_event: Any
) -> None:
    receiver.fail("capture", quota=["events"])
    http_to.batch(*(make_v0_event(event=name) for name in KINDS))
    assert kept(receiver) == {"$exception", "survey sent", "$ai_generation"}


@pytest.mark.parametrize(
    ("resource", "dropped"),
    [("exceptions", "$exception"), ("survey_responses", "survey sent"), ("llm_events", "$ai_generation")],
)
def test_a_v0_limit_of_its_own_drops_only_that_kind(
    receiver: LocalReceiver, http_to: Any, make_v0_event: Any, resource: str, dropped: str
) -> None:
    receiver.fail("capture", quota=[resource])
    assert http_to.batch(*(make_v0_event(event=name) for name in KINDS)).status == 200
    assert kept(receiver) == set(KINDS) - {dropped}


def test_a_survey_of_a_product_tour_does_not_count_as_a_survey(
    receiver: LocalReceiver, http_to: Any, make_v0_event: Any
) -> None:
    receiver.fail("capture", quota=["survey_responses"])
    http_to.batch(make_v0_event(event="survey sent", properties={"$product_tour_id": "t-1"}))
    assert kept(receiver) == {"survey sent"}


def test_the_v1_limit_on_events_refuses_the_request_with_402(
    receiver: LocalReceiver, http_to: Any, make_v1_event: Any
) -> None:
    receiver.fail("capture", quota=["events"])
    answer = http_to.v1(make_v1_event(), make_v1_event(event="$exception"))
    assert (answer.status, answer.json["error"]) == (402, "billing_limit_exceeded")
    assert receiver.events(outcome="any") == []


@pytest.mark.parametrize(
    ("resource", "dropped"),
    [("exceptions", "$exception"), ("survey_responses", "survey sent"), ("llm_events", "$ai_generation")],
)
def test_a_v1_limit_of_its_own_drops_and_tells(
    receiver: LocalReceiver, http_to: Any, make_v1_event: Any, resource: str, dropped: str
) -> None:
    receiver.fail("capture", quota=[resource])
    events = {name: make_v1_event(event=name) for name in KINDS}
    results = http_to.v1(*events.values()).json["results"]
    assert results[events[dropped]["uuid"]] == {"result": "drop", "details": f"{resource}_over_quota"}
    assert kept(receiver) == set(KINDS) - {dropped}


def test_a_v1_batch_of_which_a_limit_leaves_nothing_is_402(
    receiver: LocalReceiver, http_to: Any, make_v1_event: Any
) -> None:
    receiver.fail("capture", quota=["llm_events"])
    assert http_to.v1(make_v1_event(event="$ai_span")).status == 402


def test_flags_over_quota_answer_200_with_quota_limited_and_cost_nothing(receiver: LocalReceiver, http_to: Any) -> None:
    receiver.set_flags([{"key": "beta", "filters": {"groups": [{"rollout_percentage": 100}]}}])
    receiver.fail("flags", quota=["feature_flag_requests"])
    answer = http_to.post("/flags/?v=2", {"token": "phc_test", "distinct_id": "user-1"})
    assert answer.status == 200
    assert answer.json["quotaLimited"] == ["feature_flags"]
    assert answer.json["flags"] == {}
    assert answer.json["errorsWhileComputingFlags"] is False
    assert receiver.bill().meters == {}


def test_definitions_over_quota_are_402_and_cost_nothing(receiver: LocalReceiver, http_to: Any) -> None:
    receiver.fail("definitions", quota=["feature_flag_requests"])
    answer = http_to.get("/flags/definitions?token=phc_test", {"Authorization": "Bearer phx_personal"})
    assert (answer.status, answer.json["type"]) == (402, "quota_limited")
    assert receiver.bill().meters == {}

"""The acceptance rules of v1, each by a request that shows it."""

from __future__ import annotations

import gzip
import importlib.util
import json
import sys
import zlib
from typing import Any
from uuid import uuid4

import pytest

from genops_otel_posthog.receiver import LocalReceiver

HAS_ZSTD = sys.version_info >= (3, 14) or importlib.util.find_spec("zstandard") is not None


def results(answer: Any) -> list[dict[str, str]]:
    assert answer.status == 200, answer.text
    return list(answer.json["results"].values())


def only_event(receiver: LocalReceiver, **filters: Any) -> Any:
    events = receiver.events(**filters)
    assert len(events) == 1, events
    return events[0]


def test_each_event_gets_a_result_under_its_uuid(receiver: LocalReceiver, http_to: Any, make_v1_event: Any) -> None:
    events = [make_v1_event(), make_v1_event()]
    answer = http_to.v1(*events)
    assert answer.json == {"results": {event["uuid"]: {"result": "ok"} for event in events}}
    assert [event.protocol for event in receiver.events()] == ["v1", "v1"]


def test_a_uuid_in_another_spelling_is_answered_in_the_usual_one(http_to: Any, make_v1_event: Any) -> None:
    uuid = str(uuid4())
    answer = http_to.v1(make_v1_event(uuid=f" {uuid.upper()} "))
    assert list(answer.json["results"]) == [uuid]


# --- the whole request is refused ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({"Authorization": None}, 401, "missing_authorization"),
        ({"PostHog-Sdk-Info": None}, 400, "missing_required_headers"),
        ({"PostHog-Attempt": None}, 400, "missing_required_headers"),
        ({"PostHog-Request-Id": None}, 400, "missing_required_headers"),
        ({"PostHog-Request-Timestamp": None}, 400, "missing_required_headers"),
        ({"User-Agent": None}, 400, "missing_required_headers"),
        ({"Content-Type": None}, 400, "missing_required_headers"),
        ({"Authorization": "Basic abc"}, 400, "invalid_header_value"),
        ({"Authorization": "Bearer phx_personal"}, 401, "invalid_api_token"),
        ({"Authorization": "Bearer " + "x" * 65}, 401, "invalid_api_token"),
        ({"PostHog-Request-Id": "seven"}, 400, "invalid_header_value"),
        ({"PostHog-Attempt": "0"}, 400, "invalid_header_value"),
        ({"PostHog-Attempt": "9" * 5000}, 400, "invalid_header_value"),
        ({"PostHog-Request-Timestamp": "today"}, 400, "invalid_header_value"),
        ({"Content-Type": "text/plain"}, 415, "unsupported_content_type"),
        ({"Content-Encoding": "lz4"}, 415, "unsupported_encoding"),
        ({"Content-Encoding": "gzip"}, 400, "request_decoding_error"),
    ],
    ids=str,
)
def test_a_header_that_breaks_a_rule_refuses_the_request(
    receiver: LocalReceiver, http_to: Any, make_v1_event: Any, headers: dict[str, str | None], status: int, code: str
) -> None:
    answer = http_to.v1(make_v1_event(), headers=headers)
    assert (answer.status, answer.json["error"]) == (status, code)
    assert receiver.events(outcome="any") == []


@pytest.mark.parametrize("content_type", ["application/json; charset=utf-8", "Application/JSON"])
def test_the_content_type_may_be_spelled(http_to: Any, make_v1_event: Any, content_type: str) -> None:
    assert http_to.v1(make_v1_event(), headers={"Content-Type": content_type}).status == 200


def test_the_bearer_scheme_ignores_case(http_to: Any, make_v1_event: Any) -> None:
    assert http_to.v1(make_v1_event(), headers={"Authorization": "bEARER phc_test"}).status == 200


@pytest.mark.parametrize(
    ("envelope", "code"),
    [
        ({"created_at": "yesterday"}, "invalid_batch"),
        ({"created_at": "2026-11-22T12:00:00"}, "invalid_batch"),
        ({"created_at": 7}, "request_parsing_error"),
        ({"batch": []}, "empty_batch"),
        ({"batch": {}}, "request_parsing_error"),
        ({"batch": [7]}, "request_parsing_error"),
        ({"historical_migration": "no"}, "request_parsing_error"),
    ],
    ids=str,
)
def test_an_envelope_that_breaks_a_rule_refuses_the_request(
    http_to: Any, make_v1_event: Any, envelope: dict[str, Any], code: str
) -> None:
    answer = http_to.v1(make_v1_event(), **envelope)
    assert (answer.status, answer.json["error"]) == (400, code)


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        ({"uuid": ""}, "missing_event_uuid"),
        ({"uuid": "seven"}, "invalid_event_uuid"),
        ({"uuid": ...}, "request_parsing_error"),
        ({"event": ...}, "request_parsing_error"),
        ({"distinct_id": 7}, "request_parsing_error"),
        ({"timestamp": ...}, "request_parsing_error"),
        ({"session_id": 7}, "request_parsing_error"),
    ],
    ids=str,
)
def test_an_event_that_cannot_be_read_refuses_the_request(
    receiver: LocalReceiver, http_to: Any, make_v1_event: Any, bad: dict[str, Any], code: str
) -> None:
    answer = http_to.v1(make_v1_event(), make_v1_event(**bad))
    assert (answer.status, answer.json["error"]) == (400, code)
    assert receiver.events(outcome="any") == []


def test_a_uuid_twice_in_a_batch_refuses_the_request(http_to: Any, make_v1_event: Any) -> None:
    uuid = str(uuid4())
    answer = http_to.v1(make_v1_event(uuid=uuid), make_v1_event(uuid=uuid.upper()))
    assert (answer.status, answer.json["error"]) == (400, "duplicate_event_uuid")


def test_an_empty_body_is_400(http_to: Any) -> None:
    answer = http_to.v1(body=b"")
    assert (answer.status, answer.json["error"]) == (400, "empty_body")


def test_a_body_over_10_mib_is_413(http_to: Any, make_v1_event: Any) -> None:
    assert http_to.v1(make_v1_event(), filler="x" * (10 << 20)).status == 413


# --- how a body may be encoded ------------------------------------------------------------------------------------


def plain_batch(event: dict[str, Any]) -> bytes:
    return json.dumps({"created_at": "2026-11-22T12:00:00Z", "batch": [event]}).encode()


@pytest.mark.parametrize(("encoding", "compress"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
def test_a_body_may_be_compressed_by(http_to: Any, make_v1_event: Any, encoding: str, compress: Any) -> None:
    body = compress(plain_batch(make_v1_event()))
    assert http_to.v1(body=body, headers={"Content-Encoding": encoding}).status == 200


def test_a_body_may_be_compressed_by_zstd(http_to: Any, make_v1_event: Any) -> None:
    zstandard = pytest.importorskip("zstandard")
    body = zstandard.ZstdCompressor().compress(plain_batch(make_v1_event()))
    assert http_to.v1(body=body, headers={"Content-Encoding": "zstd"}).status == 200
    assert http_to.v1(body=b"not zstd", headers={"Content-Encoding": "zstd"}).status == 400


@pytest.mark.skipif(HAS_ZSTD, reason="zstd can be read here")
def test_zstd_without_a_library_is_415(http_to: Any) -> None:
    assert http_to.v1(body=b"\x28\xb5\x2f\xfd", headers={"Content-Encoding": "zstd"}).status == 415


def test_a_bomb_over_50_mib_is_413(http_to: Any) -> None:
    bomb = gzip.compress(b'{"batch":"' + b"x" * (51 << 20) + b'"}', 9)
    assert http_to.v1(body=bomb, headers={"Content-Encoding": "gzip"}).status == 413


# --- one event is dropped -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ({"event": ""}, "missing_event_name"),
        ({"event": "é" * 101}, "event_name_too_long"),
        ({"distinct_id": "  "}, "missing_distinct_id"),
        ({"distinct_id": "x" * 201}, "distinct_id_too_large"),
        ({"timestamp": "2026-11-22T12:00:00"}, "invalid_event_timestamp"),
        ({"timestamp": "yesterday"}, "invalid_event_timestamp"),
        ({"properties": []}, "malformed_event_properties"),
        ({"properties": None}, "malformed_event_properties"),
        ({"options": []}, "invalid_options"),
        ({"options": {"process_person_profile": "maybe"}}, "invalid_options"),
        ({"options": {"cookieless_mode": []}}, "invalid_options"),
        ({"options": {"product_tour_id": True}}, "invalid_options"),
        ({"event": "$performance_event"}, "dropped_performance_event"),
        ({"properties": {"filler": "x" * 1_000_001}}, "event_too_big"),
    ],
    ids=lambda value: str(value)[:60],
)
def test_a_bad_event_is_dropped_and_the_others_are_kept(
    receiver: LocalReceiver, http_to: Any, make_v1_event: Any, bad: dict[str, Any], reason: str
) -> None:
    good, dropped = make_v1_event(), make_v1_event(**bad)
    answer = http_to.v1(good, dropped)
    assert answer.json["results"] == {
        good["uuid"]: {"result": "ok"},
        dropped["uuid"]: {"result": "drop", "details": reason},
    }
    assert only_event(receiver).uuid == good["uuid"]
    assert only_event(receiver, outcome="dropped").reason == reason


def test_a_batch_of_which_nothing_is_left_is_still_200(http_to: Any, make_v1_event: Any) -> None:
    assert results(http_to.v1(make_v1_event(event="")))[0]["result"] == "drop"


def test_the_ai_lane_drops_what_is_no_ai_event(receiver: LocalReceiver, http_to: Any, make_v1_event: Any) -> None:
    ai, other = make_v1_event(event="$ai_span"), make_v1_event()
    answer = http_to.v1(ai, other, path="/i/v1/ai/events")
    assert answer.json["results"][other["uuid"]] == {"result": "drop", "details": "misrouted_event"}
    assert only_event(receiver).lane == "ai"


# --- what is kept -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("distinct_id", ["backend", "Anonymous", " null "])
def test_an_illegal_distinct_id_is_kept_without_person_processing(
    receiver: LocalReceiver, http_to: Any, make_v1_event: Any, distinct_id: str
) -> None:
    answer = http_to.v1(make_v1_event(distinct_id=distinct_id))
    assert results(answer) == [{"result": "ok", "details": "person_processing_disabled"}]
    event = only_event(receiver)
    assert (event.identified, event.distinct_id) == (False, distinct_id.strip())


@pytest.mark.parametrize(
    ("value", "mode"), [(False, "propertyless"), ("0", "propertyless"), (True, "full"), (1, "full")]
)
def test_the_option_process_person_profile_is_coerced(
    receiver: LocalReceiver, http_to: Any, make_v1_event: Any, value: object, mode: str
) -> None:
    http_to.v1(make_v1_event(options={"process_person_profile": value}))
    assert only_event(receiver).person_mode == mode


def test_a_person_event_without_person_processing_is_answered_ok_and_dropped(
    receiver: LocalReceiver, http_to: Any, make_v1_event: Any
) -> None:
    answer = http_to.v1(make_v1_event(event="$identify", options={"process_person_profile": False}))
    assert results(answer) == [{"result": "ok"}]
    assert only_event(receiver, outcome="dropped").reason == "invalid_event_when_process_person_profile_is_false"


def test_what_v1_sends_beside_the_properties_is_put_back_into_them(
    receiver: LocalReceiver, http_to: Any, make_v1_event: Any
) -> None:
    http_to.v1(
        make_v1_event(
            session_id="s-1", window_id="w-1", options={"product_tour_id": 7, "process_person_profile": False},
            properties={"plan": "pro"},
        )
    )  # fmt: skip
    assert only_event(receiver).properties == {
        "plan": "pro",
        "$session_id": "s-1",
        "$window_id": "w-1",
        "$product_tour_id": "7",
        "$process_person_profile": False,
        "$lib": "posthog-python",
        "$lib_version": "7.91.1",
    }


@pytest.mark.parametrize("sdk_info", ["no-slash", "/1.0", "x" * 300 + "/1"])
def test_an_unreadable_sdk_info_adds_no_library(
    receiver: LocalReceiver, http_to: Any, make_v1_event: Any, sdk_info: str
) -> None:
    http_to.v1(make_v1_event(), headers={"PostHog-Sdk-Info": sdk_info})
    assert only_event(receiver).properties == {}


def test_a_timestamp_is_corrected_by_the_request_timestamp_unless_told_not_to(
    receiver: LocalReceiver, http_to: Any, make_v1_event: Any
) -> None:
    http_to.v1(
        make_v1_event(event="corrected", timestamp="2020-01-01T10:00:00Z"),
        make_v1_event(event="kept", timestamp="2020-01-01T10:00:00Z", options={"disable_skew_correction": True}),
        headers={"PostHog-Request-Timestamp": "2020-01-01T10:00:00Z"},
    )
    corrected, kept = receiver.events()
    assert corrected.timestamp == corrected.at
    assert kept.timestamp == "2020-01-01T10:00:00.000000+00:00"

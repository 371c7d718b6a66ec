"""The acceptance rules of v0, each by a request that shows it."""

from __future__ import annotations

import base64
import gzip
import json
import zlib
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest

from genops_otel_posthog.receiver import LocalReceiver

ALL_PATHS = ["/batch", "/e", "/capture", "/track", "/engage", "/i/v0/e", "/i/v0/ai/batch"]


def only_event(receiver: LocalReceiver, **filters: Any) -> Any:
    events = receiver.events(**filters)
    assert len(events) == 1, events
    return events[0]


@pytest.mark.parametrize("slash", ["", "/"])
@pytest.mark.parametrize("path", ALL_PATHS)
def test_every_path_takes_a_batch_with_and_without_a_trailing_slash(
    receiver: LocalReceiver, http_to: Any, make_v0_event: Any, path: str, slash: str
) -> None:
    answer = http_to.batch(make_v0_event(), path=path + slash)
    assert (answer.status, answer.json) == (200, {"status": 1})
    assert only_event(receiver).event == "signed_up"


@pytest.mark.parametrize("path", ALL_PATHS)
def test_every_path_takes_one_event_and_a_list_of_events(
    receiver: LocalReceiver, http_to: Any, make_v0_event: Any, path: str
) -> None:
    assert http_to.post(path, make_v0_event(api_key="phc_test")).status == 200
    assert http_to.post(path, [make_v0_event(token="phc_test"), make_v0_event()]).status == 200
    assert len(receiver.events(token="phc_test")) == 3


def test_beacon_answers_204_without_a_body(receiver: LocalReceiver, http_to: Any, make_v0_event: Any) -> None:
    answer = http_to.batch(make_v0_event(), path="/e/?beacon=1")
    assert (answer.status, answer.body) == (204, b"")
    assert only_event(receiver)


def test_the_ai_path_is_a_lane_of_its_own(receiver: LocalReceiver, http_to: Any, make_v0_event: Any) -> None:
    http_to.batch(make_v0_event(event="$ai_generation"), path="/i/v0/ai/batch/")
    assert only_event(receiver).lane == "ai"


# --- how a body may be encoded ------------------------------------------------------------------------------------


def encoded_batches(event: dict[str, Any]) -> dict[str, tuple[bytes, dict[str, str], str]]:
    plain = json.dumps({"api_key": "phc_test", "batch": [event]}).encode()
    based = base64.b64encode(plain)
    form = f"data={quote(based.decode())}".encode()
    return {
        "gzip by header": (gzip.compress(plain), {"Content-Encoding": "gzip"}, ""),
        "gzip by its magic bytes alone": (gzip.compress(plain), {}, ""),
        "gzip by query": (gzip.compress(plain), {}, "?compression=gzip-js"),
        "gzip in two members": (gzip.compress(plain[:20]) + gzip.compress(plain[20:]), {}, ""),
        "base64": (based, {}, ""),
        "base64 by query": (based, {}, "?compression=base64"),
        "a form": (form, {"Content-Type": "application/x-www-form-urlencoded"}, ""),
    }


@pytest.mark.parametrize("how", list(encoded_batches({})))
def test_a_body_may_come_as(receiver: LocalReceiver, http_to: Any, make_v0_event: Any, how: str) -> None:
    body, headers, query = encoded_batches(make_v0_event())[how]
    assert http_to.post(f"/batch/{query}", body, headers).status == 200
    assert only_event(receiver).event == "signed_up"


@pytest.mark.parametrize(
    ("body", "headers", "said"),
    [
        (b"", {}, "request missing data payload"),
        (b"not json", {}, "failed to parse request"),
        (b"\xff\xfe", {}, "invalid body encoding"),
        (gzip.compress(b"{}", mtime=0)[:-4], {}, "invalid gzip data"),
        (b"{}", {"Content-Encoding": "gzip"}, "invalid gzip data"),
        (zlib.compress(b'{"batch":[]}'), {"Content-Encoding": "deflate"}, "failed to"),
        (b"data=%%%", {}, "failed to"),
        (b'{"event":"e","properties":{"n":NaN}}', {}, "NaN is not JSON"),
        (b"[" * 100_000, {}, "failed to parse request"),
        (b"17", {}, "failed to"),
        (b'{"api_key":"phc_test","batch":7}', {}, "`batch` is not an array"),
    ],
    ids=str,
)
def test_a_body_that_cannot_be_read_is_400(
    receiver: LocalReceiver, http_to: Any, body: bytes, headers: dict[str, str], said: str
) -> None:
    answer = http_to.post("/batch/", body, headers)
    assert answer.status == 400
    assert said in answer.text


# --- one bad event refuses the whole batch ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ({"event": ...}, "missing field `event`"),
        ({"event": 7}, "missing field `event`"),
        ({"event": ""}, "empty event name"),
        ({"uuid": "not-a-uuid"}, "`uuid` is not a UUID"),
        ({"uuid": 7}, "`uuid` is not a UUID"),
        ({"distinct_id": ...}, "without a distinct_id"),
        ({"distinct_id": None}, "without a distinct_id"),
        ({"distinct_id": ""}, "without a distinct_id"),
        ({"distinct_id": " \t"}, "without a distinct_id"),
        ({"properties": []}, "`properties` is not an object"),
        ({"properties": None}, "`properties` is not an object"),
        ({"properties": {"$cookieless_mode": "yes"}}, "invalid cookieless mode"),
        ({"$set": [1]}, "`$set` is not an object"),
        ({"$set_once": "x"}, "`$set_once` is not an object"),
        ({"timestamp": 1700000000}, "`timestamp` is not a string"),
        ({"offset": "soon"}, "`offset` is not an integer"),
    ],
    ids=str,
)
def test_one_bad_event_refuses_the_whole_batch_with_400(
    receiver: LocalReceiver, http_to: Any, make_v0_event: Any, bad: dict[str, Any], said: str
) -> None:
    answer = http_to.batch(make_v0_event(), make_v0_event(**bad), make_v0_event())
    assert answer.status == 400
    assert said in answer.text
    assert receiver.events(outcome="any") == []


def test_an_empty_batch_is_400(receiver: LocalReceiver, http_to: Any) -> None:
    answer = http_to.batch()
    assert (answer.status, answer.text) == (400, "request holds no event")


def test_a_request_that_is_empty_without_its_performance_events_is_400(http_to: Any, make_v0_event: Any) -> None:
    answer = http_to.batch(make_v0_event(event="$performance_event"))
    assert answer.status == 400
    assert "payload empty after filtering" in answer.text


def test_performance_events_are_filtered_out(receiver: LocalReceiver, http_to: Any, make_v0_event: Any) -> None:
    assert http_to.batch(make_v0_event(event="$performance_event"), make_v0_event()).status == 200
    assert only_event(receiver, outcome="any").event == "signed_up"


# --- keys ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        ("", "empty"),
        ("   ", "empty"),
        ("x" * 65, "too_long"),
        ("phc_ü", "not_ascii"),
        ("phx_personal", "personal_api_key"),
        ("phc_a\0b", "null_byte"),
    ],
)
def test_a_key_that_breaks_a_rule_is_401(http_to: Any, make_v0_event: Any, key: str, reason: str) -> None:
    answer = http_to.batch(make_v0_event(), api_key=key)
    assert (answer.status, answer.text) == (401, f"API key is not valid: {reason}")


def test_no_key_is_401(http_to: Any, make_v0_event: Any) -> None:
    assert http_to.post("/e/", make_v0_event()).status == 401


def test_keys_that_differ_within_a_list_are_401(http_to: Any, make_v0_event: Any) -> None:
    answer = http_to.post("/e/", [make_v0_event(token="phc_a"), make_v0_event(token="phc_b")])
    assert answer.status == 401
    assert "inconsistent api_key values" in answer.text


def test_whitespace_around_a_key_is_trimmed(receiver: LocalReceiver, http_to: Any, make_v0_event: Any) -> None:
    assert http_to.batch(make_v0_event(), api_key=" phc_test\n").status == 200
    assert only_event(receiver).token == "phc_test"


def test_a_personal_key_never_reaches_the_log(receiver: LocalReceiver, http_to: Any, make_v0_event: Any) -> None:
    http_to.batch(make_v0_event(), api_key="phx_verysecretkey", path="/batch/?token=phx_verysecretkey")
    assert "verysecretkey" not in repr(receiver.requests())


@pytest.mark.parametrize("where", ["api_key", "token", "$token", "properties"])
def test_a_single_event_may_carry_its_key_in(
    receiver: LocalReceiver, http_to: Any, make_v0_event: Any, where: str
) -> None:
    event = (
        make_v0_event(properties={"token": "phc_test"})
        if where == "properties"
        else make_v0_event(**{where: "phc_test"})
    )
    assert http_to.post("/capture/", event).status == 200
    assert only_event(receiver).token == "phc_test"


# --- sizes --------------------------------------------------------------------------------------------------------


def test_a_single_event_body_over_2_mib_is_413(http_to: Any, make_v0_event: Any) -> None:
    assert http_to.post("/e/", make_v0_event(api_key="phc_test", filler="x" * (2 << 20))).status == 413


def test_a_batch_body_over_20_mib_decompressed_is_413(http_to: Any, make_v0_event: Any) -> None:
    body = {"api_key": "phc_test", "batch": [make_v0_event()], "filler": "x" * (20 << 20)}
    answer = http_to.post("/batch/", gzip.compress(json.dumps(body).encode(), 1))
    assert answer.status == 413
    assert "maximum event size exceeded" in answer.text


def test_an_event_over_1_mb_refuses_the_batch_with_413(
    receiver: LocalReceiver, http_to: Any, make_v0_event: Any
) -> None:
    answer = http_to.batch(make_v0_event(), make_v0_event(properties={"filler": "x" * 1_000_001}))
    assert answer.status == 413
    assert receiver.events(outcome="any") == []


@pytest.mark.parametrize("path", ["/i/v0/ai/batch/", "/batch/"])
def test_an_ai_event_may_have_8_mib(receiver: LocalReceiver, http_to: Any, make_v0_event: Any, path: str) -> None:
    event = make_v0_event(event="$ai_generation", properties={"$ai_input": "x" * 3_000_000})
    assert http_to.batch(event, path=path).status == 200
    assert http_to.batch({**event, "properties": {"$ai_input": "x" * (9 << 20)}}, path=path).status == 413


# --- what is repaired ---------------------------------------------------------------------------------------------


def test_a_distinct_id_over_200_characters_is_cut(receiver: LocalReceiver, http_to: Any, make_v0_event: Any) -> None:
    http_to.batch(make_v0_event(distinct_id="x" * 300))
    event = only_event(receiver)
    assert (event.distinct_id, event.changes) == ("x" * 200, ["distinct_id_truncated"])


def test_an_event_name_over_200_characters_is_cut(receiver: LocalReceiver, http_to: Any, make_v0_event: Any) -> None:
    http_to.batch(make_v0_event(event="n" * 300))
    event = only_event(receiver)
    assert (event.event, event.changes) == ("n" * 200, ["event_name_truncated"])


@pytest.mark.parametrize(("given", "kept"), [(23, "23"), (["a"], '["a"]'), ({"a": 1}, '{"a":1}'), (True, "true")])
def test_a_distinct_id_that_is_no_string_becomes_its_json(
    receiver: LocalReceiver, http_to: Any, make_v0_event: Any, given: object, kept: str
) -> None:
    http_to.batch(make_v0_event(distinct_id=given))
    assert only_event(receiver).distinct_id == kept


def test_a_nul_becomes_the_replacement_character(receiver: LocalReceiver, http_to: Any, make_v0_event: Any) -> None:
    http_to.batch(make_v0_event(event="a\0", distinct_id="b\0", properties={"c\0": "d\0"}))
    event = only_event(receiver)
    assert (event.event, event.distinct_id, event.properties) == ("a\ufffd", "b\ufffd", {"c\ufffd": "d\ufffd"})


def test_half_a_surrogate_pair_does_not_break_anything(
    receiver: LocalReceiver, http_to: Any, make_v0_event: Any
) -> None:
    http_to.batch(make_v0_event(event="\ud800", distinct_id="\udfff", properties={"x": "\ud83d", "ok": "😀"}))
    event = only_event(receiver)
    assert (event.event, event.distinct_id) == ("\ufffd", "\ufffd")
    assert event.properties == {"x": "\ufffd", "ok": "😀"}


@pytest.mark.parametrize("name", ["$distinct_id", "properties"])
def test_the_distinct_id_may_also_be_in(receiver: LocalReceiver, http_to: Any, make_v0_event: Any, name: str) -> None:
    changes = {"properties": {"distinct_id": "user-9"}} if name == "properties" else {name: "user-9"}
    http_to.batch(make_v0_event(distinct_id=..., **changes))
    assert only_event(receiver).distinct_id == "user-9"


def test_an_event_without_uuid_gets_one(receiver: LocalReceiver, http_to: Any, make_v0_event: Any) -> None:
    http_to.batch(make_v0_event(uuid=...), make_v0_event(uuid=""))
    first, second = receiver.events()
    assert len(first.uuid) == 36
    assert first.uuid != second.uuid


def test_engage_is_an_identify_when_it_names_no_event(
    receiver: LocalReceiver, http_to: Any, make_v0_event: Any
) -> None:
    http_to.post("/engage/", make_v0_event(event=..., api_key="phc_test"))
    assert only_event(receiver).event == "$identify"


@pytest.mark.parametrize("distinct_id", ["anonymous", "backend", "null"])
def test_an_illegal_distinct_id_is_accepted_and_identified(
    receiver: LocalReceiver, http_to: Any, make_v0_event: Any, distinct_id: str
) -> None:
    http_to.batch(make_v0_event(distinct_id=distinct_id))
    assert only_event(receiver).identified


# --- clocks -------------------------------------------------------------------------------------------------------


def test_a_timestamp_is_corrected_by_the_skew_of_the_senders_clock(
    receiver: LocalReceiver, http_to: Any, make_v0_event: Any
) -> None:
    http_to.batch(make_v0_event(timestamp="2020-01-01T10:00:00Z"), sent_at="2020-01-01T10:00:10Z")
    event = only_event(receiver)
    assert event.sent_timestamp == "2020-01-01T10:00:00Z"
    assert datetime.fromisoformat(event.timestamp) == datetime.fromisoformat(event.at) - timedelta(seconds=10)


def test_without_sent_at_a_timestamp_is_kept(receiver: LocalReceiver, http_to: Any, make_v0_event: Any) -> None:
    http_to.batch(make_v0_event(timestamp="2020-01-01T12:00:00.123+02:00"))
    assert only_event(receiver).timestamp == "2020-01-01T10:00:00.123000+00:00"


def test_ignore_sent_at_keeps_a_timestamp_as_it_is(receiver: LocalReceiver, http_to: Any, make_v0_event: Any) -> None:
    event = make_v0_event(timestamp="2020-01-01T10:00:00Z", properties={"$ignore_sent_at": True})
    http_to.batch(event, sent_at="2020-01-01T10:00:10Z")
    assert only_event(receiver).timestamp == "2020-01-01T10:00:00.000000+00:00"


def test_a_timestamp_more_than_23_hours_ahead_becomes_now(
    receiver: LocalReceiver, http_to: Any, make_v0_event: Any
) -> None:
    http_to.batch(make_v0_event(timestamp="2999-01-01T00:00:00Z"))
    event = only_event(receiver)
    assert (event.timestamp, event.changes) == (event.at, ["future_timestamp_clamp"])


@pytest.mark.parametrize("timestamp", ["yesterday", "", "2026-13-40T99:00:00Z", "0001-01-01T00:00:00+14:00"])
def test_an_unreadable_timestamp_becomes_now(
    receiver: LocalReceiver, http_to: Any, make_v0_event: Any, timestamp: str
) -> None:
    http_to.batch(make_v0_event(timestamp=timestamp))
    event = only_event(receiver)
    assert (event.timestamp, event.changes) == (event.at, ["timestamp_unreadable"])


def test_an_offset_counts_back_from_now(receiver: LocalReceiver, http_to: Any, make_v0_event: Any) -> None:
    http_to.batch(make_v0_event(timestamp="2020-01-01T10:00:00Z", offset=0))
    event = only_event(receiver)
    assert event.timestamp == event.at


# --- persons ------------------------------------------------------------------------------------------------------


def test_an_event_is_identified_unless_process_person_profile_is_false(
    receiver: LocalReceiver, http_to: Any, make_v0_event: Any
) -> None:
    http_to.batch(
        make_v0_event(event="a", distinct_id="1", properties={"$process_person_profile": False}),
        make_v0_event(event="b", distinct_id="2", properties={"$process_person_profile": True}),
        make_v0_event(event="c", distinct_id="3"),
    )
    assert {event.event: event.person_mode for event in receiver.events()} == {
        "a": "propertyless",
        "b": "full",
        "c": "full",
    }


@pytest.mark.parametrize("value", ["false", 0, [], {}])
def test_a_process_person_profile_that_is_no_boolean_is_ignored(
    receiver: LocalReceiver, http_to: Any, make_v0_event: Any, value: object
) -> None:
    http_to.batch(make_v0_event(properties={"$process_person_profile": value}))
    event = only_event(receiver)
    assert (event.person_mode, event.changes) == ("full", ["invalid_process_person_profile"])


@pytest.mark.parametrize("name", ["$identify", "$create_alias", "$merge_dangerously", "$groupidentify"])
def test_a_person_event_without_person_processing_is_dropped_in_silence(
    receiver: LocalReceiver, http_to: Any, make_v0_event: Any, name: str
) -> None:
    answer = http_to.batch(make_v0_event(event=name, properties={"$process_person_profile": False}))
    assert answer.json == {"status": 1}
    event = only_event(receiver, outcome="dropped")
    assert event.reason == "invalid_event_when_process_person_profile_is_false"


def test_a_group_identify_whose_properties_are_no_object_is_dropped_in_silence(
    receiver: LocalReceiver, http_to: Any, make_v0_event: Any
) -> None:
    properties = {"$group_type": "company", "$group_key": "acme", "$group_set": "Acme"}
    assert http_to.batch(make_v0_event(event="$groupidentify", properties=properties)).status == 200
    assert only_event(receiver, outcome="dropped").reason == "invalid_group_set"


def test_an_anonymous_event_of_somebody_known_for_a_minute_is_identified(
    receiver: LocalReceiver, http_to: Any, make_v0_event: Any
) -> None:
    anonymous = {"$process_person_profile": False}
    http_to.batch(
        make_v0_event(event="known", timestamp="2026-01-01T10:00:00Z"),
        make_v0_event(event="soon", timestamp="2026-01-01T10:01:00Z", properties=anonymous),
        make_v0_event(event="later", timestamp="2026-01-01T10:01:01Z", properties=anonymous),
    )
    http_to.batch(make_v0_event(event="much later", timestamp="2026-01-02T00:00:00Z", properties=anonymous))
    http_to.batch(make_v0_event(event="other", distinct_id="user-2", properties=anonymous))
    assert {event.event: event.person_mode for event in receiver.events()} == {
        "known": "full",
        "soon": "propertyless",
        "later": "force_upgrade",
        "much later": "force_upgrade",
        "other": "propertyless",
    }


def test_person_properties_beside_the_event_are_kept(receiver: LocalReceiver, http_to: Any, make_v0_event: Any) -> None:
    http_to.batch(make_v0_event(**{"$set": {"plan": "pro"}, "$set_once": {"source": "ad"}}))
    event = only_event(receiver)
    assert (event.set, event.set_once) == ({"plan": "pro"}, {"source": "ad"})


def test_historical_migration_is_marked(receiver: LocalReceiver, http_to: Any, make_v0_event: Any) -> None:
    http_to.batch(make_v0_event(), historical_migration=True)
    assert only_event(receiver).historical

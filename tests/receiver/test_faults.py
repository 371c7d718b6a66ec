"""Outages on demand."""

from __future__ import annotations

import gzip
import http.client
import socket
import threading
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from genops_otel_posthog.errors import GenOpsError, GenOpsValidationError
from genops_otel_posthog.receiver import LocalReceiver
from genops_otel_posthog.receiver.faults import FaultRule, Faults, read_rule, read_rule_text

NOW = datetime(2026, 11, 22, 12, tzinfo=timezone.utc)


def strikes(rule: FaultRule, *requests: tuple[str, str], at: datetime = NOW) -> list[bool]:
    faults = Faults()
    faults.add(rule)
    return [faults.strike(method, path, at).rule is rule for method, path in requests]


# --- which requests a rule is for ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "struck"),
    [
        ("all", ["/batch", "/e", "/i/v1/analytics/events", "/flags", "/flags/definitions", "/v1/traces"]),
        ("capture", ["/batch", "/e", "/i/v1/analytics/events"]),
        ("flags", ["/flags"]),
        ("definitions", ["/flags/definitions"]),
        ("otlp", ["/v1/traces"]),
        ("/batch/", ["/batch"]),
        ("/flags*", ["/flags", "/flags/definitions"]),
    ],
)
def test_a_rule_strikes_the_paths_it_names(path: str, struck: list[str]) -> None:
    every = ["/batch", "/e", "/i/v1/analytics/events", "/flags", "/flags/definitions", "/v1/traces"]
    answers = strikes(FaultRule(path=path, status=503), *(("POST", one) for one in every))
    assert [one for one, hit in zip(every, answers, strict=True) if hit] == struck


def test_a_rule_may_be_for_one_method() -> None:
    assert strikes(FaultRule(method="GET", status=503), ("GET", "/flags"), ("POST", "/flags")) == [True, False]


@pytest.mark.parametrize("squeeze", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_a_rule_may_be_for_requests_with_a_text(squeeze: Any) -> None:
    faults = Faults()
    faults.add(FaultRule(status=500, contains='"event":"poison"'))
    struck = [
        faults.strike("POST", "/batch", NOW, squeeze(body)).rule is not None
        for body in (b'[{"event":"a"},{"event":"poison"}]', b'[{"event":"a"}]', b"")
    ]
    assert struck == [True, False, False]


def test_a_rule_for_a_text_passes_what_cannot_be_decompressed() -> None:
    faults = Faults()
    faults.add(FaultRule(status=500, contains="poison"))
    assert faults.strike("POST", "/batch", NOW, b"\x1f\x8b broken").rule is None


def test_a_rule_strikes_so_many_times_after_so_many_passes() -> None:
    assert strikes(FaultRule(status=503, skip=1, times=2), *[("POST", "/batch")] * 5) == [
        False,
        True,
        True,
        False,
        False,
    ]


@pytest.mark.parametrize(
    ("at", "struck"), [(NOW, False), (NOW + timedelta(seconds=10), True), (NOW + timedelta(seconds=20), False)]
)
def test_a_rule_holds_from_its_start_until_its_end(at: datetime, struck: bool) -> None:
    rule = read_rule({"status": 503, "start": 10, "end": "2026-11-22T12:00:20Z"}, now=NOW)
    assert strikes(rule, ("POST", "/batch"), at=at) == [struck]


def test_the_first_rule_that_shapes_the_answer_wins_and_quotas_add_up() -> None:
    faults = Faults()
    first = faults.add(FaultRule(status=503, times=1))
    second = faults.add(FaultRule(status=500))
    faults.add(FaultRule(quota=frozenset({"events"})))
    faults.add(FaultRule(quota=frozenset({"llm_events"})))
    strike = faults.strike("POST", "/batch", NOW)
    assert (strike.id, strike.over_quota) == (first, {"events", "llm_events"})
    assert faults.strike("POST", "/batch", NOW).id == second
    assert [rule["struck"] for rule in faults.as_json()] == [1, 1, 2, 2]


# --- how a rule is written ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("503", FaultRule(status=503)),
        (
            "status=429,path=capture,retry_after=2,times=3",
            FaultRule(status=429, path="capture", retry_after="2", times=3),
        ),
        ("hang, path=flags", FaultRule(hang=True, path="flags")),
        ("reset,stage=after,delay=0.5", FaultRule(reset=True, stage="after", delay=0.5)),
        ("quota=events+llm_events", FaultRule(quota=frozenset({"events", "llm_events"}))),
        (
            "503,start=30,end=60",
            FaultRule(status=503, start=NOW + timedelta(seconds=30), end=NOW + timedelta(seconds=60)),
        ),
    ],
)
def test_a_rule_can_be_written_in_one_line(text: str, rule: FaultRule) -> None:
    assert read_rule_text(text, now=NOW) == rule


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"statuss": 503}, "has no field 'statuss'"),
        ({"path": "capture"}, "does nothing"),
        ({"status": 42}, "status of a fault must be a number from 200 to 599, not 42"),
        ({"status": True}, "must be a number"),
        ({"delay": "long"}, "delay of a fault"),
        ({"status": 503, "times": -1}, "times of a fault"),
        ({"hang": "maybe"}, "hang of a fault must be one of true"),
        ({"quota": ["coffee"]}, "quota of a fault must be a list of events"),
        ({"status": 503, "stage": "during"}, "stage of a fault must be one of before, after"),
        ({"status": 503, "start": "tomorrow"}, "start (seconds from now, or RFC 3339)"),
        ({"status": 503, "body": ["x"]}, "body of a fault must be text"),
    ],
    ids=str,
)
def test_a_rule_that_cannot_be_read_is_refused_with_what_is_wrong(given: dict[str, Any], said: str) -> None:
    with pytest.raises(GenOpsValidationError) as refused:
        read_rule(given, now=NOW)
    assert said in str(refused.value)


def test_a_client_that_writes_a_bad_rule_is_told(receiver: LocalReceiver) -> None:
    with pytest.raises(GenOpsValidationError, match="must be a number from 200 to 599"):
        receiver.fail("capture", status=42)
    assert receiver.faults() == []


# --- what it does -------------------------------------------------------------------------------------------------


def test_a_status_is_answered_and_nothing_is_kept(receiver: LocalReceiver, http_to: Any, make_v0_event: Any) -> None:
    with receiver.fail("capture", status=503, retry_after=7) as fault:
        answer = http_to.batch(make_v0_event())
        assert (answer.status, answer.headers["retry-after"]) == (503, "7")
        assert "rehearsed" in answer.json["detail"]
        assert fault.struck == 1
    assert http_to.batch(make_v0_event()).status == 200
    assert len(receiver.events()) == 1
    assert [(request.status, request.fault) for request in receiver.requests()] == [(503, fault.id), (200, None)]


def test_the_body_of_the_answer_may_be_given(receiver: LocalReceiver, http_to: Any, make_v0_event: Any) -> None:
    receiver.fail("capture", status=502, body="bad gateway")
    assert http_to.batch(make_v0_event()).text == "bad gateway"


def test_a_lost_answer_leaves_what_was_sent(receiver: LocalReceiver, http_to: Any, make_v0_event: Any) -> None:
    receiver.fail("capture", status=504, stage="after")
    assert http_to.batch(make_v0_event()).status == 504
    assert len(receiver.events()) == 1
    assert [request.status for request in receiver.requests()] == [504]


@pytest.mark.parametrize(("stage", "kept"), [("before", 0), ("after", 1)])
def test_a_reset_cuts_the_answer_in_the_middle(
    receiver: LocalReceiver, http_to: Any, make_v0_event: Any, stage: str, kept: int
) -> None:
    receiver.fail("capture", reset=True, stage=stage)
    with pytest.raises((ConnectionResetError, http.client.IncompleteRead)):
        http_to.batch(make_v0_event())
    assert len(receiver.events()) == kept
    assert [request.status for request in receiver.requests()] == [0]


@pytest.mark.parametrize(("stage", "kept"), [("before", 0), ("after", 1)])
def test_a_hang_lasts_until_the_client_gives_up(
    receiver: LocalReceiver, make_v0_event: Any, http_to: Any, stage: str, kept: int
) -> None:
    receiver.fail("capture", hang=True, stage=stage)
    connection = socket.create_connection(("127.0.0.1", receiver.port), timeout=0.3)
    with connection:
        body = b'{"api_key":"phc_test","event":"e","distinct_id":"u"}'
        connection.sendall(b"POST /e/ HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        with pytest.raises(TimeoutError):
            connection.recv(1)
    assert len(receiver.events()) == kept
    assert http_to.get("/flags/definitions").status == 401  # others are answered meanwhile


def test_a_delay_holds_back_only_its_own_requests() -> None:
    order: list[str] = []

    def post(path: str) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", receiver.port)
        connection.request("POST", path, b'{"api_key":"phc_test","event":"e","distinct_id":"u"}')
        with suppress(ConnectionError):  # the receiver may be gone before it has answered
            connection.getresponse().read()
        connection.close()
        order.append(path)

    with LocalReceiver() as receiver:
        receiver.fail("/batch", delay=3600)
        slow = threading.Thread(target=post, args=["/batch"])
        slow.start()
        post("/e")
    slow.join()  # the end of the receiver ends the wait, too
    assert order[0] == "/e"


@pytest.mark.parametrize(
    ("result", "details", "answered", "kept"),
    [
        ("retry", None, {"result": "retry", "details": "not_persisted"}, []),
        ("drop", "rejected_by_rule", {"result": "drop", "details": "rejected_by_rule"}, ["dropped"]),
        ("warning", None, {"result": "warning"}, ["accepted"]),
    ],
)
def test_the_v1_result_of_single_events_can_be_told(
    receiver: LocalReceiver,
    http_to: Any,
    make_v1_event: Any,
    result: str,
    details: str | None,
    answered: dict[str, str],
    kept: list[str],
) -> None:
    receiver.fail("capture", event="signed_*", result=result, details=details, times=1)
    struck, spared = make_v1_event(), make_v1_event(event="paid")
    answer = http_to.v1(struck, spared)
    assert answer.json["results"] == {struck["uuid"]: answered, spared["uuid"]: {"result": "ok"}}
    assert answer.headers.get("retry-after") == ("1" if result == "retry" else None)
    assert [event.outcome for event in receiver.events("signed_up", outcome="any")] == kept
    assert http_to.v1(make_v1_event()).json["results"].popitem()[1] == {"result": "ok"}


def test_otlp_and_flags_fail_as_well(receiver: LocalReceiver, http_to: Any) -> None:
    receiver.fail("all", status=500)
    assert http_to.post("/v1/traces", b"", {"Content-Type": "application/x-protobuf"}).status == 500
    assert http_to.post("/flags/?v=4", {"token": "phc_test", "distinct_id": "u"}).status == 500
    assert http_to.get("/flags/definitions").status == 500


def test_the_query_api_never_fails(receiver: LocalReceiver) -> None:
    receiver.fail("all", status=500)
    assert receiver.summary()["requests"]["total"] == 0


# --- over HTTP ----------------------------------------------------------------------------------------------------


def test_rules_are_listed_added_replaced_and_lifted(receiver: LocalReceiver, http_to: Any) -> None:
    first = receiver.fail("capture", status=503, times=2)
    assert receiver.faults() == [{"id": first.id, "struck": 0, "path": "capture", "status": 503, "times": 2}]
    answer = http_to.send("PUT", "/api/faults", {"hang": True})
    (second,) = answer.json["added"]
    assert [rule["id"] for rule in receiver.faults()] == [second]
    assert http_to.send("DELETE", f"/api/faults/{first.id}").status == 404
    assert http_to.send("DELETE", f"/api/faults/{second}").json["faults"] == []


def test_a_lifted_fault_says_so(receiver: LocalReceiver) -> None:
    fault = receiver.fail("capture", status=503)
    fault.lift()
    fault.lift()
    with pytest.raises(GenOpsError, match="was lifted"):
        _ = fault.struck

"""The query API and its client: filters, waiting, the log, the bill."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from genops_otel_posthog.errors import GenOpsError, GenOpsValidationError
from genops_otel_posthog.receiver import LocalReceiver, ReceiverClient


@pytest.fixture
def three_events(receiver: LocalReceiver, http_to: Any, make_v0_event: Any) -> None:
    http_to.batch(
        make_v0_event(event="signed_up", distinct_id="1", properties={"plan": "pro", "seats": 3, "trial": True}),
        make_v0_event(event="signed_up", distinct_id="2", properties={"plan": "free", "deep": {"er": 1}}),
        make_v0_event(event="paid", distinct_id="1", properties={"plan": "pro"}),
        make_v0_event(event="$identify", distinct_id="3", properties={"$process_person_profile": False}),
    )


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ({}, ["1", "2", "1"]),
        ({"event": "paid"}, ["1"]),
        ({"distinct_id": "2"}, ["2"]),
        ({"property.plan": "pro"}, ["1", "1"]),
        ({"property.seats": 3}, ["1"]),
        ({"property.trial": "true"}, ["1"]),
        ({"property.nothing": "x"}, []),
        ({"outcome": "dropped"}, ["3"]),
        ({"outcome": "any"}, ["1", "2", "1", "3"]),
        ({"event": "signed_up", "property.plan": "free"}, ["2"]),
        ({"limit": 1, "offset": 1}, ["2"]),
        ({"order": "desc", "limit": 1}, ["1"]),
    ],
    ids=str,
)
@pytest.mark.usefixtures("three_events")
def test_events_can_be_filtered(receiver: LocalReceiver, filters: dict[str, Any], found: list[str]) -> None:
    assert [event.distinct_id for event in receiver.events(**filters)] == found


@pytest.mark.usefixtures("three_events")
def test_events_after_a_row_are_those_that_came_later(
    receiver: LocalReceiver, http_to: Any, make_v0_event: Any
) -> None:
    last = receiver.events()[-1].id
    http_to.batch(make_v0_event(event="later"))
    assert [event.event for event in receiver.events(after=last)] == ["later"]


@pytest.mark.parametrize(
    ("filters", "said"),
    [
        ({"evnt": "x"}, "cannot be filtered by 'evnt'"),
        ({"limit": "many"}, "limit must be a whole number"),
        ({"order": "up"}, "order must be asc or desc"),
        ({'property.a"b': "x"}, "cannot be the name of a property"),
    ],
)
def test_a_wrong_question_says_what_can_be_asked(receiver: LocalReceiver, filters: dict[str, Any], said: str) -> None:
    with pytest.raises(GenOpsValidationError, match=said):
        receiver.events(**filters)


def test_a_wrong_question_to_the_bill_or_the_wait_says_what_can_be_asked(receiver: LocalReceiver, http_to: Any) -> None:
    assert http_to.get("/api/bill?currency=EUR").status == 400
    assert http_to.get("/api/wait/coffee").status == 400
    assert http_to.get("/api/wait/events?timeout=-1").status == 400
    assert http_to.send("PUT", "/api/flags", b"not json").status == 400


# --- waiting ------------------------------------------------------------------------------------------------------


def test_waiting_ends_the_moment_the_events_are_there(
    receiver: LocalReceiver, http_to: Any, make_v0_event: Any
) -> None:
    found: list[Any] = []
    waiter = threading.Thread(target=lambda: found.extend(receiver.wait_for_events(2, event="paid", timeout=30)))
    waiter.start()
    http_to.batch(make_v0_event(event="paid"), make_v0_event())
    http_to.batch(make_v0_event(event="paid"))
    waiter.join()
    assert [event.event for event in found] == ["paid", "paid"]


def test_waiting_in_vain_says_what_did_arrive(receiver: LocalReceiver, http_to: Any, make_v0_event: Any) -> None:
    http_to.batch(make_v0_event(event="something else"))
    with pytest.raises(TimeoutError, match=r"there are 0; received so far: .*something else"):
        receiver.wait_for_events(1, event="paid", timeout=0)


def test_one_can_wait_for_anything_that_is_listed(receiver: LocalReceiver, http_to: Any) -> None:
    http_to.get("/flags/definitions?token=phc_test", {"Authorization": "Bearer phx_personal"})
    assert receiver.wait_for_flag_requests(1, kind="definitions", timeout=0)[0].units == 10
    assert receiver.wait_for_requests(1, path="/flags/definitions", timeout=0)[0].status == 200
    assert receiver.wait_for("spans", 0, timeout=0) == 0


# --- the log ------------------------------------------------------------------------------------------------------


def test_every_request_is_logged_with_what_came_of_it(
    receiver: LocalReceiver, http_to: Any, make_v0_event: Any
) -> None:
    http_to.batch(make_v0_event(), path="/batch/?ver=1")
    http_to.post("/e/", b"not json", {"User-Agent": "curl", "Content-Encoding": "identity"})
    fine, refused = receiver.requests()
    assert (fine.method, fine.path, fine.query, fine.status, fine.note) == ("POST", "/batch", "ver=1", 200, None)
    assert (refused.status, refused.bytes, refused.user_agent, refused.encoding) == (400, 8, "curl", "identity")
    assert "failed to parse request" in (refused.note or "")
    assert receiver.requests(min_status=400) == [refused]
    assert receiver.events()[0].request == fine.id


def test_a_body_can_be_read_as_it_was_sent(receiver: LocalReceiver, http_to: Any) -> None:
    http_to.post("/e/", b"not json")
    assert receiver.request_body(receiver.requests()[0].id) == b"not json"


def test_dropped_events_are_noted_beside_the_request(receiver: LocalReceiver, http_to: Any, make_v0_event: Any) -> None:
    receiver.fail("capture", quota=["events"])
    http_to.batch(make_v0_event(), make_v0_event())
    assert receiver.requests()[0].note == "2 dropped: events_over_quota"


# --- summary and data ---------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("three_events")
def test_the_summary_counts_everything(receiver: LocalReceiver, http_to: Any) -> None:
    http_to.post("/e/", b"")
    summary = receiver.summary()
    assert summary["requests"] == {
        "total": 2,
        "by_status": {"200": 1, "400": 1},
        "by_path": {"/batch": 1, "/e": 1},
    }
    assert summary["events"] == {
        "accepted": 3,
        "dropped": 1,
        "distinct": 3,
        "by_name": {"signed_up": 2, "paid": 1},
        "drop_reasons": {"invalid_event_when_process_person_profile_is_false": 1},
    }


@pytest.mark.usefixtures("three_events")
def test_clearing_forgets_events_and_persons_but_no_faults(
    receiver: LocalReceiver, http_to: Any, make_v0_event: Any
) -> None:
    receiver.fail("flags", status=503)
    receiver.clear()
    assert receiver.summary()["requests"]["total"] == 0
    assert len(receiver.faults()) == 1
    http_to.batch(make_v0_event(distinct_id="1", properties={"$process_person_profile": False}))
    assert receiver.events()[0].person_mode == "propertyless"


def test_a_client_without_a_receiver_says_so() -> None:
    with pytest.raises(GenOpsError, match="no receiver answers"):
        ReceiverClient("http://127.0.0.1:9").summary()


# --- web pages ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("host", "status"), [("evil.example", 403), ("localhost:1", 200), ("[::1]", 200)])
def test_a_web_page_that_poses_as_this_machine_gets_nothing(http_to: Any, host: str, status: int) -> None:
    assert http_to.get("/api/events", {"Host": host}).status == status


def test_a_form_of_a_web_page_cannot_start_an_outage(receiver: LocalReceiver, http_to: Any) -> None:
    assert http_to.post("/api/faults", {"status": 503}, {"Content-Type": "text/plain"}).status == 415
    assert receiver.faults() == []


# --- the bill -----------------------------------------------------------------------------------------------------


def test_each_event_is_billed_by_its_meter(receiver: LocalReceiver, http_to: Any, make_v0_event: Any) -> None:
    anonymous = {"$process_person_profile": False}
    names = ["paid", "$pageview", "$exception", "$ai_generation", "survey sent", "$feature_flag_called", "survey shown"]
    http_to.batch(*(make_v0_event(event=name) for name in names))
    http_to.batch(make_v0_event(event="paid", distinct_id="nobody", properties=anonymous))
    http_to.batch(make_v0_event(event="survey sent", properties={"$product_tour_id": "t-1"}))
    bill = receiver.bill()
    assert bill.meters == {
        "events": 3,
        "identified_events": 2,
        "exceptions": 1,
        "llm_events": 1,
        "survey_responses": 1,
    }
    assert bill.events["paid"] == {"counted": 2, "identified": 1}


def test_a_copy_of_an_event_is_not_billed_again(receiver: LocalReceiver, http_to: Any, make_v0_event: Any) -> None:
    event = make_v0_event(timestamp="2026-01-01T10:00:00Z")
    http_to.batch(event, event)
    http_to.batch(event)
    assert (receiver.bill().meters["events"], receiver.bill().duplicates) == (1, 2)
    assert len(receiver.events()) == 3


@pytest.mark.parametrize(
    "change",
    [{"timestamp": "2026-01-02T10:00:00Z"}, {"event": "other"}, {"distinct_id": "other"}, {"uuid": ...}],
    ids=str,
)
def test_an_event_of_another_day_name_person_or_uuid_is_no_copy(
    receiver: LocalReceiver, http_to: Any, make_v0_event: Any, change: dict[str, Any]
) -> None:
    event = {**make_v0_event(), "timestamp": "2026-01-01T10:00:00Z"}
    http_to.batch(event, {name: value for name, value in {**event, **change}.items() if value is not ...})
    assert (receiver.bill().meters["events"], receiver.bill().duplicates) == (2, 0)


def test_a_retry_within_the_same_day_is_a_copy(receiver: LocalReceiver, http_to: Any, make_v0_event: Any) -> None:
    event = make_v0_event()
    http_to.batch({**event, "timestamp": "2026-01-01T10:00:00Z"})
    http_to.batch({**event, "timestamp": "2026-01-01T23:59:59Z"})
    assert receiver.bill().duplicates == 1


def test_the_bill_of_one_project_leaves_the_others_out(
    receiver: LocalReceiver, http_to: Any, make_v0_event: Any
) -> None:
    event = make_v0_event()
    http_to.batch(event, api_key="phc_a")
    http_to.batch(event, api_key="phc_b")
    assert receiver.bill().meters["events"] == 2
    assert receiver.bill(token="phc_a").meters["events"] == 1


def test_the_group_analytics_add_on_counts_only_for_those_who_have_it(
    receiver: LocalReceiver, http_to: Any, make_v0_event: Any
) -> None:
    http_to.batch(make_v0_event(properties={"$groups": {"company": "acme"}}))
    assert "group_analytics" not in receiver.bill().meters
    assert receiver.bill(group_analytics=True).meters["group_analytics"] == 1
    assert receiver.events()[0].grouped

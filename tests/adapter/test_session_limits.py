"""What a session may spend: to the last event, however often it is refused, inside others, and in forked processes."""

from __future__ import annotations

import os
from decimal import Decimal
from typing import Any

import pytest

from genops_otel_posthog import GenOpsBudgetExceededError
from genops_otel_posthog.adapter.session_spending import SessionSpending

REFUSING = {"governance_policy": "enforced", "pricing_mode": "list"}


def test_what_is_refused_once_is_refused_again(make_adapter: Any) -> None:
    adapter = make_adapter(**REFUSING)
    with adapter.track_analytics_session("s", budget_limit="0.0001") as session:
        results = [session.capture_event("e", raises=False) for _ in range(10)]

    assert [result["blocked"] for result in results] == [False] * 2 + [True] * 8
    assert session.total_cost == pytest.approx(0.0001)


def test_recordings_that_are_refused_once_are_refused_again(make_adapter: Any) -> None:
    adapter = make_adapter(**REFUSING)
    with adapter.track_analytics_session("s", budget_limit="0.005") as session:
        session.record_session_recording()
        for _ in range(3):
            with pytest.raises(GenOpsBudgetExceededError, match=r"has spent \$0\.005 of its budget_limit"):
                session.record_session_recording()

    assert session.recordings_created == 1


def test_a_session_inside_another_spends_what_both_may(make_adapter: Any) -> None:
    adapter = make_adapter(**REFUSING)
    with adapter.track_analytics_session("outer", budget_limit="0.0001") as outer:
        with adapter.track_analytics_session("inner", budget_limit=1) as inner:
            inner.capture_event("a")
            inner.capture_event("b")
            with pytest.raises(GenOpsBudgetExceededError, match="session 'outer' has spent") as refusal:
                inner.capture_event("c")
        with pytest.raises(GenOpsBudgetExceededError):
            outer.capture_event("d")

    assert refusal.value.budget_id == f"session:{outer.session_id}"
    assert inner.total_cost == outer.total_cost == pytest.approx(0.0001)


@pytest.mark.newest  # the oldest SDK raises nothing, also in debug mode
def test_a_call_that_fails_gives_back_what_was_set_aside_for_it(make_adapter: Any) -> None:
    # In debug mode the SDK raises what it else logs, as about flags that are none.
    adapter = make_adapter(client_options={"debug": True}, **REFUSING)
    with adapter.track_analytics_session("s", budget_limit="0.0001") as session:
        for _ in range(3):
            with pytest.raises((AttributeError, TypeError)):
                session.capture_event("e", flags="none")
        results = [session.capture_event("e", raises=False) for _ in range(3)]

    assert [result["blocked"] for result in results] == [False, False, True]


def test_an_event_with_a_flag_request_before_it_needs_room_for_both(make_adapter: Any, receiver: Any) -> None:
    adapter = make_adapter(**REFUSING)
    with adapter.track_analytics_session("s", budget_limit="0.0001") as session:
        result = session.capture_event("e", None, "ann", send_feature_flags=True, raises=False)

    assert result["blocked"] is True
    assert session.total_cost == 0
    assert receiver.flag_requests() == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks are of Unix")
def test_a_forked_process_spends_although_a_thread_of_its_parent_was_spending(make_adapter: Any) -> None:
    adapter = make_adapter(**REFUSING)
    with adapter.track_analytics_session("s", budget_limit="0.0001") as session:
        assert session.spending.set_aside(100_000, refuses=True) is None
        with session.spending.lock:  # as if another thread were about to count a call
            child = os.fork()
            if child == 0:
                is_free = session.spending.lock.acquire(timeout=5)
                session.spending.lock.release()
                os._exit(0 if is_free and session.spending.set_aside(100_000, refuses=True) is None else 1)
        _, status = os.waitpid(child, 0)

    assert os.waitstatus_to_exitcode(status) == 0


def test_what_one_around_refuses_is_set_aside_nowhere() -> None:
    outer, inner = SessionSpending("o", "outer", None), SessionSpending("i", "inner", None)
    limited = SessionSpending("l", "limited", Decimal(0))
    inner.around, outer.around = outer, limited

    assert inner.is_limited
    assert inner.set_aside(1, refuses=True) is limited
    assert (inner._aside_nano, outer._aside_nano, limited._aside_nano) == (0, 0, 0)
    assert inner.set_aside(1, refuses=False) is limited
    inner.settle(1)
    assert (inner._aside_nano, outer._aside_nano, limited._aside_nano) == (0, 0, 0)


# --- policy strict ----------------------------------------------------------------------------------------------------


def test_under_strict_a_session_names_the_owner_that_the_adapter_has_not(make_adapter: Any, receiver: Any) -> None:
    adapter = make_adapter(team=None, project=None, governance_policy="strict")
    with adapter.track_analytics_session("s", team="growth", project="web") as session:
        result = session.capture_event("e")
    with pytest.raises(GenOpsBudgetExceededError, match="nobody named one"):
        adapter.capture_event_with_governance("e")

    adapter.flush()
    assert result["blocked"] is False
    assert [event.properties["genops_team"] for event in receiver.events()] == ["growth"]


def test_under_strict_a_flag_of_nobody_is_not_asked_for(make_adapter: Any, receiver: Any) -> None:
    adapter = make_adapter(team=None, project=None, governance_policy="strict")
    value, metadata = adapter.evaluate_feature_flag_with_governance("new-dashboard", "ann", default="fallback")

    assert (value, metadata["error"]) == ("fallback", "attribution_missing")
    assert receiver.flag_requests() == []

"""Adapters that are changed, very many, or given what cannot be compared; and what of them reaches a forked process."""

from __future__ import annotations

import os
import sys
import threading
from typing import Any

import pytest

from genops_otel_posthog import GenOpsPostHogAdapter
from genops_otel_posthog.adapter import known_clients
from genops_otel_posthog.adapter.batch import BatchEventProcessor
from genops_otel_posthog.adapter.clients import comparable
from genops_otel_posthog.adapter.day_counts import DayCounts


@pytest.fixture
def two_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known_clients, "_KEPT", 2)


def test_a_policy_that_is_changed_holds_for_everything_that_depends_on_it(make_adapter: Any, providers: Any) -> None:
    adapter = make_adapter()
    adapter.capture_event_with_governance("before", {"genops_team": "other"})
    adapter.update_budget(governance_policy="enforced")
    adapter.capture_event_with_governance("after", {"genops_team": "other"})

    before, after = (providers.span(f"capture {name}").attributes for name in ("before", "after"))
    assert (before["genops.team"], before["genops.policy.name"]) == ("other", "advisory")
    assert (after["genops.team"], after["genops.policy.name"]) == ("growth", "enforced")


def test_who_changes_to_strict_needs_an_owner(make_adapter: Any) -> None:
    adapter = make_adapter(team=None, project=None)
    assert adapter.capture_event_with_governance("e")["blocked"] is False
    adapter.update_budget(governance_policy="strict")
    assert adapter.capture_event_with_governance("e", raises=False)["policy_reason"] == "attribution_missing"


def test_a_limit_switches_no_governance_on(make_adapter: Any) -> None:
    adapter = make_adapter(enable_governance=False)
    adapter.update_budget(daily=0, governance_policy="enforced")

    assert adapter.governance_enabled is False
    assert adapter.capture_event_with_governance("e")["blocked"] is False


def test_a_limit_where_there_was_none_is_asked_about(make_adapter: Any) -> None:
    adapter = make_adapter(daily_budget_limit="unlimited", governance_policy="enforced", pricing_mode="list")
    adapter.update_budget(daily=0)

    assert adapter.capture_event_with_governance("e", raises=False)["policy_reason"] == "budget_exceeded"


@pytest.mark.usefixtures("two_are_kept")
def test_a_changed_limit_is_not_forgotten_for_others(make_adapter: Any) -> None:
    make_adapter(customer_id="acme").update_budget(daily=7)
    for number in range(4):
        make_adapter(customer_id=f"other-{number}")

    assert make_adapter(customer_id="acme").daily_budget_limit == 7


@pytest.mark.usefixtures("two_are_kept")
def test_who_comes_often_is_kept(make_adapter: Any) -> None:
    make_adapter(customer_id="acme").capture_event_with_governance("e")
    for number in range(4):
        make_adapter(customer_id="acme")
        make_adapter(customer_id=f"other-{number}")

    assert make_adapter(customer_id="acme").get_cost_summary()["events_today"] == 1


def test_options_that_are_equal_share_a_client_whatever_is_in_them(make_adapter: Any) -> None:
    def given() -> dict[str, Any]:
        return {"super_properties": {"app": "shop", "tiers": ["a", "b"]}, "debug": False}

    first, second = make_adapter(client_options=given()), make_adapter(client_options=given())
    third = make_adapter(client_options={"super_properties": {"app": "other"}})

    assert first.governed is second.governed
    assert first.client is not third.client


def test_what_cannot_be_compared_is_equal_to_itself() -> None:
    odd = bytearray(b"odd")
    assert comparable({"a": [odd, {1}]}) == comparable({"a": [odd, {1}]}) != comparable({"a": [bytearray(b"odd"), {1}]})


def test_a_summary_while_others_begin_sessions(adapter: GenOpsPostHogAdapter) -> None:
    kept = [adapter.track_analytics_session(f"s{number}") for number in range(300)]
    is_over = threading.Event()

    def begin() -> None:
        while not is_over.is_set():
            adapter.governed.sessions.update({str(number): kept[0] for number in range(100)})
            for number in range(100):
                adapter.governed.sessions.pop(str(number), None)

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    thread = threading.Thread(target=begin)
    thread.start()
    try:
        for _ in range(200):
            assert adapter.get_cost_summary()["active_sessions"] == 0
    finally:
        sys.setswitchinterval(before)
        is_over.set()
        thread.join()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks are of Unix")
def test_a_forked_process_counts_what_it_does_itself() -> None:
    counts = DayCounts()
    with counts.lock:
        counts.at(0).events += 5
        child = os.fork()
        if child == 0:
            os._exit(0 if counts.lock.acquire(timeout=5) and counts.at(0).events == 0 else 1)
    _, status = os.waitpid(child, 0)

    assert os.waitstatus_to_exitcode(status) == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks are of Unix")
def test_what_was_made_before_a_fork_delivers_after_it(adapter: GenOpsPostHogAdapter, receiver: Any) -> None:
    adapter.capture_event_with_governance("parent")
    adapter.flush()
    batch = BatchEventProcessor(adapter)
    batch.add_event("gathered by the parent")
    with adapter.track_analytics_session("s") as session:
        child = os.fork()
        if child == 0:
            session.capture_event("child")
            batch.add_event("gathered by the child")
            batch.flush_events()
            os._exit(0 if adapter.flush(10) else 1)
        _, status = os.waitpid(child, 0)
    batch.close()
    adapter.flush()

    assert os.waitstatus_to_exitcode(status) == 0
    assert sorted(event.event for event in receiver.events()) == [
        "child",
        "gathered by the child",
        "gathered by the parent",
        "parent",
    ]


def test_a_client_that_fails_to_end_has_not_sent_everything(adapter: GenOpsPostHogAdapter, caplog: Any) -> None:
    client = adapter.client

    def failing() -> None:
        client.__class__.shutdown(client)
        raise OSError("out of order")

    client.shutdown = failing
    assert adapter.shutdown() is False
    assert any("failed to send what was captured" in message for message in caplog.messages)

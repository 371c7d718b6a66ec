"""Two regions: delivered once, by whichever can; a refusal is no outage."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from genops_otel_posthog import GenOpsBudgetExceededError, GenOpsConfigurationError
from genops_otel_posthog.adapter.failover import FailoverAdapter
from genops_otel_posthog.receiver.server import LocalReceiver

IMPATIENT = {"max_retries": 0, "timeout": 2, "flush_at": 1}


@pytest.fixture(scope="module")
def shared_second_region() -> Iterator[LocalReceiver]:
    with LocalReceiver() as receiver:
        yield receiver


@pytest.fixture
def second_region(shared_second_region: LocalReceiver) -> LocalReceiver:
    shared_second_region.recover()
    shared_second_region.set_flags([])
    shared_second_region.clear()
    return shared_second_region


@pytest.fixture
def regions(make_adapter: Any, second_region: LocalReceiver) -> Any:
    def make(*, retry_seconds: float = 30, clock: Any = None, **primary: Any) -> FailoverAdapter:
        return FailoverAdapter(
            make_adapter(
                environment="production-primary",
                client_options=IMPATIENT,
                tags={"region": "us-east-1", "ha_role": "primary"},
                **primary,
            ),
            make_adapter(
                posthog_host=second_region.url,
                environment="production-secondary",
                client_options=IMPATIENT,
                tags={"region": "us-west-2", "ha_role": "secondary"},
            ),
            retry_seconds=retry_seconds,
            **({} if clock is None else {"clock": clock}),
        )

    return make


def test_as_long_as_it_delivers_the_primary_is_used(regions: Any, receiver: Any, second_region: Any) -> None:
    both = regions()
    result = both.capture_event_with_governance("x", {"n": 1}, "ann")

    assert both.flush()
    assert (result["region"], result["ha_role"]) == ("us-east-1", "primary")
    assert (len(receiver.events()), len(second_region.events())) == (1, 0)


@pytest.mark.requirement("E-18", "D-16", "S4-52")
@pytest.mark.parametrize("fault", [{"status": 503}, {"reset": True}, {"status": 401}])
def test_what_the_primary_gives_up_the_secondary_delivers_once(
    fault: Any, regions: Any, receiver: Any, second_region: Any
) -> None:
    both = regions()
    receiver.fail("capture", **fault)
    first = both.capture_event_with_governance("a", {"n": 1}, "ann", is_identified=True)
    second_region.wait_for_events(1)
    second = both.capture_event_with_governance("b", {"n": 2}, "ann")
    both.flush()

    assert (first["region"], second["region"]) == ("us-east-1", "us-west-2")
    arrived = second_region.events()
    assert [event.uuid for event in arrived] == [first["event_uuid"], second["event_uuid"]]
    assert receiver.events() == []
    assert arrived[0].properties["genops_environment"] == "production-primary"
    assert arrived[0].properties["n"] == 1
    assert both.handed_over == 1


def test_what_is_handed_over_is_paid_for_once(regions: Any, receiver: Any, second_region: Any) -> None:
    both = regions(pricing_mode="list")
    receiver.fail("capture", status=503)
    both.capture_event_with_governance("a", None, "ann")
    second_region.wait_for_events(1)

    assert both.primary.get_cost_summary()["daily_costs"] == pytest.approx(0.00005)
    assert both.secondary.get_cost_summary()["daily_costs"] == 0.0


def test_after_a_while_the_primary_gets_its_next_chance(regions: Any, receiver: Any, second_region: Any) -> None:
    now = [0.0]
    both = regions(clock=lambda: now[0])
    with receiver.fail("capture", status=503):
        both.capture_event_with_governance("a", None, "ann")
        second_region.wait_for_events(1)
    assert both.active is both.secondary
    now[0] = 30.0

    assert both.active is both.primary
    assert both.capture_event_with_governance("b", None, "ann")["region"] == "us-east-1"
    assert [event.event for event in receiver.wait_for_events(1)] == ["b"]


@pytest.mark.requirement("E-18", "D-16")
def test_a_refusal_by_a_budget_goes_nowhere_else(regions: Any, receiver: Any, second_region: Any) -> None:
    both = regions(governance_policy="enforced", daily_budget_limit=0, pricing_mode="list")
    with pytest.raises(GenOpsBudgetExceededError):
        both.capture_event_with_governance("x", None, "ann")
    both.flush()

    assert both.active is both.primary
    assert receiver.events() == second_region.events() == []


def test_a_flag_that_the_primary_cannot_be_asked_for_is_asked_of_the_secondary(
    regions: Any, receiver: Any, second_region: Any
) -> None:
    second_region.set_flags(
        [{"key": "beta", "active": True, "filters": {"groups": [{"properties": [], "rollout_percentage": 100}]}}]
    )
    receiver.fail("flags", status=503)
    both = regions()

    assert both.evaluate_feature_flag_with_governance("beta", "ann")[0] is True
    assert both.active is both.secondary


def test_two_adapters_to_the_same_place_are_no_two_regions(make_adapter: Any) -> None:
    with pytest.raises(GenOpsConfigurationError, match="the second is no way out"):
        FailoverAdapter(make_adapter(environment="a"), make_adapter(environment="b"))


def test_one_that_is_made_for_the_next_request_knows_of_the_outage(
    regions: Any, receiver: Any, second_region: Any
) -> None:
    receiver.fail("capture", status=503)
    regions().capture_event_with_governance("a", None, "ann")
    second_region.wait_for_events(1)
    another = regions()

    assert another.active is another.secondary
    assert another.flush()
    assert another.handed_over == 1


def test_a_session_goes_on_in_the_other_region(regions: Any, receiver: Any, second_region: Any, caplog: Any) -> None:
    both = regions(pricing_mode="list")
    receiver.fail("capture", status=503)
    with both.track_analytics_session("checkout") as session:
        first = both.capture_event_with_governance("a", None, "ann", session_id=session.session_id)
        second_region.wait_for_events(1)
        second = both.capture_event_with_governance("b", None, "ann", session_id=session.session_id)

    assert (first["ha_role"], second["ha_role"]) == ("primary", "secondary")
    assert first["session_id"] == second["session_id"] == session.session_id
    assert session.events_captured == 2
    assert not any("There is no session" in message for message in caplog.messages)

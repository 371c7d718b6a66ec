from __future__ import annotations

from datetime import datetime, timedelta, timezone
from decimal import Decimal

import pytest
from house import ANONYMOUS_EVENT, CHECKOUT, SEARCH, House, refusal, spend

from genops_otel_posthog.attribution import NOBODY, Attribution
from genops_otel_posthog.budgets.budget import Budget, BudgetPolicy
from genops_otel_posthog.budgets.decision import Refusal, Reservation
from genops_otel_posthog.budgets.ledger.protocol import LedgerUnavailable
from genops_otel_posthog.pricing.billing import Charge
from genops_otel_posthog.pricing.usage import InProcessUsage

EVENT_USD = Decimal("0.00005")
EVENT_NANO = 50_000


def daily(events: int, team: str | None = "checkout", **more: object) -> Budget:
    """A daily budget that is worth a number of anonymous events."""
    scope = {} if team is None else {"team": team}
    return Budget(id=f"daily-{team}", limit=events * EVENT_USD, scope=scope, **more)


# --- limits ----------------------------------------------------------------------------------------------------------


def test_a_limit_of_20_events_admits_exactly_20(house: House) -> None:
    governor = house.governor(daily(20))

    assert spend(governor, 30) == 20


def test_a_refusal_says_limit_spending_and_cost_of_the_call(house: House) -> None:
    governor = house.governor(daily(20))
    spend(governor, 20)

    error = refusal(governor).error("capture user_signed_up")

    assert error.budget_limit == Decimal("0.001")
    assert error.current_cost == Decimal("0.001")
    assert error.operation_cost == EVENT_USD
    assert error.budget_id == "daily-checkout"
    assert "capture user_signed_up was refused: budget daily-checkout has spent" in str(error)


def test_advisory_admits_everything_and_warns_once_the_limit_is_reached(house: House) -> None:
    governor = house.governor(daily(20), policy=BudgetPolicy.ADVISORY)

    assert spend(governor, 30) == 30
    governor.flush()
    decision = governor.admit(CHECKOUT, ANONYMOUS_EVENT)

    assert decision.result == "warning"
    assert decision.reason == "budget_warning"
    assert decision.account is not None
    assert decision.account.utilization == 1.5


def test_advisory_never_waits_for_the_ledger(house: House) -> None:
    def away() -> None:
        raise LedgerUnavailable("there is no ledger")

    governor = house.governor(daily(20), policy=BudgetPolicy.ADVISORY, open_ledger=away)

    assert spend(governor, 30) == 30


def test_strict_refuses_at_95_percent(house: House) -> None:
    governor = house.governor(daily(100), policy=BudgetPolicy.STRICT)

    assert spend(governor, 100) == 95
    assert refusal(governor).reason == "strict_limit"


def test_strict_refuses_calls_that_nobody_owns(house: House) -> None:
    governor = house.governor(daily(100), policy=BudgetPolicy.STRICT)

    decision = governor.admit(Attribution(project="web-shop"), ANONYMOUS_EVENT)

    assert isinstance(decision, Refusal)
    assert decision.reason == "attribution_missing"
    assert "needs a team" in str(decision.error("capture user_signed_up"))


def test_grace_is_spent_after_the_limit(house: House) -> None:
    governor = house.governor(daily(20, grace_percent=10))

    assert spend(governor, 30) == 22


def test_a_limit_of_0_refuses_what_costs_anything(house: House) -> None:
    governor = house.governor(daily(0))

    assert spend(governor, 3) == 0
    assert governor.admit(CHECKOUT, ()).allowed


def test_all_budgets_of_a_call_must_agree(house: House) -> None:
    governor = house.governor(daily(20, None), daily(15), daily(100, "search"))

    assert spend(governor, 30) == 15
    assert refusal(governor).account.budget.id == "daily-checkout"  # type: ignore[union-attr]
    assert spend(governor, 30, SEARCH) == 5
    assert refusal(governor, SEARCH).account.budget.id == "daily-None"  # type: ignore[union-attr]


def test_one_team_runs_out_while_the_others_go_on(house: House) -> None:
    governor = house.governor(daily(5), daily(100, "search"))

    assert spend(governor, 10) == 5
    assert spend(governor, 10, SEARCH) == 10
    assert spend(governor, 10, NOBODY) == 10


def test_a_budget_may_count_units_of_a_meter(house: House) -> None:
    flags = Budget(id="flags", limit=7, meter="feature_flag_requests")
    governor = house.governor(flags)
    request = (Charge("feature_flag_requests", 1),)

    decisions = [governor.admit(CHECKOUT, request) for _ in range(10)]

    assert sum(isinstance(decision, Reservation) for decision in decisions) == 7
    assert governor.admit(CHECKOUT, ANONYMOUS_EVENT).allowed


# --- what is set aside -----------------------------------------------------------------------------------------------


def test_a_call_that_was_not_made_costs_nothing(house: House) -> None:
    governor = house.governor(daily(20))
    for _ in range(50):
        reservation = governor.admit(CHECKOUT, ANONYMOUS_EVENT)
        assert isinstance(reservation, Reservation)
        governor.release(reservation)

    assert spend(governor, 30) == 20


def test_calls_that_are_under_way_count(house: House) -> None:
    governor = house.governor(daily(3))
    under_way = [governor.admit(CHECKOUT, ANONYMOUS_EVENT) for _ in range(3)]

    assert all(isinstance(decision, Reservation) for decision in under_way)
    assert isinstance(governor.admit(CHECKOUT, ANONYMOUS_EVENT), Refusal)


def test_the_ledger_charges_the_marginal_price_and_not_what_was_set_aside(house: House) -> None:
    governor = house.governor(daily(20), mode="metered")

    spend(governor, 10)
    governor.flush()

    assert house.ledger.periods("daily-checkout")[0].committed == 0  # within PostHog's free tier
    assert house.ledger.usage("2026-11")["events"] == 10


# --- several processes -----------------------------------------------------------------------------------------------


@pytest.mark.requirement("D-28")
def test_processes_share_a_limit_and_can_use_all_of_it(house: House) -> None:
    budget = daily(1_000)
    governors = [house.governor(budget) for _ in range(4)]

    admitted = sum(spend(governor, 25) for _ in range(20) for governor in governors)
    for governor in governors:
        governor.flush()

    assert admitted == 1_000
    assert house.ledger.periods("daily-checkout")[0].committed == 1_000 * EVENT_NANO


def test_a_process_that_ends_gives_its_lease_back(house: House) -> None:
    first, second = house.governor(daily(1_000)), house.governor(daily(1_000))
    spend(first, 10)

    first.close()

    assert house.ledger.periods("daily-checkout")[0].leased == 0
    assert spend(second, 2_000) == 990


def test_an_idle_process_gives_its_lease_back(house: House) -> None:
    governor = house.governor(daily(1_000))
    spend(governor, 10)

    for _ in range(4):
        governor.flush()

    assert house.ledger.periods("daily-checkout")[0].leased == 0


def test_usage_of_other_processes_is_known_after_a_flush(house: House) -> None:
    first, second = house.governor(daily(1_000)), house.governor(daily(1_000))
    spend(first, 10)
    first.flush()
    spend(second, 5)
    second.flush()

    assert second.usage.used("events") == 15


def test_what_the_organisation_used_before_is_known_before_the_first_call(house: House) -> None:
    house.ledger.raise_usage("2026-11", {"events": 999_999}, actor="test", note="")
    usage = InProcessUsage(clock=house.clock)
    governor = house.governor(daily(1_000), usage=usage)

    governor.open()

    assert usage.used("events") == 999_999


# --- time ------------------------------------------------------------------------------------------------------------


def test_a_new_day_has_its_own_limit_and_the_month_goes_on(house: House) -> None:
    house.clock.move_to(datetime(2026, 11, 22, 23, 59, tzinfo=timezone.utc))
    monthly = Budget(id="monthly", limit=30 * EVENT_USD, period="month")
    governor = house.governor(daily(20), monthly, real_time=False)
    assert spend(governor, 30) == 20

    house.clock.move_to(datetime(2026, 11, 23, 0, 1, tzinfo=timezone.utc))
    governor.flush()

    assert spend(governor, 30) == 10
    governor.flush()
    records = house.ledger.periods("daily-checkout", current=False)
    assert [record.committed for record in records] == [20 * EVENT_NANO, 10 * EVENT_NANO]


# --- budgets that change ---------------------------------------------------------------------------------------------


def test_a_limit_that_is_raised_holds_at_once(house: House) -> None:
    governor = house.governor(daily(20))
    assert spend(governor, 30) == 20

    governor.budgets.replace(daily(25))
    governor.flush()

    assert spend(governor, 30) == 5


@pytest.mark.parametrize(("lowered_to", "admitted"), [(0, 0), (3, 0), (12, 2)])
def test_a_limit_that_is_lowered_holds_at_once_also_for_what_was_lent(
    lowered_to: int, admitted: int, house: House
) -> None:
    governor = house.governor(daily(20_000))
    assert spend(governor, 10) == 10

    governor.budgets.replace(daily(lowered_to))

    assert spend(governor, 30) == admitted


def test_a_budget_that_is_removed_refuses_nobody_and_returns_its_lease(house: House) -> None:
    governor = house.governor(daily(20))
    spend(governor, 30)

    governor.budgets.remove("daily-checkout")

    assert spend(governor, 30) == 30
    governor.flush()
    assert house.ledger.periods("daily-checkout")[0].leased == 0


def test_a_budget_applies_from_its_first_day_on(house: House) -> None:
    tomorrow = (datetime(2026, 11, 22) + timedelta(days=1)).date()
    governor = house.governor(daily(20, starts=tomorrow))
    assert spend(governor, 30) == 30

    house.clock.move_to(datetime(2026, 11, 23, 12, tzinfo=timezone.utc))
    governor.flush()

    assert spend(governor, 30) == 20


# --- critical events -------------------------------------------------------------------------------------------------


def test_critical_events_pass_an_exhausted_budget_as_overdraft(house: House) -> None:
    governor = house.governor(daily(20))
    spend(governor, 20)

    assert spend(governor, 5, critical=True) == 5
    governor.flush()

    record = house.ledger.periods("daily-checkout")[0]
    assert (record.committed, record.overdraft) == (20 * EVENT_NANO, 5 * EVENT_NANO)


def test_critical_events_are_paid_within_the_limit_while_there_is_money(house: House) -> None:
    governor = house.governor(daily(20))

    assert spend(governor, 5, critical=True) == 5
    governor.flush()

    record = house.ledger.periods("daily-checkout")[0]
    assert (record.committed, record.overdraft) == (5 * EVENT_NANO, 0)


def test_strict_knows_no_critical_events(house: House) -> None:
    governor = house.governor(daily(20), policy=BudgetPolicy.STRICT)
    spend(governor, 20)

    assert spend(governor, 5, critical=True) == 0


# --- cost of asking --------------------------------------------------------------------------------------------------


def test_refusals_ask_the_ledger_once_and_not_per_call(house: House) -> None:
    governor = house.governor(daily(20))
    spend(governor, 20)
    refusal(governor)
    before = governor.synchroniser.round_trips

    assert spend(governor, 1_000) == 0
    assert governor.synchroniser.round_trips <= before + 1


def test_calls_under_a_lease_ask_nobody(house: House) -> None:
    governor = house.governor(daily(1_000_000))
    spend(governor, 2_000)
    governor.flush()
    before = governor.synchroniser.round_trips

    spend(governor, 2_000)

    assert governor.synchroniser.round_trips == before


def test_nothing_is_said_while_there_is_nothing_to_say(house: House) -> None:
    governor = house.governor(daily(1_000))
    spend(governor, 10)
    for _ in range(5):
        governor.flush()
    before = governor.synchroniser.round_trips

    governor.flush()

    assert governor.synchroniser.round_trips == before


# --- alerts ----------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("D-19", "D-51")
def test_a_threshold_alerts_once_among_all_processes(house: House) -> None:
    governors = [house.governor(daily(20), policy=BudgetPolicy.ADVISORY) for _ in range(3)]

    for _ in range(3):
        for governor in governors:
            spend(governor, 5)
            governor.flush()

    assert [alert.basis_points for alert in house.alerts] == [10_000]


# --- counting decisions ----------------------------------------------------------------------------------------------


def test_every_decision_is_counted_by_result_reason_and_policy(house: House) -> None:
    governor = house.governor(daily(20))
    spend(governor, 30)

    assert governor.decisions() == {
        ("allowed", "within_budget", "enforced", None): 20,
        ("blocked", "budget_exceeded", "enforced", "daily-checkout"): 10,
    }


@pytest.mark.parametrize("threads", [8])
def test_threads_share_the_lease_without_losing_a_call(house: House, threads: int) -> None:
    from concurrent.futures import ThreadPoolExecutor

    governor = house.governor(daily(3_000))

    with ThreadPoolExecutor(threads) as pool:
        admitted = sum(pool.map(lambda _: spend(governor, 500), range(threads)))
    governor.flush()

    assert admitted == 3_000
    assert house.ledger.periods("daily-checkout")[0].committed == 3_000 * EVENT_NANO

"""Steps 8 and 9: thresholds are raised once in a period, and alerts are handed out until they have been delivered."""

from __future__ import annotations

import json

import pytest
from conversation import DAY, NEXT_DAY, NOON, Clock, Process, ask, counted, ms

from genops_otel_posthog.budgets.ledger.protocol import Alert, Ledger, Override, SyncReply, Threshold

AT_80_AND_95 = (Threshold(8_000), Threshold(9_500, severity="critical"))


def spend(process: Process, total: int, thresholds: tuple[Threshold, ...] = AT_80_AND_95, **more: object) -> SyncReply:
    """Says that a process has spent so much of a budget of 1,000 events a day, in all."""
    period = more.pop("period", DAY.id)
    request = {key: more.pop(key) for key in ("claim_ms", "delivered", "wants_alerts", "leaving") if key in more}
    one = ask(meter="events", thresholds=thresholds, **more)
    return process.say(one, counted=(counted(total, "b", period=period),), **request)


def raised(reply: SyncReply) -> list[tuple[int, bool]]:
    return [(alert.basis_points, alert.forecast) for alert in reply.alerts]


class TestAThreshold:
    def test_is_raised_when_it_is_reached(self, alice: Process):
        assert raised(spend(alice, 799)) == []
        assert raised(spend(alice, 800)) == [(8_000, False)]

    def test_is_raised_once(self, alice: Process):
        spend(alice, 800, claim_ms=0)
        alerts = spend(alice, 801, claim_ms=0).alerts
        assert [alert.spent for alert in alerts] == [800]

    def test_is_raised_once_for_all_processes(self, alice: Process, bob: Process):
        assert raised(spend(alice, 850)) == [(8_000, False)]
        assert raised(spend(bob, 10)) == []

    def test_is_raised_by_what_all_have_spent_together(self, alice: Process, bob: Process):
        assert raised(spend(alice, 500)) == []
        assert raised(spend(bob, 300)) == [(8_000, False)]

    def test_is_raised_again_in_the_next_period(self, alice: Process, clock: Clock):
        (alert,) = spend(alice, 800).alerts
        clock.now_ms = DAY.end_ms
        (again,) = spend(alice, 800, period=NEXT_DAY.id, delivered=(alert.id,)).alerts
        assert (alert.period, again.period) == (DAY.id, NEXT_DAY.id)

    def test_is_not_raised_for_a_lower_one_reached_at_once(self, alice: Process):
        assert raised(spend(alice, 960)) == [(9_500, False)]
        assert raised(spend(alice, 961, claim_ms=0)) == []

    def test_is_raised_after_a_lower_one(self, alice: Process):
        spend(alice, 800)
        assert raised(spend(alice, 950)) == [(9_500, False)]

    def test_of_all_that_there_is_need_not_be_named(self, alice: Process):
        (alert,) = spend(alice, 1000, ()).alerts
        assert (alert.basis_points, alert.forecast, alert.severity) == (10_000, False, "critical")

    def test_of_all_that_there_is_may_be_named(self, alice: Process):
        (alert,) = spend(alice, 1000, (Threshold(10_000, severity="info"),)).alerts
        assert alert.severity == "info"

    def test_may_lie_beyond_the_limit(self, alice: Process):
        thresholds = (Threshold(12_000),)
        assert raised(spend(alice, 1199, thresholds)) == [(10_000, False)]
        assert raised(spend(alice, 1200, thresholds)) == [(12_000, False)]

    def test_is_reached_by_an_overdraft_too(self, alice: Process):
        one = ask(meter="events", thresholds=AT_80_AND_95)
        reply = alice.say(one, counted=(counted(500, "b"), counted(300, overdrawn="b")))
        assert raised(reply) == [(8_000, False)]

    def test_is_rounded_up(self, alice: Process):
        assert raised(spend(alice, 2, limit=3)) == []
        assert raised(spend(alice, 3, limit=3)) == [(10_000, False)]

    def test_is_not_reached_by_nothing(self, alice: Process):
        assert raised(spend(alice, 0, limit=0)) == []
        assert raised(spend(alice, 1, limit=0)) == [(10_000, False)]

    def test_is_reached_when_the_limit_is_lowered(self, alice: Process, ledger: Ledger):
        spend(alice, 500)
        ledger.set_limit("b", 600, actor="ann", reason="saving")
        assert raised(spend(alice, 500)) == [(8_000, False)]

    def test_is_raised_again_after_the_limit_was_raised_far_enough(self, alice: Process, ledger: Ledger):
        spend(alice, 800)
        ledger.set_limit("b", 1067, actor="ann", reason="more")  # 800 is 74.98 % of it
        spend(alice, 800)
        assert raised(spend(alice, 860)) == [(8_000, False)]

    def test_is_not_raised_again_after_the_limit_was_raised_a_little(self, alice: Process, ledger: Ledger):
        spend(alice, 800)
        ledger.set_limit("b", 1066, actor="ann", reason="more")  # 800 is 75.05 % of it
        spend(alice, 800)
        assert raised(spend(alice, 860)) == []

    def test_of_a_budget_that_refuses_nobody_is_raised_too(self, alice: Process):
        assert raised(spend(alice, 800, cap=None)) == [(8_000, False)]

    def test_is_not_raised_for_what_an_ended_period_still_pays(self, alice: Process, clock: Clock):
        clock.now_ms = DAY.end_ms
        assert raised(spend(alice, 1000)) == []

    def test_is_in_the_journal(self, alice: Process, ledger: Ledger):
        spend(alice, 960)
        entry = ledger.journal()[-1]
        assert (entry.kind, entry.actor, entry.budget, entry.period, entry.amount) == (
            "alert",
            "alice",
            "b",
            DAY.id,
            960,
        )
        assert entry.note == "95.00 % of 1000, critical"


class TestAForecast:
    """With spending as it was on average since the period began."""

    AT_80 = (Threshold(8_000, forecast=True),)

    def test_is_raised_when_spending_would_reach_it(self, alice: Process):
        assert raised(spend(alice, 399, self.AT_80)) == []  # at noon
        assert raised(spend(alice, 400, self.AT_80)) == [(8_000, True)]

    def test_is_not_raised_before_a_tenth_of_the_period_has_passed(self, alice: Process, clock: Clock):
        clock.now_ms = ms("2026-11-22T02:23")
        assert raised(spend(alice, 700, self.AT_80)) == []
        clock.now_ms = ms("2026-11-22T02:24")
        assert raised(spend(alice, 701, self.AT_80)) == [(8_000, True)]

    def test_is_raised_once_in_a_period(self, alice: Process, clock: Clock):
        assert raised(spend(alice, 400, self.AT_80)) == [(8_000, True)]
        clock.now_ms = ms("2026-11-22T20:00")
        spend(alice, 401, self.AT_80)  # 48 %
        assert raised(spend(alice, 700, self.AT_80)) == []

    def test_does_not_stand_in_for_what_is_spent(self, alice: Process):
        thresholds = (Threshold(5_000), Threshold(12_000, forecast=True))
        assert sorted(raised(spend(alice, 600, thresholds))) == [(5_000, False), (12_000, True)]

    def test_is_raised_for_the_highest_alone(self, alice: Process):
        thresholds = (Threshold(8_000, forecast=True), Threshold(9_000, forecast=True))
        assert raised(spend(alice, 450, thresholds)) == [(9_000, True)]

    def test_is_no_news_when_as_much_is_spent_already(self, alice: Process):
        assert raised(spend(alice, 800, (*AT_80_AND_95, *self.AT_80))) == [(8_000, False)]

    def test_has_an_alert_that_says_what_it_is(self, alice: Process):
        (alert,) = spend(alice, 450, self.AT_80).alerts
        assert (alert.forecast, alert.spent, alert.limit) == (True, 450, 1000)

    def test_is_in_the_journal(self, alice: Process, ledger: Ledger):
        spend(alice, 400, self.AT_80)
        assert ledger.journal()[-1].note == "80.00 % forecast of 1000, warning"


class TestAnAlert:
    def test_tells_all_that_is_sent(self, alice: Process):
        (alert,) = spend(alice, 960, definition='{"team":"web"}').alerts
        assert alert._replace(id="") == Alert(
            id="",
            budget="b",
            definition='{"team":"web"}',
            period=DAY.id,
            basis_points=9_500,
            forecast=False,
            severity="critical",
            limit=1000,
            spent=960,
            at_ms=NOON,
            period_end_ms=DAY.end_ms,
        )

    def test_has_an_id_of_its_own(self, alice: Process):
        (first,) = spend(alice, 800).alerts
        (second,) = spend(alice, 950).alerts
        assert first.id != second.id

    def test_is_handed_to_one_process(self, alice: Process, bob: Process):
        assert len(spend(alice, 800).alerts) == 1
        assert bob.say(ask()).alerts == ()

    def test_is_not_handed_to_the_same_process_over_and_over(self, alice: Process):
        spend(alice, 800)
        assert spend(alice, 801).alerts == ()

    def test_is_handed_out_again_if_it_was_not_delivered_in_time(self, alice: Process, bob: Process, clock: Clock):
        (alert,) = spend(alice, 800, claim_ms=60_000).alerts
        clock.advance(59_999)
        assert bob.say().alerts == ()
        clock.advance(1)
        assert bob.say().alerts == (alert,)

    def test_is_the_same_however_often_it_is_handed_out(self, alice: Process, clock: Clock):
        (alert,) = spend(alice, 800, claim_ms=1).alerts
        clock.advance(1)
        assert spend(alice, 900, definition="{}", limit=990).alerts == (alert,)

    def test_is_gone_when_it_was_delivered(self, alice: Process, bob: Process, clock: Clock):
        (alert,) = spend(alice, 800).alerts
        alice.say(delivered=(alert.id,))
        clock.advance(3_600_000)
        assert bob.say().alerts == ()

    def test_may_be_delivered_by_any_process_and_be_gone_already(self, alice: Process, bob: Process, clock: Clock):
        (alert,) = spend(alice, 800).alerts
        bob.say(delivered=(alert.id, "no such alert"))
        alice.say(delivered=(alert.id,))
        clock.advance(3_600_000)
        assert bob.say().alerts == ()

    def test_waits_for_a_process_that_can_deliver_it(self, alice: Process, bob: Process):
        assert spend(alice, 800, wants_alerts=False).alerts == ()
        assert raised(bob.say()) == [(8_000, False)]

    def test_is_not_handed_to_a_process_that_leaves(self, alice: Process, bob: Process):
        assert spend(alice, 800, leaving=True).alerts == ()
        assert raised(bob.say()) == [(8_000, False)]

    def test_is_free_for_others_when_its_process_leaves(self, alice: Process, bob: Process):
        (alert,) = spend(alice, 800).alerts
        alice.say(leaving=True)
        assert bob.say().alerts == (alert,)

    def test_is_delivered_in_the_last_message(self, alice: Process, bob: Process):
        (alert,) = spend(alice, 800).alerts
        alice.say(leaving=True, delivered=(alert.id,))
        assert bob.say().alerts == ()

    def test_is_one_of_sixteen_at_a_time_the_earliest_first(self, alice: Process, clock: Clock):
        names = [f"b{number:02}" for number in range(20)]
        for name in names:
            alice.say(ask(name, meter="events", limit=1), counted=(counted(1, name),), wants_alerts=False)
            clock.advance(1)
        assert [alert.budget for alert in alice.say().alerts] == names[:16]
        assert [alert.budget for alert in alice.say().alerts] == names[16:]

    def test_outlives_the_period_by_a_week(self, alice: Process, bob: Process, clock: Clock):
        spend(alice, 800, wants_alerts=False)
        clock.now_ms = NOON + 7 * 86_400_000 - 3_600_000
        assert raised(bob.say(claim_ms=1)) == [(8_000, False)]
        clock.now_ms = NOON + 7 * 86_400_000 + 3_600_000
        assert bob.say().alerts == ()


@pytest.mark.parametrize("change", ["limit", "override"])
def test_a_change_that_only_people_know_of_is_seen_at_the_next_message(change: str, alice: Process, ledger: Ledger):
    spend(alice, 800)
    if change == "limit":
        ledger.set_limit("b", 2000, actor="ann", reason="launch")
    else:
        ledger.add_override(Override("o", "b", 1000, NOON, NOON + 1, "launch", "ann"))
    (standing,) = spend(alice, 800).standings
    assert standing.limit == 2000


def test_definitions_are_passed_on_as_they_are(alice: Process):
    definition = json.dumps({"id": "b", "team": 'wéb \u2028 "x" \\ \x01'})
    (alert,) = spend(alice, 800, definition=definition).alerts
    assert alert.definition == definition

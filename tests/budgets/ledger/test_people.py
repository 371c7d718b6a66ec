"""What people change and see: limits, overrides, the list of budgets, the journal."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from conversation import DAY, HOUR, MONTH, NEXT_DAY, NOON, YESTERDAY, Clock, Process, ask, counted

from genops_otel_posthog.budgets.ledger.protocol import Ledger, Override, PeriodRecord
from genops_otel_posthog.errors import GenOpsValidationError


def override(amount: int, *, budget: str = "b", id: str = "o", start: int = NOON, end: int = NOON + HOUR) -> Override:
    return Override(id, budget, amount, start, end, "launch", "ann")


class TestALimit:
    def test_is_as_configured(self, alice: Process):
        assert alice.standing(ask(limit=1000)).limit == 1000
        assert alice.standing(ask(limit=1200)).limit == 1200

    def test_may_be_replaced(self, alice: Process, ledger: Ledger):
        ledger.set_limit("b", 500, actor="ann", reason="saving")
        standing = alice.standing(ask(limit=1000, cap=9_500, want=5000))
        assert (standing.limit, standing.cap, standing.granted) == (500, 475, 475)

    def test_may_be_replaced_by_nothing_at_all(self, alice: Process, ledger: Ledger):
        ledger.set_limit("b", 0, actor="ann", reason="stop")
        assert alice.standing(ask(want=1)).granted == 0

    def test_is_as_configured_again(self, alice: Process, ledger: Ledger):
        ledger.set_limit("b", 500, actor="ann", reason="saving")
        ledger.set_limit("b", None, actor="ann", reason="enough saved")
        assert alice.standing(ask(limit=1000)).limit == 1000

    def test_of_one_budget_is_not_that_of_another(self, alice: Process, ledger: Ledger):
        ledger.set_limit("b", 500, actor="ann", reason="saving")
        assert alice.standing(ask("c", limit=1000)).limit == 1000

    def test_that_was_replaced_is_known_before_anybody_has_spent(self, ledger: Ledger):
        ledger.set_limit("b", 500, actor="ann", reason="saving")
        ledger.set_limit("c", 0, actor="ann", reason="stop")
        ledger.set_limit("d", 7, actor="ann", reason="")
        ledger.set_limit("d", None, actor="ann", reason="")
        assert ledger.changed_limits() == {"b": 500, "c": 0}

    def test_is_listed_as_it_is_now(self, alice: Process, ledger: Ledger):
        alice.say(ask(limit=1000, cap=9_500))
        ledger.set_limit("b", 500, actor="ann", reason="saving")
        assert [(record.limit, record.cap) for record in ledger.periods()] == [(500, 475)]

    def test_is_changed_in_the_journal(self, ledger: Ledger, clock: Clock):
        ledger.set_limit("b", 500, actor="ann", reason="saving")
        ledger.set_limit("b", None, actor="bea", reason="enough saved")
        assert [entry[1:] for entry in ledger.journal()] == [
            (clock.now_ms, "ann", "limit", "b", None, 500, "saving"),
            (clock.now_ms, "bea", "limit", "b", None, 0, "as configured again: enough saved"),
        ]

    def test_is_refused_if_the_ledger_cannot_count_so_far(self, ledger: Ledger):
        with pytest.raises(GenOpsValidationError, match="more than this ledger can count"):
            ledger.set_limit("b", ledger.largest_amount + 1, actor="ann", reason="")

    def test_is_refused_if_it_is_negative(self, ledger: Ledger):
        with pytest.raises(GenOpsValidationError, match="the limit of b is -1"):
            ledger.set_limit("b", -1, actor="ann", reason="")


class TestAnOverride:
    @pytest.mark.parametrize(("offset", "limit"), [(-HOUR - 1, 1000), (-HOUR, 1250), (HOUR - 1, 1250), (HOUR, 1000)])
    def test_holds_from_its_first_instant_until_before_its_last(
        self, offset: int, limit: int, alice: Process, ledger: Ledger, clock: Clock
    ):
        ledger.add_override(override(250, start=NOON - HOUR, end=NOON + HOUR))
        clock.advance(offset)
        assert alice.standing(ask(limit=1000)).limit == limit

    def test_adds_to_others_that_hold(self, alice: Process, ledger: Ledger):
        ledger.add_override(override(250))
        ledger.add_override(override(-100, id="p"))
        assert alice.standing(ask(limit=1000)).limit == 1150

    def test_adds_to_a_limit_that_was_replaced(self, alice: Process, ledger: Ledger):
        ledger.set_limit("b", 500, actor="ann", reason="")
        ledger.add_override(override(250))
        assert alice.standing(ask(limit=1000)).limit == 750

    def test_of_one_budget_is_not_that_of_another(self, alice: Process, ledger: Ledger):
        ledger.add_override(override(250, budget="c"))
        assert alice.standing(ask(limit=1000)).limit == 1000

    def test_makes_no_limit_negative(self, alice: Process, ledger: Ledger):
        ledger.add_override(override(-2000))
        assert alice.standing(ask(limit=1000, want=1))[2:5] == (0, 0, 0)

    def test_makes_no_limit_larger_than_the_ledger_counts(self, alice: Process, ledger: Ledger):
        ledger.add_override(override(ledger.largest_amount))
        assert alice.standing(ask(limit=1000)).limit == ledger.largest_amount

    def test_replaces_one_with_the_same_id(self, ledger: Ledger):
        ledger.add_override(override(250))
        ledger.add_override(override(300, budget="c"))
        assert ledger.overrides() == [override(300, budget="c")]

    def test_is_listed_until_it_has_ended_the_earliest_first(self, ledger: Ledger, clock: Clock):
        late = override(1, id="late", start=NOON + 2 * HOUR, end=NOON + 3 * HOUR)
        now = override(2, id="now")
        same = override(3, id="same", budget="c")
        for one in (late, same, now):
            ledger.add_override(one)
        assert ledger.overrides() == [now, same, late]
        assert ledger.overrides("c") == [same]
        clock.advance(HOUR)
        assert ledger.overrides() == [late]

    def test_may_be_removed(self, alice: Process, ledger: Ledger):
        ledger.add_override(override(250))
        assert ledger.remove_override("o", actor="bea")
        assert not ledger.remove_override("o", actor="bea")
        assert ledger.overrides() == []
        assert alice.standing(ask(limit=1000)).limit == 1000

    def test_is_in_the_journal(self, ledger: Ledger):
        ledger.add_override(override(250))
        ledger.remove_override("o", actor="bea")
        assert [(e.actor, e.kind, e.budget, e.amount, e.note) for e in ledger.journal()] == [
            ("ann", "override", "b", 250, "o: launch"),
            ("bea", "override", "b", -250, "o: removed"),
        ]

    def test_is_refused_if_it_ends_before_it_begins(self, ledger: Ledger):
        with pytest.raises(GenOpsValidationError, match="before it begins"):
            ledger.add_override(override(250, start=NOON, end=NOON))

    def test_is_refused_if_the_ledger_cannot_count_so_far(self, ledger: Ledger):
        with pytest.raises(GenOpsValidationError, match="override o of b"):
            ledger.add_override(override(-ledger.largest_amount - 1))


class TestTheList:
    def test_has_each_budget_in_its_present_period(self, alice: Process, ledger: Ledger):
        alice.say(ask("c", limit=7, cap=None), ask("b", meter="events", definition='{"x":1}', want=100))
        alice.say(
            ask("b", meter="events", definition='{"x":1}', lease_period=DAY.id, settled=10),
            counted=(counted(10, "b"), counted(2, overdrawn="b")),
        )
        assert ledger.periods() == [
            PeriodRecord("b", '{"x":1}', DAY, 1000, 1000, 10, 90, 0, 2),
            PeriodRecord("c", '{"id":"c"}', DAY, 7, None, 0, 0, 0, 0),
        ]

    def test_has_one_budget(self, alice: Process, ledger: Ledger):
        alice.say(ask("b"), ask("c"))
        assert [record.budget for record in ledger.periods("c")] == ["c"]
        assert ledger.periods("d") == []

    def test_has_no_budget_that_nobody_asked_about_in_its_present_period(
        self, alice: Process, ledger: Ledger, clock: Clock
    ):
        alice.say(ask("b"))
        clock.now_ms = DAY.end_ms
        assert ledger.periods() == []

    def test_has_every_period_that_is_kept(self, alice: Process, ledger: Ledger, clock: Clock):
        clock.now_ms = NOON - 24 * HOUR
        alice.say(ask("c", windows=(YESTERDAY, DAY)), ask("b", windows=(YESTERDAY, DAY), limit=5))
        clock.now_ms = DAY.end_ms
        alice.say(ask("b", windows=(DAY, NEXT_DAY), limit=6))
        assert [(r.budget, r.window, r.limit) for r in ledger.periods(current=False)] == [
            ("b", YESTERDAY, 5),
            ("b", NEXT_DAY, 6),
            ("c", YESTERDAY, 1000),
        ]

    def test_shows_the_limit_that_an_ended_period_had(self, alice: Process, ledger: Ledger, clock: Clock):
        ledger.set_limit("b", 500, actor="ann", reason="")
        alice.say(ask(limit=1000, cap=5_000))
        clock.now_ms = DAY.end_ms
        ledger.set_limit("b", 900, actor="ann", reason="")
        assert [(record.limit, record.cap) for record in ledger.periods(current=False)] == [(500, 250)]

    def test_is_empty_at_first(self, ledger: Ledger):
        assert ledger.periods() == ledger.periods(current=False) == ledger.overrides() == ledger.journal() == []
        assert (ledger.changed_limits(), ledger.usage(MONTH)) == ({}, {})


class TestTheJournal:
    def test_is_in_the_order_in_which_things_happened(self, alice: Process, ledger: Ledger, clock: Clock):
        ledger.set_limit("b", 900, actor="ann", reason="")
        clock.advance(1)
        alice.say(ask(want=10))
        clock.advance(1)
        ledger.set_limit("b", 901, actor="ann", reason="")
        entries = ledger.journal()
        assert [(entry.at_ms - NOON, entry.kind) for entry in entries] == [(0, "limit"), (1, "grant"), (2, "limit")]
        assert [entry.number for entry in entries] == sorted({entry.number for entry in entries})

    def test_shows_the_newest(self, ledger: Ledger):
        for limit in range(7):
            ledger.set_limit("b", limit, actor="ann", reason="")
        assert [entry.amount for entry in ledger.journal(newest=3)] == [4, 5, 6]
        assert ledger.journal(newest=0) == []

    def test_shows_one_budget(self, ledger: Ledger):
        for limit, budget in enumerate("bcbc"):
            ledger.set_limit(budget, limit, actor="ann", reason="")
        assert [entry.amount for entry in ledger.journal(budget="c")] == [1, 3]
        assert [entry.amount for entry in ledger.journal(budget="b", newest=1)] == [2]

    def test_has_nothing_of_a_message_that_only_renews(self, alice: Process, ledger: Ledger):
        alice.say(ask(want=10))
        before = ledger.journal()
        alice.say(ask(lease_period=DAY.id))
        assert ledger.journal() == before


def test_the_clock_is_the_ledger_s(alice: Process, ledger: Ledger, clock: Clock):
    assert ledger.now_ms() == alice.say().now_ms == clock.now_ms


def test_the_largest_amount_is_enough_for_nine_million_dollars(ledger: Ledger):
    assert ledger.largest_amount >= 2**53 - 1


def test_a_ledger_that_was_opened_again_holds_what_the_other_one_wrote(
    process: Callable[[str], Process], ledger_factory: Callable[[], Ledger]
):
    process("alice").say(ask(want=10), counted=(counted(5, "b"),))
    again = ledger_factory()
    assert again.usage(MONTH) == {"events": 5}
    assert [record.leased for record in again.periods()] == [10]


def test_names_may_have_any_characters(process: Callable[[str], Process], ledger: Ledger):
    name = 'a/b:c|d {e} "f" \\ \n é \u2028 *?[x]'
    process(name).say(ask(name, want=10), counted=(counted(5, name, meter="événements"),))
    ledger.set_limit(name, 500, actor=name, reason=name)
    assert [record.budget for record in ledger.periods()] == [name]
    assert ledger.usage(MONTH) == {"événements": 5}
    assert ledger.journal(budget=name)[-1][2:] == (name, "limit", name, None, 500, name)


def test_trying_to_write_changes_nothing(alice: Process, ledger: Ledger):
    alice.say(counted=[counted(5)])
    ledger.set_limit("b", 500, actor="ann", reason="saving")
    before = (ledger.journal(), ledger.usage(MONTH), ledger.changed_limits())

    ledger.check_writable()

    assert (ledger.journal(), ledger.usage(MONTH), ledger.changed_limits()) == before


def test_trying_to_write_to_an_empty_ledger_leaves_it_empty(ledger: Ledger):
    ledger.check_writable()

    assert (list(ledger.journal()), ledger.usage(MONTH), ledger.changed_limits()) == ([], {}, {})

"""The script in Lua decides as the rules in Python do: the same conversation has the same replies and leaves the same
records behind.

Redis executes each request first, and the ledger in memory at the time that Redis says it was.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest
from conversation import A_DAY, DAY, HOUR, LEASE_MS, NOON, Clock
from conversation import COSTS as PUBLISHED
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test
from servers import KINDS, remove_ledger, with_namespace

from genops_otel_posthog.budgets.ledger.memory import MemoryLedger
from genops_otel_posthog.budgets.ledger.protocol import (
    Alert,
    Ask,
    CostTable,
    Counted,
    Override,
    PeriodKey,
    StaleSequence,
    SyncReply,
    SyncRequest,
    Threshold,
    Window,
)
from genops_otel_posthog.budgets.ledger.redis import RedisLedger
from genops_otel_posthog.pricing.usage import BillingMonth

BUDGETS = ("b", "units", "a:b% ü")
PROCESSES = ("alice", "bob", "carol")
METERS = ("events", "recordings", "unpriced")
COSTS = {
    # So cheap and so soon paid that everything happens within a few units.
    "events": CostTable((0, 10, 100), (0, 0, 270), (0, 3, 2)),
    "recordings": PUBLISHED["recordings"],
}
LARGEST = 2**53 - 1
DAYS = 35  # less than what was counted is remembered for


class Memory(MemoryLedger):
    """A ledger in memory as small as Redis, that forgets as soon as it may."""

    largest_amount = LARGEST

    def sync(self, request: SyncRequest) -> SyncReply:
        self._makes_room_ms = 0
        return super().sync(request)


def day(number: int) -> Window:
    """A day by its distance from that of the tests."""
    return Window(f"d:{number}", DAY.start_ms + number * A_DAY, DAY.end_ms + number * A_DAY)


amounts = st.one_of(st.integers(0, 300), st.sampled_from([0, 10_000, 10**15, LARGEST]))
budgets = st.sampled_from(BUDGETS)
processes = st.sampled_from(PROCESSES)
meters = st.sampled_from(METERS)
seldom = st.sampled_from([False] * 9 + [True])
thresholds = st.lists(
    st.builds(
        Threshold,
        st.sampled_from([1, 5_000, 8_000, 9_550, 10_000, 15_000]),
        st.booleans(),
        st.sampled_from(["info", "critical"]),
    ),
    unique_by=lambda threshold: threshold[:2],
    max_size=4,
).map(tuple)

# What is said most of the time, and what may be said. Periods and months are named by their distance from the present
# one, the period of a lease perhaps as the one in which the process was last lent something, units by how many are new.
usual_ask = st.fixed_dictionaries(
    {
        "limit": st.just(1_000),
        "cap_basis_points": st.just(10_000),
        "thresholds": st.just((Threshold(5_000), Threshold(8_000), Threshold(9_000, forecast=True))),
        "hold": st.booleans(),
        "settled": st.integers(0, 200),
        "returned": st.sampled_from([0, 0, 100]),
        "want": st.integers(0, 600),
        "need": st.sampled_from([0, 1, 200]),
        "windows": st.just((0, 1)),
        "lease_period": st.sampled_from(["held", "held", "held", 0]),
    }
)
usual_count = st.tuples(
    st.just("events"), st.just(0), st.integers(0, 60), st.just((("b", 0),)), st.sampled_from([(), (), (), (("b", 0),)])
)
any_ask = st.fixed_dictionaries(
    {
        "definition": st.sampled_from(["{}", '{"name":"Ä \\"quoted\\" / \\n"}']),
        "limit": st.one_of(st.integers(0, 2_000), st.sampled_from([10**6, LARGEST])),
        "cap_basis_points": st.sampled_from([10_000, 9_500, None]),
        "thresholds": thresholds,
        "hold": st.booleans(),
        "settled": amounts,
        "returned": amounts,
        "want": amounts,
        "need": amounts,
        "windows": st.sampled_from([(0, 1), (0, 1), (-1, 0), (1, 2), ()]),
        "lease_period": st.sampled_from(["held", 0, -1, None]),
    }
)
payers = st.lists(st.tuples(budgets, st.sampled_from([0, 0, -1, 1])), unique=True, max_size=3).map(tuple)
any_count = st.tuples(
    meters,
    st.sampled_from([0, 0, 0, -1, -2]),
    st.one_of(st.integers(-5, 100), st.sampled_from([400, 2_000_000])),
    payers,
    payers,
)


# Two ledgers cannot be changed by people at the same moment of a clock that goes on.
while_time_stands_still = precondition(lambda self: self.clock is not None)


class Conversation(RuleBasedStateMachine):
    """Says everything to both ledgers, and compares what they say."""

    def __init__(self, server: str, clock: Clock | None) -> None:
        super().__init__()
        self.url = with_namespace(server, f"test-{uuid.uuid4().hex}")
        self.clock = clock
        self.time = Clock()
        self.redis = RedisLedger.from_url(self.url, clock=clock, timeout=5)
        self.memory = Memory(self.time)
        self.said: dict[str, list[SyncRequest]] = {process: [] for process in PROCESSES}
        self.held: dict[tuple[str, str], str] = {}
        self.units: dict[tuple[object, ...], int] = {}
        self.alerts: list[Alert] = []
        self.months: set[str] = set()
        self.overrides = 0

    @property
    def both(self) -> tuple[RedisLedger, Memory]:
        """The ledgers, at one time."""
        self.time.now_ms = self.redis.now_ms()
        return self.redis, self.memory

    def say(self, process: str, asks: dict[str, Any], counts: list[Any], **more: Any) -> None:
        now_ms = self.redis.now_ms()
        today = (now_ms - DAY.start_ms) // A_DAY
        month = BillingMonth.at(now_ms / 1000)
        before = BillingMonth.at(month.start - 1)
        months = {0: month.id, -1: before.id, -2: BillingMonth.at(before.start - 1).id}
        self.months.add(month.id)
        counted = []
        for meter, which, new, *who in counts:
            paying = [tuple(PeriodKey(budget, day(today + when).id) for budget, when in some) for some in who]
            counter = (process, meter, months[which], *paying)
            self.units[counter] = max(0, self.units.get(counter, 0) + new)
            counted.append(Counted(meter, months[which], self.units[counter], *paying))
        last = self.said[process][-1].sequence if self.said[process] else 0
        request = SyncRequest(
            process=process,
            sequence=last + 1,
            acknowledged=last,
            costs=COSTS,
            counted=tuple(counted),
            asks=tuple(self.ask(process, budget, today, **ask) for budget, ask in asks.items()),
            month=month.id,
            meters=METERS,
        )._replace(**more)
        self.said[process].append(request)
        self.send(request)

    def ask(
        self,
        process: str,
        budget: str,
        today: int,
        windows: tuple[int, ...],
        lease_period: str | int | None,
        **more: Any,
    ) -> Ask:
        if isinstance(lease_period, int):
            lease_period = day(today + lease_period).id
        elif lease_period == "held":
            lease_period = self.held.get((process, budget))
        return Ask(
            budget=budget,
            meter="events" if budget == "units" else None,
            windows=tuple(day(today + when) for when in windows),
            lease_period=lease_period,
            **{"definition": "{}", **more},
        )

    def send(self, request: SyncRequest) -> None:
        replies: list[SyncReply | str] = []
        for ledger in (self.redis, self.memory):
            try:
                reply = ledger.sync(request)
            except StaleSequence as stale:
                replies.append(str(stale))
            else:
                replies.append(reply)
                self.time.now_ms = reply.now_ms
        assert replies[0] == replies[1]
        if isinstance(replies[0], SyncReply):
            self.alerts += replies[0].alerts
            for standing in replies[0].standings:
                if standing.granted and standing.window:
                    self.held[request.process, standing.budget] = standing.window.id

    @rule(process=processes, ask=usual_ask, count=usual_count, leaving=seldom)
    def say_as_usual(self, process: str, ask: dict[str, Any], count: Any, leaving: bool) -> None:
        self.say(process, {"b": ask}, [count], leaving=leaving)

    @rule(process=processes, need=st.integers(1, 900))
    def ask_for_much(self, process: str, need: int) -> None:
        ask = {"limit": 1_000, "cap_basis_points": 10_000, "windows": (0, 1), "lease_period": "held", "hold": True}
        self.say(process, {"b": {**ask, "want": 900, "need": need}}, [])

    @rule(process=processes, asks=st.dictionaries(budgets, any_ask), counts=st.lists(any_count, max_size=3))
    def say_anything(self, process: str, asks: dict[str, Any], counts: list[Any]) -> None:
        self.say(process, asks, counts)

    @rule(
        process=processes,
        raised=st.dictionaries(meters, st.integers(0, 2_000_000), min_size=1),
        everything=st.booleans(),
        unheard=seldom,
        wants_alerts=st.booleans(),
    )
    def say_the_rest(
        self, process: str, raised: dict[str, int], everything: bool, unheard: bool, wants_alerts: bool
    ) -> None:
        month = BillingMonth.at(self.redis.now_ms() / 1000).id
        more: dict[str, Any] = {
            "everything": everything,
            "wants_alerts": wants_alerts,
            "usage_at_least": {month: raised},
        }
        if unheard:
            more["acknowledged"] = 0
        self.say(process, {}, [], **more)

    @precondition(lambda self: self.alerts)
    @rule(process=processes)
    def say_what_was_delivered(self, process: str) -> None:
        self.say(process, {}, [], delivered=tuple(alert.id for alert in self.alerts[-2:]))

    @rule(process=processes, how_old=st.integers(1, 2))
    def repeat(self, process: str, how_old: int) -> None:
        if len(self.said[process]) >= how_old:
            self.send(self.said[process][-how_old])

    @while_time_stands_still
    @rule(
        milliseconds=st.sampled_from(
            [1, 5_000, 5_000, LEASE_MS - 1, LEASE_MS, HOUR, 11 * HOUR, 13 * HOUR, A_DAY, 4 * A_DAY]
        )
    )
    def wait(self, milliseconds: int) -> None:
        assert self.clock is not None
        if self.clock.now_ms + milliseconds < NOON + DAYS * A_DAY:
            self.clock.advance(milliseconds)

    @while_time_stands_still
    @rule(budget=budgets, limit=st.one_of(st.none(), st.integers(0, 3_000), st.just(LARGEST)))
    def change_a_limit(self, budget: str, limit: int | None) -> None:
        for ledger in self.both:
            ledger.set_limit(budget, limit, actor="me", reason="why not")

    @while_time_stands_still
    @rule(
        amount=st.one_of(st.integers(-900, 900), st.integers(90, 110)),
        begins=st.sampled_from([-HOUR, 0, HOUR]),
        lasts=st.sampled_from([1, HOUR, A_DAY]),
        name=st.sampled_from("xyz"),
    )
    def override(self, amount: int, begins: int, lasts: int, name: str) -> None:
        from_ms = self.redis.now_ms() + begins
        for ledger in self.both:
            ledger.add_override(Override(name, "b", amount, from_ms, from_ms + lasts, "because", "me"))

    @while_time_stands_still
    @rule(name=st.sampled_from("xyz"))
    def end_an_override(self, name: str) -> None:
        one, other = (ledger.remove_override(name, actor="me") for ledger in self.both)
        assert one == other

    @while_time_stands_still
    @rule(meter=meters, units=st.integers(0, 2_000_000))
    def raise_usage(self, meter: str, units: int) -> None:
        month = BillingMonth.at(self.redis.now_ms() / 1000).id
        self.months.add(month)
        one, other = (ledger.raise_usage(month, {meter: units}, actor="me", note="counted") for ledger in self.both)
        assert one == other

    @precondition(lambda self: self.said["alice"])
    @rule(sure=seldom)
    def lose_everything(self, sure: bool) -> None:
        if sure:
            remove_ledger(self.url)
            self.memory = Memory(self.time)

    def teardown(self) -> None:
        redis, memory = self.both
        try:
            for month in sorted(self.months):
                assert redis.usage(month) == memory.usage(month)
            for asked in ({}, {"current": False}, {"budget": "b", "current": False}):
                # Periods that were only ever charged begin when they were; nobody promises an order among them.
                assert sorted(redis.periods(**asked)) == sorted(memory.periods(**asked))
            assert redis.overrides() == memory.overrides()
            assert redis.changed_limits() == memory.changed_limits()
            assert redis.journal(newest=1_000) == memory.journal(newest=1_000)
            assert redis.journal(budget="b", newest=3) == memory.journal(budget="b", newest=3)
        finally:
            redis.close()
            remove_ledger(self.url)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("clock", [Clock, lambda: None], ids=["any time", "the server's time"])
def test_any_conversation_has_the_same_replies_and_records(
    shared_server: Callable[[str], str], kind: str, clock: Callable[[], Clock | None]
):
    server = shared_server(kind)
    run_state_machine_as_test(
        lambda: Conversation(server, clock()),
        settings=settings(
            max_examples=40, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )

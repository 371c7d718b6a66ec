"""What is always true, whatever processes say, in whatever order, how often and when."""

from __future__ import annotations

import tempfile
from contextlib import suppress
from typing import Any

import hypothesis.strategies as st
import pytest
from conversation import BOOK, COSTS, DAY, LEASE_MS, MONTH, NOON, Clock, Process, ask, counted
from hypothesis import HealthCheck, settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from genops_otel_posthog.budgets.ledger.memory import MemoryLedger
from genops_otel_posthog.budgets.ledger.protocol import Ledger, StaleSequence, SyncRequest
from genops_otel_posthog.budgets.ledger.sqlite import SqliteLedger

METERS = ("events", "feature_flag_requests")
TEAMS = ("web", "app")
BUDGETS = (*TEAMS, "all")
LIMIT = 10_000_000  # nano-USD; 200 events at the first price that is paid
MOST = {meter: max(BOOK.rate(meter).prices) for meter in METERS}
PROCESSES = st.integers(0, 2)


class Spender:
    """A process that keeps to its leases: it sets aside the most that a call can cost, and settles that much."""

    def __init__(self, ledger: Ledger, name: str, hold: bool) -> None:
        self.process = Process(ledger, name)
        self.hold = hold
        self.lease = dict.fromkeys(BUDGETS, 0)
        self.settled = dict.fromkeys(BUDGETS, 0)
        self.usable_until = 0
        self.units: dict[tuple[str, str], int] = {}

    def spend(self, meter: str, team: str, units: int, now_ms: int) -> bool:
        """Makes a call if the leases allow it."""
        amount = MOST[meter] * units
        paying = (team, "all")
        if now_ms >= self.usable_until or any(self.lease[b] - self.settled[b] < amount for b in paying):
            return False
        for budget in paying:
            self.settled[budget] += amount
        self.units[meter, team] = self.units.get((meter, team), 0) + units
        return True

    def request(self, wants: list[int], needs: list[int], returned: list[int], **more: Any) -> SyncRequest:
        """Says all that it has to say."""
        asks = [
            ask(
                budget,
                limit=LIMIT,
                hold=self.hold,
                lease_period=DAY.id,
                settled=self.settled[budget],
                returned=min(back, self.lease[budget] - self.settled[budget]),
                want=want,
                need=min(want, need),
            )
            for budget, want, need, back in zip(BUDGETS, wants, needs, returned, strict=True)
        ]
        units = tuple(counted(n, team, "all", meter=meter) for (meter, team), n in self.units.items())
        return self.process.request(*asks, costs=COSTS, counted=units, meters=METERS, **more)

    def hear(self, reply: Any, now_ms: int) -> None:
        for standing in reply.standings:
            self.lease[standing.budget] = standing.lease
            self.settled[standing.budget] = 0
        self.usable_until = now_ms + LEASE_MS


AMOUNTS = st.lists(st.sampled_from([0, 1, 7, LIMIT // 20, LIMIT // 3, LIMIT]), min_size=3, max_size=3)
NOTHING = [0, 0, 0]


class Spending(RuleBasedStateMachine):
    """Three processes spend what three budgets allow, on two ledgers at once that have to agree on every word."""

    hold = False

    @initialize(used=st.integers(0, 30))
    def begin(self, used: int) -> None:
        self.clock = Clock()
        self.folder = tempfile.TemporaryDirectory()
        self.ledger = MemoryLedger(self.clock)
        self.twin = SqliteLedger(f"{self.folder.name}/ledger", self.clock)
        # The free tier ends while they spend.
        self.used = {meter: max(0, BOOK.free_units(meter) - used) for meter in METERS}
        for ledger in (self.ledger, self.twin):
            ledger.raise_usage(MONTH, self.used, actor="ann", note="the bill")
        self.spenders = [Spender(self.ledger, f"p{number}", self.hold) for number in range(3)]
        self.said: list[SyncRequest] = []

    def teardown(self) -> None:
        if hasattr(self, "twin"):
            self.twin.close()
            self.folder.cleanup()

    def say(self, spender: Spender, request: SyncRequest) -> None:
        reply = spender.process.send(request)
        assert reply == self.twin.sync(request)
        spender.hear(reply, self.clock.now_ms)
        self.said.append(request)

    def books(self, ledger: Ledger) -> Any:
        return (
            ledger.periods(current=False),
            ledger.usage(MONTH),
            [entry[1:] for entry in ledger.journal(newest=10_000)],
        )

    @rule(
        who=PROCESSES,
        meter=st.sampled_from(METERS),
        team=st.sampled_from(TEAMS),
        units=st.integers(1, 20),
        more=st.integers(0, LIMIT // 10),
    )
    def call(self, who: int, meter: str, team: str, units: int, more: int) -> None:
        spender = self.spenders[who]
        if spender.spend(meter, team, units, self.clock.now_ms):
            return
        amount = MOST[meter] * units
        needs = [amount if budget in (team, "all") else 0 for budget in BUDGETS]
        self.say(spender, spender.request([need and need + more for need in needs], needs, NOTHING))
        spender.spend(meter, team, units, self.clock.now_ms)

    @rule(who=PROCESSES, wants=AMOUNTS, needs=AMOUNTS, returned=AMOUNTS)
    def sync(self, who: int, wants: list[int], needs: list[int], returned: list[int]) -> None:
        spender = self.spenders[who]
        self.say(spender, spender.request(wants, needs, returned))

    @rule(who=PROCESSES)
    def leave(self, who: int) -> None:
        spender = self.spenders[who]
        self.say(spender, spender.request(NOTHING, NOTHING, NOTHING, leaving=True))

    @precondition(lambda self: self.said)
    @rule(data=st.data())
    def repeat(self, data: st.DataObject) -> None:
        before = self.books(self.ledger)
        for request in data.draw(st.lists(st.sampled_from(self.said), max_size=5)):
            for ledger in (self.ledger, self.twin):
                with suppress(StaleSequence):
                    assert ledger.sync(request).sequence == request.sequence
        assert self.books(self.ledger) == before

    @rule(milliseconds=st.integers(0, 4_000))
    def wait(self, milliseconds: int) -> None:
        self.clock.advance(milliseconds)
        for spender in self.spenders:
            if self.clock.now_ms + 4_000 >= spender.usable_until and spender.process.sequence:
                self.say(spender, spender.request(NOTHING, NOTHING, NOTHING))

    @invariant()
    def no_budget_is_exceeded(self) -> None:
        for record in self.ledger.periods():
            assert record.cap == LIMIT
            assert record.committed + record.leased + record.held <= record.cap
            assert min(record.committed, record.leased, record.held) >= 0

    @invariant()
    def charges_add_up_to_what_the_organisation_pays(self) -> None:
        committed = {record.budget: record.committed for record in self.ledger.periods()}
        usage = self.ledger.usage(MONTH)
        paid = sum(BOOK.marginal_nano(meter, self.used[meter], usage[meter] - self.used[meter]) for meter in usage)
        assert sum(committed.get(team, 0) for team in TEAMS) == committed.get("all", 0) == paid

    @invariant()
    def the_two_ledgers_agree(self) -> None:
        assert self.books(self.ledger) == self.books(self.twin)


class SpendingWithPauses(Spending):
    """With ``hold`` nothing is exceeded even if processes are stopped for longer than their leases live."""

    hold = True

    @rule(milliseconds=st.sampled_from([1_000, LEASE_MS, 40_000]))
    def wait(self, milliseconds: int) -> None:
        self.clock.now_ms = min(self.clock.now_ms + milliseconds, DAY.end_ms - 1)


@pytest.mark.parametrize("machine", [Spending, SpendingWithPauses])
def test_no_budget_is_exceeded_and_charges_add_up_whatever_is_said_and_repeated(machine: type[Spending]):
    assert DAY.end_ms > NOON
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=60,
            stateful_step_count=30,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )

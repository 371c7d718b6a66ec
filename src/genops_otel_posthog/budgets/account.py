"""What one process knows about one budget: its lease, how the budget stands, and whether it was refused lately."""

from __future__ import annotations

from genops_otel_posthog.budgets.budget import Budget, BudgetPolicy
from genops_otel_posthog.budgets.ledger.protocol import (
    BASIS_POINTS,
    Ask,
    PeriodKey,
    Standing,
    Threshold,
    Window,
    threshold_amount,
)

NEVER = float("-inf")
ALWAYS = float("inf")

DEFAULT_THRESHOLDS = (Threshold(8_000, severity="warning"), Threshold(9_500, severity="critical"))
"""Alerts of a budget that names none."""

_FIRST_CHUNK = 100  # of the limit, as first guess of what a process spends between two messages
_SMALLEST_CHUNK = 10_000
_INTERVALS_AHEAD = 3  # a lease lasts that many times what was spent since the last message
_IDLE_MESSAGES = 2  # after so many messages without spending, the lease is given back
_FIRST_REFUSAL = 0.25  # seconds for which a refusal stands without asking the ledger again; doubles
_LONGEST_REFUSAL = 5.0


class Account:
    """One process's side of one budget. Changed under the governor's lock.

    A budget that refuses nobody (policy advisory) has no lease; ``left`` is then how far the next threshold is.

    Attributes:
        budget: The budget.
        policy: Its policy, or the general one.
        left: What calls may still set aside.
        deadline: Until when ``left`` may be used, by the monotonic clock.
        era: Rises when a lease was lost or a period ended; what was set aside in an earlier era is of no lease.
        standing: The budget as the ledger last knew it.
        heard_ms: When that was, by the ledger's clock.
        need: Most that a waiting call needs.
        highest_threshold: The highest threshold that spending has reached, in basis points of the limit.
    """

    __slots__ = (
        "_idle",
        "_lease",
        "_refused_amount",
        "_refused_for",
        "_refused_until",
        "_settled",
        "_spent",
        "_spent_before",
        "allowance",
        "budget",
        "cap_basis_points",
        "deadline",
        "era",
        "heard_ms",
        "highest_threshold",
        "left",
        "need",
        "policy",
        "standing",
        "thresholds",
    )

    def __init__(self, budget: Budget, general_policy: BudgetPolicy) -> None:
        self.budget = budget
        self.policy = budget.policy_under(general_policy)
        self.cap_basis_points = budget.cap_basis_points(self.policy)
        self.thresholds = budget.thresholds or DEFAULT_THRESHOLDS
        self.era = 0
        self.standing: Standing | None = None
        self.heard_ms = 0
        self.highest_threshold: int | None = None
        self.left = 0
        self.deadline = NEVER
        self.need = 0
        self.allowance: tuple[PeriodKey, int] | None = None
        self._lease = 0  # what the ledger holds for this process
        self._settled = 0  # of the lease: counted, not yet told
        self._spent = 0  # set aside since the last message
        self._spent_before = 0
        self._idle = 0
        self._refused_amount = 0
        self._refused_until = NEVER
        self._refused_for = 0.0

    def replace(self, budget: Budget, general_policy: BudgetPolicy) -> None:
        """The budget was changed: its limit, its policy or its thresholds."""
        refused, lent_for = self.refuses, self.budget.amount
        self.budget = budget
        self.policy = budget.policy_under(general_policy)
        self.cap_basis_points = budget.cap_basis_points(self.policy)
        self.thresholds = budget.thresholds or DEFAULT_THRESHOLDS
        self._refused_until = NEVER
        if self.refuses != refused:
            self.lose_lease()  # what is left of it means something else now
        elif budget.amount < lent_for:
            self.deadline = NEVER  # what is left of it may be more than there is; the ledger takes it back and knows

    @property
    def refuses(self) -> bool:
        """Whether this budget refuses what would exceed it."""
        return self.cap_basis_points is not None

    @property
    def key(self) -> PeriodKey | None:
        """The present period, once the ledger has said which it is."""
        if self.standing is None or self.standing.window is None:
            return None
        return PeriodKey(self.budget.id, self.standing.window.id)

    def key_at(self, now: float, now_ms: int) -> PeriodKey:
        """The period that a call pays from: that of the lease, while there is one.

        Args:
            now: The monotonic clock.
            now_ms: The ledger's clock, as far as it is known.
        """
        if now < self.deadline and self.key is not None:
            return self.key
        return PeriodKey(self.budget.id, self.window_at(now_ms).id)

    def window_at(self, now_ms: int) -> Window:
        """The present period: the one that the ledger has said, until it is over; then by the calendar."""
        if self.standing is not None and self.standing.window is not None and now_ms < self.standing.window.end_ms:
            return self.standing.window
        return self.budget.windows_around(now_ms)[0]

    @property
    def spent(self) -> int:
        """What is spent in this period, by everybody, as far as is known, in the budget's unit."""
        if self.standing is None:
            return self._settled
        return self.standing.committed + self.standing.overdraft + self._settled

    @property
    def utilization(self) -> float:
        """Part of the limit that is spent, as far as is known; 1.0 is all of it. A limit of 0 is always spent."""
        if self.standing is None:
            return 0.0
        return self.spent / self.standing.limit if self.standing.limit > 0 else 1.0

    # --- setting aside ---------------------------------------------------------------------------------------------

    def settle(self, amount: int) -> None:
        """What a call had set aside was spent."""
        self._settled += amount
        self._spent += amount

    def release(self, amount: int) -> None:
        """What a call had set aside was not spent."""
        self.left += amount

    def refuses_without_asking(self, amount: int, now: float) -> bool:
        """Whether the ledger has refused as much lately."""
        return now < self._refused_until and amount >= self._refused_amount

    @property
    def was_refused(self) -> bool:
        """Whether the ledger refused, when it was asked last."""
        return self._refused_for > 0

    # --- talking to the ledger -------------------------------------------------------------------------------------

    def ask(self, now_ms: int, *, expired: bool, leaving: bool) -> Ask:
        """What is said about this budget in the next message.

        Args:
            now_ms: The ledger's clock, as far as known.
            expired: Whether the lease may not be used any more.
            leaving: Whether the process ends.
        """
        spent = max(self._spent, self._spent_before)
        self._idle = 0 if self._spent or self.need else self._idle + 1
        want = returned = 0
        if self.refuses:
            smallest = max(self.need, self.budget.amount // _SMALLEST_CHUNK, 1)
            ahead = max(smallest, _INTERVALS_AHEAD * spent if spent else self.budget.amount // _FIRST_CHUNK)
            crowded = self.standing is not None and self.standing.wanted_by_others
            if leaving or expired or self.need > self.left or self._idle >= _IDLE_MESSAGES:
                returned = self.left
            elif crowded:
                returned = max(0, self.left - spent)
            self.left -= returned
            first = self.standing is None  # have a lease at hand before the first call needs one
            if not leaving and (self.need or first or (self._spent and self.left < ahead)):
                want = max(ahead - self.left, self.need)
        key = self.key
        ask = Ask(
            budget=self.budget.id,
            definition=self.budget.definition(),
            meter=self.budget.meter,
            windows=self.budget.windows_around(now_ms),
            limit=self.budget.amount,
            cap_basis_points=self.cap_basis_points,
            thresholds=self.thresholds,
            hold=self.budget.hold,
            lease_period=None if key is None else key.period,
            settled=self._settled,
            returned=returned,
            want=want,
            need=min(self.need, want),
        )
        self._settled = 0
        self._spent_before, self._spent = self._spent, 0
        self.need = 0
        return ask

    @property
    def has_news(self) -> bool:
        """Whether the ledger must be told something."""
        return bool(self._settled or self.need or self._spent or (self._lease and self.refuses))

    def hear(self, standing: Standing, sent: Ask, heard_ms: int, deadline: float, now: float) -> None:
        """Takes the ledger's answer to :meth:`ask`.

        Args:
            standing: The answer.
            sent: What was asked.
            heard_ms: The ledger's clock when it answered.
            deadline: Until when the lease may be used, by the monotonic clock.
            now: The monotonic clock.
        """
        before = self.key
        if standing.window is None:
            self.deadline = NEVER
            return
        self.standing = standing
        self.heard_ms = heard_ms
        spent = standing.committed + standing.overdraft
        reached = [
            threshold.basis_points
            for threshold in (*self.thresholds, Threshold(BASIS_POINTS))
            if not threshold.forecast and spent >= threshold_amount(standing.limit, threshold.basis_points)
        ]
        self.highest_threshold = max(reached, default=None)
        if self.key != before:
            self._new_era()
            self._refused_until, self._refused_for = NEVER, 0.0
        if not self.refuses:
            self.left = self._distance_to_next_threshold(standing)
            self.deadline = deadline
            return
        expected = self._lease - sent.settled - sent.returned + standing.granted
        if standing.lease != expected and self.key == before:
            self._new_era()  # the lease had expired and was given to others
        self._lease = standing.lease
        self.left += standing.granted
        self.deadline = deadline
        if standing.granted < sent.need:
            self._refused_for = min(max(2 * self._refused_for, _FIRST_REFUSAL), _LONGEST_REFUSAL)
            self._refused_until = now + self._refused_for
            self._refused_amount = sent.need
        elif standing.granted:
            self._refused_until, self._refused_for = NEVER, 0.0

    def lose_lease(self) -> None:
        """The ledger knows nothing of the lease any more."""
        self._new_era()
        self._lease = 0
        self.deadline = NEVER

    def _new_era(self) -> None:
        self.era += 1
        self.left = 0
        self._lease = 0
        self._settled = 0

    def _distance_to_next_threshold(self, standing: Standing) -> int:
        spent = standing.committed + standing.overdraft
        amounts = [threshold_amount(standing.limit, threshold.basis_points) for threshold in self.thresholds]
        ahead = [amount - spent for amount in (*amounts, standing.limit) if amount > spent]
        return min(ahead, default=1 << 62)

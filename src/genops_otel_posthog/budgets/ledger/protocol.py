"""What a ledger is asked and what it answers: the one door between the processes that spend and the place that counts.

A ledger belongs to one PostHog organisation. It counts, in integers, three things: how many units of each meter the
organisation has used in a month, how much of each budget has been spent in each period, and how much of it is lent out
(leased) to processes that may still spend it. All of it happens in one operation, :meth:`Ledger.sync`, which a ledger
executes atomically.

How a sync is executed, in this order, on every ledger:

1. *Reply again.* A request with the sequence number the ledger answered last gets the same reply; nothing is counted.
   An older one is refused (:class:`StaleSequence`).
2. *Forgotten.* If the process says that its requests were acknowledged up to a number the ledger does not know, the
   ledger has lost data (restarted empty, restored). It applies nothing and answers ``forgotten``; the process then
   sends everything it ever counted with ``everything=True``, and for ``rebuild_ms`` from the last such answer nothing
   is granted to anybody, so that the others can do the same.
3. *Raise usage* to ``usage_at_least``: never a sum, so that it can be said any number of times.
4. *Count.* A process never says how many units more, but how many in all (:class:`Counted`): what exceeds the number
   the ledger has seen from it is new, so that nothing is counted twice whatever is repeated. The new units move the
   organisation's usage from u to u + q and cost C(u + q) - C(u), which is added to ``committed`` of every period in
   ``charged`` and to ``overdraft`` of every period in ``overdrawn``. A budget of units is charged the units of its own
   meter and nothing else. A period whose budget is not asked about is charged in the unit that the ledger knows it by,
   else in money. What was counted in a month that ended 40 days ago is passed over: the ledger need not remember
   what it has seen of it.
5. *Reap*, in any period of a budget, up to 16 expired leases of other processes, the earliest first. Their amount
   becomes free; with ``hold`` it moves to ``held`` instead, because the process may be paused and not dead, and stays
   there until that process is heard of again or the period ends.
6. *Settle*, in ``lease_period``: what is held for the process is its lease again. What a call had set aside is no
   longer lent out, because it has been counted in step 4; and what is ``returned`` is free again. Neither ever takes
   more than the process holds. What remains is free too if the process leaves, if the budget refuses nobody, or if
   another period has begun.
7. *Grant*, in the period that the ledger's clock is in: with ``free = cap - committed - leased - held`` and h other
   processes holding a lease, ``min(want, max(need, free // (h + 1)), free)``; nothing when that is less than ``need``.
   The process's lease then lives until ``now + lease_ms``, and never beyond the period.
8. *Thresholds*, in the same period: each that is reached for the first time (:func:`threshold_amount`,
   :func:`forecast_amount`) becomes an alert; of several at once only the highest, but a forecast does not stand in for
   what is spent. It is re-armed when utilisation falls 5 points below it; a forecast is not, and one of what is
   already spent is no news. 100 % is always one of them, ``critical``.
9. *Alerts* not yet delivered, and not claimed within ``claim_ms``, are handed to the caller, which claims them; up to
   16, the earliest first. A process that leaves gets none, and what it had claimed is free for others. An alert that
   is 7 days old is dropped when its period has ended.

What follows, and is tested (``docs/guarantees.md``): after every sync ``committed + leased + held <= cap`` as long as
no lease has expired under a living process, no limit has been lowered and the ledger has forgotten nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from genops_otel_posthog.errors import GenOpsError

BASIS_POINTS = 10_000
"""Parts of a limit are whole ten-thousandths of it: 95 % is 9,500."""


class LedgerUnavailable(GenOpsError):
    """The ledger could not be asked, or did not answer. Whether it applied the request is unknown; send it again."""


class LedgerCorrupt(GenOpsError):
    """What lies where the ledger should be is not a ledger, or is damaged. Nothing was overwritten."""


class StaleSequence(GenOpsError):
    """A request that the ledger has answered long ago, or of a process that has been replaced by its own child."""


class Window(NamedTuple):
    """One period of a budget.

    Attributes:
        id: ``d:2026-03-29``, ``w:2026-W13``, ``m:2026-03``, ``q:2026-Q1``, ``c:2026-03-15``; unique within a budget.
        start_ms: First instant, milliseconds since the epoch.
        end_ms: First instant after it.
    """

    id: str
    start_ms: int
    end_ms: int


class PeriodKey(NamedTuple):
    """Identifies what a budget has spent in one of its periods."""

    budget: str
    period: str


class CostTable(NamedTuple):
    """C of one meter, ready for arithmetic: cost of n units = ``cost_below[i] + (n - above[i]) * price[i]``, where i is
    the last tier with ``above[i] <= n``.

    Attributes:
        above: Units below each tier, ascending from 0.
        cost_below: What they cost, nano-USD.
        price: Price of a unit within the tier, nano-USD.
    """

    above: tuple[int, ...]
    cost_below: tuple[int, ...]
    price: tuple[int, ...]


class Counted(NamedTuple):
    """All units of one meter and month that one process has counted for the same budgets since it started.

    Attributes:
        meter: Name of the meter.
        month: Billing month, ``2026-11``.
        units: How many in all; it only ever rises.
        charged: Periods that pay for them.
        overdrawn: Periods whose limit they were admitted past, as critical events; counted apart.
    """

    meter: str
    month: str
    units: int
    charged: tuple[PeriodKey, ...]
    overdrawn: tuple[PeriodKey, ...] = ()


class Threshold(NamedTuple):
    """When to raise an alert.

    Attributes:
        basis_points: Part of the limit.
        forecast: Whether it is compared with what the period will have cost at its end, if spending goes on as it did
            on average since its start (not before a tenth of the period has passed), instead of with what is spent.
        severity: ``info``, ``warning`` or ``critical``; passed on.
    """

    basis_points: int
    forecast: bool = False
    severity: str = "warning"


class Ask(NamedTuple):
    """What a process says and wants about one budget.

    Amounts are in the budget's unit: nano-USD, or units of ``meter``.

    Attributes:
        budget: Its id.
        definition: The budget as JSON, for those who list budgets.
        meter: ``None`` for money; otherwise the meter whose units count.
        windows: The periods that may be the present one: the current and the next by the process's clock. A period
            that is charged and was never among them is kept as one that ended when it was first charged.
        limit: The configured limit; :meth:`Ledger.set_limit` and overrides change it in the ledger.
        cap_basis_points: Part of the limit from which on calls are refused; ``None``: never, and nothing is leased.
        thresholds: When to raise alerts; no two alike but in severity.
        hold: Keep expired leases aside instead of freeing them.
        lease_period: The period in which the process holds its lease.
        settled: Part of the lease that counted calls had set aside.
        returned: Part of the lease that is given back.
        want: How much more the process wants to hold.
        need: Less than this is of no use to it.
    """

    budget: str
    definition: str
    meter: str | None
    windows: tuple[Window, ...]
    limit: int
    cap_basis_points: int | None
    thresholds: tuple[Threshold, ...] = ()
    hold: bool = False
    lease_period: str | None = None
    settled: int = 0
    returned: int = 0
    want: int = 0
    need: int = 0


class SyncRequest(NamedTuple):
    """One message of a process to the ledger.

    Attributes:
        process: Identity of the process since its start (or since it was forked).
        sequence: 1 for the first request; the same request is repeated under the same number until it is answered.
        acknowledged: The last sequence number that was answered; 0 before any.
        everything: Whether ``counted`` holds all that the process ever counted, as answer to ``forgotten``.
        costs: C of every meter in ``counted``. A meter that is missing is counted without a price.
        counted: What changed since the last acknowledged request.
        asks: One for each budget that the process has met.
        usage_at_least: Month -> meter -> units that the organisation is known to have used.
        meters: Meters whose usage in ``month`` is wanted in the reply.
        month: Billing month by the process's clock.
        delivered: Ids of alerts that have been delivered.
        lease_ms: How long a lease lives without another sync.
        rebuild_ms: How long nothing is granted after the ledger has forgotten.
        claim_ms: How long an alert that was handed out belongs to the process that got it.
        wants_alerts: Whether the process can deliver alerts.
        leaving: Whether the process ends: its lease is returned whole.
    """

    process: str
    sequence: int
    acknowledged: int
    costs: Mapping[str, CostTable]
    counted: tuple[Counted, ...]
    asks: tuple[Ask, ...]
    month: str
    meters: tuple[str, ...] = ()
    usage_at_least: Mapping[str, Mapping[str, int]] = {}
    delivered: tuple[str, ...] = ()
    everything: bool = False
    lease_ms: int = 15_000
    rebuild_ms: int = 5_000
    claim_ms: int = 60_000
    wants_alerts: bool = True
    leaving: bool = False


class Standing(NamedTuple):
    """How a budget stands in its present period.

    Attributes:
        budget: Its id.
        window: The period that the ledger's clock is in; ``None`` if it is none of those asked for (the clocks differ
            by more than a period): ask again with windows around ``SyncReply.now_ms``. All amounts but ``limit`` and
            ``cap`` are 0 then, and ``lease`` is what is left in ``lease_period``.
        limit: Limit with changes and overrides.
        cap: Amount from which on calls are refused; ``None``: never.
        committed: Spent.
        leased: Lent out to processes, including this one.
        held: Lent out to processes that fell silent.
        overdraft: Spent by critical events past the limit.
        granted: What this sync added to the process's lease.
        lease: What the process holds after it.
        wanted_by_others: Whether the last process that got less than it needed is another one, got nothing since, and
            asked less than its ``lease_ms`` ago; processes give back what they do not use.
    """

    budget: str
    window: Window | None
    limit: int
    cap: int | None
    committed: int
    leased: int
    held: int
    overdraft: int
    granted: int
    lease: int
    wanted_by_others: bool = False


class Alert(NamedTuple):
    """A threshold that was reached, as it stood at that moment. What is sent is made from this alone, so that sending
    it again sends the same.

    Attributes:
        id: Unique; the same for every attempt to deliver it.
        budget: Id of the budget.
        definition: The budget as JSON, as the process that crossed the threshold knew it.
        period: Id of its period.
        basis_points: The threshold.
        forecast: Whether it is about the forecast.
        severity: As configured.
        limit: Limit at that moment.
        spent: Committed and overdraft at that moment.
        at_ms: The moment, by the ledger's clock.
        period_end_ms: End of the period.
    """

    id: str
    budget: str
    definition: str
    period: str
    basis_points: int
    forecast: bool
    severity: str
    limit: int
    spent: int
    at_ms: int
    period_end_ms: int


class SyncReply(NamedTuple):
    """The ledger's answer.

    Attributes:
        sequence: That of the request.
        now_ms: The ledger's clock.
        forgotten: See step 2; everything else is empty then.
        standings: One for each ask, in its order.
        usage: Units used this month of the meters that were asked for.
        alerts: Alerts to deliver.
    """

    sequence: int
    now_ms: int
    forgotten: bool = False
    standings: tuple[Standing, ...] = ()
    usage: Mapping[str, int] = {}
    alerts: tuple[Alert, ...] = ()


class Override(NamedTuple):
    """A change of a budget's limit for some time.

    Attributes:
        id: Unique.
        budget: Id of the budget.
        amount: Added to the limit, in the budget's unit; may be negative.
        from_ms: First instant.
        until_ms: First instant after it.
        reason: Why.
        actor: Who.
    """

    id: str
    budget: str
    amount: int
    from_ms: int
    until_ms: int
    reason: str
    actor: str


class PeriodRecord(NamedTuple):
    """What a ledger holds about a budget in one period, for people. Nothing is held of a period that has ended."""

    budget: str
    definition: str
    window: Window
    limit: int
    cap: int | None
    committed: int
    leased: int
    held: int
    overdraft: int


class JournalEntry(NamedTuple):
    """One line of the ledger's history, which is only ever appended to.

    Attributes:
        number: Ascending.
        at_ms: When, by the ledger's clock.
        actor: Process or person.
        kind: ``commit``, ``overdraft``, ``grant``, ``reap``, ``limit``, ``override``, ``usage``, ``alert`` or
            ``forgotten``.
        budget: Id of the budget, if it is about one.
        period: Id of its period.
        amount: In the budget's unit; for ``usage``, units.
        note: What people need to know besides: the meter, the reason, the threshold.
    """

    number: int
    at_ms: int
    actor: str
    kind: str
    budget: str | None
    period: str | None
    amount: int
    note: str


class Ledger(Protocol):
    """A place where money is counted. Used by one thread at a time per object; any number of objects, processes and
    machines may share one ledger.

    Every method raises :class:`LedgerUnavailable` when the ledger cannot be reached in time and :class:`LedgerCorrupt`
    when it is damaged.
    """

    @property
    def largest_amount(self) -> int:
        """The largest amount this ledger counts exactly; limits above it are refused."""
        ...

    def sync(self, request: SyncRequest) -> SyncReply:
        """Executes one sync as described at the head of this module, atomically.

        Raises:
            StaleSequence: the request is older than the one answered last.
        """
        ...

    def now_ms(self) -> int:
        """The ledger's clock, milliseconds since the epoch."""
        ...

    def set_limit(self, budget: str, limit: int | None, *, actor: str, reason: str) -> None:
        """Replaces the configured limit of a budget, or brings it back with ``None``."""
        ...

    def changed_limits(self) -> Mapping[str, int]:
        """Budget -> the limit that :meth:`set_limit` put in place of the configured one."""
        ...

    def add_override(self, override: Override) -> None:
        """Adds an override; one with the same id is replaced."""
        ...

    def overrides(self, budget: str | None = None) -> Sequence[Override]:
        """Overrides that have not ended, the earliest first."""
        ...

    def remove_override(self, override_id: str, *, actor: str) -> bool:
        """Ends an override; whether there was one."""
        ...

    def periods(self, budget: str | None = None, *, current: bool = True) -> Sequence[PeriodRecord]:
        """The known budgets, each in its present period (those that were asked about in it) or (``current=False``) in
        every period that is kept, which is at least 40 days after its end; by budget, the earliest first."""
        ...

    def usage(self, month: str) -> Mapping[str, int]:
        """Units per meter that the organisation has used in a month."""
        ...

    def raise_usage(self, month: str, usage: Mapping[str, int], *, actor: str, note: str) -> Mapping[str, int]:
        """Raises usage to at least the given numbers; returns usage as it is then. It never falls."""
        ...

    def journal(self, *, budget: str | None = None, newest: int = 100) -> Sequence[JournalEntry]:
        """The newest entries, in ascending order."""
        ...

    def check_writable(self) -> None:
        """Writes, and takes it back before anybody sees it; :class:`LedgerUnavailable` where that cannot be done."""
        ...

    def close(self) -> None:
        """Lets go of files and connections. Never raises."""
        ...

    def abandon(self) -> None:
        """Forgets files and connections without touching them: they belong to the process that was forked from."""
        ...


def part_of(limit: int, basis_points: int) -> int:
    """``limit * basis_points / 10,000`` rounded down, without an intermediate result above the limit's own size.

    A ledger that counts in doubles gets the same integer.
    """
    whole, rest = divmod(limit, BASIS_POINTS)
    return whole * basis_points + rest * basis_points // BASIS_POINTS


def threshold_amount(limit: int, basis_points: int) -> int:
    """What must be spent for a threshold to be reached: that part of the limit, rounded up, and at least 1."""
    rest = limit % BASIS_POINTS * basis_points % BASIS_POINTS
    return max(1, part_of(limit, basis_points) + (rest > 0))


def forecast_amount(limit: int, basis_points: int, window: Window, now_ms: int) -> int | None:
    """What must be spent by now for a forecast to be reached, ``None`` while it is too early to tell.

    It is the part of the threshold that corresponds to the part of the period that has passed, in whole basis points.
    """
    passed = (now_ms - window.start_ms) * BASIS_POINTS // (window.end_ms - window.start_ms)
    if passed < BASIS_POINTS // 10:
        return None
    return threshold_amount(threshold_amount(limit, basis_points), passed)

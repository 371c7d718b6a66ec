"""Budgets as metrics: how they stand, what was decided, how the ledger does.

Everything is read from the governor when metrics are collected; nothing happens here while calls are made. The gauges
of a budget are figures of the whole fleet, and every process reports the same: take the maximum over processes, never
the sum.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeAlias
from weakref import WeakKeyDictionary, WeakSet

from opentelemetry.metrics import CallbackOptions, Meter, Observation

from genops_otel_posthog import semconv
from genops_otel_posthog.budgets.account import Account
from genops_otel_posthog.budgets.alerts.queue import AlertCounts
from genops_otel_posthog.budgets.governor import Governor
from genops_otel_posthog.budgets.ledger.protocol import Standing, Window
from genops_otel_posthog.money import NANO_PER_USD

_SCOPE_LABELS = {
    "team": semconv.GENOPS_TEAM,
    "project": semconv.GENOPS_PROJECT,
    "environment": semconv.GENOPS_ENVIRONMENT,
}

Reading: TypeAlias = "Callable[[Account, Standing, Window], float | None]"
"""One figure of a budget in its present period; ``None``: there is none."""

_governors_of: WeakKeyDictionary[Meter, WeakSet[Governor]] = WeakKeyDictionary()


def observe(meter: Meter, governor: Governor) -> None:
    """Makes ``meter`` report a governor, also after it was closed: at the end of a process that comes first."""
    governors = _governors_of.get(meter)
    if governors is None:
        # An observable instrument cannot be taken back: each meter has one of a kind, whichever governors there are.
        governors = _governors_of[meter] = WeakSet()
        _create_instruments(meter, governors)
    governors.add(governor)


def forget(governor: Governor) -> None:
    """Lets no meter report a governor any more."""
    for governors in _governors_of.values():
        governors.discard(governor)


def _create_instruments(meter: Meter, governors: WeakSet[Governor]) -> None:
    def of_accounts(
        value: Reading,
    ) -> Callable[[CallbackOptions], list[Observation]]:
        def observations(_: CallbackOptions) -> list[Observation]:
            return [
                Observation(amount, _labels(account))
                for governor in list(governors)
                for account, standing, window in governor.standings()
                if (amount := value(account, standing, window)) is not None
            ]

        return observations

    def gauge(name: str, unit: str, description: str, value: Reading) -> None:
        meter.create_observable_gauge(name, [of_accounts(value)], unit, description)

    gauge(
        semconv.METRIC_GENOPS_BUDGET_LIMIT,
        "{USD}",
        "Limit of the budget in its present period, with changes and overrides.",
        lambda account, standing, _: _amount(account, standing.limit),
    )
    gauge(
        semconv.METRIC_GENOPS_BUDGET_CONSUMED,
        "{USD}",
        "Spent in the present period.",
        lambda account, standing, _: _amount(account, standing.committed),
    )
    gauge(
        semconv.METRIC_GENOPS_BUDGET_RESERVED,
        "{USD}",
        "Lent out to processes and not spent yet.",
        lambda account, standing, _: _amount(account, standing.leased + standing.held),
    )
    gauge(
        semconv.METRIC_GENOPS_BUDGET_OVERDRAFT,
        "{USD}",
        "Spent by critical events past the limit.",
        lambda account, standing, _: _amount(account, standing.overdraft),
    )
    gauge(
        semconv.METRIC_GENOPS_BUDGET_UTILIZATION,
        "1",
        "Spent part of the limit, overdraft included; 1 is all of it.",
        lambda account, *_: account.utilization,
    )
    gauge(
        semconv.METRIC_GENOPS_BUDGET_FORECAST,
        "{USD}",
        "Spent at the end of the period if it goes on as it did on average since its start.",
        _forecast,
    )
    gauge(
        semconv.METRIC_GENOPS_LEDGER_LEASE,
        "{USD}",
        "What this process may still spend of a budget before it asks the ledger again.",
        lambda account, *_: _amount(account, max(account.left, 0)) if account.refuses else None,
    )

    def decisions(_: CallbackOptions) -> Iterator[Observation]:
        for governor in list(governors):
            for (result, reason, policy, budget), count in governor.decisions().items():
                attributes = {
                    semconv.GENOPS_POLICY_RESULT: result,
                    semconv.GENOPS_POLICY_REASON: reason,
                    semconv.GENOPS_POLICY_NAME: policy,
                }
                if budget is not None:
                    attributes[semconv.GENOPS_BUDGET_ID] = budget
                yield Observation(count, attributes)

    def errors(_: CallbackOptions) -> Iterator[Observation]:
        for governor in list(governors):
            for kind, count in list(governor.synchroniser.errors.items()):
                yield Observation(count, {semconv.ERROR_TYPE: kind})

    def alerts(_: CallbackOptions) -> Iterator[Observation]:
        for governor in list(governors):
            if governor.alerts is not None:
                for state, count in _by_state(governor.alerts.counts).items():
                    yield Observation(count, {semconv.GENOPS_ALERT_STATE: state})

    meter.create_observable_counter(
        semconv.METRIC_GENOPS_POLICY_DECISIONS,
        [decisions],
        "{decision}",
        "Decisions about calls, by what became of them.",
    )
    meter.create_observable_counter(
        semconv.METRIC_GENOPS_LEDGER_ERRORS, [errors], "{error}", "Exchanges with the ledger that failed."
    )
    meter.create_observable_counter(
        semconv.METRIC_GENOPS_ALERTS, [alerts], "{alert}", "What happened to alerts of budgets in this process."
    )


def _labels(account: Account) -> dict[str, str]:
    budget = account.budget
    labels = {semconv.GENOPS_BUDGET_ID: budget.id, semconv.GENOPS_BUDGET_PERIOD: budget.period.value}
    if budget.meter is not None:
        labels[semconv.GENOPS_COST_METER] = budget.meter
    for field, name in _SCOPE_LABELS.items():
        if field in budget.scope:
            labels[name] = budget.scope[field]
    return labels


def _amount(account: Account, amount: int) -> float:
    return amount / NANO_PER_USD if account.budget.meter is None else float(amount)


def _forecast(account: Account, standing: Standing, window: Window) -> float | None:
    """``None`` in the first tenth of a period, when a forecast says nothing."""
    passed = (account.heard_ms - window.start_ms) / (window.end_ms - window.start_ms)
    if passed < 0.1:
        return None
    return _amount(account, standing.committed + standing.overdraft) / passed


def _by_state(counts: AlertCounts) -> dict[str, int]:
    return {
        semconv.ALERT_STATE_RAISED: counts.delivered + counts.failed + counts.returned + counts.waiting,
        semconv.ALERT_STATE_DELIVERED: counts.delivered,
        semconv.ALERT_STATE_FAILED: counts.retried,
        semconv.ALERT_STATE_ABANDONED: counts.failed,
    }

"""What ``sync.lua`` is told and what it answers: JSON, in which every amount is a string of digits.

A number of JSON is a double in Lua, and cjson writes it with 14 digits; an amount may have 16.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from genops_otel_posthog.budgets.ledger.protocol import (
    BASIS_POINTS,
    Alert,
    Ask,
    PeriodKey,
    StaleSequence,
    Standing,
    SyncReply,
    SyncRequest,
    Window,
)
from genops_otel_posthog.budgets.ledger.redis.keys import Keys, budget_name, period_name


def encode(request: SyncRequest, keys: Keys) -> tuple[list[str], str]:
    """The keys that a sync touches and the request as JSON."""
    periods = _Periods()
    counted = [
        (
            one.meter,
            one.month,
            str(one.units),
            [periods.index(key) for key in one.charged],
            [periods.index(key) for key in one.overdrawn],
        )
        for one in request.counted
    ]
    asks = [_ask(ask, periods) for ask in request.asks]
    message = {
        "process": request.process,
        "sequence": str(request.sequence),
        "acknowledged": str(request.acknowledged),
        "everything": request.everything,
        "leaving": request.leaving,
        "wants_alerts": request.wants_alerts,
        "lease": str(request.lease_ms),
        "rebuild": str(request.rebuild_ms),
        "claim": str(request.claim_ms),
        "month": request.month,
        "meters": request.meters,
        "delivered": request.delivered,
        "raised": [
            (month, meter, str(units))
            for month, meters in request.usage_at_least.items()
            for meter, units in meters.items()
        ],
        "costs": {
            meter: [[str(number) for number in column] for column in table] for meter, table in request.costs.items()
        },
        "counted": counted,
        "asks": asks,
        "periods": [(period_name(key), *key) for key in periods.known],
    }
    months = {request.month, *request.usage_at_least, *(one.month for one in request.counted)}
    touched = [
        *keys.fixed,
        keys.process(request.process),
        *(keys.usage(month) for month in sorted(months)),
        *(keys.counted(request.process, month) for month in sorted({one.month for one in request.counted})),
        *(keys.leases(ask.budget) for ask in request.asks),
        *(keys.period(key) for key in periods.known),
    ]
    return touched, json.dumps(message, ensure_ascii=False, separators=(",", ":"))


def decode(request: SyncRequest, reply: str | bytes) -> SyncReply:
    """The answer to a request.

    Raises:
        StaleSequence: the request is older than the one answered last.
    """
    said: dict[str, Any] = json.loads(reply)
    if "stale" in said:
        raise StaleSequence(
            f"request {request.sequence} of process {request.process} comes after {said['stale']} was answered; it is "
            "not counted. Two processes use one identity, or a very old request was repeated"
        )
    if "forgotten" in said:
        return SyncReply(int(said["sequence"]), int(said["now"]), forgotten=True)
    return SyncReply(
        sequence=int(said["sequence"]),
        now_ms=int(said["now"]),
        # An empty array is {} to cjson; it is as empty.
        standings=tuple(_standing(*standing) for standing in said["standings"]),
        usage={meter: int(units) for meter, units in said["usage"].items()},
        alerts=tuple(_alert(*alert) for alert in said["alerts"]),
    )


class _Periods:
    """The periods that a request names, each once; Lua counts from 1."""

    def __init__(self) -> None:
        self.known: dict[PeriodKey, int] = {}

    def index(self, key: PeriodKey) -> int:
        return self.known.setdefault(key, len(self.known) + 1)


def _ask(ask: Ask, periods: _Periods) -> list[object]:
    thresholds = [(str(one.basis_points), one.forecast, one.severity) for one in ask.thresholds]
    if not any(one.basis_points == BASIS_POINTS and not one.forecast for one in ask.thresholds):
        thresholds.append((str(BASIS_POINTS), False, "critical"))
    for window in ask.windows:
        periods.index(PeriodKey(ask.budget, window.id))
    lease = ask.lease_period
    # By position, and without null: cjson would make a value of it that is neither nil nor false.
    return [
        ask.budget,
        budget_name(ask.budget),
        ask.definition,
        ask.meter or "",
        [(window.id, str(window.start_ms), str(window.end_ms)) for window in ask.windows],
        str(ask.limit),
        "" if ask.cap_basis_points is None else str(ask.cap_basis_points),
        thresholds,
        ask.hold,
        0 if lease is None else periods.index(PeriodKey(ask.budget, lease)),
        str(ask.settled),
        str(ask.returned),
        str(ask.want),
        str(ask.need),
    ]


def _standing(
    budget: str, window: Sequence[str] | bool, limit: str, cap: str | bool, amounts: Sequence[str], wanted: bool
) -> Standing:
    # What is None is false here.
    committed, leased, held, overdraft, granted, lease = map(int, amounts)
    return Standing(
        budget=budget,
        window=None if isinstance(window, bool) else Window(window[0], int(window[1]), int(window[2])),
        limit=int(limit),
        cap=None if isinstance(cap, bool) else int(cap),
        committed=committed,
        leased=leased,
        held=held,
        overdraft=overdraft,
        granted=granted,
        lease=lease,
        wanted_by_others=wanted,
    )


def _alert(*fields: Any) -> Alert:
    # The last one is the number by which the ledger keeps alerts in order.
    alert_id, budget, definition, period, basis_points, forecast, severity, limit, spent, at_ms, period_end_ms, _ = (
        fields
    )
    return Alert(
        id=alert_id,
        budget=budget,
        definition=definition,
        period=period,
        basis_points=int(basis_points),
        forecast=forecast,
        severity=severity,
        limit=int(limit),
        spent=int(spent),
        at_ms=int(at_ms),
        period_end_ms=int(period_end_ms),
    )

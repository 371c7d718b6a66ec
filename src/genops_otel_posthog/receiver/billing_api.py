"""PostHog's billing API, answered from what was received: the overview of this month and the daily series of usage.

The billing period is the calendar month in UTC. Amounts are those of the newest published price book.

Sources: PostHog/posthog on GitHub, ``ee/api/billing.py`` and
``products/billing/skills/investigating-billing-costs/references/usage-data-shape.md``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timedelta, timezone
from typing import Any

from genops_otel_posthog.money import usd_from_nano
from genops_otel_posthog.pricing.billing_names import METER_OF_SUMMARY_KEY, METER_OF_USAGE_TYPE
from genops_otel_posthog.pricing.book import PriceBook
from genops_otel_posthog.pricing.meters import (
    EVENTS,
    EXCEPTIONS,
    FEATURE_FLAG_REQUESTS,
    IDENTIFIED_EVENTS,
    LLM_EVENTS,
    METERS,
    SURVEY_RESPONSES,
)
from genops_otel_posthog.pricing.usage import BillingMonth
from genops_otel_posthog.receiver.bill import bill
from genops_otel_posthog.receiver.exchange import Call, Reply, json_reply
from genops_otel_posthog.receiver.store import Transaction
from genops_otel_posthog.settings import DEFAULT_PRICE_BOOK

MOST_DAYS = 366
"""Longest range of a series; PostHog serves at most a year per request."""

_COUNTED = (EVENTS, IDENTIFIED_EVENTS, FEATURE_FLAG_REQUESTS, EXCEPTIONS, SURVEY_RESPONSES, LLM_EVENTS)
_ADD_ONS = {IDENTIFIED_EVENTS: EVENTS}
_SUMMARY_KEY = {meter: key for key, meter in METER_OF_SUMMARY_KEY.items()}
_USAGE_TYPE = {meter: usage_type for usage_type, meter in METER_OF_USAGE_TYPE.items()}


def overview(call: Call, transaction: Transaction) -> Reply:
    """``GET /api/billing/``: what the organisation has used in its present billing period, and what that costs."""
    refusal = _refuse_credentials(call)
    if refusal is not None:
        return refusal
    month = BillingMonth.at(call.at.timestamp())
    start, end = (datetime.fromtimestamp(seconds, timezone.utc) for seconds in (month.start, month.end))
    units = bill(transaction, start=start, end=end)["meters"]
    book = PriceBook.load(DEFAULT_PRICE_BOOK)
    products = {meter: _product(book, meter, units.get(meter, 0), call) for meter in _COUNTED}
    total = sum(book.rate(meter).cumulative_nano(units.get(meter, 0)) for meter in _COUNTED)
    for add_on, parent in _ADD_ONS.items():
        products[parent]["addons"].append(products.pop(add_on))
    return json_reply(
        {
            "has_active_subscription": True,
            "subscription_level": "paid",
            "billing_period": {
                "current_period_start": _instant(start),
                "current_period_end": _instant(end),
                "interval": "month",
            },
            "current_total_amount_usd": _dollars(total),
            "usage_summary": {
                _SUMMARY_KEY[meter]: {"usage": units.get(meter, 0), "limit": _limit(meter, units.get(meter, 0), call)}
                for meter in _COUNTED
            },
            "custom_limits_usd": {},
            "products": list(products.values()),
        }
    )


def daily_usage(call: Call, transaction: Transaction) -> Reply:
    """``GET /api/billing/usage/``: units by day, one series for each usage type."""
    refusal = _refuse_credentials(call)
    if refusal is not None:
        return refusal
    try:
        first, last = (_day(call.query, name) for name in ("start_date", "end_date"))
        breakdowns = json.loads(call.query.get("breakdowns") or "[]")
    except ValueError as problem:
        return _invalid(str(problem))
    if call.query.get("interval", "day") != "day" or breakdowns not in ([], ["type"]):
        return _invalid('the receiver knows the interval "day" and the breakdown ["type"]')
    days = (last - first).days + 1
    if not 0 < days <= MOST_DAYS:
        return _invalid("The date range is longer than a year, or ends before it begins.")
    starts = [first + timedelta(days=number) for number in range(days)]
    by_day = [bill(transaction, start=start, end=start + timedelta(days=1))["meters"] for start in starts]
    used = [meter for meter in _COUNTED if any(meter in units for units in by_day)]
    results = [
        {
            "id": number,
            "label": METERS[meter].name,
            "dates": [f"{start:%Y-%m-%d}" for start in starts],
            "data": [float(units.get(meter, 0)) for units in by_day],
            "breakdown_type": "type",
            "breakdown_value": _USAGE_TYPE[meter],
        }
        for number, meter in enumerate(used)
    ]
    return json_reply({"status": "ok", "type": "timeseries", "results": results})


def _product(book: PriceBook, meter: str, units: int, call: Call) -> dict[str, Any]:
    limit = _limit(meter, units, call)
    return {
        "type": METERS[meter].product,
        "usage_key": METERS[meter].usage_key,
        "unit": METERS[meter].unit,
        "subscribed": True,
        "current_usage": units,
        "usage_limit": limit,
        "has_exceeded_limit": limit is not None,
        "current_amount_usd": _dollars(book.rate(meter).cumulative_nano(units)),
        "addons": [],
    }


def _limit(meter: str, units: int, call: Call) -> int | None:
    """The billing limit in units, known only once a fault says that it is reached."""
    return units if METERS[meter].usage_key in call.over_quota else None


def _day(query: Mapping[str, str], name: str) -> datetime:
    text = query.get(name, "")
    try:
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=timezone.utc)
    except ValueError:
        raise ValueError(f"Could not parse date '{text}' of {name}.") from None


def _instant(moment: datetime) -> str:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


def _dollars(nano: int) -> str:
    return f"{usd_from_nano(nano):.2f}"


def _refuse_credentials(call: Call) -> Reply | None:
    """The billing API wants a personal key and no other."""
    scheme, _, key = call.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not key.strip():
        return _refusal(401, "not_authenticated", "Authentication credentials were not provided.")
    if not key.strip().startswith("phx_"):
        detail = "Personal API key found in request Authorization header is invalid."
        return _refusal(401, "authentication_failed", detail)
    return None


def _invalid(detail: str) -> Reply:
    return _refusal(400, "invalid_input", detail, kind="validation_error")


def _refusal(status: int, code: str, detail: str, *, kind: str = "authentication_error") -> Reply:
    content = {"type": kind, "code": code, "detail": detail, "attr": None}
    return json_reply(content, status, note=f"{code}: {detail}")

"""Alerts: what is said when a budget reaches a threshold, and how it gets to people."""

from __future__ import annotations

from genops_otel_posthog.budgets.alerts.delivery import AlertDelivery
from genops_otel_posthog.budgets.alerts.queue import AlertCounts

__all__ = ["AlertCounts", "AlertDelivery"]

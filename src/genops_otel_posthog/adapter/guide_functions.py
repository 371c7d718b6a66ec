"""Functions that the guide calls without saying where they come from, about the adapter of ``auto_instrument()``."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import Any, Final

from genops_otel_posthog.adapter.adapter import GenOpsPostHogAdapter
from genops_otel_posthog.adapter.metrics_export import Gauges
from genops_otel_posthog.adapter.sampling import PRESETS
from genops_otel_posthog.adapter.zero_code import get_current_adapter
from genops_otel_posthog.budgets.sampling import keeps
from genops_otel_posthog.errors import GenOpsConfigurationError, GenOpsValidationError

_logger = logging.getLogger("genops_otel_posthog.budgets.alerts")

_LEVELS: Final = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
    "critical": logging.CRITICAL,
}


def export_analytics_metrics() -> dict[str, float]:
    """See :meth:`GenOpsPostHogAdapter.export_analytics_metrics`.

    Raises:
        GenOpsConfigurationError: :func:`auto_instrument` has not been called, as for the following.
    """
    return _current().export_analytics_metrics()


def send_to_datadog(statsd: Gauges) -> None:
    """See :meth:`GenOpsPostHogAdapter.send_to_datadog`."""
    _current().send_to_datadog(statsd)


def analyze_weekly_cost_trend() -> dict[str, float]:
    """See :meth:`GenOpsPostHogAdapter.analyze_weekly_cost_trend`."""
    return _current().analyze_weekly_cost_trend()


def get_daily_event_count() -> int:
    """Events that the adapter has captured today, in this process."""
    return _current().governed.counts.today().events


def get_daily_flag_count() -> int:
    """Flags that the adapter has read today, in this process."""
    return _current().governed.counts.today().flags_evaluated


def send_alert(level: str, message: str) -> None:
    """Says something where alerts of budgets are said: in the log ``genops_otel_posthog.budgets.alerts``.

    Alerts of thresholds go to the webhook by themselves; this is for those of one's own.

    Args:
        level: ``info``, ``warning``, ``error``, ``critical`` or ``debug``.
        message: What to say.

    Raises:
        GenOpsValidationError: There is no such level.
    """
    try:
        number = _LEVELS[level.strip().lower()]
    except (AttributeError, KeyError):
        raise GenOpsValidationError(f"level={level!r} cannot be used; use one of {', '.join(_LEVELS)}") from None
    _logger.log(number, "%s", message)


def smart_event_sampling(
    event_name: str,
    properties: Mapping[str, Any] | None,
    traffic_level: str,
    distinct_id: str | None = None,
) -> bool:
    """Whether to capture an event: always at normal traffic, at high traffic by the guide's rates.

    Not chance decides but whose event it is, so that of one person either all events of a kind are captured or none.
    An adapter with ``sampling="aggressive"`` does the same, and marks what it sends with its rate.

    Args:
        event_name: Its name; conversions, sign-ups and purchases are always captured.
        properties: Its properties, which stand for its person where none is named.
        traffic_level: ``high``, or anything else for normal.
        distinct_id: Whose it is.
    """
    sampling = PRESETS["aggressive"]
    if traffic_level != "high" or sampling is None:
        return True
    whose = distinct_id or json.dumps(dict(properties or {}), sort_keys=True, default=repr)
    return keeps(f"{whose}\0{event_name}", sampling.rate(event_name))


def _current() -> GenOpsPostHogAdapter:
    adapter = get_current_adapter()
    if adapter is None:
        raise GenOpsConfigurationError("there is no current adapter; call auto_instrument() first")
    return adapter

"""An adapter's figures for dashboards that do not speak OpenTelemetry: the guide's five numbers, in three forms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from genops_otel_posthog.adapter.adapter import GenOpsPostHogAdapter

_METRICS: Final[Mapping[str, str]] = {
    "posthog_daily_cost": "What the owner's PostHog calls cost today, US dollars.",
    "posthog_budget_utilization": "Part of the daily budget that is spent, percent.",
    "posthog_governance_active": "Whether budgets are asked and events carry their owner.",
    "posthog_events_today": "Events that were captured today, by this process.",
    "posthog_flags_evaluated": "Flags that were read today, by this process.",
}
"""The names are the GenOps guide's, "Dashboard Integration"."""


class Gauges(Protocol):
    """What takes gauges, such as ``datadog.statsd``."""

    def gauge(self, metric: str, value: float, *, tags: list[str]) -> object:
        """Takes one."""
        ...


def figures(adapter: GenOpsPostHogAdapter) -> dict[str, float]:
    """The numbers under the guide's names."""
    summary = adapter.get_cost_summary()
    return {
        "posthog_daily_cost": summary["daily_costs"],
        "posthog_budget_utilization": summary["daily_budget_utilization"],
        "posthog_governance_active": 1 if summary["governance_enabled"] else 0,
        "posthog_events_today": summary["events_today"],
        "posthog_flags_evaluated": summary["flags_evaluated_today"],
    }


def prometheus_text(adapter: GenOpsPostHogAdapter) -> str:
    """The same in Prometheus' text format (https://prometheus.io/docs/instrumenting/exposition_formats/)."""
    labels = ",".join(f'{name}="{_escaped(value)}"' for name, value in _labels(adapter).items())
    lines = []
    for name, value in figures(adapter).items():
        lines += [f"# HELP {name} {_METRICS[name]}", f"# TYPE {name} gauge", f"{name}{{{labels}}} {value!r}"]
    return "\n".join(lines) + "\n"


def send_gauges(adapter: GenOpsPostHogAdapter, statsd: Gauges) -> None:
    """Hands the same to a statsd client, with the owner as tags."""
    tags = [f"{name}:{value}" for name, value in _labels(adapter).items()]
    for name, value in figures(adapter).items():
        statsd.gauge(name, value, tags=tags)


def _labels(adapter: GenOpsPostHogAdapter) -> dict[str, str]:
    given = {"team": adapter.team, "project": adapter.project, "environment": adapter.environment}
    return {name: value for name, value in given.items() if value is not None}


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")

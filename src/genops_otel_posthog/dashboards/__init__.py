"""Alert rules and dashboards, as the files that Prometheus, Grafana and SigNoz read."""

from __future__ import annotations

from pathlib import Path
from typing import Final, NamedTuple

PROMETHEUS_RULES = Path(__file__).parent / "prometheus_rules.yaml"
"""Recording and alerting rules for Prometheus 2.42 or newer."""

GRAFANA_DASHBOARD = Path(__file__).parent / "grafana.json"
"""A dashboard for Grafana 10.4 or newer, over Prometheus."""

SIGNOZ_DASHBOARD = Path(__file__).parent / "signoz.json"
"""The same dashboard for SigNoz (format v5)."""


class DashboardFile(NamedTuple):
    """A file for somebody else's program.

    Attributes:
        name: What it is called here.
        path: Where it is.
        program: Who reads it.
        use: How it gets there.
    """

    name: str
    path: Path
    program: str
    use: str


FILES: Final = (
    DashboardFile("grafana", GRAFANA_DASHBOARD, "Grafana 10.4 or newer, over Prometheus", "Dashboards, New, Import"),
    DashboardFile("signoz", SIGNOZ_DASHBOARD, "SigNoz, format v5", "Dashboards, New dashboard, Import JSON"),
    DashboardFile("prometheus-rules", PROMETHEUS_RULES, "Prometheus 2.42 or newer", "rule_files in prometheus.yml"),
)
"""All of them."""

"""Alert rules and dashboards, as the files that Prometheus and its kin read."""

from __future__ import annotations

from pathlib import Path

PROMETHEUS_RULES = Path(__file__).parent / "prometheus_rules.yaml"
"""Recording and alerting rules for Prometheus 2.42 or newer."""

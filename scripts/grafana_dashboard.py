"""The panels as a dashboard of Grafana over Prometheus.

Names are those that OpenTelemetry's Prometheus exporters and Prometheus' own OTLP endpoint give the metrics
(https://opentelemetry.io/docs/specs/otel/compatibility/prometheus_and_openmetrics/). The format is that of
https://grafana.com/docs/grafana/latest/dashboards/build-dashboards/view-dashboard-json-model/.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from dashboard_panels import COLUMNS, Dashboard, Panel
from registry import Group

OWNER_FILTERS = {"genops.team": "team", "genops.project": "project", "genops.environment": "environment"}
"""Attributes that the whole dashboard can be narrowed to → the variable."""

_SCHEMA_VERSION = 39  # Grafana 10.4; later ones read it
_SOURCE = {"type": "prometheus", "uid": "${datasource}"}
_UNITS = {
    "usd": "currencyUSD",
    "count": "short",
    "ratio": "percentunit",
    "seconds": "s",
    "bytes": "bytes",
    "switch": "bool_yes_no",
}
_TYPES = {"stat": "stat", "lines": "timeseries", "bars": "timeseries", "gauge": "bargauge", "table": "table"}
_SUFFIX_OF_UNIT = {"s": "_seconds", "By": "_bytes"}
_HEIGHTS = {"stat": 4, "gauge": 7, "lines": 8, "bars": 8, "table": 8}
_ROW_HEIGHT = 1
_SHORTEST_BAR = "5m"  # several scrapes, without which nothing increases


def prometheus_name(metric: Group) -> str:
    """The name of a metric in Prometheus, without the suffixes of histograms."""
    total = "_total" if metric.instrument == "counter" else ""
    return metric.metric_name.replace(".", "_") + _SUFFIX_OF_UNIT.get(metric.unit, "") + total


def _series(metric: Group, suffix: str, matchers: list[str]) -> str:
    name = prometheus_name(metric) + suffix
    if metric.instrument == "gauge" and metric.unit == "1":
        # Some exporters call it a ratio and some do not.
        name, matchers = "", [f'__name__=~"{name}(_ratio)?"', *matchers]
    return name + ("{" + ", ".join(matchers) + "}" if matchers else "")


def expression(panel: Panel) -> str:
    """What Prometheus is asked for."""
    return " / ".join(_term(panel, metric, is_last=number > 0) for number, metric in enumerate(panel.metrics))


def _term(panel: Panel, metric: Group, *, is_last: bool) -> str:
    by = f" by ({', '.join(map(_label, panel.by))})" if panel.by else ""
    suffix = {"count": "_count", "p95": "_bucket"}.get(panel.how, "")
    series = _series(metric, suffix, _matchers(panel, metric))
    # Of one number and of a table all of the range counts, of a bar its own interval, of a line the last moments.
    window = {"stat": "$__range", "table": "$__range", "bars": "$__interval"}.get(panel.shape, "$__rate_interval")
    if panel.how in ("increase", "count"):
        return f"sum{by} (increase({series}[{window}]))"
    if panel.how == "p95":
        buckets = ", ".join(("le", *map(_label, panel.by)))
        return f"histogram_quantile(0.95, sum by ({buckets}) (rate({series}[{window}])))"
    function = {"last": "max", "least": "min", "sum": "sum"}[panel.how]
    term = f"{function}{by} ({series})"
    return f"({term} > 0)" if is_last else term


def _matchers(panel: Panel, metric: Group) -> list[str]:
    has = {reference.name for reference in metric.references}
    matchers = [f'{_label(name)}=~"${variable}"' for name, variable in OWNER_FILTERS.items() if name in has]
    matchers += [f'{_label(name)}=~"{"|".join(values)}"' for name, values in panel.only.items()]
    matchers += [f'{_label(name)}!~"{"|".join(values)}"' for name, values in panel.without.items()]
    return matchers


def _label(attribute: str) -> str:
    return attribute.replace(".", "_")


def render(dashboard: Dashboard) -> dict[str, Any]:
    """The dashboard as Grafana imports it."""
    return {
        "uid": "genops-otel-posthog",
        "title": dashboard.title,
        "description": dashboard.description,
        "tags": ["posthog", "genops", "finops", "opentelemetry"],
        "schemaVersion": _SCHEMA_VERSION,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "1m",
        "time": {"from": "now-24h", "to": "now"},
        "timezone": "browser",
        "templating": {"list": list(_variables())},
        "annotations": {"list": []},
        "links": [],
        "panels": list(_panels(dashboard)),
    }


def _variables() -> Iterator[dict[str, Any]]:
    yield {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus", "hide": 0}
    for attribute, name in OWNER_FILTERS.items():
        query = f"label_values(genops_cost_usage_total, {_label(attribute)})"
        yield {
            "name": name,
            "label": name.capitalize(),
            "type": "query",
            "datasource": _SOURCE,
            "definition": query,
            "query": {"query": query, "refId": f"{name}-values"},
            "refresh": 2,
            "sort": 1,
            "multi": True,
            "includeAll": True,
            # What nobody owns has no such label; `.*` finds it, too.
            "allValue": ".*",
            "current": {"text": "All", "value": "$__all"},
            "hide": 0,
        }


def _panels(dashboard: Dashboard) -> Iterator[dict[str, Any]]:
    number = y = 0
    for section in dashboard.sections:
        number += 1
        yield {
            "id": number,
            "type": "row",
            "title": section.title,
            "collapsed": False,
            "gridPos": {"x": 0, "y": y, "w": COLUMNS, "h": _ROW_HEIGHT},
            "panels": [],
        }
        y += _ROW_HEIGHT
        x = height = 0
        for panel in section.panels:
            number += 1
            if x + panel.width > COLUMNS:
                x, y, height = 0, y + height, 0
            place = {"x": x, "y": y, "w": panel.width, "h": _HEIGHTS[panel.shape]}
            yield {"id": number, "gridPos": place, **_panel(panel)}
            x, height = x + panel.width, max(height, place["h"])
        y += height


def _panel(panel: Panel) -> dict[str, Any]:
    at_once = panel.shape in ("stat", "table", "gauge")
    legend = " ".join(f"{{{{{_label(attribute)}}}}}" for attribute in panel.by)
    target = {
        "refId": "A",
        "datasource": _SOURCE,
        "expr": expression(panel),
        "legendFormat": legend or panel.title,
        "instant": at_once,
        "range": not at_once,
        "format": "table" if panel.shape == "table" else "time_series",
    }
    content: dict[str, Any] = {
        "type": _TYPES[panel.shape],
        "title": panel.title,
        "description": panel.description,
        "datasource": _SOURCE,
        "targets": [target],
        "fieldConfig": {"defaults": _defaults(panel), "overrides": []},
        "options": _options(panel),
    }
    if panel.shape == "bars":
        content["interval"] = _SHORTEST_BAR
    if panel.shape == "table":
        names = {_label(attribute): attribute for attribute in panel.by}
        content["transformations"] = [
            {
                "id": "organize",
                "options": {"excludeByName": {"Time": True}, "renameByName": {**names, "Value": panel.title}},
            }
        ]
    return content


def _defaults(panel: Panel) -> dict[str, Any]:
    defaults: dict[str, Any] = {"unit": _UNITS[panel.unit], "decimals": 4 if panel.unit == "usd" else None}
    if panel.unit == "ratio":
        # The thresholds that budgets have when they name none.
        steps = [(None, "green"), (0.8, "orange"), (0.95, "red")]
        defaults |= {"min": 0, "thresholds": {"mode": "absolute", "steps": list(map(_step, steps))}}
    if panel.unit == "switch":
        steps = [(None, "red"), (1, "green")]
        defaults["thresholds"] = {"mode": "absolute", "steps": list(map(_step, steps))}
    if panel.shape == "bars":
        defaults["custom"] = {"drawStyle": "bars", "fillOpacity": 60, "stacking": {"mode": "normal", "group": "A"}}
    return {name: value for name, value in defaults.items() if value is not None}


def _step(step: tuple[float | None, str]) -> Mapping[str, Any]:
    return {"value": step[0], "color": step[1]}


def _options(panel: Panel) -> dict[str, Any]:
    if panel.shape in ("stat", "gauge"):
        return {"reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False}, "orientation": "horizontal"}
    if panel.shape == "table":
        return {"sortBy": [{"displayName": panel.title, "desc": True}]}
    return {
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }

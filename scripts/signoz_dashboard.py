"""The panels as a dashboard of SigNoz, over the metrics as OpenTelemetry names them.

The format is version v5 of the files in https://github.com/SigNoz/dashboards.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

from dashboard_panels import COLUMNS, Dashboard, Panel
from registry import Group

_COLUMNS = 12
_NAMESPACE = uuid.UUID("5a7c1f0e-3d0b-4d5a-9d2e-6f0d3c1b8a47")  # of the ids, which are the same every time
_UNITS = {
    "usd": "currencyUSD",
    "count": "short",
    "ratio": "percentunit",
    "seconds": "s",
    "bytes": "bytes",
    "switch": "bool_yes_no",
}
_TYPES = {"stat": "value", "lines": "graph", "bars": "bar", "gauge": "table", "table": "table"}
_HEIGHTS = {"stat": 3, "gauge": 6, "lines": 6, "bars": 6, "table": 6}
_KINDS = {"counter": "Sum", "updowncounter": "Sum", "gauge": "Gauge", "histogram": "Histogram"}
#: Aggregation → within a series, across series, and of the points of a number or a table.
_AGGREGATIONS = {
    "increase": ("increase", "sum", "sum"),
    "count": ("increase", "sum", "sum"),
    "last": ("latest", "max", "last"),
    "least": ("latest", "min", "last"),
    "sum": ("latest", "sum", "last"),
    "p95": ("", "p95", "last"),
}


def render(dashboard: Dashboard) -> dict[str, Any]:
    """The dashboard as SigNoz imports it."""
    layout: list[dict[str, Any]] = []
    widgets: list[dict[str, Any]] = []
    panel_map: dict[str, Any] = {}
    y = 0
    for section in dashboard.sections:
        row = _id("row", section.title)
        layout.append({**_place(row, 0, y, _COLUMNS, 1), "minW": _COLUMNS, "minH": 1, "maxH": 1})
        widgets.append(_row(row, section.title))
        y += 1
        places = list(_places(section.panels, y))
        y = max(place["y"] + place["h"] for place in places)
        layout += places
        widgets += map(_widget, section.panels)
        panel_map[row] = {"collapsed": False, "widgets": []}
    return {
        "title": dashboard.title,
        "description": dashboard.description,
        "tags": ["posthog", "genops", "finops", "opentelemetry"],
        "version": "v5",
        "uploadedGrafana": False,
        "variables": {},
        "layout": layout,
        "panelMap": panel_map,
        "widgets": widgets,
    }


def _places(panels: tuple[Panel, ...], y: int) -> Iterator[dict[str, Any]]:
    x = height = 0
    for panel in panels:
        width = panel.width * _COLUMNS // COLUMNS
        if x + width > _COLUMNS:
            x, y, height = 0, y + height, 0
        yield _place(_id("panel", panel.title), x, y, width, _HEIGHTS[panel.shape])
        x, height = x + width, max(height, _HEIGHTS[panel.shape])


def _place(id: str, x: int, y: int, width: int, height: int) -> dict[str, Any]:
    return {"i": id, "x": x, "y": y, "w": width, "h": height, "moved": False, "static": False}


def _row(id: str, title: str) -> dict[str, Any]:
    return {
        "id": id,
        "title": title,
        "description": "",
        "panelTypes": "row",
        "collapsed": False,
        "query": _query(_id("query", title), [], []),
    }


def _widget(panel: Panel) -> dict[str, Any]:
    queries = [
        _asked(panel, metric, name, hidden=panel.divided_by is not None)
        for name, metric in zip("AB", panel.metrics, strict=False)
    ]
    formulas = [] if panel.divided_by is None else [_formula(panel)]
    return {
        "id": _id("panel", panel.title),
        "title": panel.title,
        "description": panel.description,
        "panelTypes": _TYPES[panel.shape],
        "query": _query(_id("query", panel.title), queries, formulas),
        "yAxisUnit": _UNITS[panel.unit],
        "columnUnits": {"F1" if formulas else "A": _UNITS[panel.unit]} if _TYPES[panel.shape] == "table" else {},
        "isStacked": False,
        "stackedBarChart": panel.shape == "bars",
        "nullZeroValues": "zero",
        "fillSpans": False,
        "opacity": "1",
        "softMin": 0,
        "softMax": 0,
        "bucketCount": 30,
        "bucketWidth": 0,
        "mergeAllActiveQueries": False,
        "thresholds": [],
        "timePreferance": "GLOBAL_TIME",  # spelt like that in SigNoz
        "selectedLogFields": [],
        "selectedTracesFields": [],
    }


def _asked(panel: Panel, metric: Group, name: str, *, hidden: bool) -> dict[str, Any]:
    within, across, of_points = _AGGREGATIONS[panel.how]
    # The number of calls is a metric of its own beside the histogram.
    key = f"{metric.metric_name}.count" if panel.how == "count" else metric.metric_name
    kind = "Sum" if panel.how == "count" else _KINDS[metric.instrument]
    return {
        "queryName": name,
        "expression": name,
        "dataSource": "metrics",
        "disabled": hidden,
        "aggregateAttribute": {
            "key": key,
            "dataType": "float64",
            "type": kind,
            "isColumn": True,
            "isJSON": False,
            "id": f"{key}--float64--{kind}--true",
        },
        "aggregateOperator": within or across,
        "timeAggregation": within,
        "spaceAggregation": across,
        "reduceTo": of_points,
        "filters": {"op": "AND", "items": list(_filters(panel))},
        "groupBy": [_attribute(name) for name in panel.by],
        "legend": " ".join(f"{{{{{name}}}}}" for name in panel.by) or panel.title,
        "functions": [],
        "having": [],
        "orderBy": [],
        "limit": None,
        "stepInterval": 60,
    }


def _filters(panel: Panel) -> Iterator[dict[str, Any]]:
    for operator, chosen in (("in", panel.only), ("nin", panel.without)):
        for name, values in chosen.items():
            yield {
                "id": _id("filter", panel.title, name),
                "key": _attribute(name),
                "op": operator,
                "value": list(values),
            }


def _attribute(name: str) -> dict[str, Any]:
    return {
        "key": name,
        "dataType": "string",
        "type": "tag",
        "isColumn": False,
        "isJSON": False,
        "id": f"{name}--string--tag--false",
    }


def _formula(panel: Panel) -> dict[str, Any]:
    return {
        "queryName": "F1",
        "expression": "A/B",
        "disabled": False,
        "legend": " ".join(f"{{{{{name}}}}}" for name in panel.by),
        "having": [],
        "orderBy": [],
        "limit": None,
    }


def _query(id: str, queries: list[dict[str, Any]], formulas: list[dict[str, Any]]) -> dict[str, Any]:
    nothing = {"name": "A", "query": "", "legend": "", "disabled": False}
    return {
        "id": id,
        "queryType": "builder",
        "builder": {"queryData": queries, "queryFormulas": formulas},
        "promql": [nothing],
        "clickhouse_sql": [nothing],
        "unit": "",
    }


def _id(*words: str) -> str:
    return str(uuid.uuid5(_NAMESPACE, "\n".join(words)))

"""The dashboards: they ask for what is emitted, in the form that Grafana and SigNoz read."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from dashboard_panels import COLUMNS, load_dashboard
from generate_dashboards import PANELS, rendered
from generate_semconv import REGISTRY, ROOT, stale_files
from genops_otel_posthog.dashboards import FILES, GRAFANA_DASHBOARD, SIGNOZ_DASHBOARD
from grafana_dashboard import expression, prometheus_name
from registry import RegistryError, load

GRAFANA: dict[str, Any] = json.loads(GRAFANA_DASHBOARD.read_text(encoding="utf-8"))
SIGNOZ: dict[str, Any] = json.loads(SIGNOZ_DASHBOARD.read_text(encoding="utf-8"))
METRICS = {group.metric_name: group for group in load(REGISTRY).of_type("metric")}
DASHBOARD = load_dashboard(PANELS, load(REGISTRY))
#: OpenTelemetry's own, and figures of one process that mean something only beside another.
NOT_SHOWN = {"genops.budget.overdraft", "genops.budget.utilization", "genops.ledger.lease"}
#: Read on import, because every test hides the settings of the shell.
PROMTOOL = os.environ.get("GENOPS_TEST_PROMTOOL") or shutil.which("promtool")
VARIABLES = {"$__range": "1d", "$__rate_interval": "5m", "$__interval": "5m"}


def test_the_committed_files_are_what_the_panels_say() -> None:
    assert stale_files(ROOT, rendered()) == []


def test_every_file_is_there_and_has_a_name_of_its_own() -> None:
    assert all(file.path.is_file() for file in FILES)
    assert len({file.name for file in FILES}) == len(FILES)


def test_every_metric_of_ours_is_shown_somewhere() -> None:
    shown = {metric.metric_name for panel in DASHBOARD.panels for metric in panel.metrics}
    assert {name for name in METRICS if not name.startswith("otel.")} - shown == NOT_SHOWN


# --- Grafana ------------------------------------------------------------------------------------------------------


def grafana_panels() -> list[dict[str, Any]]:
    return [panel for panel in GRAFANA["panels"] if panel["type"] != "row"]


def test_grafana_gets_what_every_dashboard_has() -> None:
    assert {"uid", "title", "schemaVersion", "panels", "templating", "time"} <= GRAFANA.keys()
    assert isinstance(GRAFANA["schemaVersion"], int)
    assert len({panel["id"] for panel in GRAFANA["panels"]}) == len(GRAFANA["panels"])
    for panel in grafana_panels():
        assert {"type", "title", "gridPos", "targets", "fieldConfig", "options", "datasource"} <= panel.keys()
        assert panel["type"] in {"stat", "timeseries", "bargauge", "table"}


def test_panels_of_grafana_neither_overlap_nor_stick_out() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in GRAFANA["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert place["x"] + place["w"] <= COLUMNS
        assert not taken & cells, panel["title"]
        taken |= cells


def series_and_labels(expression: str) -> tuple[set[str], set[str]]:
    """What an expression asks for: names of series, and the labels that it groups by or matches."""
    labels = {label for names in re.findall(r"\bby \(([^)]*)\)", expression) for label in re.split(r",\s*", names)}
    rest = re.sub(r"\bby \([^)]*\)", "", expression)
    names = set(re.findall(r'__name__=~"(\w+)\(_ratio\)\?"', rest))
    labels |= set(re.findall(r"(\w+)[=!]~", rest)) - {"__name__"}
    rest = re.sub(r'\w+[=!]~"[^"]*"', "", rest)
    return names | set(re.findall(r"\b(?:genops|posthog)_\w+", rest)), labels


@pytest.mark.parametrize("panel", grafana_panels(), ids=lambda panel: panel["title"])
def test_a_panel_of_grafana_asks_for_series_and_labels_that_are_made(panel: dict[str, Any]) -> None:
    (target,) = panel["targets"]
    made = {
        prometheus_name(metric) + suffix: {ref.name.replace(".", "_") for ref in metric.references}
        for metric in METRICS.values()
        for suffix in (("_bucket", "_count", "_sum") if metric.instrument == "histogram" else ("",))
    }
    names, labels = series_and_labels(target["expr"])
    assert names
    assert names <= made.keys()
    has = {label for name in names for label in made[name]} | {"le"}
    assert labels <= has
    assert set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])) <= has


def test_variables_of_grafana_are_declared() -> None:
    declared = {variable["name"] for variable in GRAFANA["templating"]["list"]}
    text = json.dumps(GRAFANA["panels"])
    used = set(re.findall(r"\$(?:\{(\w+)\}|(\w+))", text))
    assert {one or other for one, other in used} - {"__range", "__rate_interval", "__interval"} == declared


def test_budgets_are_never_summed_over_processes() -> None:
    of_budgets = [p for p in DASHBOARD.panels if any(m.metric_name.startswith("genops.budget.") for m in p.metrics)]
    assert of_budgets
    assert {panel.how for panel in of_budgets} == {"last"}
    assert not [panel.title for panel in of_budgets if re.search(r"\bsum\b", expression(panel))]


def test_prometheus_can_read_every_expression(tmp_path: Path) -> None:
    if PROMTOOL is None:
        pytest.skip("promtool is not installed (Debian: apt-get install prometheus); GENOPS_TEST_PROMTOOL may name it")
    rules = []
    for number, panel in enumerate(DASHBOARD.panels):
        text = expression(panel)
        for name, value in VARIABLES.items():
            text = text.replace(name, value)
        rules.append({"record": f"panel_{number}", "expr": re.sub(r"\$\w+", ".*", text)})
    path = tmp_path / "rules.yaml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}), encoding="utf-8")

    checked = subprocess.run(
        [PROMTOOL, "check", "rules", path], capture_output=True, text=True, timeout=60, check=False
    )

    assert (checked.returncode, f"{len(rules)} rules found" in checked.stdout) == (0, True), checked.stderr


# --- SigNoz -------------------------------------------------------------------------------------------------------


def signoz_panels() -> list[dict[str, Any]]:
    return [widget for widget in SIGNOZ["widgets"] if widget["panelTypes"] != "row"]


def test_signoz_gets_what_every_dashboard_has() -> None:
    assert SIGNOZ["version"] == "v5"
    assert {"title", "description", "tags", "layout", "panelMap", "variables", "widgets"} <= SIGNOZ.keys()
    ids = [widget["id"] for widget in SIGNOZ["widgets"]]
    assert len(set(ids)) == len(ids)
    assert sorted(place["i"] for place in SIGNOZ["layout"]) == sorted(ids)
    assert set(SIGNOZ["panelMap"]) == {w["id"] for w in SIGNOZ["widgets"] if w["panelTypes"] == "row"}


def test_panels_of_signoz_neither_overlap_nor_stick_out() -> None:
    taken: set[tuple[int, int]] = set()
    for place in SIGNOZ["layout"]:
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert place["x"] + place["w"] <= 12
        assert not taken & cells
        taken |= cells


@pytest.mark.parametrize("widget", signoz_panels(), ids=lambda widget: widget["title"])
def test_a_panel_of_signoz_asks_for_metrics_and_attributes_that_are_made(widget: dict[str, Any]) -> None:
    builder = widget["query"]["builder"]
    assert widget["query"]["queryType"] == "builder"
    assert widget["panelTypes"] in {"value", "graph", "bar", "table"}
    for query in builder["queryData"]:
        name = query["aggregateAttribute"]["key"]
        metric = METRICS[name.removesuffix(".count")]
        assert (metric.instrument == "histogram") or name == metric.metric_name
        has = {reference.name for reference in metric.references}
        assert {attribute["key"] for attribute in query["groupBy"]} <= has
        assert {item["key"]["key"] for item in query["filters"]["items"]} <= has
        assert set(re.findall(r"\{\{([\w.]+)\}\}", query["legend"])) <= has
    shown = [query for query in builder["queryData"] if not query["disabled"]] + builder["queryFormulas"]
    assert len(shown) == 1


# --- the panels ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"of": "genops.cost.useage"}, "there is no metric genops.cost.useage"),
        ({"how": "p95"}, "genops.cost.usage is a counter, of which there is no p95"),
        ({"by": ["genops.budget.id"]}, "genops.cost.usage has no attribute genops.budget.id"),
        ({"unit": "seconds"}, "genops.cost.usage is counted in {USD}, and not in seconds"),
        ({"how": "total"}, "how 'total' is none of"),
        ({"as": "pie"}, "as 'pie'"),
        ({"colour": "red"}, "unknown key 'colour'"),
        (
            {"of": "genops.policy.decisions", "unit": "count", "only": {"genops.policy.result": "refused"}},
            "genops.policy.result is never refused",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_panel_that_fits_nothing_is_refused(tmp_path: Path, change: dict[str, Any], problem: str) -> None:
    panel = {"title": "Cost", "of": "genops.cost.usage", "how": "increase", "as": "stat", "unit": "usd", **change}
    path = tmp_path / "panels.yaml"
    content = {"title": "t", "description": "d", "sections": [{"title": "s", "panels": [panel]}]}
    path.write_text(yaml.safe_dump(content), encoding="utf-8")

    with pytest.raises(RegistryError) as refusal:
        load_dashboard(path, load(REGISTRY))
    assert f"panels.yaml: Cost: {problem}" in str(refusal.value)


def test_two_panels_of_one_title_are_refused(tmp_path: Path) -> None:
    panel = {"title": "Cost", "of": "genops.cost.usage", "how": "increase", "as": "stat", "unit": "usd"}
    path = tmp_path / "panels.yaml"
    content = {"title": "t", "description": "d", "sections": [{"title": "s", "panels": [panel, panel]}]}
    path.write_text(yaml.safe_dump(content), encoding="utf-8")

    with pytest.raises(RegistryError, match="Cost stands twice"):
        load_dashboard(path, load(REGISTRY))

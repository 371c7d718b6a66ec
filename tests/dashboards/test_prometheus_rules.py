"""The alert rules for Prometheus: what promtool says of them, and that they speak of metrics that exist."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from generate_semconv import REGISTRY
from genops_otel_posthog.dashboards import PROMETHEUS_RULES
from registry import Group, load

HERE = Path(__file__).parent
RULES_TESTS = sorted(path.name for path in HERE.glob("rules*_test.yaml"))
RULES: list[dict[str, Any]] = [
    rule for group in yaml.safe_load(PROMETHEUS_RULES.read_text(encoding="utf-8"))["groups"] for rule in group["rules"]
]
ALERTS = [rule["alert"] for rule in RULES if "alert" in rule]

# https://opentelemetry.io/docs/specs/otel/compatibility/prometheus_and_openmetrics/#metric-metadata-1
SUFFIX_OF_UNIT = {"s": "_seconds"}
SUFFIXES_OF_INSTRUMENT = {
    "counter": ["_total"],
    "updowncounter": [""],
    "gauge": [""],
    "histogram": ["_bucket", "_count", "_sum"],
}
LABELS_OF_PROMETHEUS = {"job", "instance", "le", "severity"}
NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")


@pytest.fixture(scope="session")
def promtool() -> str:
    found = os.environ.get("GENOPS_TEST_PROMTOOL") or shutil.which("promtool")
    if found is None:
        pytest.skip("promtool is not installed (Debian: apt-get install prometheus); GENOPS_TEST_PROMTOOL may name it")
    return found


def run(*command: str | Path) -> tuple[int, str]:
    finished = subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, check=False, timeout=60, cwd=HERE
    )
    return finished.returncode, finished.stdout + finished.stderr


def prometheus_names(metric: Group) -> set[str]:
    """The names of a metric's series in Prometheus."""
    base = metric.metric_name.replace(".", "_") + SUFFIX_OF_UNIT.get(metric.unit, "")
    return {base + suffix for suffix in SUFFIXES_OF_INSTRUMENT[metric.instrument]}


METRICS = {
    name: {ref.name.replace(".", "_") for ref in metric.references}
    for metric in load(REGISTRY).of_type("metric")
    for name in prometheus_names(metric)
}
RECORDED = {rule["record"] for rule in RULES if "record" in rule}


def test_promtool_can_read_the_rules(promtool: str):
    code, output = run(promtool, "check", "rules", PROMETHEUS_RULES)
    assert (code, f"{len(RULES)} rules found" in output) == (0, True), output


@pytest.mark.parametrize("tests", RULES_TESTS)
def test_the_rules_do_what_their_tests_say(promtool: str, tests: str):
    code, output = run(promtool, "test", "rules", tests)
    assert code == 0, output


@pytest.mark.parametrize("alert", ALERTS)
def test_every_alert_is_tested(alert: str):
    text = "".join((HERE / name).read_text(encoding="utf-8") for name in RULES_TESTS)
    assert re.search(rf"\balertname(: |=)\"?{alert}\b", text)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.get("alert") or rule["record"])
def test_a_rule_speaks_of_series_that_are_made(rule: dict[str, Any]):
    without_strings = re.sub(r'"[^"]*"', '""', rule["expr"])
    used = {name for name in NAME.findall(without_strings) if name.startswith("genops_")}
    labels = {name for names in METRICS.values() for name in names}
    assert used - labels
    assert used - labels <= METRICS.keys() | RECORDED


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.get("alert") or rule["record"])
def test_a_rule_speaks_of_labels_that_its_metrics_have(rule: dict[str, Any]):
    text = " ".join([rule["expr"], *rule.get("annotations", {}).values()])
    metrics = [name for name in NAME.findall(rule["expr"]) if name in METRICS]
    # What is computed by rules from budgets keeps the labels of budgets.
    known = {label for name in metrics or ["genops_budget_limit"] for label in METRICS[name]} | LABELS_OF_PROMETHEUS
    by = [label for names in re.findall(r"\bby \(([^)]*)\)", text) for label in re.split(r",\s*", names)]
    matched = re.findall(r"([a-zA-Z_]+)\s*(?:=~|!~|!=|=)\s*\"", text)
    shown = re.findall(r"\$labels\.(\w+)", text)
    assert {*by, *matched, *shown} <= known


def test_budgets_are_never_summed_over_processes():
    for rule in RULES:
        assert not re.search(r"\bsum[^(]*\([^)]*\)\s*\([^)]*genops_budget", rule["expr"]), rule


def test_every_alert_has_a_severity_a_summary_and_a_description():
    for rule in RULES:
        if "alert" in rule:
            assert rule["labels"]["severity"] in {"page", "ticket", "info"}
            assert set(rule["annotations"]) == {"summary", "description"}

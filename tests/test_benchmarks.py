"""The benchmark command runs and prints every row. What the rows say depends on the machine and is not asserted
here."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from benchmarks.delivery import OURS, PEERS
from benchmarks.scenarios import DETACHED_SPAN, SCENARIOS, SPAN, Comparison, Limit, Scenario
from benchmarks.spans import WORK
from benchmarks.summary import additions

ROOT = Path(__file__).resolve().parent.parent
TINY = (
    *("--processes", "1", "--rounds", "2", "--calls", "3", "--memory-calls", "1500", "--imports", "1"),
    *("--deliveries", "1", "--delivery-spans", "200"),
)


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", *TINY, *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def sections() -> dict[str, Any]:
    """What one run of the whole command reports, by section."""
    done = run("--json")
    assert done.returncode in (0, 1), done.stderr
    return {section["name"]: section for section in json.loads(done.stdout)["sections"]}


@pytest.mark.slow
def test_every_section_is_measured(sections: dict[str, Any]) -> None:
    assert [*sections] == [*(scenario.name for scenario in SCENARIOS), "delivery", "burst", "memory", "import"]


@pytest.mark.slow
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_every_variant_of_a_scenario_is_timed_beside_the_bare_spans(
    scenario: Scenario, sections: dict[str, Any]
) -> None:
    timed = {timing["name"] for timing in sections[scenario.name]["timings"]}
    compared = {name for comparison in scenario.comparisons for name in (comparison.variant, comparison.bare)}
    assert {SPAN, DETACHED_SPAN, *compared} <= timed


@pytest.mark.slow
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
@pytest.mark.requirement("D-49")
def test_every_comparison_of_a_scenario_is_reported(scenario: Scenario, sections: dict[str, Any]) -> None:
    reported = [added["name"] for added in sections[scenario.name]["added"]]
    assert reported == [comparison.name for comparison in scenario.comparisons]


@pytest.mark.slow
def test_the_memory_run_counts_every_call_and_its_exact_cost(sections: dict[str, Any]) -> None:
    memory = sections["memory"]
    assert memory["units_by_meter"] == memory["units_expected"]
    assert memory["cost_nano"] == memory["cost_nano_expected"] > 0


@pytest.mark.slow
def test_the_plain_import_loads_neither_the_opentelemetry_sdk_nor_posthog(sections: dict[str, Any]) -> None:
    assert sections["import"]["statements"]["import genops_otel_posthog"]["unwanted"] == []


@pytest.mark.slow
def test_every_way_delivers_every_kind_of_span_and_nobody_loses_one_with_a_queue_that_is_long_enough(
    sections: dict[str, Any],
) -> None:
    lost = {
        (work, way): figures["lost"]
        for work, compared in sections["delivery"]["work"].items()
        for way, figures in compared["ways"].items()
    }
    assert {work for work, _ in lost} == set(WORK)
    assert {way for _, way in lost} == {OURS, *PEERS}
    assert set(lost.values()) == {0}


@pytest.mark.slow
def test_a_burst_of_ours_arrives_whole(sections: dict[str, Any]) -> None:
    burst = sections["burst"]
    assert [one["arrived"] for one in (burst["ways"][OURS], burst["more"])] == [400, 1_200]


def test_only_the_chosen_section_is_printed() -> None:
    done = run("--only", "suppressed")
    assert "a suppressed instrumentation" in done.stdout
    assert "memory:" not in done.stdout


def test_an_unknown_section_is_wrong_use() -> None:
    assert run("--only", "everything").returncode == 2


def scenario_of(*comparisons: Comparison) -> Scenario:
    def prepare() -> Any:
        raise AssertionError("a summary measures nothing")

    return Scenario("example", "an example", prepare, comparisons)


def samples(**microseconds: Sequence[float]) -> Mapping[str, Sequence[float]]:
    return {
        SPAN: [10, 20],
        "bare": [100, 200],
        "bare, then a bare span": [116, 232],
        "peer": [5, 10],
        "peer, then a bare span": [15, 30],
        **microseconds,
    }


def test_ratios_are_taken_within_a_round() -> None:
    (added,) = additions(scenario_of(Comparison("ours", "more", "bare")), samples(more=[113, 226]))
    assert added.spans == pytest.approx(1.3)


def test_the_ratio_beside_the_call_is_to_what_a_span_adds_there() -> None:
    (added,) = additions(scenario_of(Comparison("ours", "more", "bare")), samples(more=[132, 264]))
    assert added.spans_beside == pytest.approx(2.0)


@pytest.mark.parametrize(
    ("limit", "met"),
    [
        (Limit(1.3, "× span"), True),
        (Limit(1.2, "× span"), False),
        (Limit(0.9, "× beside"), True),
        (Limit(0.8, "× beside"), False),
        (Limit(20, "µs"), True),
        (Limit(19, "µs"), False),
    ],
)
@pytest.mark.requirement("D-49")
def test_a_limit_is_judged_by_the_median(limit: Limit, met: bool) -> None:
    (added,) = additions(scenario_of(Comparison("ours", "more", "bare", limit)), samples(more=[113, 226]))
    assert added.met is met


def test_what_must_be_cheaper_than_a_peer_is_judged_against_it() -> None:
    ours = Comparison("ours", "more", "bare", Limit(2, "× span"), cheaper_than="theirs")
    added, _ = additions(scenario_of(ours, Comparison("theirs", "bare", "peer")), samples(more=[113, 226]))
    assert added.met is True
    added, _ = additions(scenario_of(ours, Comparison("theirs", "peer", "peer")), samples(more=[113, 226]))
    assert added.met is False

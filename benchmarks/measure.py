"""Measures one scenario in this process and prints the samples as JSON: ``python -m benchmarks.measure NAME …``.

``python -m benchmarks`` starts it, once or several times for each scenario.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys

from benchmarks.scenarios import DETACHED_SPAN, SCENARIOS, SPAN, Scenario, followed_by_span
from benchmarks.slices import Effort, time_slices


def measure(scenario: Scenario, effort: Effort, seed: int) -> dict[str, list[float]]:
    """Microseconds per call of each variant of the scenario and of the bare spans, round by round."""
    stage, variants = scenario.prepare()
    variants = {SPAN: stage.current_span(), DETACHED_SPAN: stage.detached_span(), **variants}
    for bare in {comparison.bare: None for comparison in scenario.comparisons}:
        variants[followed_by_span(bare)] = stage.then(variants[bare], variants[SPAN])
    try:
        return time_slices(variants, effort, between=stage.clear, seed=seed)
    finally:
        stage.close()


def main() -> None:
    """Reads the arguments, measures, prints."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.measure", description=__doc__)
    parser.add_argument("scenario", choices=[scenario.name for scenario in SCENARIOS])
    parser.add_argument("--rounds", type=int, required=True)
    parser.add_argument("--calls", type=int, required=True)
    parser.add_argument("--warm-up", type=int, required=True)
    parser.add_argument("--seed", type=int, required=True)
    arguments = parser.parse_args()
    logging.getLogger("posthog").setLevel(logging.ERROR)  # it warns about several clients in one process
    scenario = next(scenario for scenario in SCENARIOS if scenario.name == arguments.scenario)
    effort = Effort(arguments.rounds, arguments.calls, arguments.warm_up)
    json.dump(measure(scenario, effort, arguments.seed), sys.stdout)


if __name__ == "__main__":
    main()

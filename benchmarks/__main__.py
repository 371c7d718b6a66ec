"""``python -m benchmarks``: measures, prints every figure, and ends with 1 when a limit is not kept."""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks import delivery, import_time, report
from benchmarks.scenarios import SCENARIOS, Scenario
from benchmarks.summary import additions, timings

_ROOT = Path(__file__).resolve().parent.parent
_FOREIGN_SETTINGS = ("GENOPS_", "OTEL_", "POSTHOG_")
_WARM_UP = 5
_NAMES = (*(scenario.name for scenario in SCENARIOS), "delivery", "burst", "memory", "import")
_PACKAGES = ("posthog", "opentelemetry-sdk", "opentelemetry-instrumentation-redis", "redis", "wrapt")


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command.

    Returns:
        0 when every limit is kept, 1 when one is not. Wrong arguments end the process with 2.
    """
    arguments = _arguments(argv)
    sections = [_section(name, arguments) for name in arguments.only or _NAMES]
    misses = [miss for section in sections for miss in section["missed"]]
    if arguments.json:
        result = {
            "at": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "python": platform.python_version(),
            "packages": {name: version(name) for name in _PACKAGES},
            "processes": arguments.processes,
            "rounds": arguments.rounds,
            "calls": arguments.calls,
            "sections": sections,
            "missed": misses,
        }
        print(json.dumps(result, indent=2))
    else:
        print(report.verdict(misses))
    return 1 if misses else 0


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--only", action="append", choices=_NAMES, metavar="NAME", help=f"one of {', '.join(_NAMES)}; repeatable"
    )
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help="a first impression in about a minute")
    size.add_argument("--full", action="store_true", help="a million calls for the memory")
    parser.add_argument("--json", action="store_true", help="everything as JSON")
    parser.add_argument("--processes", type=int, help="processes for each scenario (3; quick: 1)")
    parser.add_argument("--rounds", type=int, help="rounds in each process (40; quick: 15)")
    parser.add_argument("--calls", type=int, default=100, help="calls in each slice (100)")
    parser.add_argument(
        "--memory-calls", type=int, help="calls for the memory (100,000; quick: 20,000; full: 1,000,000)"
    )
    parser.add_argument("--deliveries", type=int, help="processes for each way of delivery (5; quick: 1)")
    parser.add_argument("--delivery-spans", type=int, help="spans that each of them delivers (10,000; quick: 3,000)")
    parser.add_argument("--imports", type=int, help="interpreters for each import statement (10; quick: 5)")
    arguments = parser.parse_args(argv)
    for name, usual, quick in (
        ("processes", 3, 1),
        ("rounds", 40, 15),
        ("memory_calls", 100_000, 20_000),
        ("deliveries", 5, 1),
        ("delivery_spans", 10_000, 3_000),
        ("imports", 10, 5),
    ):
        if getattr(arguments, name) is None:
            setattr(arguments, name, quick if arguments.quick else usual)
    if arguments.full:
        arguments.memory_calls = 1_000_000
    for name in ("processes", "rounds", "calls", "memory_calls", "deliveries", "delivery_spans", "imports"):
        if getattr(arguments, name) < 1:
            parser.error(f"--{name.replace('_', '-')} must be at least 1")
    return arguments


def _section(name: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """Measures one section, prints it unless everything is printed as JSON in the end, and gives it."""
    if sys.stderr.isatty():
        print(f"… {name}", end="\r", file=sys.stderr, flush=True)
    sections: dict[str, Callable[[argparse.Namespace], tuple[dict[str, Any], str]]] = {
        "delivery": _delivery,
        "burst": _burst,
        "memory": _memory,
        "import": _imports,
    }
    scenario = next((scenario for scenario in SCENARIOS if scenario.name == name), None)
    section, text = sections[name](arguments) if scenario is None else _scenario(scenario, arguments)
    if not arguments.json:
        print(text, flush=True)
    return {"name": name, **section}


def _scenario(scenario: Scenario, arguments: argparse.Namespace) -> tuple[dict[str, Any], str]:
    samples: dict[str, list[float]] = {}
    for seed in range(arguments.processes):
        options = ("--rounds", arguments.rounds, "--calls", arguments.calls, "--warm-up", _WARM_UP, "--seed", seed)
        for variant, figures in _run("benchmarks.measure", scenario.name, *options).items():
            samples.setdefault(variant, []).extend(figures)
    times, added = timings(samples), additions(scenario, samples)
    section = {
        "timings": [asdict(one) for one in times],
        "added": [asdict(one) for one in added],
        "missed": [f"{scenario.name}: {one.name}" for one in added if one.met is False],
    }
    return section, report.scenario_text(scenario, times, added)


def _delivery(arguments: argparse.Namespace) -> tuple[dict[str, Any], str]:
    result = delivery.sustained(_run, rounds=arguments.deliveries, spans=arguments.delivery_spans)
    return {"work": result, "missed": delivery.sustained_missed(result)}, delivery.sustained_text(result)


def _burst(arguments: argparse.Namespace) -> tuple[dict[str, Any], str]:
    result = delivery.burst(_run, spans=min(2 * arguments.delivery_spans, delivery.BURST))
    missed = [f"burst: {what}" for what, met in delivery.burst_checks(result).items() if not met]
    return {**result, "missed": missed}, delivery.burst_text(result)


def _memory(arguments: argparse.Namespace) -> tuple[dict[str, Any], str]:
    result = _run("benchmarks.memory", "--calls", arguments.memory_calls)
    checks = report.memory_checks(result)
    section = {**result, "missed": [f"memory: {what}" for what, met in checks.items() if not met]}
    return section, report.memory_text(result, checks)


def _imports(arguments: argparse.Namespace) -> tuple[dict[str, Any], str]:
    costs = import_time.measure(arguments.imports, _environ())
    checks = report.import_checks(costs)
    section = {
        "statements": {statement: asdict(cost) for statement, cost in costs.items()},
        "missed": [f"import: {what}" for what, met in checks.items() if not met],
    }
    return section, report.import_text(costs, checks)


def _run(module: str, *arguments: object) -> dict[str, Any]:
    """The JSON that a module of this package prints, run in an interpreter of its own."""
    command = [sys.executable, "-m", module, *map(str, arguments)]
    done = subprocess.run(command, cwd=_ROOT, env=_environ(), stdout=subprocess.PIPE, text=True, check=True)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def _environ() -> dict[str, str]:
    """The environment without settings that would change what is measured."""
    return {name: value for name, value in os.environ.items() if not name.startswith(_FOREIGN_SETTINGS)}


if __name__ == "__main__":
    sys.exit(main())

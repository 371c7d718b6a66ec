"""What importing costs: whole interpreters that import something, beside interpreters that import nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from resource import RUSAGE_CHILDREN, getrusage
from statistics import median

STATEMENTS = (
    "import genops_otel_posthog",
    "from genops_otel_posthog import governance",
    "from genops_otel_posthog import PostHogInstrumentor",
)
UNWANTED = ("opentelemetry.sdk", "posthog")
"""What the first of the statements must not import."""

_SHOWN = 8  # the most expensive modules of a statement


@dataclass(frozen=True)
class ImportCost:
    """What one statement costs.

    Attributes:
        beyond_bare_ms: Milliseconds of processor time of a fresh interpreter with the statement beyond one without:
            median.
        modules: Number of modules it loads.
        unwanted: Those of :data:`UNWANTED` among them.
        slowest: The modules with the longest time of their own, in milliseconds (``-X importtime``).
    """

    beyond_bare_ms: float
    modules: int
    unwanted: tuple[str, ...]
    slowest: tuple[tuple[str, float], ...]


def measure(runs: int, environ: Mapping[str, str]) -> dict[str, ImportCost]:
    """The cost of each of :data:`STATEMENTS`.

    Args:
        runs: Interpreters started for each statement; between them one that imports nothing.
        environ: Their environment.
    """
    _milliseconds(STATEMENTS[-1], environ)  # so that every file has its bytecode and is in the system's cache
    beyond: dict[str, list[float]] = {statement: [] for statement in STATEMENTS}
    for _ in range(runs):
        bare = _milliseconds("pass", environ)
        for statement, times in beyond.items():
            times.append(_milliseconds(statement, environ) - bare)
    return {statement: _cost(statement, median(times), environ) for statement, times in beyond.items()}


def _milliseconds(statement: str, environ: Mapping[str, str]) -> float:
    before = getrusage(RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", statement], env=environ, check=True)
    after = getrusage(RUSAGE_CHILDREN)
    return (after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime) * 1_000


def _cost(statement: str, beyond_bare_ms: float, environ: Mapping[str, str]) -> ImportCost:
    loaded: list[str] = json.loads(
        _output(
            f"import sys, json; before = set(sys.modules); exec({statement!r}); "
            "print(json.dumps(sorted(set(sys.modules) - before)))",
            environ,
        ).stdout
    )
    own_time: dict[str, float] = {}
    for line in _output(statement, environ, "-X", "importtime").stderr.splitlines():
        own, _, rest = line.removeprefix("import time:").partition("|")
        if own.strip().isdigit():
            own_time[rest.partition("|")[2].strip()] = int(own) / 1_000
    slowest = sorted(((name, own_time.get(name, 0.0)) for name in loaded), key=lambda one: -one[1])
    unwanted = tuple(name for name in UNWANTED if name in loaded)
    return ImportCost(beyond_bare_ms, len(loaded), unwanted, tuple(slowest[:_SHOWN]))


def _output(statement: str, environ: Mapping[str, str], *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *options, "-c", statement], env=environ, check=True, capture_output=True, text=True
    )

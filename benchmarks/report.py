"""The printed form of the figures, and the limits of what is not a ratio."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.import_time import STATEMENTS, UNWANTED, ImportCost
from benchmarks.scenarios import Scenario
from benchmarks.summary import Added, Timing

_MOST_GROWTH_MB = 50
_MOST_LATE_GROWTH_MB = 2  # "flat": what an allocator may still move
_MOST_IMPORT_MS = 100
_VERDICTS = {True: "met", False: "MISSED", None: ""}


def scenario_text(scenario: Scenario, times: Sequence[Timing], added: Sequence[Added]) -> str:
    """One scenario: what each variant takes, and what is added."""
    lines = [f"{scenario.name}: {scenario.title}", f"  {'':<58}{'µs median':>10}{'µs p10':>9}"]
    lines += [f"  {one.name:<58}{one.median_us:>10.2f}{one.p10_us:>9.2f}" for one in times]
    own = f"{'× itself':>10}" if any(one.itself is not None for one in added) else ""
    head = f"{'added by':<46}{'µs median':>10}{'µs p10':>9}{'× span':>8}{'p10':>7}{'× beside':>10}{own}"
    lines.append(f"  {head}   limit")
    lines += [_added_line(one) for one in added]
    return "\n".join([*lines, ""])


def _added_line(one: Added) -> str:
    figures = f"{one.median_us:>10.2f}{one.p10_us:>9.2f}{one.spans:>8.2f}{one.spans_p10:>7.2f}{one.spans_beside:>10.2f}"
    if one.itself is not None:
        figures += f"{one.itself:>10.2f}"
    demands = []
    if one.limit is not None:
        demands.append(f"≤ {one.limit.most:g} {one.limit.unit}")
    if one.cheaper_than is not None:
        demands.append(f"below {one.cheaper_than}")
    return f"  {one.name:<46}{figures}   {' and '.join(demands)} {_VERDICTS[one.met]}".rstrip()


def memory_checks(result: Mapping[str, Any]) -> dict[str, bool]:
    """What is demanded of the memory run, and whether it is so."""
    memory = [point["resident_mb"] for point in result["in_use"]]
    half = _nearest(result["in_use"], result["calls"] / 2)["resident_mb"]
    return {
        f"grows by less than {_MOST_GROWTH_MB} MB": max(memory) - memory[0] < _MOST_GROWTH_MB,
        f"flat: the second half adds at most {_MOST_LATE_GROWTH_MB} MB": memory[-1] - half <= _MOST_LATE_GROWTH_MB,
        "every call is counted in each of its meters": result["units_by_meter"] == result["units_expected"],
        "the cost is C(n) to the nano-USD": result["cost_nano"] == result["cost_nano_expected"],
    }


def memory_text(result: Mapping[str, Any], checks: Mapping[str, bool]) -> str:
    """The memory run."""
    calls = result["calls"]
    lines = [
        f"memory: {calls:,} captures, {result['customers']:,} customers, {result['event_names']:,} event names",
        *(
            f"  after {point['calls']:>9,} calls {point['resident_mb']:>8.1f} MB resident"
            f"{point['allocated_blocks']:>10,} blocks allocated"
            for point in _quarters(result["in_use"], calls)
        ),
        f"  series {result['series']:,}; units in the series of the overflow {result['units_in_overflow']:,}",
        *(f"  units of {meter}: {units:,}" for meter, units in result["units_by_meter"].items()),
        f"  cost {result['cost_nano'] / 1e9:.9f} USD, C(n) {result['cost_nano_expected'] / 1e9:.9f} USD",
    ]
    return "\n".join([*lines, *_check_lines(checks), ""])


def _quarters(points: Sequence[Mapping[str, Any]], calls: int) -> list[Mapping[str, Any]]:
    chosen = (points[0], *(_nearest(points, share * calls) for share in (0.25, 0.5, 0.75, 1.0)))
    return list({point["calls"]: point for point in chosen}.values())


def _nearest(points: Sequence[Mapping[str, Any]], calls: float) -> Mapping[str, Any]:
    return min(points, key=lambda point: abs(point["calls"] - calls))


def import_checks(costs: Mapping[str, ImportCost]) -> dict[str, bool]:
    """What is demanded of the plain import, and whether it is so."""
    plain = costs[STATEMENTS[0]]
    return {
        f"at most {_MOST_IMPORT_MS} ms beyond a bare interpreter": plain.beyond_bare_ms <= _MOST_IMPORT_MS,
        f"neither {' nor '.join(UNWANTED)} is imported": not plain.unwanted,
    }


def import_text(costs: Mapping[str, ImportCost], checks: Mapping[str, bool]) -> str:
    """The import statements."""
    lines = ["import: processor time of whole interpreters, median beyond one that imports nothing"]
    for statement, cost in costs.items():
        unwanted = f", among them {' and '.join(cost.unwanted)}" if cost.unwanted else ""
        lines.append(f"  {statement:<56}{cost.beyond_bare_ms:>8.1f} ms, {cost.modules} modules{unwanted}")
        lines += [f"      {name:<52}{own_ms:>8.1f} ms of its own" for name, own_ms in cost.slowest]
    return "\n".join([*lines, *_check_lines(checks), ""])


def _check_lines(checks: Mapping[str, bool]) -> list[str]:
    return [f"  {what}: {_VERDICTS[met]}" for what, met in checks.items()]


def verdict(misses: Sequence[str]) -> str:
    """The last line."""
    return f"missed: {'; '.join(misses)}" if misses else "every limit is kept"

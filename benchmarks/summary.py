"""From samples to what is reported: medians, the quiet tenth, ratios taken within a round, and whether a limit is
kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.scenarios import SPAN, Comparison, Limit, Scenario, followed_by_span

Samples = Mapping[str, Sequence[float]]
"""Microseconds per call by variant, one figure for each round; the rounds of all variants are the same."""


@dataclass(frozen=True)
class Timing:
    """What one variant takes.

    Attributes:
        name: The variant.
        median_us: Microseconds per call.
        p10_us: The same in the quietest tenth of the rounds.
    """

    name: str
    median_us: float
    p10_us: float


@dataclass(frozen=True)
class Added:
    """What one variant costs beyond another.

    Attributes:
        name: What was added.
        median_us: Microseconds per call.
        p10_us: Difference of the two quietest tenths, microseconds.
        spans: The difference as a multiple of the bare span, median of the rounds.
        spans_p10: The same of the quietest tenths.
        spans_beside: The difference as a multiple of what a bare span adds to the same call, median of the rounds.
        itself: The difference as a multiple of the comparison's own unit, median of the rounds; ``None`` without one.
        limit: The most that it may be.
        cheaper_than: Name of what must cost more.
        met: Whether the limit is kept and the other costs more; ``None`` when nothing is asked.
    """

    name: str
    median_us: float
    p10_us: float
    spans: float
    spans_p10: float
    spans_beside: float
    itself: float | None
    limit: Limit | None
    cheaper_than: str | None
    met: bool | None


def p10(figures: Sequence[float]) -> float:
    """The figure that a tenth of the figures do not exceed."""
    return sorted(figures)[len(figures) // 10]


def timings(samples: Samples) -> list[Timing]:
    """Every variant."""
    return [Timing(name, median(figures), p10(figures)) for name, figures in samples.items()]


def additions(scenario: Scenario, samples: Samples) -> list[Added]:
    """Every comparison of the scenario."""
    by_name = {comparison.name: _added(comparison, samples) for comparison in scenario.comparisons}
    return [_judged(added, by_name) for added in by_name.values()]


def _added(comparison: Comparison, samples: Samples) -> Added:
    more, less, span = samples[comparison.variant], samples[comparison.bare], samples[SPAN]
    with_span = samples[followed_by_span(comparison.bare)]
    differences = [a - b for a, b in zip(more, less, strict=True)]
    quiet = p10(more) - p10(less)
    beside = median(a - b for a, b in zip(with_span, less, strict=True))
    own = None if comparison.itself is None else samples[comparison.itself]
    return Added(
        comparison.name,
        median(differences),
        quiet,
        median(difference / unit for difference, unit in zip(differences, span, strict=True)),
        quiet / p10(span),
        median(differences) / beside,
        None if own is None else median(difference / unit for difference, unit in zip(differences, own, strict=True)),
        comparison.limit,
        comparison.cheaper_than,
        None,
    )


def _judged(added: Added, others: Mapping[str, Added]) -> Added:
    demands = []
    if added.limit is not None:
        figures = {
            "× span": added.spans,
            "× beside": added.spans_beside,
            "× itself": added.itself,
            "µs": added.median_us,
        }
        figure = figures[added.limit.unit]
        demands.append(figure is not None and figure <= added.limit.most)
    if added.cheaper_than is not None:
        demands.append(added.median_us < others[added.cheaper_than].median_us)
    return added if not demands else Added(**{**vars(added), "met": all(demands)})

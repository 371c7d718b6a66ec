"""Spans per second to one sink, ours and others', and what becomes of a burst: measured, judged and printed."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from statistics import median
from typing import Any, Final

from benchmarks import sink
from benchmarks.spans import WORK

OURS: Final = "ours"
PEERS: Final = ("PostHogTraceExporter", "Posthog.capture")
BURST: Final = 20_000
"""Spans of a burst."""

_LEAST_TIMES = 2.5  # as many spans per second as each of the others
_MOST_GROWTH_MB = 50
_MOST_GROWTH_OF_MORE_MB = 10  # what three times the burst may take beyond the burst

Run = Callable[..., dict[str, Any]]
"""Runs a module of this package in a process of its own and gives the JSON that it prints."""


def sustained(run: Run, *, rounds: int, spans: int) -> dict[str, Any]:
    """Delivers every kind of span by every way, in an order that is drawn anew for every round.

    Args:
        run: Runs a module.
        rounds: Processes for each kind and way.
        spans: Spans that each of them delivers.

    Returns:
        For each kind of span: what each way takes, and how many times as many spans per second are ours, by the clock
        and by the time of the processor, which a machine with other things to do disturbs less.
    """
    draw = random.Random(0)
    samples: dict[str, dict[str, list[dict[str, Any]]]] = {}
    with sink.running() as port:
        for _ in range(rounds):
            for work in WORK:
                for way in draw.sample((OURS, *PEERS), 3):
                    options = ("--work", work, "--port", port, "--spans", spans)
                    figures = run("benchmarks.contender", way, *options)
                    samples.setdefault(work, {}).setdefault(way, []).append(figures)
    return {work: _compared(of_work) for work, of_work in samples.items()}


def _compared(samples: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    ways = {
        way: {
            "per_second": median(one["arrived"] / one["seconds"] for one in figures),
            "us": median(one["seconds"] / one["spans"] for one in figures) * 1e6,
            "caller_us": median(one["caller_seconds"] / one["spans"] for one in figures) * 1e6,
            "processor_us": median(one["processor_seconds"] / one["spans"] for one in figures) * 1e6,
            "lost": sum(one["spans"] - one["arrived"] for one in figures),
        }
        for way, figures in sorted(samples.items(), key=lambda item: (OURS, *PEERS).index(item[0]))
    }
    return {"ways": ways, "times": _times(samples, "seconds"), "processor_times": _times(samples, "processor_seconds")}


def _times(samples: dict[str, list[dict[str, Any]]], what: str) -> dict[str, float]:
    """How many times as long each of the others takes, median of the rounds."""
    return {
        peer: median(theirs[what] / own[what] for own, theirs in zip(samples[OURS], samples[peer], strict=True))
        for peer in PEERS
    }


def sustained_missed(result: dict[str, Any]) -> list[str]:
    """What is not as it should be."""
    return [
        f"delivery: {work}, {what}"
        for work, compared in result.items()
        for what, met in _sustained_checks(compared).items()
        if not met
    ]


def _sustained_checks(compared: dict[str, Any]) -> dict[str, bool]:
    checks = {
        f"{times:.2f} × {peer} (≥ {_LEAST_TIMES:g})": times >= _LEAST_TIMES for peer, times in compared["times"].items()
    }
    return {**checks, "nothing is lost": not compared["ways"][OURS]["lost"]}


def sustained_text(result: dict[str, Any]) -> str:
    """The printed form."""
    lines = ["delivery: spans per second to one sink, all queues as long as need be"]
    for work, compared in result.items():
        lines.append(f"  {work:<34}{'spans/s':>10}{'µs':>9}{'caller µs':>11}{'processor µs':>14}{'lost':>7}")
        lines += [
            f"    {way:<32}{one['per_second']:>10,.0f}{one['us']:>9.1f}{one['caller_us']:>11.1f}"
            f"{one['processor_us']:>14.1f}{one['lost']:>7}"
            for way, one in compared["ways"].items()
        ]
        by_processor = ", ".join(f"{times:.2f} × {peer}" for peer, times in compared["processor_times"].items())
        lines.append(f"    by the time of the processor: {by_processor}")
        lines += [f"    {what}: {'met' if met else 'MISSED'}" for what, met in _sustained_checks(compared).items()]
    return "\n".join([*lines, ""])


def burst(run: Run, *, spans: int) -> dict[str, Any]:
    """A burst of small spans with every queue as it comes, and of three times as many for our memory."""
    with sink.running() as port:
        options = ("--work", "model call", "--port", port, "--defaults", "--spans")
        ways = {way: run("benchmarks.contender", way, *options, spans) for way in (OURS, *PEERS)}
        return {"ways": ways, "more": run("benchmarks.contender", OURS, *options, 3 * spans)}


def burst_checks(result: dict[str, Any]) -> dict[str, bool]:
    """What is demanded of a burst, and whether it is so."""
    ours, more = result["ways"][OURS], result["more"]
    return {
        "nothing is lost": all(one["arrived"] == one["spans"] for one in (ours, more)),
        f"memory grows by less than {_MOST_GROWTH_MB} MB": ours["growth_mb"] < _MOST_GROWTH_MB,
        f"three times as many take at most {_MOST_GROWTH_OF_MORE_MB} MB more": more["growth_mb"]
        <= ours["growth_mb"] + _MOST_GROWTH_OF_MORE_MB,
    }


def burst_text(result: dict[str, Any]) -> str:
    """The printed form."""
    lines = [
        "burst: all spans at once, every queue as it comes",
        f"  {'':<34}{'spans':>10}{'lost':>9}{'lost %':>9}{'MB more':>10}",
    ]
    lines += [
        f"  {way:<34}{one['spans']:>10,}{one['spans'] - one['arrived']:>9,}"
        f"{100 * (1 - one['arrived'] / one['spans']):>9.1f}{one['growth_mb']:>10.1f}"
        for way, one in _rows(result)
    ]
    lines += [f"  {what}: {'met' if met else 'MISSED'}" for what, met in burst_checks(result).items()]
    return "\n".join([*lines, ""])


def _rows(result: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    yield from result["ways"].items()
    yield OURS, result["more"]

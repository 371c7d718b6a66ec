"""Times a few variants of a call against each other: interleaved, with the garbage collector out of the way.

One variant runs for some milliseconds (a slice), then the next one, in an order that is drawn anew for every round.
What disturbs the machine for longer than a round disturbs all variants of the round alike, so ratios are taken within
a round and only then summarised.
"""

from __future__ import annotations

import gc
import random
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from time import get_clock_info, perf_counter_ns, thread_time_ns

# The calls that are timed never wait, so the processor time of their thread is their price, and what else runs on the
# machine adds nothing to it but cold caches. Where the system counts that time too coarsely, the clock has to do.
_now_ns = thread_time_ns if get_clock_info("thread_time").resolution < 1e-6 else perf_counter_ns


@dataclass(frozen=True)
class Variant:
    """One thing to time.

    Attributes:
        call: What is timed.
        surroundings: Makes the context that a slice of calls runs in; entered and left outside of the timed part.
    """

    call: Callable[[], object]
    surroundings: Callable[[], AbstractContextManager[object]]


@dataclass(frozen=True)
class Effort:
    """How much is measured.

    Attributes:
        rounds: Slices of each variant.
        calls: Calls in one slice.
        warm_up: Rounds before those that count: caches fill and the interpreter specialises the code.
    """

    rounds: int
    calls: int
    warm_up: int


def time_slices(
    variants: Mapping[str, Variant], effort: Effort, *, between: Callable[[], None], seed: int
) -> dict[str, list[float]]:
    """Microseconds per call of each variant, one figure for each round, in the order of the rounds.

    Args:
        variants: What to time, by name.
        effort: How much.
        between: Runs after every slice, untimed: takes away what the slice has left behind.
        seed: Decides the order of the slices within each round.
    """
    order = list(variants)
    shuffle = random.Random(seed).shuffle
    samples: dict[str, list[float]] = {name: [] for name in variants}
    for _ in range(effort.warm_up):
        for name in order:
            _time_slice(variants[name], effort.calls)
            between()
    gc.collect()
    gc.freeze()  # what is alive now is not looked at again, so that the collections between slices are short
    gc.disable()
    try:
        for _ in range(effort.rounds):
            shuffle(order)
            for name in order:
                samples[name].append(_time_slice(variants[name], effort.calls))
                between()
                gc.collect()
    finally:
        gc.enable()
        gc.unfreeze()
    return samples


def _time_slice(variant: Variant, calls: int) -> float:
    call = variant.call
    repeat = range(calls)
    with variant.surroundings():
        started = _now_ns()
        for _ in repeat:
            call()
        spent = _now_ns() - started
    return spent / calls / 1_000

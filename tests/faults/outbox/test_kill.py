"""An application that is killed has lost nothing that the outbox took."""

from __future__ import annotations

import random
from typing import Any

import pytest


def run(start: Any, receiver: Any, deliver_rest: Any, arrived: Any, seed: int, *, down: bool) -> None:
    point = random.Random(seed).randrange(1, 4000)
    if down:
        receiver.fail("capture", status=503)
    application = start(count=1_000_000)
    application.hear(events=point)
    application.kill()
    receiver.recover()
    assert len(application.took) >= point
    deliver_rest()
    got = arrived()
    lost = set(application.took) - got
    assert not lost
    assert got - set(application.took) <= {len(application.took)}, "at most the one it had no time to tell of"


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("down", [True, False], ids=["down", "up"])
def test_kill_9_loses_nothing_that_was_taken(
    start: Any, receiver: Any, deliver_rest: Any, arrived: Any, seed: int, down: bool
) -> None:
    run(start, receiver, deliver_rest, arrived, seed, down=down)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("down", [True, False], ids=["down", "up"])
def test_kill_9_at_any_of_twenty_points_loses_nothing(
    start: Any, receiver: Any, deliver_rest: Any, arrived: Any, directory: Any, down: bool
) -> None:
    for seed in range(100, 120):
        receiver.clear()
        run(start, receiver, deliver_rest, arrived, seed, down=down)


def test_killed_again_and_again_on_one_directory_loses_nothing(
    start: Any, receiver: Any, deliver_rest: Any, arrived: Any
) -> None:
    took: set[int] = set()
    for round_, point in enumerate([700, 40, 1500]):
        with receiver.fail("capture", delay=0.05):
            application = start(first=round_ * 1_000_000, count=1_000_000)
            application.hear(events=point)
            application.kill()
        took |= set(application.took)
    deliver_rest()
    assert took <= arrived()
    assert len(arrived() - took) <= 3

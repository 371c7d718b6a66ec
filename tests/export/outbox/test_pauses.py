"""How long the sender waits before it tries again."""

from __future__ import annotations

import pytest

from genops_otel_posthog.export.outbox.pauses import MAX_RETRY_AFTER, PROBES, RETRIES, Pauses


def longest(low: float, high: float) -> float:
    return high


def shortest(low: float, high: float) -> float:
    return low


def test_the_limit_doubles_from_half_a_second_to_a_minute() -> None:
    assert [RETRIES.after(n, draw=longest) for n in range(1, 10)] == [0.5, 1, 2, 4, 8, 16, 32, 60, 60]


def test_the_jitter_is_full() -> None:
    assert RETRIES.after(9, draw=shortest) == 0


def test_a_probe_waits_at_least_half_its_limit() -> None:
    assert [PROBES.after(n, draw=shortest) for n in (1, 2, 20)] == [2.5, 5, 450]


def test_what_the_service_asks_for_is_the_least() -> None:
    assert RETRIES.after(1, 30.0, draw=longest) == 30
    assert RETRIES.after(9, 30.0, draw=longest) == 60


def test_no_service_makes_it_wait_longer_than_a_quarter_of_an_hour() -> None:
    assert RETRIES.after(1, 86_400.0, draw=longest) == MAX_RETRY_AFTER == 900


@pytest.mark.parametrize("failures", [1, 1000, 10**6])
def test_any_number_of_failures_has_a_pause(failures: int) -> None:
    assert 0 <= Pauses(first=1, longest=2).after(failures) <= 2

"""When nobody waits any more, and how that ends."""

from __future__ import annotations

import pytest

from genops_otel_posthog.flags.breaker import Breaker


@pytest.fixture
def breaker(clock):
    return Breaker(failures=3, pause=5, longest=20, clock=clock)


def fail(breaker: Breaker, times: int) -> None:
    for _ in range(times):
        assert breaker.allows()
        breaker.failed()


def test_it_opens_after_so_many_failures_in_a_row(breaker):
    fail(breaker, 2)
    breaker.succeeded()
    fail(breaker, 2)
    assert not breaker.is_open
    fail(breaker, 1)
    assert breaker.is_open
    assert not breaker.allows()


def test_after_the_pause_one_probe_is_let_through(breaker, clock):
    fail(breaker, 3)
    clock.now += 5
    assert breaker.allows()
    assert not breaker.allows()


def test_a_probe_that_succeeds_closes_it(breaker, clock):
    fail(breaker, 3)
    clock.now += 5
    breaker.allows()
    breaker.succeeded()
    assert not breaker.is_open
    assert breaker.allows()
    assert breaker.allows()


def test_each_probe_that_fails_doubles_the_pause_up_to_the_longest(breaker, clock):
    fail(breaker, 3)
    pauses = []
    for _ in range(4):
        waited = 0
        while not breaker.allows():
            clock.now += 1
            waited += 1
        pauses.append(waited)
        breaker.failed()
    assert pauses == [5, 10, 20, 20]


def test_after_a_recovery_the_pause_is_the_first_one_again(breaker, clock):
    fail(breaker, 3)
    clock.now += 5
    fail(breaker, 1)
    clock.now += 10
    breaker.allows()
    breaker.succeeded()
    fail(breaker, 3)
    clock.now += 5
    assert breaker.allows()


def test_a_refusal_that_takes_people_to_change_opens_it_at_once_for_as_long_as_it_says(breaker, clock):
    breaker.failed(pause=60)
    clock.now += 59
    assert not breaker.allows()
    clock.now += 1
    assert breaker.allows()


def test_a_call_from_before_it_opened_does_not_prolong_the_pause(breaker, clock):
    fail(breaker, 3)
    clock.now += 4
    breaker.failed()
    clock.now += 1
    assert breaker.allows()


def test_a_probe_that_was_not_made_lets_another_one_through(breaker, clock):
    fail(breaker, 3)
    clock.now += 5
    breaker.allows()
    breaker.withdrawn()
    assert breaker.is_open
    assert breaker.allows()


def test_it_says_once_when_it_opens_and_once_when_it_closes(breaker, clock):
    told = []
    breaker.on_change(told.append)
    fail(breaker, 3)
    clock.now += 5
    fail(breaker, 1)
    clock.now += 10
    breaker.allows()
    breaker.succeeded()
    breaker.succeeded()
    assert told == [True, False]

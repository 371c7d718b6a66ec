"""What is sent next and when, by a clock that the test moves."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from genops_otel_posthog.budgets.alerts.endpoint import DELIVERED, FAILED, REFUSED, Outcome
from genops_otel_posthog.budgets.alerts.queue import AlertCounts, AlertQueue
from genops_otel_posthog.budgets.ledger.protocol import Alert

MakeAlert = Callable[..., Alert]
FAILURE = Outcome(FAILED, "it answered 500")


class Clock:
    """Seconds, moved by hand."""

    def __init__(self) -> None:
        self.seconds = 1_000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def queue(clock: Clock) -> AlertQueue:
    """Half of each longest pause is waited."""
    return AlertQueue(60.0, 3, clock, lambda: 0.5)


def test_nothing_is_to_be_done_while_nothing_waits(queue: AlertQueue):
    assert queue.pause() is None


def test_the_oldest_alert_is_sent_first_and_at_once(queue: AlertQueue, alert: MakeAlert):
    queue.add(alert(id="first"))
    queue.add(alert(id="second"))
    assert queue.pause() == 0.0
    assert queue.next()[0].id == "first"


def test_the_pauses_double_up_to_half_a_minute(queue: AlertQueue, clock: Clock, alert: MakeAlert):
    pauses = []
    for _ in range(8):
        queue.add(alert())
        queue.note(alert(), FAILURE)
        pauses.append(queue.pause())
        clock.seconds += 60
    assert pauses == [0.5, 1, 2, 4, 8, 15, 15, 15]


def test_no_pause_lasts_longer_than_the_claim(queue: AlertQueue, clock: Clock, alert: MakeAlert):
    queue.add(alert())
    queue.note(alert(), FAILURE._replace(retry_after=600.0))
    assert queue.pause() == 59.0
    clock.seconds += 59
    assert queue.pause() is None
    assert queue.counts.returned == 1


def test_a_success_ends_the_pauses(queue: AlertQueue, alert: MakeAlert):
    queue.add(alert(id="first"))
    queue.add(alert(id="second"))
    for _ in range(5):
        queue.note(alert(id="first"), FAILURE)
    queue.note(alert(id="second"), Outcome(DELIVERED))
    assert (queue.failures, queue.pause()) == (0, 0.0)


def test_an_alert_that_fails_lets_the_others_go_first(queue: AlertQueue, clock: Clock, alert: MakeAlert):
    queue.add(alert(id="first"))
    queue.add(alert(id="second"))
    queue.note(alert(id="first"), FAILURE)
    clock.seconds += 5
    assert queue.next()[0].id == "second"


def test_the_receiver_decides_how_long_it_is_left_alone(queue: AlertQueue, alert: MakeAlert):
    queue.add(alert())
    queue.note(alert(), FAILURE._replace(retry_after=7.0))
    assert queue.pause() == 7.0


def test_nobody_is_left_alone_for_more_than_an_hour(queue: AlertQueue, clock: Clock, alert: MakeAlert):
    queue.note(alert(), FAILURE._replace(retry_after=1e9))
    clock.seconds += 3_590
    queue.add(alert())
    assert queue.pause() == 10.0


def test_an_alert_whose_claim_ends_is_left_to_the_ledger(queue: AlertQueue, clock: Clock, alert: MakeAlert):
    queue.add(alert())
    clock.seconds += 59.5
    assert queue.pause() is None
    assert queue.drain() == ()
    assert (queue.counts.returned, queue.counts.waiting) == (1, 0)


def test_an_attempt_lasts_no_longer_than_the_claim(queue: AlertQueue, clock: Clock, alert: MakeAlert):
    queue.add(alert())
    clock.seconds += 50
    assert queue.next() == (alert(), 10.0)


def test_an_alert_that_is_handed_out_again_is_claimed_anew_and_sent_once(
    queue: AlertQueue, clock: Clock, alert: MakeAlert
):
    assert queue.add(alert())
    clock.seconds += 50
    assert not queue.add(alert())
    assert queue.counts.waiting == 1
    assert queue.next() == (alert(), 60.0)


def test_a_settled_alert_is_reported_again_and_not_sent_again(queue: AlertQueue, alert: MakeAlert):
    queue.add(alert())
    queue.note(alert(), Outcome(DELIVERED))
    assert queue.drain() == (alert().id,)
    assert not queue.add(alert())
    assert queue.pause() is None
    assert queue.drain() == (alert().id,)
    assert queue.drain() == ()


def test_what_was_refused_for_good_is_reported_too(queue: AlertQueue, alert: MakeAlert):
    queue.add(alert())
    queue.note(alert(), Outcome(REFUSED, "it answered 404"))
    assert queue.drain() == (alert().id,)
    assert queue.counts.failed == 1


def test_an_alert_that_is_delivered_after_it_was_given_up_is_counted_once(queue: AlertQueue, alert: MakeAlert):
    queue.add(alert())
    queue.abandon()
    assert queue.counts == AlertCounts(returned=1)
    queue.note(alert(), Outcome(DELIVERED))
    assert queue.counts == AlertCounts(delivered=1)


def test_what_does_not_fit_is_left_to_the_ledger(queue: AlertQueue, alert: MakeAlert):
    taken = [queue.add(alert(id=str(number))) for number in range(5)]
    assert taken == [True, True, True, False, False]
    assert (queue.counts.waiting, queue.counts.returned) == (3, 2)
    assert queue.drain() == ()


def test_what_is_remembered_is_bounded(queue: AlertQueue, alert: MakeAlert):
    for number in range(5_000):
        queue.add(alert(id=str(number)))
        queue.note(alert(id=str(number)), Outcome(DELIVERED))
        queue.drain()
    assert len(queue._settled) == 1_024


def test_at_the_end_nobody_waits_for_a_pause_of_our_own(queue: AlertQueue, clock: Clock, alert: MakeAlert):
    queue.add(alert())
    for _ in range(6):
        queue.note(alert(), FAILURE)
    queue.end_at(clock.seconds + 2)
    assert queue.pause() == 0.0
    assert queue.next() == (alert(), 2.0)


def test_at_the_end_too_a_receiver_is_left_alone_that_wants_to_be(queue: AlertQueue, clock: Clock, alert: MakeAlert):
    queue.add(alert())
    queue.note(alert(), FAILURE._replace(retry_after=1.0))
    queue.end_at(clock.seconds + 2)
    assert queue.pause() == 1.0
    queue.note(alert(), FAILURE._replace(retry_after=30.0))
    assert queue.pause() is None


def test_a_claim_that_leaves_no_time_is_refused(clock: Clock):
    with pytest.raises(ValueError, match=r"a claim of 0\.5 s leaves no time"):
        AlertQueue(0.5, 3, clock, lambda: 0.5)

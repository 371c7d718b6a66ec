"""Telling people: alerts go to the log and, off every caller's thread, to a webhook.

Nobody waits for the webhook. A thread exists only while alerts wait; it ends when they are delivered, or when their
claim ends and they are the ledger's again.
"""

from __future__ import annotations

import logging
import os
import random
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial

from genops_otel_posthog.budgets.alerts.endpoint import DELIVERED, FAILED, REFUSED, Endpoint, Outcome
from genops_otel_posthog.budgets.alerts.queue import AlertCounts, AlertQueue
from genops_otel_posthog.budgets.alerts.wording import Statement, printable
from genops_otel_posthog.budgets.ledger.protocol import Alert

_log = logging.getLogger("genops_otel_posthog.budgets.alerts")


class AlertDelivery:
    """Delivers the alerts that the ledger hands to this process.

    Each alert is one line of the log in the process that got it: a warning where there is no webhook, otherwise for
    information. A webhook that fails is one warning until it works again; an alert that it refuses is one error.

    Args:
        url: Address of the webhook; ``None``: alerts go to the log alone.
        format: ``auto``, ``generic``, ``slack``, ``alertmanager`` or ``alertmanager-webhook``.
        secret: Signs what is sent: ``whsec_`` and 24 to 64 bytes in base64; several are separated by blanks.
        escalation: Who is to be told in which order, by whatever names the receiver knows; passed on with each alert.
        private_addresses: Whether the webhook may be on a private network, as Alertmanager usually is.
        claim_seconds: How long the ledger leaves an alert to this process (``SyncRequest.claim_ms``).
        capacity: How many alerts wait at most; more are left to the ledger, which hands them out again.
        quietly: Makes a context for each request, so that whoever traces requests can leave these out.
        clock: Seconds of a clock that is never set.
        now: Seconds since the epoch.
        random: 0 ≤ x < 1, for the pauses between attempts.
        wait: Waits for a condition, which is held, for some seconds at most.

    Raises:
        GenOpsConfigurationError: address, format or secret cannot be used.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        format: str = "auto",
        secret: str | None = None,
        escalation: Sequence[str] = (),
        private_addresses: bool = True,
        claim_seconds: float = 60.0,
        capacity: int = 256,
        quietly: Callable[[], AbstractContextManager[object]] = nullcontext,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
        random: Callable[[], float] = random.random,
        wait: Callable[[threading.Condition, float], object] = threading.Condition.wait,
    ) -> None:
        self._endpoint = None
        if url:
            self._endpoint = Endpoint(
                url,
                format=format,
                secret=secret,
                escalation=escalation,
                private_addresses=private_addresses,
                quietly=quietly,
                now=now,
            )
        self._new_queue = partial(AlertQueue, claim_seconds, capacity, clock, random)
        self._clock = clock
        self._wait = wait
        self._start_over()
        _alive.add(self)

    def _start_over(self) -> None:
        """At the beginning, and in a forked child: what waited there is the parent's to deliver."""
        self._changed = threading.Condition()
        self._queue = self._new_queue()
        self._thread: threading.Thread | None = None
        self._is_closed = False

    @property
    def counts(self) -> AlertCounts:
        """What became of the alerts that this process was handed."""
        with self._changed:
            return self._queue.counts

    def submit(self, alert: Alert) -> None:
        """Takes an alert that the ledger handed out. Returns at once and never raises."""
        with self._changed:
            if not self._queue.add(alert):
                return
            if self._endpoint is None:
                self._queue.settle(alert.id, DELIVERED)
            elif self._is_closed or not self._has_thread(self._endpoint):
                self._queue.abandon()
                return
        _log.log(logging.WARNING if self._endpoint is None else logging.INFO, "%s", _text(alert))

    def delivered(self) -> tuple[str, ...]:
        """Ids of the alerts that nobody needs to deliver any more, for the next sync; each is reported once."""
        with self._changed:
            return self._queue.drain()

    def close(self, timeout: float = 2.0) -> None:
        """Tries what waits, for ``timeout`` seconds at most. What is not delivered then is left to the ledger.

        To be called before the last sync, which reports what was delivered.
        """
        with self._changed:
            self._is_closed = True
            self._queue.end_at(self._clock() + timeout)
            self._changed.notify_all()
            thread = self._thread
        if thread is not None:
            thread.join(timeout)
        with self._changed:
            self._queue.abandon()

    def _has_thread(self, endpoint: Endpoint) -> bool:
        if self._thread is not None:
            return True
        thread = threading.Thread(target=self._work, args=(endpoint,), name="genops-alerts", daemon=True)
        try:
            thread.start()
        except RuntimeError:
            return False  # the interpreter is ending, or has no room for one
        self._thread = thread
        return True

    def _work(self, endpoint: Endpoint) -> None:
        while True:
            with self._changed:
                pause = self._queue.pause()
                if pause is None:
                    self._thread = None
                    return
                if pause > 0:
                    self._wait(self._changed, pause)
                    continue
                alert, within = self._queue.next()
            outcome = _attempt(endpoint, alert, within)
            with self._changed:
                failed_before = self._queue.failures
                self._queue.note(alert, outcome)
                waiting = self._queue.counts.waiting
            _report(endpoint.shown, alert, outcome, failed_before, waiting)


def _attempt(endpoint: Endpoint, alert: Alert, within: float) -> Outcome:
    try:
        return endpoint.post(alert, within)
    except Exception as error:
        # Whatever went wrong, for one in the caller's `quietly`: the next alert must find its thread. The message of an
        # error that nobody expected may hold the address, so it is not repeated.
        return Outcome(FAILED, f"an unexpected {type(error).__name__}")


def _report(where: str, alert: Alert, outcome: Outcome, failed_before: int, waiting: int) -> None:
    if outcome.verdict == REFUSED:
        _log.error("%s refused an alert: %s. It is not sent again: %s", where, outcome.reason, _text(alert))
    elif outcome.verdict == FAILED and not failed_before:
        _log.warning(
            "%s cannot be told of alerts: %s. It is tried again, and what is not delivered stays in the ledger; "
            "%d waiting, the first: %s",
            where,
            outcome.reason,
            waiting,
            _text(alert),
        )
    elif outcome.verdict == DELIVERED and failed_before:
        _log.info("%s can be told of alerts again, after %d failed attempts", where, failed_before)


def _text(alert: Alert) -> str:
    try:
        return f"[{alert.severity}] {Statement.of(alert).message}"
    except ValueError as error:
        return f"[{alert.severity}] Budget {printable(alert.budget)} reached a threshold, but {printable(str(error))}"


_alive: weakref.WeakSet[AlertDelivery] = weakref.WeakSet()


def _start_over_after_fork() -> None:
    for delivery in list(_alive):
        delivery._start_over()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_start_over_after_fork)

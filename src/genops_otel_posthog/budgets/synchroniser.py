"""The one thread of a process that talks to the ledger.

It sends a message every flush interval, sooner when a call waits for money, and not at all while there is nothing to
say. Calls wait for it at most as long as they are told to; while the ledger does not answer, they do not wait at all.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Protocol, TypeAlias

from genops_otel_posthog.budgets.ledger.protocol import (
    Ledger,
    LedgerUnavailable,
    StaleSequence,
    SyncReply,
    SyncRequest,
)
from genops_otel_posthog.errors import GenOpsError

_logger = logging.getLogger(__name__)

_BUSY = 1.0  # seconds that an answer may take: the patience of a ledger in a file
_FIRST_PAUSE = 0.0625  # seconds after the first failure; doubles, so that the fifth waits for a second
_LONGEST_PAUSE = 4.0
"""Less than the time for which a ledger that has lost data grants nothing (``SyncRequest.rebuild_ms``), so that all who
counted are heard of before it lends again, however long it was away."""


OnExchange: TypeAlias = "Callable[[float, str | None], None]"
"""Told about each exchange with the ledger: its seconds, and the name of the error if it failed."""


class Books(Protocol):
    """What the synchroniser carries to and fro: the governor's side of the conversation."""

    def prepare_ledger(self, ledger: Ledger) -> None:
        """Called before each message."""
        ...

    def message(self, *, leaving: bool) -> SyncRequest | None:
        """The next message; ``None`` when there is nothing to say."""
        ...

    def hear(self, request: SyncRequest, reply: SyncReply, sent_at: float, *, repeated: bool) -> None:
        """Takes the answer.

        Args:
            request: What was asked.
            reply: The answer.
            sent_at: When it was asked for the first time, by the monotonic clock.
            repeated: Whether it was asked more than once: the answer may be as old as that.
        """
        ...

    def begin_anew(self) -> None:
        """The ledger takes no message under this identity any more."""
        ...

    def undelivered(self) -> None:
        """The ledger failed; what it has not been told must not be lost with this process."""
        ...

    def reached(self, ledger: Ledger) -> None:
        """The ledger answers, for the first time or again."""
        ...


class Synchroniser:
    """Talks to the ledger, from a thread of its own.

    Args:
        books: What is said, and who is told the answers.
        open_ledger: Opens the ledger; called in the thread, again after a fork.
        flush_interval: Seconds between two messages.
        on_exchange: Told how many seconds each exchange took, and the name of the error if it failed.
        monotonic: The clock.

    Attributes:
        errors: How often the ledger failed, by the name of the error.
        round_trips: How often it answered.
    """

    def __init__(
        self,
        books: Books,
        open_ledger: Callable[[], Ledger],
        flush_interval: float,
        on_exchange: OnExchange,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._books = books
        self._open_ledger = open_ledger
        self._flush_interval = flush_interval
        self._on_exchange = on_exchange
        self._monotonic = monotonic
        self._ledger: Ledger | None = None
        self.errors: dict[str, int] = {}
        self.round_trips = 0
        self._begin()

    def _begin(self) -> None:
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()
        self._wake = threading.Event()
        self._leaving = threading.Event()
        self._finished = threading.Condition()
        self._turns_begun = 0
        self._turns_ended = 0
        self._unanswered: SyncRequest | None = None
        self._first_sent_at = 0.0
        self._failures = 0
        self._retry_at = float("-inf")
        self._stalled = False

    def forked(self, books: Books) -> None:
        """Starts over in a child process, with books of its own. What was opened belongs to the parent and is not
        touched."""
        self._books = books
        if self._ledger is not None:
            self._ledger.abandon()
            self._ledger = None
        self._begin()

    # --- for the callers -------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Starts the thread, if it does not run."""
        if self._thread is not None or self._leaving.is_set():
            return
        with self._starting:
            if self._thread is None:
                thread = threading.Thread(target=self._run, name="genops-ledger", daemon=True)
                try:
                    thread.start()
                except RuntimeError:  # the interpreter is ending; `close` says the rest
                    return
                self._thread = thread

    def hurry(self) -> None:
        """Asks for a message soon, without waiting for it."""
        self.start()
        self._wake.set()

    def answered_within(self, until: float) -> bool:
        """Waits for a message that is composed from now on, and its answer.

        Args:
            until: The latest moment, by the monotonic clock.

        Returns:
            Whether the ledger answered. ``False`` at once while it is known not to.
        """
        if self._stalled or self._monotonic() < self._retry_at:
            return False
        self.start()
        with self._finished:
            turn = self._turns_begun + 1
            self._wake.set()
            patience = until - self._monotonic()
            if patience <= 0:
                return False  # which says nothing about the ledger
            answered = self._finished.wait_for(lambda: self._turns_ended >= turn, patience)
            if not answered:
                self._stalled = True
            return answered and not self._failures

    @property
    def reachable(self) -> bool:
        """Whether the ledger answered when it was last asked."""
        return not self._failures and not self._stalled

    @property
    def away(self) -> bool:
        """Whether the ledger has left a message unanswered for longer than a busy one does."""
        return self._unanswered is not None and self._monotonic() - self._first_sent_at >= _BUSY

    def close(self, timeout: float) -> bool:
        """Says the last message: everything counted, and the leases given back.

        Args:
            timeout: Most seconds to wait for it.

        Returns:
            Whether there was an answer.
        """
        self._leaving.set()
        if self._thread is None:
            self._leave()
        else:
            self._wake.set()
            self._thread.join(timeout)
            if self._thread.is_alive():
                return False
        return not self._failures

    # --- the thread ------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._leaving.is_set():
            self._turn(leaving=False)
            self._wake.wait(self._flush_interval)
            self._wake.clear()
            pause = self._retry_at - self._monotonic()
            if pause > 0:
                self._leaving.wait(pause)
        self._leave()

    def _leave(self) -> None:
        if self._unanswered is not None:
            self._turn(leaving=True)  # what was said before comes first
        self._turn(leaving=True)
        if self._ledger is not None:
            self._ledger.close()

    def _turn(self, *, leaving: bool) -> None:
        with self._finished:
            self._turns_begun += 1
        try:
            if self._unanswered is not None:
                # The same words again: the ledger may have heard them and only its answer was lost.
                self._say(self._unanswered)
            request = self._books.message(leaving=leaving)
            if request is not None:
                self._say(request)
        except LedgerUnavailable as error:
            self._failed(error)
        except StaleSequence as error:
            _logger.error("%s. This process goes on under a new identity", error)
            self._unanswered = None
            self._books.begin_anew()
        except GenOpsError as error:
            self._failed(error)
        except Exception as error:  # a defect of ours must not end the thread that all budgets depend on
            _logger.exception("A message to the ledger failed")
            self._failed(error)
        finally:
            with self._finished:
                self._turns_ended = self._turns_begun
                self._stalled = False
                self._finished.notify_all()

    def open(self) -> Ledger:
        """The ledger, opened if it is not open. Before the thread runs, the caller may use it."""
        if self._ledger is None:
            self._ledger = self._open_ledger()
        return self._ledger

    def _say(self, request: SyncRequest) -> None:
        repeated = self._unanswered is request
        if not repeated:
            self._first_sent_at = self._monotonic()
            self._unanswered = request
        ledger = self.open()
        self._books.prepare_ledger(ledger)
        sent_at = self._monotonic()
        try:
            reply = ledger.sync(request)
        except Exception as error:
            self._on_exchange(self._monotonic() - sent_at, type(error).__name__)
            raise
        self.round_trips += 1
        self._on_exchange(self._monotonic() - sent_at, None)
        recovered = self._failures > 0 or self.round_trips == 1
        if self._failures:
            _logger.warning("The budget ledger answers again")
        self._unanswered = None
        self._failures = 0
        self._retry_at = float("-inf")
        self._books.hear(request, reply, self._first_sent_at, repeated=repeated)
        if recovered:
            self._books.reached(ledger)

    def _failed(self, error: Exception) -> None:
        kind = type(error).__name__
        self.errors[kind] = self.errors.get(kind, 0) + 1
        self._failures += 1
        pause = min(_FIRST_PAUSE * 2 ** (self._failures - 1), _LONGEST_PAUSE)
        self._retry_at = self._monotonic() + pause
        if self._failures == 1:
            _logger.warning("The budget ledger does not answer: %s. It is asked again and again", error)
        self._books.undelivered()

"""The outbox: what is appended is delivered, whatever happens to the process, the network or the service.

An event is on disk when :meth:`Outbox.append` returns, a few microseconds later; from there threads of their own
deliver it, one for each destination. What a process leaves behind is delivered by the next one that uses the directory.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from types import TracebackType

from typing_extensions import Self

from genops_otel_posthog.errors import GenOpsConfigurationError, GenOpsValidationError
from genops_otel_posthog.export.destinations.protocol import Destination, identity
from genops_otel_posthog.export.outbox.accounts import Accounting
from genops_otel_posthog.export.outbox.directory import default_directory
from genops_otel_posthog.export.outbox.options import DEFAULT_MAX_AGE, DEFAULT_MAX_BYTES, Options, Tuning
from genops_otel_posthog.export.outbox.segment_file import IMPORTANCES
from genops_otel_posthog.export.outbox.store import Store
from genops_otel_posthog.export.outbox.writer import Stream
from genops_otel_posthog.leaving import run_on_sigterm

_logger = logging.getLogger(__name__)

EXIT_SECONDS = 2.0
"""Most time that the end of the interpreter waits for deliveries, in all."""

_stores: dict[str, Store] = {}
_opening = threading.RLock()
_exit_left = EXIT_SECONDS


class Outbox:
    """A durable queue of events for one or several destinations.

    Any number of outboxes, in any number of processes, may use one directory. Those of one process share its threads
    and files there; the options of the first stand.

    Args:
        directory: Where events wait; the user's state directory when not given.
        destinations: Who gets every event. Two of the same name and account are one.
        fsync: See :class:`~.options.Options`, as for the following.
        max_bytes: Most bytes of the directory.
        max_age: Seconds after which an event is thrown away, or ``None``.
        policy: ``drop_oldest``, ``drop_newest``, ``block`` or ``raise``.
        block_timeout: With ``block``: most seconds.
        quietly: Makes the context in which requests are made.
        tuning: Figures that rarely need another value.

    Raises:
        GenOpsConfigurationError: An option or a destination cannot be used. A directory that cannot be used is no
            error: events then wait in memory, one warning says so, and :attr:`durable` is false.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str] | None,
        destinations: Sequence[Destination],
        *,
        fsync: str = "interval",
        max_bytes: int = DEFAULT_MAX_BYTES,
        max_age: float | None = DEFAULT_MAX_AGE,
        policy: str = "drop_oldest",
        block_timeout: float = 5.0,
        quietly: Callable[[], AbstractContextManager[object]] = nullcontext,
        tuning: Tuning | None = None,
    ) -> None:
        options = Options(fsync, max_bytes, max_age, policy, block_timeout, quietly, tuning or Tuning())
        named = {identity(destination): destination for destination in destinations}
        if not named:
            raise GenOpsConfigurationError("an outbox needs at least one destination; where should its events go?")
        self._destinations = tuple(sorted(named))
        self._store = _open_store(Path(directory) if directory is not None else default_directory(), options)
        self._store.serve(named.items())
        self._streams = {each: self._store.writer.stream(each, self._destinations) for each in IMPORTANCES}
        self._append: Callable[[Stream, bytes], str] = self._store.writer.append
        self._closed = False

    @property
    def directory(self) -> Path:
        """Where events wait."""
        return self._store.directory

    @property
    def destinations(self) -> tuple[str, ...]:
        """Identities of those who get every event."""
        return self._destinations

    @property
    def durable(self) -> bool:
        """Whether what is appended now outlives the process."""
        return self._store.durable

    def append(self, body: bytes, importance: str = "normal") -> bool:
        """Takes an event.

        Args:
            body: The event as JSON, final.
            importance: ``critical``, ``normal`` or ``low``: what goes last, and what first, when there is no room.

        Returns:
            Whether it was taken. Then it is on disk, unless :attr:`durable` is false. What was not taken is counted
            by reason.

        Raises:
            OutboxFullError: There is no room, and the policy is ``raise``.
            GenOpsValidationError: There is no such importance, or the event has no bytes.
        """
        return not self.offer(body, importance)

    def offer(self, body: bytes, importance: str = "normal") -> str:
        """:meth:`append` for those who want to know why an event was not taken.

        Returns:
            The reason, as :attr:`Accounting.refused` counts it; empty when the event was taken.

        Raises:
            OutboxFullError: As for :meth:`append`.
            GenOpsValidationError: As for :meth:`append`.
        """
        try:
            stream = self._streams[importance]
        except KeyError:
            raise GenOpsValidationError(
                f"an event cannot have the importance {importance!r}; use one of {', '.join(IMPORTANCES)}"
            ) from None
        return self._append(stream, body)

    def flush(self, timeout: float, *, delivered: bool = True) -> bool:
        """Waits for what has been appended so far.

        Args:
            timeout: Most seconds.
            delivered: Wait until every destination has taken or refused it. Otherwise it is enough that it outlives
                this process; with ``fsync`` other than ``none`` it is synchronised with the disk.

        Returns:
            Whether that is so.
        """
        if self._store.writer.process != os.getpid():
            self._store.forked()
        return self._store.delivered(self._destinations, timeout) if delivered else self._store.safe()

    def shutdown(self, timeout: float = EXIT_SECONDS) -> bool:
        """Delivers what it can and ends. What is left stays on disk for the next process.

        Args:
            timeout: Most seconds, for both.

        Returns:
            Whether everything has been delivered.
        """
        if self._closed:
            return True
        deadline = time.monotonic() + timeout
        is_delivered = self.flush(timeout)
        self._closed = True
        self._append = self._store.writer.refuse_closed
        if not is_delivered:
            _say_what_is_left(self._store)
        _close_store(self._store, max(0.0, deadline - time.monotonic()))
        return is_delivered

    def wait(self, timeout: float) -> None:
        """Waits for a change of the accounting, at most so many seconds."""
        with self._store.changed:
            self._store.changed.wait(timeout)

    def accounting(self) -> Accounting:
        """What became of every event, of all outboxes of this process in this directory."""
        return self._store.accounting()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.shutdown()


def _open_store(directory: Path, options: Options) -> Store:
    key = os.path.realpath(directory)
    with _opening:
        store = _stores.get(key)
        if store is None:
            if not _stores:
                atexit.unregister(_at_exit)
                atexit.register(_at_exit)  # once, and as late as can be: what is registered later runs earlier
                run_on_sigterm(_at_exit)
            store = _stores[key] = Store(Path(key), options)
        elif store.options != options:
            _logger.warning("The outbox in %s is open with other options, which stand", key)
        store.users += 1
        return store


def _close_store(store: Store, timeout: float) -> None:
    with _opening:
        store.users -= 1
        if store.users:
            return
        _stores.pop(str(store.directory), None)
    store.stop(timeout)


def _at_exit() -> None:
    """Delivers what can be delivered in two seconds. Appending still works: a tracer provider may end after this."""
    global _exit_left
    for store in list(_stores.values()):
        began = time.monotonic()
        if store.own_pending() and not store.delivered(tuple(store.lanes), _exit_left):
            _say_what_is_left(store)
        _exit_left = max(0.0, _exit_left - (time.monotonic() - began))


def _say_what_is_left(store: Store) -> None:
    left = store.own_pending()
    if not left:
        return
    if store.durable:
        _logger.warning(
            "%d events are not delivered yet. They lie in %s and are sent by the next process that uses it, or by: "
            "genops-posthog outbox replay",
            *(left, store.directory),
        )
    else:
        _logger.warning("%d events are not delivered, and those in memory are lost with this process", left)


def _after_fork() -> None:
    global _opening, _exit_left
    _opening, _exit_left = threading.RLock(), EXIT_SECONDS
    for store in list(_stores.values()):
        store.forked()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)

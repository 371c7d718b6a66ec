"""PostHog clients of this process, one for each key and host: a client has threads and a queue of its own."""

from __future__ import annotations

import inspect
import logging
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeAlias

from genops_otel_posthog.adapter.validation import ValidationLevel, validate_sdk
from genops_otel_posthog.errors import GenOpsConfigurationError
from genops_otel_posthog.forks import start_over_after_fork

_logger = logging.getLogger(__name__)

_NO_KEY = "phc_nothing_is_sent"

_lock = threading.Lock()
_clients: dict[tuple[object, ...], SharedClient] = {}

OnUndelivered: TypeAlias = Callable[[Exception, Sequence[Mapping[str, Any]]], None]
"""Told of events that the SDK gives up, and why. Called in a thread of the SDK; must not raise."""


class SharedClient:
    """A client of PostHog's SDK that is there when it is asked for, also after it was ended.

    Args:
        make: Makes one, given who is told of errors.
        host: The host that it sends to.

    Attributes:
        on_undelivered: Who is told of events that the SDK gives up, each by its own key.
    """

    def __init__(self, make: Callable[[OnUndelivered], Any], host: str) -> None:
        self._make = make
        self.host = host
        self.on_undelivered: dict[object, OnUndelivered] = {}
        self._client: Any = None
        start_over_after_fork(self)

    def start_over(self) -> None:
        """In a forked process, lets go of a client that has no threads there and does not start any."""
        if not hasattr(self._client, "_reinit_after_fork"):
            self._client = None

    @property
    def sdk(self) -> Any:
        """The ``posthog.Posthog``."""
        client = self._client
        if client is None:
            with _lock:
                client = self._client
                if client is None:
                    client = self._client = self._make(self._tell)
        return client

    def _tell(self, error: Exception, events: Sequence[Mapping[str, Any]]) -> None:
        for told in list(self.on_undelivered.values()):
            told(error, events)

    def flush(self, timeout: float) -> bool:
        """Waits until the queue of the SDK is empty, at most so many seconds; whether it is."""
        client = self._client
        return client is None or _flushed(client, timeout)

    def end(self, timeout: float) -> bool:
        """Ends the client; who asks for it again gets a new one. Whether it sent everything, in so many seconds."""
        with _lock:
            client, self._client = self._client, None
        return client is None or _ended(client, timeout)


class ModuleClient:
    """The client that ``posthog.capture()`` and the other module functions use, made by the SDK when it is needed."""

    @property
    def sdk(self) -> Any:
        """The ``posthog.Client``."""
        import posthog

        if posthog.default_client is None:
            posthog.setup()
        return posthog.default_client

    @property
    def host(self) -> str:
        """The host that it sends to."""
        import posthog

        return str(posthog.host if posthog.default_client is None else posthog.default_client.host)

    def flush(self, timeout: float) -> bool:
        """As for :meth:`SharedClient.flush`."""
        import posthog

        client = posthog.default_client
        return client is None or _flushed(client, timeout)

    def end(self, timeout: float) -> bool:
        """As for :meth:`SharedClient.end`."""
        import posthog

        client, posthog.default_client = posthog.default_client, None
        return client is None or _ended(client, timeout)


def shared_client(
    key: str | None, host: str, secret_key: str | None = None, options: Mapping[str, Any] | None = None
) -> SharedClient:
    """The client of a key and a host.

    Args:
        key: Project key; ``None`` for a client that sends nothing.
        host: Ingestion host.
        secret_key: A personal or project secret key, with which the SDK evaluates flags locally.
        options: Further arguments of ``posthog.Posthog``.

    Raises:
        GenOpsConfigurationError: The SDK is missing or not supported.
    """
    require_supported_sdk()

    given = dict(options or {})

    def make(on_error: OnUndelivered) -> Any:
        from posthog import Posthog

        more = given if secret_key is None else {**given, _secret_key_option(Posthog): secret_key}
        try:
            return Posthog(key or _NO_KEY, host=host, **{"disabled": key is None, "on_error": on_error, **more})
        except TypeError as problem:
            raise GenOpsConfigurationError(f"client_options cannot be used: {problem}") from None

    identity = (key, host, secret_key, comparable(given))
    with _lock:
        return _clients.setdefault(identity, SharedClient(make, host))


def comparable(given: object) -> object:
    """The same for equal options, as the key of a dictionary; what cannot be compared is equal to itself alone."""
    if isinstance(given, Mapping):
        return frozenset([(name, comparable(value)) for name, value in given.items()])
    if isinstance(given, (list, tuple)):
        return tuple([comparable(value) for value in given])
    if isinstance(given, (set, frozenset)):
        return frozenset([comparable(value) for value in given])
    try:
        hash(given)
    except TypeError:
        return id(given)  # whoever is found by it keeps it alive
    return given


def require_supported_sdk() -> None:
    """Refuses to go on without an SDK that this package knows.

    Raises:
        GenOpsConfigurationError: There is none, or of another version.
    """
    (finding,) = validate_sdk()
    if finding.level is ValidationLevel.ERROR:
        raise GenOpsConfigurationError(f"{finding.issue} {finding.recommendation} {finding.fix_command}")


def end_all(timeout: float) -> bool:
    """Ends every client, at most so many seconds in all; whether they sent everything."""
    deadline = time.monotonic() + timeout
    with _lock:
        clients = list(_clients.values())
        _clients.clear()
    ended = [client.end(max(0.0, deadline - time.monotonic())) for client in clients]  # each, whatever the others did
    return all(ended)


def _ended(client: Any, timeout: float) -> bool:
    deadline = time.monotonic() + timeout
    is_empty = _flushed(client, timeout)
    return _within(max(0.0, deadline - time.monotonic()), client.shutdown) and is_empty


def _flushed(client: Any, timeout: float) -> bool:
    # Newer versions of the SDK give up by themselves, after ten seconds if they are not told otherwise.
    is_told = "timeout_seconds" in inspect.signature(client.flush).parameters
    flush = partial(client.flush, timeout_seconds=timeout) if is_told else client.flush
    return _within(timeout, flush) and not _waiting(client)


def _within(seconds: float, function: Callable[[], object]) -> bool:
    """Runs what may take longer than anybody wants to wait for; whether it was through in time, and without error."""
    done: list[bool] = []

    def run() -> None:
        try:
            function()
            done.append(True)
        except Exception:
            _logger.exception("PostHog's SDK failed to send what was captured")

    thread = threading.Thread(target=run, name="genops-posthog-flush", daemon=True)
    try:
        thread.start()
    except RuntimeError:  # the interpreter is about to end and starts no threads any more
        run()
    else:
        thread.join(seconds)
    return bool(done)


def _waiting(client: Any) -> int:
    return int(getattr(client.queue, "unfinished_tasks", 0))


def _secret_key_option(kind: type) -> str:
    """Older versions of the SDK know it by another name."""
    return "secret_key" if "secret_key" in inspect.signature(kind).parameters else "personal_api_key"


def _after_fork_in_child() -> None:
    global _lock
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)

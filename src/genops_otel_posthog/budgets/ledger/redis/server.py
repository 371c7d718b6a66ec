"""A Redis or Valkey server as the ledger needs it: it runs scripts, and its errors say what became of the money."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Sequence
from functools import cache
from importlib.resources import files
from typing import Any, Protocol, TypeVar

from genops_otel_posthog.budgets.ledger.protocol import LedgerCorrupt, LedgerUnavailable
from genops_otel_posthog.errors import GenOpsError

_logger = logging.getLogger(__name__)
_T = TypeVar("_T")

_CLIENT_PACKAGES = ("redis", "valkey")

# Both name the line of the script in which it happened; Redis 6.2 puts it before, later ones behind.
_DAMAGE = re.compile(r"WRONGTYPE|CORRUPT (?P<what>.*?)(?: script: .*)?$", re.DOTALL)
_REFUSAL = re.compile(r"READONLY|read only replica|OOM|maxmemory|MISCONF|NOREPLICAS|MASTERDOWN|CLUSTERDOWN|NOPERM|BUSY")

_inherited: list[object] = []
"""Clients that were open when a process forked; kept, because to collect them is to close their sockets."""


class Client(Protocol):
    """What is used of redis-py's ``Redis`` and ``RedisCluster``, and of their like in valkey-py."""

    def register_script(self, script: str) -> Callable[..., Any]:
        """A script that is sent by its digest, and in full when the server does not know it."""
        ...

    def xrevrange(self, name: str, max: str, min: str, count: int) -> Any:
        """Entries of a stream, the newest first."""
        ...

    def close(self) -> None: ...


class Server:
    """Runs the ledger's scripts.

    Args:
        client: Connects to the server when it is first used.
        place: The server's address without a password, for messages.
        reusable: Whether ``client`` may be called again, after a fork; what it returns is then ours to close.
    """

    def __init__(self, client: Callable[[], Client], place: str, *, reusable: bool) -> None:
        self._open = client
        self.place = place
        self._reusable = reusable
        self._abandoned = False
        self._client: Client | None = None
        self._scripts: dict[str, Callable[..., Any]] = {}

    @property
    def client(self) -> Client:
        """The client; connects on first use, if it is one that does so when it is made.

        Raises:
            LedgerUnavailable: the client was given to the ledger before this process was forked.
        """
        if self._client is None:
            if self._abandoned and not self._reusable:
                raise LedgerUnavailable(
                    f"the ledger at {self.place} was opened with a client of the parent process, whose connections "
                    "are not ours to use; open another RedisLedger after the fork"
                )
            self._client = self._open()
        return self._client

    def run(self, name: str, keys: Sequence[str], *arguments: str) -> str | bytes:
        """Runs a script.

        Raises:
            LedgerUnavailable: the server did not execute it, or nobody knows whether it did.
            LedgerCorrupt: what is stored is not what a ledger stores.
        """

        def execute() -> str | bytes:
            script = self._scripts.get(name)
            if script is None:
                script = self._scripts[name] = self.client.register_script(_text_of(name))
            answer: str | bytes = script(keys=keys, args=arguments)
            return answer

        return self._guarded(execute)

    def entries(self, stream: str, before: str, count: int) -> list[tuple[str, dict[str, str]]]:
        """Entries of a stream, the newest first.

        Args:
            stream: Its key.
            before: ``+``, or ``(`` and the id of an entry: only older ones.
            count: How many at most.
        """
        found = self._guarded(lambda: self.client.xrevrange(stream, before, "-", count))
        return [
            (_text(number), {_text(field): _text(value) for field, value in entry.items()}) for number, entry in found
        ]

    def close(self) -> None:
        """Closes what was opened here. Never raises."""
        client, self._client = self._client, None
        self._scripts.clear()
        if client is None or not self._reusable:
            return
        try:
            client.close()
            pool = getattr(client, "connection_pool", None)
            if pool is not None:
                pool.disconnect()  # redis-py before 5.0.1 leaves it open
        except Exception:
            _logger.debug("Closing the connection to the ledger at %s failed", self.place, exc_info=True)

    def abandon(self) -> None:
        """Forgets the client without touching its sockets, which a parent process goes on using."""
        _inherited.append(self._client)
        self._client = None
        self._scripts.clear()
        self._abandoned = True

    def _guarded(self, use: Callable[[], _T]) -> _T:
        try:
            return use()
        except Exception as error:
            failure = self._failure(error)
            if failure is None:
                raise
            raise failure from error

    def _failure(self, error: Exception) -> GenOpsError | None:
        kinds = {kind.__name__ for kind in type(error).__mro__ if kind.__module__.partition(".")[0] in _CLIENT_PACKAGES}
        if not kinds:
            return None
        said = str(error).rstrip(".") or type(error).__name__
        damage = _DAMAGE.search(said)
        if damage or ("user_script" in said and not _REFUSAL.search(said)):
            found = damage["what"] if damage and damage["what"] else said
            return LedgerCorrupt(
                f"what is stored at {self.place} is not a ledger of this version, or is damaged: {found}. Nothing was "
                "changed; use another namespace in GENOPS_LEDGER_URL, or repair it"
            )
        if "MovedError" in kinds or said.startswith("MOVED "):
            said = "it is a node of a cluster; add ?cluster=true to the URL"
        elif "TimeoutError" in kinds:
            said = f"it did not answer in time ({said})"
        return LedgerUnavailable(f"the ledger at {self.place} cannot be used: {said}")


@cache
def _text_of(name: str) -> str:
    folder = files(__package__)
    return "\n".join((folder / f"{part}.lua").read_text(encoding="utf-8") for part in ("shared", name))


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value

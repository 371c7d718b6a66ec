"""The ledger on Redis or Valkey: one script per sync, on the server's clock."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from genops_otel_posthog.budgets.ledger.kept import KeptLedger
from genops_otel_posthog.budgets.ledger.protocol import SyncReply, SyncRequest
from genops_otel_posthog.budgets.ledger.redis.keys import Keys
from genops_otel_posthog.budgets.ledger.redis.records import RedisRecords
from genops_otel_posthog.budgets.ledger.redis.server import Client, Server
from genops_otel_posthog.budgets.ledger.redis.url import parse_url, place_of
from genops_otel_posthog.budgets.ledger.redis.wire import decode, encode
from genops_otel_posthog.errors import GenOpsConfigurationError


class RedisLedger(KeptLedger):
    """A ledger on a server of Redis 6.2 or newer, or of Valkey 7.2 or newer, or on a cluster of them.

    Nothing is ever sent twice here: a request whose answer got lost is repeated by who sent it, under its number.
    The server should keep an append-only file, and ``maxmemory-policy noeviction``: what it evicts has not been spent.

    Args:
        client: A client of redis-py or valkey-py, for a server or a cluster. It should not retry for longer than a
            sync may take. It is not closed here.
        namespace: Sets ledgers on one server apart: up to 100 letters, digits and ``. _ : -``.
        clock: Seconds since the epoch, for tests; ``None`` for the server's clock.

    Raises:
        GenOpsConfigurationError: the namespace cannot be used.
    """

    def __init__(self, client: Client, namespace: str = "default", *, clock: Callable[[], float] | None = None) -> None:
        self._begin(Server(lambda: client, place_of(client), reusable=False), namespace, clock)

    @classmethod
    def from_url(cls, url: str, *, timeout: float = 0.25, clock: Callable[[], float] | None = None) -> RedisLedger:
        """The ledger that a URL means. Nothing is connected to before it is used.

        Args:
            url: ``redis://``, ``rediss://``, ``valkey://``, ``valkeys://`` or ``unix://`` with what redis-py takes
                after it, and besides ``namespace=acme`` and ``cluster=true`` among the options.
            timeout: Seconds to wait for a connection and for an answer, each.
            clock: Seconds since the epoch, for tests; ``None`` for the server's clock.

        Raises:
            GenOpsConfigurationError: the URL cannot be used as it is. Its password is not repeated.
        """
        connect, namespace, place = parse_url(url, timeout)
        ledger = cls.__new__(cls)
        ledger._begin(Server(connect, place, reusable=True), namespace, clock)
        return ledger

    def _begin(self, server: Server, namespace: str, clock: Callable[[], float] | None) -> None:
        try:
            self._keys = Keys(namespace)
        except ValueError as error:
            raise GenOpsConfigurationError(f"GENOPS_LEDGER_URL: {error}") from None
        self._server = server
        self._clock = clock

    @property
    def place(self) -> str:
        """The address of the server, without a password."""
        return self._server.place

    @property
    def largest_amount(self) -> int:
        """Lua counts in doubles, which are exact up to here: about nine million US dollars in nano-USD."""
        return 2**53 - 1

    def sync(self, request: SyncRequest) -> SyncReply:
        """Executes one sync."""
        keys, message = encode(request, self._keys)
        return decode(request, self._server.run("sync", keys, message, self._given_time()))

    def now_ms(self) -> int:
        """The server's clock, milliseconds since the epoch."""
        return int(self._server.run("look", self._keys.fixed, "clock", self._given_time()))

    def check_writable(self) -> None:
        """Writes, and takes it back before anybody sees it."""
        self._server.run("probe", self._keys.fixed)

    def close(self) -> None:
        """Closes the connections that were opened here. Never raises."""
        self._server.close()

    def abandon(self) -> None:
        """Forgets the connections without touching them. A ledger that was opened by its URL connects again."""
        self._server.abandon()

    def _given_time(self) -> str:
        return "" if self._clock is None else str(round(self._clock() * 1000))

    @contextmanager
    def _reading(self) -> Iterator[RedisRecords]:
        yield RedisRecords(self._server, self._keys, self._given_time())

    @contextmanager
    def _writing(self) -> Iterator[RedisRecords]:
        records = RedisRecords(self._server, self._keys, self._given_time())
        yield records
        records.apply()

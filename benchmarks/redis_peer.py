"""OpenTelemetry's own redis instrumentation, as the peer that a user may already run.

The connection answers from memory, so what is timed is the client and, in the other variant, its instrumentation.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from opentelemetry.instrumentation.redis import RedisInstrumentor
from opentelemetry.trace import TracerProvider
from redis import Connection, ConnectionPool, Redis


class _AnsweringConnection(Connection):
    """A connection without a socket whose every answer is the same value."""

    def connect(self) -> None:
        pass

    def disconnect(self, *_: Any, **__: Any) -> None:
        pass

    def can_read(self, *_: Any, **__: Any) -> bool:
        return False

    def send_packed_command(self, *_: Any, **__: Any) -> None:
        pass

    def read_response(self, *_: Any, **__: Any) -> bytes:
        return b"gold"


def _get(client: Any) -> Callable[[], object]:
    def call() -> object:
        return client.get("customer:1042:tier")

    return call


def bare_get() -> Callable[[], object]:
    """A ``GET`` of a client that is not instrumented."""
    return _get(_client())


def instrumented_get(tracer_provider: TracerProvider) -> Callable[[], object]:
    """A ``GET`` of a client of its own that is."""
    client = _client()
    RedisInstrumentor.instrument_client(client=client, tracer_provider=tracer_provider)
    return _get(client)


def _client() -> Any:
    return Redis(connection_pool=ConnectionPool(connection_class=_AnsweringConnection))

"""Which server a URL means, with how little patience it is asked."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from genops_otel_posthog.budgets.ledger.redis.server import Client
from genops_otel_posthog.errors import GenOpsConfigurationError

# What redis-py calls them.
_SCHEMES = {"redis": "redis", "valkey": "redis", "rediss": "rediss", "valkeys": "rediss", "unix": "unix"}
_SWITCH = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


class Address(NamedTuple):
    """A server and a ledger on it.

    Attributes:
        connect: Makes a client. One for a cluster connects at once, any other when it is used.
        namespace: Sets ledgers on one server apart.
        place: The address without a password.
    """

    connect: Callable[[], Client]
    namespace: str
    place: str


def parse_url(url: str, timeout: float) -> Address:
    """Reads a URL. Nothing is connected to.

    Args:
        url: ``redis://``, ``rediss://``, ``valkey://``, ``valkeys://`` or ``unix://`` with what redis-py takes after
            it (https://redis.readthedocs.io/en/stable/connections.html), and besides ``namespace=acme`` and
            ``cluster=true`` among the options.
        timeout: Seconds to wait for a connection and for an answer; ``socket_timeout`` and ``socket_connect_timeout``
            in the URL are stronger.

    Raises:
        GenOpsConfigurationError: the URL cannot be used as it is. Its user and password are not repeated.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        # Its text is not passed on: with an unquoted password, it repeats a part of that.
        raise _unusable("is not a URL; write / # ? and @ in a password as %2F %23 %3F and %40") from None
    scheme = _SCHEMES.get(parts.scheme.lower())
    if scheme is None:
        raise _unusable(f"does not begin with {', '.join(f'{name}://' for name in _SCHEMES)}")
    if parts.fragment:
        raise _unusable("has a #, which ends a URL; write it as %23 if it is in the password")
    options = dict(parse_qsl(parts.query))
    namespace = options.pop("namespace", "default")
    cluster = _SWITCH.get(options.pop("cluster", "false").lower())
    if cluster is None:
        raise _unusable("has a cluster option that is neither true nor false")
    if scheme == "unix":
        place = f"unix://{unquote(parts.path)}"
    else:
        host = parts.hostname or "localhost"
        host = f"[{host}]" if ":" in host else host
        place = f"{parts.scheme.lower()}://{host}:{port or 6379}{quote(parts.path)}"
    # Not `geturl`, which writes unix:/path.
    address = f"{scheme}://{parts.netloc}{parts.path}?{urlencode(options)}"
    settings: dict[str, Any] = {
        "socket_timeout": timeout,
        "socket_connect_timeout": timeout,
        # Whoever asks knows better when to ask again, and redis-py would wait for seconds.
        "retry": Retry(NoBackoff(), 0),
        # The scripts answer with one string each; a handshake for RESP 3 would be one more round trip.
        "protocol": 2,
    }
    if cluster:
        return Address(partial(_cluster, address, settings), namespace, place)
    _check_options(address, settings)
    return Address(partial(_single, address, settings), namespace, place)


def place_of(client: Client) -> str:
    """The address of a client that was made elsewhere, as far as it shows; without a password."""
    settings = getattr(getattr(client, "connection_pool", None), "connection_kwargs", {})
    if "path" in settings:
        return f"unix://{settings['path']}"
    if "host" in settings:
        return f"{settings['host']}:{settings.get('port', 6379)}"
    return f"a {type(client).__name__}"


def _single(address: str, settings: dict[str, Any]) -> Client:
    client: Client = redis.Redis.from_url(address, **settings)
    return client


def _cluster(address: str, settings: dict[str, Any]) -> Client:
    client: Client = redis.RedisCluster.from_url(address, **settings)
    return client


def _check_options(address: str, settings: dict[str, Any]) -> None:
    # redis-py hands what it does not know to the connection, which would refuse it when the first call is made.
    try:
        pool = redis.ConnectionPool.from_url(address, **settings)
        pool.connection_class(**pool.connection_kwargs)
    except (TypeError, ValueError) as error:
        raise _unusable(f"has an option that redis-py does not take: {error}") from None


def _unusable(why: str) -> GenOpsConfigurationError:
    return GenOpsConfigurationError(f"GENOPS_LEDGER_URL {why}; write it like redis://localhost:6379/0?namespace=acme")

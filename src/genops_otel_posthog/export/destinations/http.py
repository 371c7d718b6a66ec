"""HTTP for destinations: one connection that is kept, proxies and certificates as the environment says.

urllib3 rather than requests: half the time per request and the same answers. It comes with requests.
"""

from __future__ import annotations

import contextlib
import os
import ssl
import time
from collections.abc import Mapping
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from genops_otel_posthog.export.destinations.protocol import Answer, Verdict

if TYPE_CHECKING:
    import urllib3

_MOST_OF_AN_ANSWER = 1024 * 1024
_PIECE = 1024
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


class Response(NamedTuple):
    """An HTTP answer.

    Attributes:
        status: HTTP status.
        body: As sent, up to a mebibyte.
        retry_after: What ``Retry-After`` asks for, in seconds.
        date: When the host answered, by its own clock; ``None`` where it does not say.
    """

    status: int
    body: bytes
    retry_after: float | None
    date: datetime | None = None


class Http:
    """A client of one host.

    Args:
        url: Scheme and authority of the host.
    """

    def __init__(self, url: str) -> None:
        # Now rather than with the first request, which may come from a thread while the interpreter ends, or after
        # the process has become a user who may not read the interpreter's files.
        import encodings.idna  # noqa: F401

        import urllib3  # noqa: F401

        self._url = url
        self._process = 0
        self._pool: urllib3.PoolManager | None = None

    def post(self, path: str, body: bytes, headers: Mapping[str, str], timeout: float) -> Response | Answer:
        """Posts a body.

        Args:
            path: Begins with a slash.
            timeout: Most seconds for all of it, to the last byte of the answer.

        Returns:
            The response, or the answer of a destination that could not be reached.
        """
        import urllib3

        deadline = time.monotonic() + timeout
        try:
            response = self._connected().request(
                "POST",
                self._url + path,
                body=body,
                headers=dict(headers),
                timeout=urllib3.Timeout(total=timeout),
                retries=False,
                redirect=False,
                preload_content=False,
                enforce_content_length=True,
            )
            content = bytearray()
            is_whole = False
            # What has arrived, as it arrives; urllib3 1 can only wait for so many bytes.
            read = getattr(response, "read1", response.read)
            try:
                while len(content) <= _MOST_OF_AN_ANSWER:
                    if time.monotonic() > deadline:
                        return Answer(Verdict.RETRY, "timeout", detail="the answer did not end in time")
                    piece = read(_PIECE)
                    if not piece:
                        is_whole = True
                        break
                    content += piece
            finally:
                if not is_whole:
                    response.close()  # what is left of it must not be taken for the next answer
                response.release_conn()
        except urllib3.exceptions.HTTPError as error:
            return _unreachable(error)
        return Response(
            response.status,
            bytes(content),
            seconds_to_wait(response.headers.get("Retry-After")),
            _instant(response.headers.get("Date")),
        )

    def close(self) -> None:
        """Closes what is open."""
        pool, self._pool = self._pool, None
        if pool is not None and self._process == os.getpid():
            pool.clear()

    def _connected(self) -> urllib3.PoolManager:
        if self._pool is None or self._process != os.getpid():
            # After a fork the connection and the locks of the pool are the parent's; they are left as they are.
            self._pool = _make_pool(self._url)
            self._process = os.getpid()
        return self._pool


def is_loopback(url: str) -> bool:
    """Whether a URL is of this machine."""
    return (urlsplit(url).hostname or "") in _LOOPBACK


def seconds_to_wait(header: str | None, *, now: datetime | None = None) -> float | None:
    """A ``Retry-After`` header, seconds or a date (RFC 9110, section 10.2.3), in seconds from now; ``None`` when it
    is missing or unreadable."""
    if not header:
        return None
    with contextlib.suppress(ValueError):
        seconds = float(header)
        return seconds if 0 <= seconds < float("inf") else None
    at = _instant(header)
    return None if at is None else max(0.0, (at - (now or datetime.now(timezone.utc))).total_seconds())


def _instant(header: str | None) -> datetime | None:
    """A date of HTTP (RFC 9110, section 5.6.7); ``None`` when it is missing or unreadable."""
    with contextlib.suppress(ValueError, TypeError):
        at = parsedate_to_datetime(header or "")
        return at if at.tzinfo else at.replace(tzinfo=timezone.utc)
    return None


def _make_pool(url: str) -> urllib3.PoolManager:
    import urllib3

    parts = urlsplit(url)
    proxies = getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    context = _tls() if parts.scheme == "https" else None
    if not proxy or proxy_bypass(parts.netloc):
        return urllib3.PoolManager(num_pools=1, maxsize=1, ssl_context=context)
    if proxy.startswith("socks"):
        from urllib3.contrib.socks import SOCKSProxyManager

        return SOCKSProxyManager(proxy, num_pools=1, maxsize=1, ssl_context=context)
    proxy = proxy if "://" in proxy else f"http://{proxy}"
    credentials = urlsplit(proxy)
    headers = None
    if credentials.username:
        headers = urllib3.make_headers(proxy_basic_auth=f"{credentials.username}:{credentials.password or ''}")
    return urllib3.ProxyManager(proxy, num_pools=1, maxsize=1, ssl_context=context, proxy_headers=headers)


def _tls() -> ssl.SSLContext:
    """Certificates as requests finds them, so that what works for the PostHog SDK works here."""
    given = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE")
    if given:
        where = {"capath": given} if os.path.isdir(given) else {"cafile": given}
        return ssl.create_default_context(**where)  # type: ignore[arg-type]  # a mapping of two of its three names
    context = ssl.create_default_context()
    if not os.environ.get("SSL_CERT_FILE"):
        import certifi

        context.load_verify_locations(certifi.where())
    return context


def _unreachable(error: Exception) -> Answer:
    """What a failure of the network means. The texts of these errors may hold the URL, never a key or an event."""
    import urllib3.exceptions as kinds

    cause: BaseException = error
    while isinstance(cause, kinds.MaxRetryError) and cause.reason is not None:
        cause = cause.reason
    if isinstance(cause, kinds.SSLError):
        return Answer(Verdict.HELD, "tls", detail=f"no secure connection: {cause}")
    if isinstance(cause, kinds.NameResolutionError if hasattr(kinds, "NameResolutionError") else ()):
        return Answer(Verdict.RETRY, "dns", detail="the name of the host is not known")
    if isinstance(cause, kinds.ProxyError):
        return Answer(Verdict.RETRY, "proxy", detail="the proxy cannot be used")
    if isinstance(cause, kinds.TimeoutError) and not isinstance(cause, kinds.NewConnectionError):
        return Answer(Verdict.RETRY, "timeout", detail="no answer in time")
    if isinstance(cause, kinds.NewConnectionError):
        return Answer(Verdict.RETRY, "connection_failed", detail="there is no connection")
    return Answer(Verdict.RETRY, "connection_lost", detail=f"the connection broke ({type(cause).__name__})")

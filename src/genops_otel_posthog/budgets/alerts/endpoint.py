"""One request to the receiver of alerts, and what became of it.

The address of a webhook is itself a secret: whoever knows it may write to the channel. No message of this module shows
more of it than scheme and host, and no message of a library that would show more is passed on.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from genops_otel_posthog.budgets.alerts.addresses import NotPublic, session_for_public_address
from genops_otel_posthog.budgets.alerts.payloads import FORMATS, body_for, format_for
from genops_otel_posthog.budgets.alerts.signing import keys_from, webhook_headers
from genops_otel_posthog.budgets.ledger.protocol import Alert
from genops_otel_posthog.errors import GenOpsConfigurationError
from genops_otel_posthog.settings.budget_values import webhook
from genops_otel_posthog.version import __version__

if TYPE_CHECKING:
    import requests

DELIVERED, REFUSED, FAILED = "delivered", "refused", "failed"

CONNECT_SECONDS = 5.0
"""How long to wait for a connection."""
ANSWER_SECONDS = 15.0
"""How long to wait for an answer; Standard Webhooks recommends 15 to 30 s."""

_SIGNED_FORMATS = {"generic", "alertmanager-webhook"}
# Of the codes that blame the request, these say: later. 425 and 408 by RFC 9110 and RFC 8470, 429 by RFC 6585.
_LATER = {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS}
# Slack's reasons look like no_service or invalid_payload. Other bodies are not shown: they may repeat the address.
_SHORT_REASON = re.compile(rb"[a-z_]{1,60}")
_READ_OF_ANSWER = 200  # bytes


class Outcome(NamedTuple):
    """What became of one request.

    Attributes:
        verdict: :data:`DELIVERED`; :data:`REFUSED`, the receiver will never take this alert; or :data:`FAILED`, it may
            take it later.
        reason: Why it was not delivered, fit to be shown.
        retry_after: Seconds for which the receiver wants to be left alone.
    """

    verdict: str
    reason: str = ""
    retry_after: float | None = None


class Endpoint:
    """The receiver of alerts.

    Args:
        url: Its address, ``http`` or ``https``.
        format: One of :data:`~genops_otel_posthog.budgets.alerts.payloads.FORMATS`, or ``auto``: what the address
            tells.
        secret: Signs what is sent, see :func:`~genops_otel_posthog.budgets.alerts.signing.keys_from`. Slack and
            Alertmanager check no signature, so they get none.
        escalation: Passed on with each alert.
        private_addresses: Whether the receiver may be on a private network, as Alertmanager usually is.
        quietly: Makes a context in which the request is sent; for those who trace or count requests and do not want
            to see this one.
        now: Seconds since the epoch.

    Raises:
        GenOpsConfigurationError: address, format or secret cannot be used.
    """

    def __init__(
        self,
        url: str,
        *,
        format: str = "auto",
        secret: str | None = None,
        escalation: Sequence[str] = (),
        private_addresses: bool = True,
        quietly: Callable[[], AbstractContextManager[object]] = nullcontext,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.shown = shown_address(url)
        if format != "auto" and format not in FORMATS:
            raise GenOpsConfigurationError(
                f"{format!r} is no format of alerts; use auto, {', '.join(list(FORMATS)[:-1])} or {list(FORMATS)[-1]}."
            )
        self.format = format_for(url) if format == "auto" else format
        self._url = url
        self._keys = keys_from(secret)
        self._escalation = tuple(escalation)
        self._private_addresses = private_addresses
        self._quietly = quietly
        self._now = now

    def post(self, alert: Alert, within: float) -> Outcome:
        """Sends one alert, once.

        Args:
            alert: The alert.
            within: Seconds after which nobody waits for the answer any more.
        """
        now = self._now()
        try:
            body = body_for(self.format, alert, self._escalation, datetime.fromtimestamp(now, timezone.utc))
            headers = {
                "Content-Type": "application/json",
                "User-Agent": f"genops-otel-posthog/{__version__}",
                **(webhook_headers(alert.id, body, self._keys, int(now)) if self.format in _SIGNED_FORMATS else {}),
            }
        except ValueError as error:
            return Outcome(REFUSED, f"it cannot be written as {self.format}: {error}")
        connect = min(CONNECT_SECONDS, within / 3)
        with self._quietly(), _requests_unlogged():
            return self._exchange(body, headers, (connect, min(ANSWER_SECONDS, within - connect)))

    def _exchange(self, body: bytes, headers: dict[str, str], timeouts: tuple[float, float]) -> Outcome:
        import requests

        try:
            session, url = (requests.Session(), self._url)
            if not self._private_addresses:
                session, url = session_for_public_address(self._url)
            # A connection of its own for each request: alerts are rare, and no connection can be shared with a child
            # that is forked. Redirects are not followed: the alert would go to whom nobody has named.
            with (
                session,
                session.post(
                    url, data=body, headers=headers, timeout=timeouts, allow_redirects=False, stream=True
                ) as response,
            ):
                return self._verdict(response)
        except NotPublic as error:
            return Outcome(FAILED, str(error))
        except (requests.RequestException, OSError) as error:
            return Outcome(FAILED, _reason(error, timeouts))

    def _verdict(self, response: requests.Response) -> Outcome:
        status = response.status_code
        if 200 <= status < 300:
            return Outcome(DELIVERED)
        reason = f"it answered {status}"
        if 300 <= status < 400:
            return Outcome(FAILED, f"{reason}, a redirect, which is not followed; give the address it leads to")
        if 400 <= status < 500 and status not in _LATER:
            return Outcome(REFUSED, reason + _own_words(response))
        return Outcome(FAILED, reason, _seconds(response.headers.get("Retry-After"), self._now()))


def shown_address(url: str) -> str:
    """Scheme, host and port of ``url``, which is what may be shown of it.

    Raises:
        GenOpsConfigurationError: it is not an address to which an alert can be sent.
    """
    try:
        parts = urlsplit(webhook(url))
    except ValueError as error:
        # Not chained, and without the address: it is a secret.
        raise GenOpsConfigurationError(
            f"The address of the webhook for alerts cannot be used: {error}; for example "
            "https://hooks.slack.com/services/… or http://127.0.0.1:9093/api/v2/alerts"
        ) from None
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return f"{parts.scheme}://{host}{'' if parts.port is None else f':{parts.port}'}"


def _own_words(response: requests.Response) -> str:
    import requests

    try:
        words = next(response.iter_content(_READ_OF_ANSWER), b"").strip()
    except requests.RequestException:
        return ""  # it is only the reason for a refusal that is certain
    return f" ({words.decode('ascii')})" if _SHORT_REASON.fullmatch(words) else ""


def _seconds(retry_after: str | None, now: float) -> float | None:
    """Reads the header Retry-After: seconds, or a date (RFC 9110 §10.2.3). What cannot be read is not there."""
    if retry_after is None:
        return None
    text = retry_after.strip()
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - now)
    except (ValueError, OverflowError):
        return None


def _reason(error: Exception, timeouts: tuple[float, float]) -> str:
    """Why there was no answer, without the address, which the messages of requests and urllib3 contain."""
    import ssl

    import requests

    connect, answer = timeouts
    if isinstance(error, requests.ConnectTimeout):
        return f"there was no connection within {connect:.3g} s"
    if isinstance(error, requests.Timeout):
        return f"there was no answer within {answer:.3g} s"
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"its certificate was not accepted: {cause.verify_message}"
        if isinstance(cause, OSError) and cause.errno is not None and cause.strerror:
            return f"there is no connection: {cause.strerror}"
    return f"there was no answer: {type(error).__name__}"


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and all that it came from; urllib3 hands its causes on as arguments and as ``reason``, too."""
    seen: set[int] = set()
    waiting = [error]
    while waiting:
        one = waiting.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        candidates = (*one.args, getattr(one, "reason", None), one.__context__, one.__cause__)
        waiting += [candidate for candidate in candidates if isinstance(candidate, BaseException)]


_sending = threading.local()


class _NotOwnRequests(logging.Filter):
    """Keeps urllib3 from logging the requests of alerts: at DEBUG it writes the path of each."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not getattr(_sending, "an_alert", False)


_not_own_requests = _NotOwnRequests()


@contextmanager
def _requests_unlogged() -> Iterator[None]:
    # It is added once however often it is added, and stays: others may be walking through the list of filters.
    logging.getLogger("urllib3.connectionpool").addFilter(_not_own_requests)
    _sending.an_alert = True
    try:
        yield
    finally:
        _sending.an_alert = False

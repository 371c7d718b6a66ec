"""PostHog's billing API, asked with a personal key.

The ledger counts calendar months in UTC. PostHog's overview counts the organisation's own billing period; where that is
not the calendar month, and for months that are over, the daily series are added up instead.

Source: PostHog/posthog on GitHub, ``ee/api/billing.py`` (access: scope ``billing:read``, and admin or owner of the
organisation).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from http.client import HTTPException, HTTPMessage
from typing import IO, Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode, urlsplit
from urllib.request import HTTPRedirectHandler, OpenerDirector, ProxyHandler, Request, build_opener

from genops_otel_posthog.cli.actual_usage import ActualUsage, billing_period_start, first_instant, last_day
from genops_otel_posthog.errors import GenOpsConfigurationError, GenOpsProviderError
from genops_otel_posthog.receiver.loopback import is_loopback
from genops_otel_posthog.version import __version__

TIMEOUT = 30.0
"""Seconds to wait for an answer; PostHog asks a service behind it."""

_BY_TYPE = '["type"]'
_LARGEST_ANSWER = 16 * 1024 * 1024
_LONGEST_DETAIL = 300
_CREATE_A_KEY = (
    "create one in PostHog under Settings, Personal API keys, with the scope billing:read, as somebody who may see the "
    "organisation's billing"
)
_API_HOSTS = {
    "us.i.posthog.com": "us.posthog.com",
    "app.posthog.com": "us.posthog.com",
    "i.posthog.com": "us.posthog.com",
    "eu.i.posthog.com": "eu.posthog.com",
}


class BillingApi:
    """The billing API of one organisation: that of the user whose key it is.

    Args:
        host: PostHog's host, that of ingestion or that of the API.
        key: Personal API key.

    Raises:
        GenOpsConfigurationError: The key is none that this API takes, or the host would see it unencrypted.
    """

    def __init__(self, host: str, key: str | None) -> None:
        if key is None:
            raise GenOpsConfigurationError(
                f"There is no personal API key. Set POSTHOG_PERSONAL_API_KEY=phx_…; {_CREATE_A_KEY}."
            )
        if not key.startswith("phx_"):
            raise GenOpsConfigurationError(
                f"POSTHOG_PERSONAL_API_KEY is {_kind_of_key(key)}, which the billing API does not take. It needs a "
                f"personal API key (phx_…); {_CREATE_A_KEY}."
            )
        self.url = _api_url(host)
        self._key = key

    def usage_of(self, month: str) -> ActualUsage:
        """What the organisation has used in a calendar month, up to PostHog's last daily report.

        Args:
            month: ``2026-11``, in UTC.

        Raises:
            GenOpsProviderError: PostHog refused, could not be reached, or answered something else.
        """
        overview = self._get("/api/billing/")
        start = billing_period_start(overview)
        if start == first_instant(month):
            actual = ActualUsage(month, f"{self.url}/api/billing/", start)
            actual.read_overview(overview)
        else:
            query = {
                "start_date": f"{month}-01",
                "end_date": last_day(month),
                "interval": "day",
                "breakdowns": _BY_TYPE,
            }
            actual = ActualUsage(month, f"{self.url}/api/billing/usage/", start)
            actual.read_series(self._get(f"/api/billing/usage/?{urlencode(query)}"))
        return actual

    def _get(self, path: str) -> Mapping[str, Any]:
        request = Request(
            self.url + path,
            headers={
                "Authorization": f"Bearer {self._key}",
                "Accept": "application/json",
                "User-Agent": f"genops-otel-posthog/{__version__}",
            },
        )
        try:
            with _opener(self.url).open(request, timeout=TIMEOUT) as response:
                content = response.read(_LARGEST_ANSWER)
        except HTTPError as error:
            with error:
                raise GenOpsProviderError(_refusal(error, self.url)) from None
        except (URLError, HTTPException, OSError) as error:
            reason = getattr(error, "reason", None) or error
            raise GenOpsProviderError(
                f"{self.url} did not answer: {reason}. Check the network, and POSTHOG_HOST if PostHog is elsewhere."
            ) from None
        try:
            document = json.loads(content)
        except ValueError:
            document = None
        if not isinstance(document, dict):
            raise GenOpsProviderError(
                f"{self.url}{path.partition('?')[0]} answered something that is no JSON object; is POSTHOG_HOST that "
                "of PostHog?"
            )
        return document


def _kind_of_key(key: str) -> str:
    return {
        "phc_": "a project key (phc_…)",
        "phs_": "a project secret key (phs_…)",
    }.get(key[:4], "no personal API key")


def _api_url(host: str) -> str:
    """The URL of the API that belongs to an ingestion host."""
    parts = urlsplit(host)
    name = parts.hostname or ""
    if parts.scheme != "https" and not is_loopback(name):
        raise GenOpsConfigurationError(
            f"POSTHOG_HOST begins with {parts.scheme}://, so everybody on the way to {name} could read the personal "
            "API key; use https"
        )
    netloc = parts.netloc.lower().replace(name, _API_HOSTS.get(name, name), 1)
    return parts._replace(netloc=netloc).geturl().rstrip("/")


class _NoRedirect(HTTPRedirectHandler):
    """A redirect is an error: urllib would hand the key to wherever it leads."""

    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> None:
        return None


def _opener(url: str) -> OpenerDirector:
    # Loopback is never behind a proxy.
    return build_opener(_NoRedirect, *([ProxyHandler({})] if is_loopback(urlsplit(url).hostname) else []))


def _refusal(error: HTTPError, url: str) -> str:
    """What a refusal means and what to do."""
    said = _detail(error)
    said = f" PostHog says: {said}" if said else ""
    if error.code == 401:
        return f"{url} does not know this personal API key (401): it was deleted, or belongs to another region. " + (
            f"POSTHOG_HOST decides the region; {_CREATE_A_KEY}.{said}"
        )
    if error.code == 403:
        return (
            f"{url} does not let this personal API key read the billing (403): it needs the scope billing:read, and "
            f"its user must be admin or owner of the organisation.{said}"
        )
    if error.code == 404:
        return f"{url} has no billing API (404): a PostHog of your own has no bill. Check POSTHOG_HOST.{said}"
    if error.code == 429:
        wait = error.headers.get("Retry-After")
        return f"{url} was asked too often (429); try again {f'in {wait} s' if wait else 'in a minute'}.{said}"
    if 300 <= error.code < 400:
        return (
            f"{url} leads elsewhere ({error.code}), and the key is not sent there; set POSTHOG_HOST to PostHog itself."
        )
    return f"{url} answered {error.code}; try again later.{said}"


def _detail(error: HTTPError) -> str:
    try:
        document = json.loads(error.read(_LARGEST_ANSWER))
    except (ValueError, HTTPException, OSError):
        return ""
    detail = document.get("detail") if isinstance(document, dict) else None
    if not isinstance(detail, str) or "phx_" in detail:
        return ""
    return "".join(sign if sign.isprintable() else " " for sign in detail[:_LONGEST_DETAIL])

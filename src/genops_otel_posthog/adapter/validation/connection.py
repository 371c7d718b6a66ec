"""Is PostHog there, does it know the key, does it take events and answer flags, and do its clock and ours agree?

Two requests: one flag request, which PostHog counts as one unit of ``feature_flag_requests``, and a batch without an
event, which PostHog refuses and counts as nothing. Neither leaves anything in the project.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from genops_otel_posthog.acceptance import FUTURE_LIMIT, project_key_problem
from genops_otel_posthog.adapter.validation.environment import SET_THE_KEY, key_findings
from genops_otel_posthog.adapter.validation.findings import ValidationIssue, error, info, success, warning
from genops_otel_posthog.errors import GenOpsConfigurationError
from genops_otel_posthog.settings import Settings
from genops_otel_posthog.settings.values import host as ingestion_host

if TYPE_CHECKING:
    from genops_otel_posthog.export.destinations.http import Response
    from genops_otel_posthog.export.destinations.protocol import Answer

TIMEOUT: Final = 5.0
"""Seconds to wait for each of the two answers."""

CLOCKS_MAY_DIFFER: Final = timedelta(seconds=30)
"""More than the second that a date of HTTP is rounded to and the time that an answer takes."""

_CONNECTION, _KEY, _FLAGS, _EVENTS, _CLOCK = "Connection", "Key accepted", "Feature flags", "Events", "Clock"
_DISTINCT_ID = "genops-posthog-validation"
_STATUS = "https://status.posthog.com"

#: Why there was no answer, as :mod:`genops_otel_posthog.export.destinations.http` names it: what to do about it.
_UNREACHABLE: Final[Mapping[str, str]] = {
    "dns": "Check the spelling of POSTHOG_HOST, and that this machine can resolve names.",
    "tls": "Check the certificate: behind a proxy that opens TLS, REQUESTS_CA_BUNDLE names its authority.",
    "proxy": "Check HTTPS_PROXY and NO_PROXY.",
    "timeout": "Check the firewall: outgoing connections to port 443 of that host have to be allowed.",
}


def validate_posthog_connection(
    api_key: str | None = None, host: str | None = None, *, environ: Mapping[str, str] | None = None
) -> list[ValidationIssue]:
    """Makes one real flag request with the key, and sends one batch without an event.

    Args:
        api_key: Project key; ``POSTHOG_API_KEY`` when not given.
        host: Ingestion host; ``POSTHOG_HOST`` when not given.
        environ: The environment; that of the process when not given.

    Returns:
        One finding about the connection where there is none; otherwise one each about the connection, the key, flags,
        events and the clock, as far as the answers tell.
    """
    settings = Settings.from_environ(os.environ if environ is None else environ, strict=False)
    key = (api_key or "").strip() or settings.api_key
    if not key:
        return key_findings(None)
    try:
        server = _server((host or "").strip() or settings.host)
    except GenOpsConfigurationError as problem:
        return [error(_CONNECTION, f"{problem}.", "Correct the host.", "export POSTHOG_HOST=https://us.i.posthog.com")]
    return list(_ask(key, server))


def _server(host: str) -> str:
    try:
        host = ingestion_host(host)
    except ValueError as problem:
        raise GenOpsConfigurationError(f"the host cannot be used: {problem}") from None
    try:
        from posthog.request import determine_server_host
    except ImportError:
        return host  # where requests really go is the SDK's business, and it is missing
    return str(determine_server_host(host))


def _ask(key: str, server: str) -> Iterator[ValidationIssue]:
    from opentelemetry.instrumentation.utils import suppress_instrumentation

    from genops_otel_posthog.export.destinations.http import Http, Response

    http = Http(server)
    try:
        with suppress_instrumentation():
            began = time.monotonic()
            answer = _post(http, "/flags/?v=2", {"api_key": key, "distinct_id": _DISTINCT_ID})
            took = time.monotonic() - began
            if not isinstance(answer, Response):
                yield _no_connection(server, answer)
                return
            yield success(_CONNECTION, f"{server} answers, in {took * 1000:.0f} ms.")
            yield from _flag_findings(answer, key, server)
            if answer.date is not None:
                yield clock_finding(answer.date, datetime.now(timezone.utc), urlsplit(server).hostname or server)
            if answer.status != 401:
                yield _events(_post(http, "/batch/", {"api_key": key, "batch": []}), server)
    finally:
        http.close()


def _post(http: Any, path: str, content: Mapping[str, object]) -> Response | Answer:
    answer: Response | Answer = http.post(
        path, json.dumps(content).encode(), {"Content-Type": "application/json"}, TIMEOUT
    )
    return answer


def _no_connection(server: str, answer: Any) -> ValidationIssue:
    return error(
        _CONNECTION,
        f"{server} could not be reached: {answer.detail}.",
        _UNREACHABLE.get(answer.reason, "Check POSTHOG_HOST, the network and the proxy."),
        f"curl -sS -o /dev/null -w '%{{http_code}}\\n' {server}/flags/",
    )


def _flag_findings(answer: Response, key: str, server: str) -> Iterator[ValidationIssue]:
    if answer.status == 401:
        problem = project_key_problem(key)
        why = "" if problem is None else f": {problem}"
        yield error(
            _KEY,
            f"{server} refuses the key (401){why}.",
            "Use the project key of a project on that host; keys of the US and the EU cloud are not the same.",
            SET_THE_KEY,
        )
        return
    content = _object(answer.body)
    is_over_quota = answer.status == 402 or "feature_flags" in (content.get("quotaLimited") or ())
    if is_over_quota:
        yield success(_KEY, f"{server} accepts the key.")
        yield warning(
            _FLAGS,
            f"{server} accepts the key, but the organisation's quota of flag requests is used up: flags have their "
            "defaults.",
            "Raise the billing limit in PostHog, or evaluate flags locally.",
            "export POSTHOG_PERSONAL_API_KEY=phx_…",
            "https://posthog.com/docs/feature-flags/local-evaluation",
        )
    elif answer.status != 200:
        yield error(
            _FLAGS,
            f"{server} answered {answer.status} to a flag request.",
            "Check that POSTHOG_HOST is the host for events and not that of the application.",
            f"curl -sS -i {server}/flags/",
            _STATUS,
        )
    elif "flags" not in content and "featureFlags" not in content:
        yield error(
            _FLAGS,
            f"{server} answered a flag request with something that is no answer of PostHog's.",
            "Check that POSTHOG_HOST is PostHog, or a proxy that passes /flags/ on.",
            f"curl -sS -i {server}/flags/",
        )
    else:
        yield success(_KEY, f"{server} accepts the key.")
        if content.get("errorsWhileComputingFlags"):
            yield info(_FLAGS, f"{server} answers flag requests, and says that it could not compute all flags.")
        else:
            yield success(_FLAGS, f"{server} answers flag requests.")


def _events(answer: Any, server: str) -> ValidationIssue:
    """A batch without an event is refused with 400 by whoever takes batches."""
    status = getattr(answer, "status", None)
    if status in (200, 400):
        return success(_EVENTS, f"{server} takes events.")
    if status == 402:
        return warning(
            _EVENTS,
            f"{server} takes no events for now: the organisation's billing limit is reached (402).",
            "Raise the billing limit in PostHog, or wait for the next billing period.",
            "genops-posthog outbox status",
        )
    said = answer.detail if status is None else f"answered {status}"
    return error(
        _EVENTS,
        f"{server} does not take events: /batch/ {said}.",
        "Check that POSTHOG_HOST is PostHog, or a proxy that passes /batch/ on.",
        f"curl -sS -i -X POST -H 'Content-Type: application/json' -d '{{}}' {server}/batch/",
        _STATUS,
    )


def clock_finding(theirs: datetime, ours: datetime, whose: str) -> ValidationIssue:
    """Whether two clocks that were read at the same moment agree.

    Args:
        theirs: By the other clock, aware.
        ours: By the clock of this machine, aware.
        whose: The other clock's owner, for the message.
    """
    ahead = ours - theirs
    if abs(ahead) <= CLOCKS_MAY_DIFFER:
        return success(_CLOCK, f"This machine's clock and that of {whose} agree.")
    amount = timedelta(seconds=round(abs(ahead).total_seconds()))
    where = "ahead of" if ahead > timedelta(0) else "behind"
    consequence = "events and budget periods are dated wrongly"
    if ahead > FUTURE_LIMIT:
        consequence = "PostHog replaces the time of every event by its own"
    return warning(
        _CLOCK,
        f"This machine's clock is {amount} {where} that of {whose}: {consequence}.",
        "Synchronise the clock.",
        "sudo timedatectl set-ntp true",
    )


def _object(body: bytes) -> dict[str, Any]:
    try:
        content = json.loads(body)
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}

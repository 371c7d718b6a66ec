"""A typed client of the receiver's query API, on the standard library alone.

Tests use it to say what they expect and to wait for it without sleeping: waiting happens in the receiver, which
answers the moment the rows are there.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from types import TracebackType
from typing import Any, TypeVar
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlencode
from urllib.request import ProxyHandler, Request, build_opener

from typing_extensions import Self

from genops_otel_posthog.errors import GenOpsError, GenOpsValidationError
from genops_otel_posthog.receiver.records import (
    Bill,
    MetricSeries,
    ReceivedEvent,
    ReceivedFlagRequest,
    ReceivedMessage,
    ReceivedRequest,
    ReceivedSpan,
    Trace,
    bill_from_json,
    record_from_json,
    trace_from_json,
)

R = TypeVar("R")

_ALL = "100000"  # the most rows the API lists at once
_SLACK_SECONDS = 10.0  # for the answer itself, beyond the time asked to wait


class ReceiverClient:
    """Questions and orders to a receiver.

    Args:
        url: such as ``http://127.0.0.1:8123``.
        timeout: seconds to wait for an answer, beside what a wait asks for.
    """

    def __init__(self, url: str, *, timeout: float = 30.0) -> None:
        self.url = url.rstrip("/")
        self._timeout = timeout
        self._opener = build_opener(ProxyHandler({}))  # loopback is never behind a proxy

    # --- what was received --------------------------------------------------------------------------------------

    def events(self, event: str | None = None, **filters: object) -> list[ReceivedEvent]:
        """Events, oldest first; accepted ones unless ``outcome="dropped"`` or ``outcome="any"``.

        Args:
            event: only events of this name.
            filters: ``distinct_id``, ``uuid``, ``token``, ``lane``, ``protocol``, ``outcome``, ``reason``, ``after``
                (a row id), ``limit``, ``offset``, ``order``, and ``**{"property.plan": "pro"}``.
        """
        return self._records(ReceivedEvent, "events", {"event": event, **filters})

    def requests(self, path: str | None = None, **filters: object) -> list[ReceivedRequest]:
        """HTTP requests, oldest first. ``path`` has no trailing slash.

        Args:
            path: only requests to it.
            filters: ``method``, ``status``, ``min_status``, ``max_status``, ``fault``, ``after``, ``limit``, …
        """
        return self._records(ReceivedRequest, "requests", {"path": path, **filters})

    def request_body(self, request_id: int) -> bytes:
        """The body of a request as it was sent, compressed or not.

        Raises:
            GenOpsValidationError: it was not kept; see ``keep_bodies`` of the receiver.
        """
        return self._call("GET", f"/api/requests/{request_id}/body")

    def flag_requests(self, kind: str | None = None, **filters: object) -> list[ReceivedFlagRequest]:
        """Flag requests, oldest first.

        Args:
            kind: ``flags``, ``definitions`` or ``remote_config``.
            filters: ``distinct_id``, ``status``, ``units``, ``token``, ``after``, ``limit``, …
        """
        return self._records(ReceivedFlagRequest, "flag-requests", {"kind": kind, **filters})

    def spans(self, name: str | None = None, **filters: object) -> list[ReceivedSpan]:
        """Spans in the order they arrived.

        Args:
            name: only spans of this name.
            filters: ``trace_id``, ``span_id``, ``kind``, ``status``, ``service``, ``scope``, ``after``, ``limit``,
                and ``**{"attribute.genops.team": "shop"}``.
        """
        return self._records(ReceivedSpan, "spans", {"name": name, **filters})

    def rudder_messages(self, event: str | None = None, **filters: object) -> list[ReceivedMessage]:
        """What RudderStack was sent, oldest first.

        Args:
            event: only messages about this event.
            filters: ``type``, ``user_id``, ``anonymous_id``, ``message_id``, ``trace_id``, ``write_key``, ``after``,
                ``limit``, …
        """
        return self._records(ReceivedMessage, "rudder-messages", {"event": event, **filters})

    def traces(self, *, limit: int = 100) -> list[dict[str, Any]]:
        """One line for each trace, newest first: ``trace_id``, ``root``, ``spans``, ``errors``, ``services``."""
        items: list[dict[str, Any]] = self._json("GET", "/api/traces", {"limit": limit})["items"]
        return items

    def trace(self, trace_id: str) -> Trace:
        """A trace as a tree.

        Raises:
            GenOpsValidationError: no span of it was received.
        """
        return trace_from_json(self._json("GET", f"/api/traces/{quote(trace_id, safe='')}"))

    def metrics(self, name: str | None = None, *, history: bool = False, **filters: object) -> list[MetricSeries]:
        """Metric series, each with the point received last.

        Args:
            name: only this metric.
            history: whether each series brings all its points.
            filters: ``type``, ``service``, ``scope``, and ``**{"attribute.genops.team": "shop"}``.
        """
        return self._records(MetricSeries, "metrics", {"name": name, "history": int(history), **filters}, limited=False)

    def bill(self, *, token: str | None = None, group_analytics: bool = False) -> Bill:
        """What PostHog would bill for all of it.

        Args:
            token: only this project key.
            group_analytics: whether the organisation has the group analytics add-on.
        """
        return bill_from_json(self._json("GET", "/api/bill", {"token": token, "group_analytics": int(group_analytics)}))

    def summary(self) -> dict[str, Any]:
        """Everything received, in numbers."""
        content: dict[str, Any] = self._json("GET", "/api/summary")
        return content

    # --- waiting ------------------------------------------------------------------------------------------------

    def wait_for_events(self, count: int = 1, *, timeout: float = 10.0, **filters: object) -> list[ReceivedEvent]:
        """The events once there are ``count`` of them; filters as in :meth:`events`.

        Raises:
            TimeoutError: there were fewer after ``timeout`` seconds; it says what did arrive.
        """
        self.wait_for("events", count, timeout=timeout, **filters)
        return self._records(ReceivedEvent, "events", filters)

    def wait_for_spans(self, count: int = 1, *, timeout: float = 10.0, **filters: object) -> list[ReceivedSpan]:
        """The spans once there are ``count`` of them. Raises as :meth:`wait_for_events`."""
        self.wait_for("spans", count, timeout=timeout, **filters)
        return self._records(ReceivedSpan, "spans", filters)

    def wait_for_requests(self, count: int = 1, *, timeout: float = 10.0, **filters: object) -> list[ReceivedRequest]:
        """The requests once there are ``count`` of them. Raises as :meth:`wait_for_events`."""
        self.wait_for("requests", count, timeout=timeout, **filters)
        return self._records(ReceivedRequest, "requests", filters)

    def wait_for_flag_requests(
        self, count: int = 1, *, timeout: float = 10.0, **filters: object
    ) -> list[ReceivedFlagRequest]:
        """The flag requests once there are ``count`` of them. Raises as :meth:`wait_for_events`."""
        self.wait_for("flag-requests", count, timeout=timeout, **filters)
        return self._records(ReceivedFlagRequest, "flag-requests", filters)

    def wait_for(self, listing: str, count: int = 1, *, timeout: float = 10.0, **filters: object) -> int:
        """Wait until a listing has ``count`` rows that pass the filters; returns how many it has.

        Args:
            listing: ``events``, ``requests``, ``flag-requests``, ``spans``, ``metric-points`` or ``rudder-messages``.

        Raises:
            TimeoutError: it had fewer after ``timeout`` seconds.
        """
        parameters = {"at_least": count, "timeout": timeout, **filters}
        answer = self._json("GET", f"/api/wait/{listing}", parameters, timeout=timeout + _SLACK_SECONDS)
        if not answer["reached"]:
            raise TimeoutError(
                f"waited {timeout} s for {count} {listing} with {filters or 'no filter'}, there are "
                f"{answer['total']}; received so far: {json.dumps(self.summary())}"
            )
        total: int = answer["total"]
        return total

    # --- orders -------------------------------------------------------------------------------------------------

    def fail(self, path: str = "all", **rule: object) -> Fault:
        """Put a fault in force; lift it with :meth:`Fault.lift` or by leaving a ``with`` block.

        Args:
            path: a path pattern, or ``capture``, ``flags``, ``definitions``, ``remote_config``, ``otlp``,
                ``rudderstack``, ``all``.
            rule: ``status``, ``delay``, ``hang``, ``reset``, ``stage``, ``times``, ``skip``, ``start``, ``end``,
                ``retry_after``, ``body``, ``method``, ``contains``, ``quota``, ``event``, ``result``, ``details``: see
                :class:`genops_otel_posthog.receiver.faults.FaultRule`.

        Raises:
            GenOpsValidationError: the rule cannot be read.
        """
        answer = self._json("POST", "/api/faults", content=[{"path": path, **rule}])
        return Fault(self, answer["added"][0])

    def faults(self) -> list[dict[str, Any]]:
        """The rules in force, each with its ``id`` and how often it ``struck``."""
        rules: list[dict[str, Any]] = self._json("GET", "/api/faults")["faults"]
        return rules

    def recover(self) -> None:
        """Lift all faults."""
        self._json("DELETE", "/api/faults")

    def set_flags(self, definitions: object) -> None:
        """Replace the feature flags.

        Args:
            definitions: a list of flags, or an object with ``flags``, ``group_type_mapping`` and ``cohorts``, in
                PostHog's local-evaluation format.

        Raises:
            GenOpsValidationError: they have another shape.
        """
        self._json("PUT", "/api/flags", content=definitions)

    def clear(self) -> None:
        """Forget everything that was received. Faults and flags stay."""
        self._json("DELETE", "/api/data")

    # --- transport ----------------------------------------------------------------------------------------------

    def _records(self, kind: type[R], listing: str, filters: Mapping[str, object], *, limited: bool = True) -> list[R]:
        parameters = {"limit": _ALL, **filters} if limited else filters
        items: Iterable[Mapping[str, Any]] = self._json("GET", f"/api/{listing}", parameters)["items"]
        return [record_from_json(kind, item) for item in items]

    def _json(
        self,
        method: str,
        path: str,
        parameters: Mapping[str, object] | None = None,
        *,
        content: object = None,
        timeout: float | None = None,
    ) -> Any:
        given = {name: value for name, value in (parameters or {}).items() if value is not None}
        query = f"?{urlencode(given)}" if given else ""
        body = None if content is None else json.dumps(content).encode()
        return json.loads(self._call(method, path + query, body, timeout))

    def _call(self, method: str, path: str, body: bytes | None = None, timeout: float | None = None) -> bytes:
        request = Request(self.url + path, data=body, method=method, headers={"Content-Type": "application/json"})
        try:
            with self._opener.open(request, timeout=timeout or self._timeout) as response:
                content: bytes = response.read()
                return content
        except HTTPError as refused:
            with refused:
                text = refused.read().decode(errors="replace")
            with suppress(ValueError, KeyError, TypeError):
                text = json.loads(text)["detail"]
            raise GenOpsValidationError(text) from None
        except URLError as problem:
            raise GenOpsError(f"no receiver answers at {self.url}: {problem.reason}; is it started?") from problem


class Fault:
    """A fault in force. As a context manager it ends with the block."""

    def __init__(self, client: ReceiverClient, rule_id: int) -> None:
        self._client = client
        self.id = rule_id

    @property
    def struck(self) -> int:
        """How many requests it hit so far.

        Raises:
            GenOpsError: it was lifted.
        """
        for rule in self._client.faults():
            if rule["id"] == self.id:
                struck: int = rule["struck"]
                return struck
        raise GenOpsError(f"fault {self.id} was lifted")

    def lift(self) -> None:
        """End it; nothing happens when it is over already."""
        with suppress(GenOpsValidationError):
            self._client._json("DELETE", f"/api/faults/{self.id}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.lift()
